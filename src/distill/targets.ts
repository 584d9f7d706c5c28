import type { LayerGeometry } from '../networks/pdn.ts';

/** Feature maps of a layer of a backbone. */
export interface FeatureMaps {
  /** [channels, height, width] */
  readonly data: Float32Array;
  readonly channels: number;
  readonly height: number;
  readonly width: number;
}

/** The grid that a teacher's features lie on. */
export interface TargetGrid extends LayerGeometry {
  /** Side of the teacher's input in pixels. */
  readonly side: number;
  /** Side of its feature maps. */
  readonly mapSide: number;
  /** Channels of its features. */
  readonly channels: number;
}

/**
 * What a teacher is to answer, from the maps of some layers of a backbone that saw the same image (EfficientAD, supplement; the
 * features are PatchCore's): means over patches of 3 x 3, each layer sampled where the teacher's positions are centered, all channels in
 * a row averaged down to those of the teacher.
 * @returns [channels, mapSide, mapSide]
 */
export function targetOf(layers: readonly FeatureMaps[], grid: TargetGrid): Float32Array {
  const { mapSide, channels } = grid;
  const plane = mapSide * mapSide;
  const sampled = layers.flatMap((maps) => Array.from({ length: maps.channels }, (_, c) => sample(maps, c, grid)));
  const target = new Float32Array(channels * plane);
  for (let c = 0; c < channels; c++) {
    // Adaptive means, as torch's adaptive_avg_pool1d: channels may be fewer, too.
    const first = Math.floor((c * sampled.length) / channels);
    const last = Math.ceil(((c + 1) * sampled.length) / channels);
    for (let k = first; k < last; k++)
      for (let i = 0; i < plane; i++) target[c * plane + i]! += sampled[k]![i]! / (last - first);
  }
  return target;
}

/** One channel at the teacher's positions: bilinear between means of patches. */
function sample({ data, height, width }: FeatureMaps, channel: number, grid: TargetGrid): Float32Array {
  const map = patchMeans(data.subarray(channel * height * width, (channel + 1) * height * width), height, width);
  const rows = places(height, grid);
  const columns = places(width, grid);
  const values = new Float32Array(grid.mapSide * grid.mapSide);
  let at = 0;
  for (const [y0, y1, ty] of rows) {
    for (const [x0, x1, tx] of columns) {
      const above = map[y0 * width + x0]! * (1 - tx) + map[y0 * width + x1]! * tx;
      const below = map[y1 * width + x0]! * (1 - tx) + map[y1 * width + x1]! * tx;
      values[at++] = above * (1 - ty) + below * ty;
    }
  }
  return values;
}

/** Between which two of `length` positions over the whole input a teacher's positions lie, and how far. */
function places(length: number, { offset, stride, side, mapSide }: TargetGrid) {
  return Array.from({ length: mapSide }, (_, i): readonly [number, number, number] => {
    const center = ((offset + i * stride + 0.5) / side) * length - 0.5;
    const place = Math.min(Math.max(center, 0), length - 1);
    const low = Math.floor(place);
    return [low, Math.min(low + 1, length - 1), place - low];
  });
}

/** Means over 3 x 3, at the borders over those that there are. */
function patchMeans(map: Float32Array, height: number, width: number): Float32Array {
  const means = new Float32Array(map.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      let [sum, count] = [0, 0];
      for (let v = Math.max(0, y - 1); v <= Math.min(height - 1, y + 1); v++) {
        for (let u = Math.max(0, x - 1); u <= Math.min(width - 1, x + 1); u++) {
          sum += map[v * width + u]!;
          count++;
        }
      }
      means[y * width + x] = sum / count;
    }
  }
  return means;
}
