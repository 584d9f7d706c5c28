import type { Precision } from '../engine/variants.ts';
import { sampleQuantile } from '../math/statistics.ts';

/** Something that can be run again and again. */
export interface BenchCase {
  readonly name: string;
  /** Ends when the result is there; the host's clock tells how long that took. */
  run(): Promise<unknown>;
}

/** Something that takes its time itself. */
export interface TimedCase {
  readonly name: string;
  /** @returns milliseconds */
  time(): Promise<number>;
}

/** Samples in milliseconds, summarized. With few of them a percentile is the least or the largest one. */
export interface Timing {
  readonly name: string;
  readonly runs: number;
  readonly median: number;
  readonly p5: number;
  readonly p95: number;
  /** Where there are at least a hundred samples. */
  readonly p99?: number | undefined;
}

/** Milliseconds for which a GPU is kept busy before cases are timed: it was idle while they compiled. */
export const WARM_UP = 50;

export interface MeasureOptions {
  /** Runs of each case that are timed. */
  readonly rounds: number;
  /** Runs of each case before that. */
  readonly warmUp: number;
  /** Of plans for inference that are timed; `f32` when absent. */
  readonly precision?: Precision | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Times cases interleaved, one run of each in turn: the speed of a machine drifts, and only what ran side by side can be
 * compared. Use the ratios of the medians.
 */
export async function measure(
  cases: readonly (BenchCase | TimedCase)[],
  { rounds, warmUp, signal }: MeasureOptions,
): Promise<Timing[]> {
  const times = cases.map((): number[] => []);
  for (let round = 0; round < warmUp + rounds; round++) {
    for (const [i, each] of cases.entries()) {
      signal?.throwIfAborted();
      const milliseconds = 'time' in each ? await each.time() : await byHost(each);
      if (round >= warmUp) times[i]!.push(milliseconds);
    }
  }
  return cases.map(({ name }, i) => summarize(name, times[i]!));
}

async function byHost(each: BenchCase): Promise<number> {
  const start = performance.now();
  await each.run();
  return performance.now() - start;
}

const ENOUGH_FOR_P99 = 100;

/** Median and percentiles of samples. */
export function summarize(name: string, samples: readonly number[]): Timing {
  return {
    name,
    runs: samples.length,
    median: sampleQuantile(samples, 0.5),
    p5: sampleQuantile(samples, 0.05),
    p95: sampleQuantile(samples, 0.95),
    p99: samples.length >= ENOUGH_FOR_P99 ? sampleQuantile(samples, 0.99) : undefined,
  };
}
