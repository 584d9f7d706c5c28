import { greedyCoreset } from '../math/coreset.ts';
import { Random } from '../math/random.ts';
import { ChannelStatistics } from '../math/statistics.ts';

/** Vectors that a coreset is chosen from, at most. */
const CANDIDATES = 20_000;

/** The features that a memory bank may remember. */
export interface PatchVectors {
  /** [images * perImage, channels], standardized. */
  readonly vectors: Float32Array;
  readonly perImage: number;
  /** Of all features, by channel. */
  readonly mean: Float32Array;
  readonly std: Float32Array;
}

/**
 * Features at places of images that are drawn by seed, and the statistics of all, in one pass.
 * @param featuresOf the features of an image [channels, plane]
 */
export async function drawPatchVectors(
  { images, channels, plane, seed }: { images: number; channels: number; plane: number; seed: number },
  featuresOf: (index: number) => Promise<Float32Array>,
): Promise<PatchVectors> {
  const statistics = new ChannelStatistics(channels);
  const random = new Random(seed);
  const perImage = Math.min(plane, Math.ceil(CANDIDATES / images));
  const drawn = new Float32Array(images * perImage * channels);
  for (let i = 0; i < images; i++) {
    const features = await featuresOf(i);
    statistics.add(features);
    for (const [k, place] of random.permutation(plane).subarray(0, perImage).entries())
      for (let c = 0; c < channels; c++) drawn[(i * perImage + k) * channels + c] = features[c * plane + place]!;
  }
  const { mean, std } = statistics.result();
  const vectors = drawn.map((value, i) => (value - mean[i % channels]!) / std[i % channels]!);
  return { vectors, perImage, mean, std };
}

/**
 * Those of vectors that lie farthest apart, which stand for all of them.
 * @param vectors [n, channels]
 * @param most how many are taken
 * @returns [at most `most`, channels]
 */
export function coresetOf(vectors: Float32Array, channels: number, most: number, seed: number): Float32Array {
  const chosen = greedyCoreset(vectors, channels, most, seed);
  const own = new Float32Array(chosen.length * channels);
  chosen.forEach((from, to) => {
    own.set(vectors.subarray(from * channels, (from + 1) * channels), to * channels);
  });
  return own;
}
