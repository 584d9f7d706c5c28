import type { QuantizeProgress } from '../detector/quantize.ts';
import { type Progress, startProgress } from './progress.ts';

/** A progress bar per phase of what quantizes or calibrates. */
export class PhaseReport {
  #phase: string | undefined;
  #bar: Progress | undefined;

  show({ phase, done, total }: QuantizeProgress): void {
    if (phase !== this.#phase) {
      this.#bar?.stop();
      this.#phase = phase;
      this.#bar = startProgress(TITLES[phase], total, 'images');
    }
    this.#bar!.update(done);
  }

  stop(): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }
}

const TITLES = {
  equalize: 'channel ranges',
  ranges: 'activation ranges',
  means: 'activation means',
  statistics: 'teacher statistics',
  calibrate: 'calibrating',
} as const;
