/** An engine that computes the same as ours. */
export interface Peer {
  readonly name: string;
  /** One run, from host array to host array. */
  run(): Promise<Float32Array>;
  /** Milliseconds for which the next peer waits: threads that look for more work take the cores from it. */
  readonly rest?: number;
  /** Largest difference to the reference that counts as the same computation, relative to the largest value; 1e-4. */
  readonly tolerance?: number;
  /** Versions of the packages that it consists of. */
  readonly versions?: Readonly<Record<string, string>>;
}

/** A peer that is yet to be opened: that may fail. */
export interface PeerMaker {
  readonly name: string;
  open(): Promise<Peer>;
}

/**
 * Largest absolute difference, relative to the largest value of `expected`; infinite where a value is not a number.
 * @throws Error when the lengths differ
 */
export function worstDifference(actual: Float32Array, expected: Float32Array): number {
  if (actual.length !== expected.length) throw new Error(`${actual.length} values, expected ${expected.length}`);
  let worst = 0;
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(actual[i]! - expected[i]!);
    if (Number.isNaN(difference)) return Number.POSITIVE_INFINITY;
    worst = Math.max(worst, difference);
    largest = Math.max(largest, Math.abs(expected[i]!));
  }
  if (worst === 0) return 0;
  return worst / largest;
}
