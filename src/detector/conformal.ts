import { UserError } from '../errors.ts';

/** A score above which an image is called anomalous. */
export interface Threshold {
  readonly value: number;
  /** False-alarm rate asked for. */
  readonly alpha: number;
  /** Rate that the held-out images can promise: `alpha`, or 1 / (n + 1) where they are too few. */
  readonly promised: number;
  /** Number of held-out normal scores. */
  readonly images: number;
}

export const DEFAULT_ALPHA = 0.01;

/**
 * Conformal threshold: the ceil((n + 1)(1 - alpha))-th smallest of n scores of normal images that were not trained on. A new
 * normal image exceeds it with probability at most alpha. With fewer than 1 / alpha - 1 scores the largest one is taken,
 * and the rate that this promises is said.
 * @throws UserError without scores, or for a rate that is none
 */
export function conformalThreshold(scores: readonly number[], alpha = DEFAULT_ALPHA): Threshold {
  const n = scores.length;
  if (n === 0)
    throw new UserError('no held-out normal images to take a threshold from.', 'Give at least two good images.');
  checkAlpha(alpha);
  const rank = Math.ceil((n + 1) * (1 - alpha));
  const sorted = [...scores].sort((a, b) => a - b);
  return { value: sorted[Math.min(rank, n) - 1]!, alpha, promised: rank <= n ? alpha : 1 / (n + 1), images: n };
}

/** Scores of normal images that a threshold was taken from, ascending: what later scores are compared with. */
export interface Calibration {
  readonly scores: readonly number[];
}

/** Scores that a model file keeps, at most: evenly spread over the ranks of all. */
export const KEPT_SCORES = 512;

/**
 * What a detector says of scores: the threshold of {@link conformalThreshold}, and the scores themselves.
 * @param scores of normal images that the detector has not seen
 */
export function judged(
  scores: readonly number[],
  alpha?: number,
): { readonly threshold: Threshold; readonly calibration: Calibration } {
  const sorted = [...scores].sort((a, b) => a - b);
  const kept = Math.min(KEPT_SCORES, sorted.length);
  const place = (i: number) => (kept === 1 ? 0 : Math.round((i * (sorted.length - 1)) / (kept - 1)));
  return {
    threshold: conformalThreshold(scores, alpha),
    calibration: { scores: Array.from({ length: kept }, (_, i) => sorted[place(i)]!) },
  };
}

/** @throws UserError for a rate of false alarms that no threshold can have */
export function checkAlpha(alpha = DEFAULT_ALPHA): void {
  if (!(alpha > 0 && alpha < 1))
    throw new UserError(`a false-alarm rate of ${alpha} cannot be used.`, 'Give a number between 0 and 1.');
}
