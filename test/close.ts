import { expect } from 'vitest';

export interface Tolerance {
  /** Allowed |a - b| relative to the norm of `b`, per element of the sum that was rounded: grows with its square root. */
  readonly rtol?: number;
  readonly atol?: number;
  /** Length of the longest sum behind an element. */
  readonly reduction?: number;
}

/** ||a - b|| / ||b|| */
export function errorByNorm(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i]! - expected[i]!) ** 2;
    norm += expected[i]! ** 2;
  }
  return Math.sqrt(difference / (norm || 1));
}

/** Asserts that float32 values agree with float64 ones, elementwise against the largest value and by norm. */
export function toBeAllclose(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance: Tolerance = {}): void {
  const { rtol = 1e-6, atol = 1e-7, reduction = 1 } = tolerance;
  expect(actual.length).toBe(expected.length);
  let largest = 0;
  for (let i = 0; i < expected.length; i++) largest = Math.max(largest, Math.abs(expected[i]!));
  const limit = atol + rtol * Math.sqrt(reduction) * largest;
  let worst = 0;
  let at = 0;
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs(actual[i]! - expected[i]!);
    if (!(error <= worst)) {
      worst = error;
      at = i;
    }
  }
  if (!(worst <= limit)) {
    expect.fail(`element ${at}: got ${actual[at]}, expected ${expected[at]}; |difference| ${worst} is above ${limit}`);
  }
}
