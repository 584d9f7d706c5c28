import combineShader from '../../shaders/map_combine.wgsl';
import placeShader from '../../shaders/map_place.wgsl';
import { expectShapes, f32, makeNode, type Node, type Op, size, u32 } from '../engine/graph.ts';
import { stackedChannelDistance } from '../kernels/channelDistance.ts';
import { foldedGrid, type Homography, homographyParams, WORKGROUP } from '../kernels/common.ts';
import { OUTSIDE } from '../kernels/maximum.ts';
import { stackedDistance } from '../kernels/winogradMap.ts';

/** Of either map in the mean of both, 0.1 of each. */
export const MAP_WEIGHT = 0.05;

/**
 * The combined map: the mean of both, each normalized by its quantiles on normal images to 0.1 between them (EfficientAD, section
 * 3.4).
 * @param st @param ae [N, 1, H, W]
 * @param quantiles [4]: q_a and q_b of `st`, q_a and q_b of `ae`
 */
export function combineMaps(st: Node, ae: Node, quantiles: Node, label?: string): Node {
  return makeNode(mapCombineOp, [st, ae, quantiles], { weight: MAP_WEIGHT }, label);
}

/**
 * `exact`: where the network saw it. `reference`: as published code places it, up to 1.5 px off at 256 px. `anomalib`: the same
 * with zeros around the maps before they are normalized.
 */
export type Placement = 'exact' | 'reference' | 'anomalib';

/**
 * An anomaly map on the pixels of an image of any size.
 * @param x [N, 1, mapSide, mapSide], from an input of `side` pixels
 * @returns [N, 1, height, width]
 */
export function placeMap(x: Node, attrs: PlaceAttrs, label?: string): Node {
  return makeNode(placeMapOp, [x], attrs, label);
}

/** A value of the combined map. @param quantiles [4] */
function combined(st: number, ae: number, quantiles: ArrayLike<number>, weight: number): number {
  const [sa, sb, aa, ab] = [0, 1, 2, 3].map((i) => quantiles[i]!) as [number, number, number, number];
  return weight * ((st - sa) / (sb - sa) + (ae - aa) / (ab - aa));
}

/** What {@link combineMaps} computes, on the host. @param st @param ae [mapSide, mapSide] @param quantiles [4] */
export function combineOnHost(st: Float32Array, ae: Float32Array, quantiles: ArrayLike<number>): Float32Array {
  return st.map((value, i) => combined(value, ae[i]!, quantiles, MAP_WEIGHT));
}

/** The weight of either map in their sum. */
interface WeightAttrs {
  readonly weight: number;
}

export const mapCombineOp: Op<WeightAttrs, readonly ['f32', 'f32', 'f32']> = {
  name: 'mapCombine',
  infer(inputs) {
    const [st, ae, quantiles] = inputs;
    const ok = st.shape.join() === ae.shape.join() && size(quantiles) === 4;
    expectShapes('mapCombine', ok, inputs, 'two maps of equal shape and 4 quantiles');
    return st;
  },
  reference: ([st, ae, quantiles], { attrs: { weight } }) => st.map((v, i) => combined(v, ae[i]!, quantiles, weight)),
  variants: [
    {
      name: 'element',
      kernel: (node, caps) => ({
        shader: { name: 'map_combine.wgsl', source: combineShader },
        defines: { WORKGROUP, STACKED: 0 },
        params: { size: u32(size(node.type)), weight: f32(node.attrs.weight) },
        grid: foldedGrid(size(node.type), caps),
      }),
    },
  ],
};

/**
 * Both maps and their weighted sum as one value.
 * @param st @param ae [N, 1, H, W] @param quantiles [4] @see combineMaps
 * @returns [3, N, 1, H, W]
 */
export function stackMaps(st: Node, ae: Node, quantiles: Node, label?: string): Node {
  return makeNode(stackMapsOp, [st, ae, quantiles], { weight: MAP_WEIGHT }, label);
}

export const stackMapsOp: Op<WeightAttrs, readonly ['f32', 'f32', 'f32']> = {
  name: 'stackMaps',
  infer(inputs, attrs) {
    return { shape: [3, ...mapCombineOp.infer(inputs, attrs).shape], dtype: 'f32' };
  },
  reference([st, ae, quantiles], { attrs: { weight } }) {
    return Float64Array.from([...st, ...ae, ...st.map((v, i) => combined(v, ae[i]!, quantiles, weight))]);
  },
  absorb({ inputs: [st, ae, quantiles], attrs: { weight } }, isOnlyUser) {
    if (!isOnlyUser(ae)) return undefined;
    return stackedDistance(ae, st, quantiles, weight) ?? stackedChannelDistance(ae, st, quantiles, weight);
  },
  variants: [
    {
      name: 'element',
      kernel: (node, caps) => ({
        shader: { name: 'map_combine.wgsl', source: combineShader },
        defines: { WORKGROUP, STACKED: 1 },
        params: { size: u32(size(node.type) / 3), weight: f32(node.attrs.weight) },
        grid: foldedGrid(size(node.type) / 3, caps),
      }),
    },
  ],
};

/** One of {@link stackMaps}. @param at its place @returns [N, 1, H, W] */
export function mapOf(stack: Node, at: number, label?: string): Node {
  return makeNode(mapOfOp, [stack], { at }, label);
}

