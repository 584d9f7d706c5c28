import type { FitProgress } from '../train/fit.ts';
import type { NearestProgress } from '../train/nearest.ts';
import { type Progress, startProgress } from './progress.ts';
import type { TrainingLog } from './trainingLog.ts';

type Phase = FitProgress['phase'] | NearestProgress['phase'];

const LABELS: Record<Phase, readonly [string, string]> = {
  compile: ['compiling', 'kernels'],
  statistics: ['teacher statistics', 'images'],
  train: ['training', 'steps'],
  features: ['features', 'images'],
  coreset: ['choosing features', 'parts'],
  calibrate: ['calibrating', 'passes'],
};

/** Shows a run's phases one after the other and logs its losses. */
export class FitReport {
  readonly #log: TrainingLog | undefined;
  #phase: Phase | undefined;
  #progress: Progress | undefined;

  constructor(log?: TrainingLog) {
    this.#log = log;
  }

  report({ phase, done, total, losses }: Omit<FitProgress, 'phase'> & { readonly phase: Phase }): void {
    if (phase !== this.#phase) {
      this.#progress?.stop();
      this.#phase = phase;
      this.#progress = startProgress(LABELS[phase][0], total, LABELS[phase][1]);
    }
    const note =
      losses &&
      Object.entries(losses)
        .map(([name, value]) => `${name} ${value.toFixed(3)}`)
        .join(' ');
    if (losses) this.#log?.add(done, { ...losses });
    this.#progress!.update(done, note);
  }

  endPhase(): void {
    this.#progress?.stop();
    this.#progress = undefined;
    this.#phase = undefined;
  }
}
