import distanceShader from '../../shaders/channel_distance.wgsl';
import sharedDistanceShader from '../../shaders/channel_distance_shared.wgsl';
import combineShader from '../../shaders/map_combine.wgsl';
import placeShader from '../../shaders/map_place.wgsl';
import type { Caps } from '../engine/caps.ts';
import { expectShapes, f32, type Kernel, makeNode, type Node, type Op, size, u32 } from '../engine/graph.ts';
import { foldedGrid, inputType, nchw, testedThrough, WORKGROUP } from './common.ts';
import { standardiseOp } from './standardise.ts';
import { stackedDistance } from './winogradMap.ts';

type None = Record<string, never>;

/**
 * Mean over channels of the squared difference: an anomaly map.
 * @param a [N, C, H, W]
 * @param b [N, C, H, W]; zero when absent
 * @returns [N, 1, H, W]
 */
export function channelDistance(a: Node, b?: Node, label?: string): Node {
  return makeNode(channelDistanceOp, b ? [a, b] : [a], {}, label);
}

/**
 * Mean of both maps, each normalised by its quantiles on normal images.
 * @param st @param ae [N, 1, H, W]
 * @param quantiles [4]: q_a and q_b of `st`, q_a and q_b of `ae`
 */
export function combineMaps(st: Node, ae: Node, quantiles: Node, label?: string): Node {
  return makeNode(mapCombineOp, [st, ae, quantiles], {}, label);
}

/**
 * `exact`: where the network saw it. `reference`: as published code places it, up to 1.5 px off at 256 px. `anomalib`: the same
 * with zeros around the maps before they are normalised.
 */
export type Placement = 'exact' | 'reference' | 'anomalib';

/**
 * An anomaly map on the pixels of an image of any size.
 * @param x [N, 1, cells, cells], from an input of `side` pixels
 * @returns [N, 1, height, width]
 */
export function placeMap(x: Node, attrs: PlaceAttrs, label?: string): Node {
  return makeNode(placeMapOp, [x], attrs, label);
}

/** Invocations of a workgroup, and those that share the channels of a pixel. */
const SHARED = { WORKGROUP: 256, SLOTS: 16 } as const;

export const channelDistanceOp: Op<None> = {
  name: 'channelDistance',
  infer(inputs) {
    const [a, b] = inputs;
    const ok = a!.shape.length === 4 && (!b || a!.shape.join() === b.shape.join());
    expectShapes('channelDistance', ok, inputs, 'a and b of equal shape [N, C, H, W]');
    const [n, , h, w] = nchw(a!);
    return { shape: [n, 1, h, w], dtype: 'f32' };
  },
  reference([a, b], node) {
    const [n, c, h, w] = nchw(inputType(node, 0));
    const plane = h * w;
    const y = new Float64Array(n * plane);
    for (let i = 0; i < a!.length; i++) {
      y[Math.floor(i / (c * plane)) * plane + (i % plane)]! += (a![i]! - (b?.[i] ?? 0)) ** 2 / c;
    }
    return y;
  },
  absorb: (node, isOnlyUser) => standardisedDistance(node, isOnlyUser),
  variants: [
    {
      // A GPU has more invocations than a map has pixels.
      name: 'shared',
      supports: sharedSupports,
      madeFor: 'gpu',
      kernel: (node) => sharedKernel(node, { sets: [setOf(node)], stacked: false }),
    },
    {
      name: 'pixel',
      kernel(node, caps) {
        const [, c, h, w] = nchw(inputType(node, 0));
        return {
          shader: { name: 'channel_distance.wgsl', source: distanceShader },
          defines: { WORKGROUP, TARGET: node.inputs.length - 1 },
          params: { size: u32(size(node.type)), plane: u32(h * w), channels: u32(c) },
          grid: foldedGrid(size(node.type), caps),
        };
      },
    },
  ],
};

/** One of the maps that a dispatch computes. Its inputs: a, then mean and deviation to standardise it, then b. */
interface DistanceSet {
  readonly standardised: boolean;
  readonly target: boolean;
}

interface SharedAttrs {
  /** This map and, where the other one is computed here, too, that one. */
  readonly sets: readonly DistanceSet[];
  /** Both maps and their mean are the result; behind the sets' inputs come the other map, where it is there, and the quantiles. */
  readonly stacked: boolean;
}

const setOf = (node: Node): DistanceSet => ({ standardised: false, target: node.inputs.length > 1 });

const inputsOf = ({ standardised, target }: DistanceSet) => 1 + 2 * Number(standardised) + Number(target);

/** A map as one set, if it is the last dispatch of one. */
function lastSet(map: Node): DistanceSet | undefined {
  if (map.op === channelDistanceOp) return setOf(map);
  if (map.op !== sharedDistanceOp) return undefined;
  const { sets, stacked } = map.attrs as SharedAttrs;
  return stacked ? undefined : sets[0];
}

