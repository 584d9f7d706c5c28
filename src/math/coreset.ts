import { Random } from './random.ts';

/** Dimensions that distances are taken in: a random projection keeps them nearly (Johnson and Lindenstrauss). */
const PROJECTED = 32;

/**
 * Vectors that stand for all: each next one is that which is farthest from those chosen before (greedy k-center; PatchCore, Roth et
 * al. 2022, section 3.2).
 * @param vectors [n, channels]
 * @param count chosen at most
 * @returns indices of different vectors, fewer than `count` where all others are equal to one of them
 */
export function greedyCoreset(vectors: Float32Array, channels: number, count: number, seed = 0): Uint32Array {
  const total = vectors.length / channels;
  const random = new Random(seed);
  const points = projected(vectors, channels, random);
  const dimensions = points.length / Math.max(1, total);
  const distances = new Float32Array(total).fill(Number.POSITIVE_INFINITY);
  const chosen: number[] = [];
  let next = total > 0 ? random.integer(total) : -1;
  while (next >= 0 && chosen.length < count) {
    chosen.push(next);
    const from = next * dimensions;
    let farthest = 0;
    next = -1;
    for (let i = 0; i < total; i++) {
      let distance = 0;
      for (let k = 0, at = i * dimensions; k < dimensions; k++) distance += (points[at + k]! - points[from + k]!) ** 2;
      if (distance < distances[i]!) distances[i] = distance;
      if (distances[i]! > farthest) {
        farthest = distances[i]!;
        next = i;
      }
    }
  }
  return Uint32Array.from(chosen);
}

/** [n, 32]; vectors of no more channels stay as they are. */
function projected(vectors: Float32Array, channels: number, random: Random): Float32Array {
  if (channels <= PROJECTED) return vectors;
  // Of mean 0 and equal variance: the distribution makes no difference.
  const matrix = Float32Array.from({ length: channels * PROJECTED }, () => random.uniform() - 0.5);
  const total = vectors.length / channels;
  const points = new Float32Array(total * PROJECTED);
  for (let i = 0; i < total; i++) {
    for (let c = 0; c < channels; c++) {
      const value = vectors[i * channels + c]!;
      for (let k = 0; k < PROJECTED; k++) points[i * PROJECTED + k]! += value * matrix[c * PROJECTED + k]!;
    }
  }
  return points;
}
