import { writeAtomically } from '../node/output.ts';
import type { FitProgress } from '../train/fit.ts';
import type { NearestProgress } from '../train/nearest.ts';
import { type Progress, startProgress } from './progress.ts';

type Phase = FitProgress['phase'] | NearestProgress['phase'];

const LABELS: Record<Phase, readonly [string, string]> = {
  compile: ['compiling', 'kernels'],
  statistics: ['teacher statistics', 'images'],
  train: ['training', 'steps'],
  features: ['features', 'images'],
  coreset: ['choosing features', 'parts'],
  calibrate: ['calibrating', 'passes'],
};

/** Shows a run's phases one after the other and keeps its losses. */
export class FitReport {
  readonly #log: string | undefined;
  readonly #lines: string[];
  readonly #set: string;
  /** Of this set's lines. */
  readonly #steps: number[] = [];
  #phase: Phase | undefined;
  #progress: Progress | undefined;

  constructor(log: string | undefined, lines: string[], set: string) {
    this.#log = log;
    this.#lines = lines;
    this.#set = set;
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
    if (losses) this.#keep(done, losses);
    this.#progress!.update(done, note);
  }

  /** A step that is done again, behind a checkpoint, stands for the one before. */
  #keep(step: number, losses: NonNullable<FitProgress['losses']>): void {
    while (this.#steps.length > 0 && this.#steps.at(-1)! >= step) {
      this.#steps.pop();
      this.#lines.pop();
    }
    this.#steps.push(step);
    this.#lines.push(JSON.stringify({ set: this.#set, step, ...losses }));
  }

  endPhase(): void {
    this.#progress?.stop();
    this.#progress = undefined;
    this.#phase = undefined;
  }

  async stop(): Promise<void> {
    this.endPhase();
    if (this.#log) await writeAtomically(this.#log, `${this.#lines.join('\n')}\n`);
  }
}