/** Distances with what is before and behind them: standardised features, both maps and their mean. */
const sharedDistanceOp: Op<SharedAttrs> = {
  name: 'sharedDistance',
  infer([a], { stacked }) {
    const [n, , h, w] = nchw(a!);
    return { shape: stacked ? [3, n, 1, h, w] : [n, 1, h, w], dtype: 'f32' };
  },
  reference: testedThrough('sharedDistance', 'channelDistance'),
  absorb(node, isOnlyUser) {
    const { sets, stacked } = node.attrs;
    if (!stacked || sets.length > 1) return undefined;
    const [other, quantiles] = node.inputs.slice(-2) as [Node, Node];
    const set = lastSet(other);
    if (!set || !isOnlyUser(other) || other.inputs[0]!.type.shape.join() !== inputType(node, 0).shape.join())
      return undefined;
    const inputs = [...node.inputs.slice(0, -2), ...other.inputs, quantiles];
    return makeNode(sharedDistanceOp, inputs, { sets: [...sets, set], stacked }, node.label);
  },
  variants: [
    {
      name: 'shared',
      supports: sharedSupports,
      madeFor: 'gpu',
      kernel: (node) => sharedKernel(node, node.attrs),
    },
  ],
};

function sharedSupports({ limits }: Caps, { inputs }: Node): boolean {
  return (
    limits.maxComputeInvocationsPerWorkgroup >= SHARED.WORKGROUP &&
    limits.maxStorageBuffersPerShaderStage > inputs.length
  );
}

function sharedKernel(node: Node, { sets, stacked }: SharedAttrs): Kernel {
  const pixels = size(node.type) / (stacked ? 3 : 1);
  const [, c, h, w] = nchw(inputType(node, 0));
  const [first, second] = sets as [DistanceSet, DistanceSet | undefined];
  return {
    shader: { name: 'channel_distance_shared.wgsl', source: sharedDistanceShader },
    defines: {
      ...SHARED,
      SETS: sets.length,
      STACKED: Number(stacked),
      INPUTS: node.inputs.length,
      INPUTS0: inputsOf(first),
      STANDARDISED0: Number(first.standardised),
      TARGET0: Number(first.target),
      STANDARDISED1: Number(second?.standardised ?? false),
      TARGET1: Number(second?.target ?? false),
    },
    params: { size: u32(pixels), plane: u32(h * w), channels: u32(c) },
    grid: [Math.ceil((pixels * SHARED.SLOTS) / SHARED.WORKGROUP)],
  };
}

function standardisedDistance({ inputs, label }: Node, isOnlyUser: (input: Node) => boolean): Node | undefined {
  const [a, ...b] = inputs as [Node, ...Node[]];
  if (a.op !== standardiseOp || !isOnlyUser(a)) return undefined;
  const sets = [{ standardised: true, target: b.length > 0 }];
  return makeNode(sharedDistanceOp, [...a.inputs, ...b], { sets, stacked: false }, label);
}

/** A distance with another map and their mean. @param map that a dispatch ends, which nothing else uses */
function stackedShared(map: Node, other: Node, quantiles: Node): Node | undefined {
  const set = lastSet(map);
  const attrs = set && { sets: [set], stacked: true };
  return attrs && makeNode(sharedDistanceOp, [...map.inputs, other, quantiles], attrs, map.label);
}

export const mapCombineOp: Op<None> = {
  name: 'mapCombine',
  infer(inputs) {
    const [st, ae, quantiles] = inputs;
    const ok = st!.shape.join() === ae!.shape.join() && size(quantiles!) === 4;
    expectShapes('mapCombine', ok, inputs, 'two maps of equal shape and 4 quantiles');
    return st!;
  },
  reference([st, ae, q]) {
    const [sa, sb, aa, ab] = q as unknown as [number, number, number, number];
    return Float64Array.from(st!, (v, i) => 0.05 * ((v - sa) / (sb - sa) + (ae![i]! - aa) / (ab - aa)));
  },
  variants: [
    {
      name: 'element',
      kernel: (node, caps) => ({
        shader: { name: 'map_combine.wgsl', source: combineShader },
        defines: { WORKGROUP, STACKED: 0 },
        params: { size: u32(size(node.type)) },
        grid: foldedGrid(size(node.type), caps),
      }),
    },
  ],
};

/**
 * Both maps and their mean as one value.
 * @param st @param ae [N, 1, H, W] @param quantiles [4] @see combineMaps
 * @returns [3, N, 1, H, W]
 */
export function stackMaps(st: Node, ae: Node, quantiles: Node, label?: string): Node {
  return makeNode(stackMapsOp, [st, ae, quantiles], {}, label);
}

