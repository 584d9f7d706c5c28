/** An engine that computes the same as ours. */
export interface Peer {
  readonly name: string;
  /** One run, until its result is on the host. */
  run(): Promise<Float32Array>;
  /** Largest difference to ours that counts as the same computation, relative to the largest value; 1e-4. */
  readonly tolerance?: number;
}

/** Largest absolute difference, relative to the largest value of `expected`. */
export function worstDifference(actual: Float32Array, expected: Float32Array): number {
  if (actual.length !== expected.length) throw new Error(`${actual.length} values, expected ${expected.length}`);
  let worst = 0;
  let largest = 0;
  expected.forEach((value, i) => {
    worst = Math.max(worst, Math.abs(actual[i]! - value));
    largest = Math.max(largest, Math.abs(value));
  });
  return worst / largest;
}
