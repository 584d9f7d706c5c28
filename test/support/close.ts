import { expect } from 'vitest';
import { compareFloats, type FloatTolerance } from '../../src/doctor/check.ts';

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

/** Asserts that float32 values agree with float64 ones, elementwise against the largest value. */
export function toBeAllclose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: FloatTolerance = {},
): void {
  expect(actual.length).toBe(expected.length);
  const { isRight, message } = compareFloats(actual, expected, tolerance);
  if (!isRight) expect.fail(message);
}
