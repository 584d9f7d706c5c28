import { Random } from '../math/random.ts';

/** A percentile bootstrap interval. */
export interface Interval {
  readonly low: number;
  readonly high: number;
}

/** How often is resampled, and which interval is wanted. */
export interface BootstrapOptions {
  readonly seed?: number;
  /** Resamplings; 1000. */
  readonly samples?: number;
  /** Share of the resampled statistics that lies inside; 0.95. */
  readonly level?: number;
}

/**
 * Percentile bootstrap: the spread of a statistic over samples drawn with replacement.
 * @param count size of a sample
 * @param statistic of the drawn indices; samples for which it is undefined are left out
 * @returns both ends NaN when the statistic is never defined
 */
export function bootstrapInterval(
  count: number,
  statistic: (indices: Uint32Array) => number | undefined,
  { seed = 0, samples = 1000, level = 0.95 }: BootstrapOptions = {},
): Interval {
  const random = new Random(seed);
  const values: number[] = [];
  const indices = new Uint32Array(count);
  for (let sample = 0; sample < samples; sample++) {
    for (let i = 0; i < count; i++) indices[i] = random.integer(count);
    const value = statistic(indices);
    if (value !== undefined) values.push(value);
  }
  values.sort((a, b) => a - b);
  const at = (share: number) => {
    const place = share * (values.length - 1);
    const low = Math.floor(place);
    return values.length === 0
      ? Number.NaN
      : values[low]! + (place - low) * (values[Math.min(low + 1, values.length - 1)]! - values[low]!);
  };
  return { low: at((1 - level) / 2), high: at((1 + level) / 2) };
}

/** Mean of the values at some places. */
export function meanAt(values: ArrayLike<number>, indices: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < indices.length; i++) sum += values[indices[i]!]!;
  return sum / indices.length;
}
