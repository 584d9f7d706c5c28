/** Mean and variances of maps of one size, one at a time. */
export class MapStatistics {
  #sum: Float64Array | undefined;
  #squares: Float64Array | undefined;
  #count = 0;

  /** @param cells a map on the network's grid [cells, cells] */
  add(cells: Float32Array): void {
    this.#sum ??= new Float64Array(cells.length);
    this.#squares ??= new Float64Array(cells.length);
    for (let i = 0; i < cells.length; i++) {
      this.#sum[i]! += cells[i]!;
      this.#squares[i]! += cells[i]! ** 2;
    }
    this.#count++;
  }

  get count(): number {
    return this.#count;
  }

  /** Mean map; undefined before the first one. */
  get mean(): Float64Array | undefined {
    return this.#sum?.map((sum) => sum / this.#count);
  }

  /** Variance at each place. */
  get variance(): Float64Array | undefined {
    const mean = this.mean;
    return mean && this.#squares!.map((squares, i) => Math.max(0, squares / this.#count - mean[i]! ** 2));
  }

  /**
   * Attention bias: variance over location of the mean map, divided by the variance of all values of all maps. 0: every
   * place looks alike on average; 1: all maps are the same.
   */
  get biasIndex(): number | undefined {
    const mean = this.mean;
    if (!mean) return undefined;
    const average = mean.reduce((sum, value) => sum + value, 0) / mean.length;
    const between = mean.reduce((sum, value) => sum + (value - average) ** 2, 0) / mean.length;
    const within = this.variance!.reduce((sum, value) => sum + value, 0) / mean.length;
    return between + within > 0 ? between / (between + within) : 0;
  }
}

/** Standard deviation of the blur that maps are compared under, in cells of the network's grid (4 px of its input). */
const BLUR_SIGMA = 1;

/** Gaussian blur of a square map, its border repeated. */
export function gaussianBlur(cells: Float32Array, sigma = BLUR_SIGMA): Float32Array {
  const side = Math.sqrt(cells.length);
  const radius = Math.ceil(3 * sigma);
  const weights = Float64Array.from({ length: 2 * radius + 1 }, (_, i) =>
    Math.exp(-((i - radius) ** 2) / (2 * sigma ** 2)),
  );
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const along = (values: Float32Array, step: number, across: number) => {
    const result = new Float32Array(values.length);
    for (let line = 0; line < side; line++) {
      for (let i = 0; i < side; i++) {
        let sum = 0;
        for (let k = -radius; k <= radius; k++) {
          const at = Math.min(Math.max(i + k, 0), side - 1);
          sum += weights[k + radius]! * values[line * across + at * step]!;
        }
        result[line * across + i * step] = sum / total;
      }
    }
    return result;
  };
  return along(along(cells, 1, side), side, 1);
}

/**
 * Maps relative to what is usual at each place: (map - mean) / sqrt(variance + mean variance). The second term keeps places
 * that few images have seen vary from standing out.
 * @param normal statistics of normal images
 */
export function normalizeLocations(normal: MapStatistics): (cells: Float32Array) => Float32Array {
  const mean = normal.mean!;
  const variance = normal.variance!;
  const usual = variance.reduce((sum, value) => sum + value, 0) / variance.length || 1;
  return (cells) => cells.map((value, i) => (value - mean[i]!) / Math.sqrt(variance[i]! + usual));
}
