import type { Interval } from './bootstrap.ts';

/** Quantile of the normal distribution that leaves 2.5 % above it. */
const Z = 1.959964;

/**
 * 95 % interval of a rate from a count (Wilson): it holds for few cases and rates near 0, too.
 * @param hits of `count` cases @returns undefined without cases
 */
export function wilsonInterval(hits: number, count: number): Interval | undefined {
  if (count === 0) return undefined;
  const rate = hits / count;
  const scale = 1 + Z ** 2 / count;
  const middle = (rate + Z ** 2 / (2 * count)) / scale;
  const half = (Z / scale) * Math.sqrt((rate * (1 - rate)) / count + Z ** 2 / (4 * count ** 2));
  return { low: Math.max(0, middle - half), high: Math.min(1, middle + half) };
}
