/** Something that can be run again and again; a run ends when its result is there. */
export interface BenchCase {
  readonly name: string;
  run(): Promise<unknown>;
}

export interface Timing {
  readonly name: string;
  readonly runs: number;
  /** Milliseconds. */
  readonly median: number;
  readonly p95: number;
}

export interface MeasureOptions {
  /** Runs of each case that are timed. */
  readonly rounds: number;
  /** Runs of each case before that. */
  readonly warmUp: number;
  readonly signal?: AbortSignal;
}

/**
 * Times cases interleaved, one run of each in turn: the speed of a machine drifts, and only what ran side by side can be
 * compared. Use the ratios of the medians.
 */
export async function measure(
  cases: readonly BenchCase[],
  { rounds, warmUp, signal }: MeasureOptions,
): Promise<Timing[]> {
  const times = cases.map((): number[] => []);
  for (let round = 0; round < warmUp + rounds; round++) {
    for (const [i, { run }] of cases.entries()) {
      signal?.throwIfAborted();
      const start = performance.now();
      await run();
      if (round >= warmUp) times[i]!.push(performance.now() - start);
    }
  }
  return cases.map(({ name }, i) => summarise(name, times[i]!));
}

/** Median and 95th percentile of samples. */
export function summarise(name: string, samples: readonly number[]): Timing {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (q: number) => sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]!;
  return { name, runs: sorted.length, median: at(0.5), p95: at(0.95) };
}
