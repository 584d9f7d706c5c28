/** Mean and variances of maps of one size, one at a time. */
export class MapStatistics {
  #sum: Float64Array | undefined;
  #squares: Float64Array | undefined;
  #count = 0;

  /** @param map on the network's grid [mapSide, mapSide] */
  add(map: Float32Array): void {
    this.#sum ??= new Float64Array(map.length);
    this.#squares ??= new Float64Array(map.length);
    for (let i = 0; i < map.length; i++) {
      this.#sum[i]! += map[i]!;
      this.#squares[i]! += map[i]! ** 2;
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