export const stackMapsOp: Op<None> = {
  name: 'stackMaps',
  infer(inputs) {
    return { shape: [3, ...mapCombineOp.infer(inputs, {}).shape], dtype: 'f32' };
  },
  reference(inputs, node) {
    const [st, ae] = inputs as [Float64Array, Float64Array];
    const combined = mapCombineOp.reference(inputs, node) as Float64Array;
    return Float64Array.from([...st, ...ae, ...combined]);
  },
  absorb({ inputs: [st, ae, quantiles] }, isOnlyUser) {
    if (!isOnlyUser(ae!)) return undefined;
    return stackedDistance(ae!, st!, quantiles!) ?? stackedShared(ae!, st!, quantiles!);
  },
  variants: [
    {
      name: 'element',
      kernel: (node, caps) => ({
        shader: { name: 'map_combine.wgsl', source: combineShader },
        defines: { WORKGROUP, STACKED: 1 },
        params: { size: u32(size(node.type) / 3) },
        grid: foldedGrid(size(node.type) / 3, caps),
      }),
    },
  ],
};

/** One of {@link stackMaps}. @param at its place @returns [N, 1, H, W] */
export function mapOf(stack: Node, at: number, label?: string): Node {
  return makeNode(mapOfOp, [stack], { at }, label);
}

const mapOfOp: Op<{ readonly at: number }> = {
  name: 'mapOf',
  infer: ([stack]) => ({ shape: stack!.shape.slice(1), dtype: 'f32' }),
  reference([stack], { type, attrs }) {
    return (stack as Float64Array).slice(attrs.at * size(type), (attrs.at + 1) * size(type));
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
  /** `exact`: the input pixel that the first cell is centred on; 16, as without padding. */
  readonly firstCell?: number;
  /** Other placements: the value of the cells around the map, 0. */
  readonly around?: number;
}

/** The first cell of a network without padding. */
const FIRST_CELL = 16;

/**
 * What {@link placeMap} computes, on the host: for maps that no device buffer holds, too.
 * @param x [N, 1, cells, cells]
 * @param y [N, 1, height, width], receives the map
 */
export function placeOnHost(
  x: ArrayLike<number>,
  cells: number,
  { height, width, side, placement, firstCell = FIRST_CELL, around = 0 }: PlaceAttrs,
  y: Float32Array | Float64Array,
): void {
  const exact = placement === 'exact';
  const limit = (v: number) => Math.min(Math.max(v, 0), cells - 1);
  const cell = (b: number, row: number, column: number): number => {
    if (exact) return x[(b * cells + limit(row)) * cells + limit(column)]!;
    const [r, c] = [row - 4, column - 4];
    return r < 0 || c < 0 || r >= cells || c >= cells ? around : x[(b * cells + r) * cells + c]!;
  };
  const position = (p: number, extent: number): number => {
    const unit = (p + 0.5) / extent;
    const raw = exact ? (unit * side - firstCell - 0.5) / 4 : unit * (cells + 8) - 0.5;
    return Math.min(Math.max(raw, 0), exact ? cells - 1 : cells + 7);
  };
  const images = y.length / (height * width);
  let at = 0;
  for (let b = 0; b < images; b++) {
    for (let oy = 0; oy < height; oy++) {
      const fy = position(oy, height);
      const row = Math.floor(fy);
      for (let ox = 0; ox < width; ox++) {
        const fx = position(ox, width);
        const column = Math.floor(fx);
        const tx = fx - column;
        const top = cell(b, row, column) * (1 - tx) + cell(b, row, column + 1) * tx;
        const bottom = cell(b, row + 1, column) * (1 - tx) + cell(b, row + 1, column + 1) * tx;
        y[at++] = top + (fy - row) * (bottom - top);
      }
    }
  }
}

export const placeMapOp: Op<PlaceAttrs> = {
  name: 'placeMap',
  infer(inputs, { height, width }) {
    const [x] = inputs;
    const ok = x!.shape.length === 4 && x!.shape[1] === 1 && x!.shape[2] === x!.shape[3];
    expectShapes('placeMap', ok, inputs, 'x [N, 1, cells, cells]');
    return { shape: [x!.shape[0]!, 1, height, width], dtype: 'f32' };
  },
  reference([x], node) {
    const y = new Float64Array(size(node.type));
    placeOnHost(x!, inputType(node, 0).shape[2]!, node.attrs, y);
    return y;
  },
  variants: [
    {
      name: 'pixel',
      kernel(node, caps) {
        const { height, width, side, placement, firstCell = FIRST_CELL, around = 0 } = node.attrs;
        return {
          shader: { name: 'map_place.wgsl', source: placeShader },
          defines: { WORKGROUP, EXACT: Number(placement === 'exact') },
          params: {
            size: u32(size(node.type)),
            height: u32(height),
            width: u32(width),
            side: u32(side),
            cells: u32(inputType(node, 0).shape[2]!),
            firstCell: f32(firstCell),
            around: f32(around),
          },
          grid: foldedGrid(size(node.type), caps),
        };
      },
    },
  ],
};