const mapOfOp: Op<{ readonly at: number }, readonly ['f32']> = {
  name: 'mapOf',
  infer: ([stack]) => ({ shape: stack.shape.slice(1), dtype: 'f32' }),
  reference([stack], { type, attrs }) {
    return stack.slice(attrs.at * size(type), (attrs.at + 1) * size(type));
  },
  part: ({ type, attrs }) => attrs.at * size(type),
  variants: [],
};

export interface PlaceAttrs {
  readonly height: number;
  readonly width: number;
  /** Side of the network's input in pixels. */
  readonly side: number;
  readonly placement: Placement;
  /** `exact`: the input pixel that the map's first position is centered on. */
  readonly offset: number;
  /** `exact`: input pixels from one position to the next. */
  readonly stride: number;
  /** Other placements: positions around the map on every side, and their value, 0 when absent. */
  readonly margin: number;
  readonly around?: number | undefined;
  /** Where the input shows a part of the image: from the image's points, in pixels, to those of the unit square. */
  readonly region?: Homography | undefined;
}

/**
 * What {@link placeMap} computes, on the host: for maps that no device buffer holds, too. Outside of a region there is NaN, of
 * the bits {@link OUTSIDE} in float32.
 * @param x [N, 1, mapSide, mapSide]
 * @param y [N, 1, height, width], receives the map
 */
export function placeOnHost(
  x: ArrayLike<number>,
  mapSide: number,
  { height, width, side, placement, offset, stride, margin, around = 0, region }: PlaceAttrs,
  y: Float32Array | Float64Array,
): void {
  const exact = placement === 'exact';
  const limit = (v: number) => Math.min(Math.max(v, 0), mapSide - 1);
  const valueAt = (b: number, row: number, column: number): number => {
    if (exact) return x[(b * mapSide + limit(row)) * mapSide + limit(column)]!;
    const [r, c] = [row - margin, column - margin];
    return r < 0 || c < 0 || r >= mapSide || c >= mapSide ? around : x[(b * mapSide + r) * mapSide + c]!;
  };
  const coordinate = (unit: number): number => {
    const raw = exact ? (unit * side - offset - 0.5) / stride : unit * (mapSide + 2 * margin) - 0.5;
    return Math.min(Math.max(raw, 0), exact ? mapSide - 1 : mapSide + 2 * margin - 1);
  };
  const images = y.length / (height * width);
  // A number that is stored as a float need not keep the bits of a NaN.
  const bits = y instanceof Float32Array ? new Uint32Array(y.buffer, y.byteOffset, y.length) : undefined;
  let at = 0;
  for (let b = 0; b < images; b++) {
    for (let oy = 0.5; oy < height; oy++) {
      for (let ox = 0.5; ox < width; ox++) {
        const w = region ? region[6]! * ox + region[7]! * oy + region[8]! : 1;
        const u = region ? (region[0]! * ox + region[1]! * oy + region[2]!) / w : ox / width;
        const v = region ? (region[3]! * ox + region[4]! * oy + region[5]!) / w : oy / height;
        if (w <= 0 || u < 0 || u > 1 || v < 0 || v > 1) {
          if (bits) bits[at++] = OUTSIDE;
          else y[at++] = Number.NaN;
          continue;
        }
        const [fx, fy] = [coordinate(u), coordinate(v)];
        const [row, column] = [Math.floor(fy), Math.floor(fx)];
        const tx = fx - column;
        const top = valueAt(b, row, column) * (1 - tx) + valueAt(b, row, column + 1) * tx;
        const bottom = valueAt(b, row + 1, column) * (1 - tx) + valueAt(b, row + 1, column + 1) * tx;
        y[at++] = top + (fy - row) * (bottom - top);
      }
    }
  }
}

export const placeMapOp: Op<PlaceAttrs, readonly ['f32']> = {
  name: 'placeMap',
  infer(inputs, { height, width }) {
    const [x] = inputs;
    const ok = x.shape.length === 4 && x.shape[1] === 1 && x.shape[2] === x.shape[3];
    expectShapes('placeMap', ok, inputs, 'x [N, 1, mapSide, mapSide]');
    return { shape: [x.shape[0]!, 1, height, width], dtype: 'f32' };
  },
  reference([x], node) {
    const y = new Float64Array(size(node.type));
    placeOnHost(x, node.inputs[0].type.shape[2]!, node.attrs, y);
    return y;
  },
  variants: [
    {
      name: 'pixel',
      kernel(node, caps) {
        const { height, width, side, placement, offset, stride, margin, around = 0, region } = node.attrs;
        return {
          shader: { name: 'map_place.wgsl', source: placeShader },
          defines: { WORKGROUP, EXACT: Number(placement === 'exact'), REGION: Number(region !== undefined), OUTSIDE },
          params: {
            size: u32(size(node.type)),
            height: u32(height),
            width: u32(width),
            side: u32(side),
            mapSide: u32(node.inputs[0].type.shape[2]!),
            offset: f32(offset),
            stride: f32(stride),
            margin: u32(margin),
            around: f32(around),
            ...(region && homographyParams(region)),
          },
          grid: foldedGrid(size(node.type), caps),
        };
      },
    },
  ],
};
