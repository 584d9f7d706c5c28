import type { Calibration } from '../detector/conformal.ts';
import { rankSum } from '../metrics/rankSum.ts';

/** How the scores seen so far compare with those that the threshold comes from. */
export interface Drift {
  /** Images that were scored. */
  readonly images: number;
  /** Share of pairs in which a new score is above a calibration score: 0.5 where both are alike. */
  readonly above: number;
  /** Of the rank-sum test. */
  readonly p: number;
  /** Whether the scores differ for certain, as far as one can tell. */
  readonly drifted: boolean;
}

/** Fewer images say nothing. */
const LEAST_IMAGES = 8;
/** It is looked at after every image, so chance has many chances. */
const SURE = 0.001;

/** Compares a detector's scores with its calibration, image by image. */
export class DriftWatch {
  readonly #calibration: readonly number[];
  readonly #scores: number[] = [];

  constructor({ scores }: Calibration) {
    this.#calibration = scores;
  }

  /** @param score of the next image @returns the comparison of all of them */
  add(score: number): Drift {
    this.#scores.push(score);
    const images = this.#scores.length;
    const { above, p } = rankSum(this.#calibration, this.#scores);
    return { images, above, p, drifted: images >= LEAST_IMAGES && p < SURE };
  }
}
