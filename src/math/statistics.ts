import { UserError } from '../errors.ts';

/** Channels of no larger deviation say nothing. */
const DEAD = 1e-6;

/** Mean and variance per channel of feature maps, one image at a time: Welford's algorithm, never E[x^2] - E[x]^2. */
export class ChannelStatistics {
  readonly #mean: Float64Array;
  readonly #squares: Float64Array;
  #count = 0;

  constructor(channels: number) {
    this.#mean = new Float64Array(channels);
    this.#squares = new Float64Array(channels);
  }

  /** @param features [channels, positions] */
  add(features: Float32Array): void {
    const channels = this.#mean.length;
    const positions = features.length / channels;
    const total = this.#count + positions;
    for (let c = 0; c < channels; c++) {
      let sum = 0;
      for (let i = c * positions; i < (c + 1) * positions; i++) sum += features[i]!;
      const mean = sum / positions;
      let squares = 0;
      for (let i = c * positions; i < (c + 1) * positions; i++) squares += (features[i]! - mean) ** 2;
      // Two groups are merged exactly (Chan, Golub and LeVeque).
      const delta = mean - this.#mean[c]!;
      this.#mean[c]! += (delta * positions) / total;
      this.#squares[c]! += squares + (delta * delta * this.#count * positions) / total;
    }
    this.#count = total;
  }

  /**
   * Mean and population standard deviation; a dead channel gets deviation 1, so that it contributes zeros.
   * @throws UserError when features are not finite, or no channel varies
   */
  result(): { readonly mean: Float32Array; readonly std: Float32Array } {
    const std = Float32Array.from(this.#squares, (squares) => Math.sqrt(squares / this.#count));
    const fix = 'Use another teacher, or images that are not all blank.';
    if (![...std, ...this.#mean].every(Number.isFinite))
      throw new UserError("the teacher's features of the training images are not finite.", fix);
    if (!std.some((deviation) => deviation > DEAD))
      throw new UserError("the teacher's features are the same all over the training images.", fix);
    for (let c = 0; c < std.length; c++) if (!(std[c]! > DEAD)) std[c] = 1;
    return { mean: Float32Array.from(this.#mean), std };
  }
}

/** Exact quantile with linear interpolation at position q (n - 1). Sorts a copy. */
export function exactQuantile(values: Float32Array, q: number): number {
  const sorted = values.slice().sort();
  const position = q * (sorted.length - 1);
  const low = Math.floor(position);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low]! + (position - low) * (sorted[high]! - sorted[low]!);
}

/** The value below which a share `q` of the samples lies, one of them. */
export function sampleQuantile(samples: readonly number[], q: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]!;
}
