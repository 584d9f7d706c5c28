import distanceShader from '../../shaders/channel_distance.wgsl';
import sharedDistanceShader from '../../shaders/channel_distance_shared.wgsl';
import type { Caps } from '../engine/caps.ts';
import {
  expectShapes,
  f32,
  type InputNodes,
  isOf,
  type Kernel,
  makeNode,
  type Node,
  type Op,
  size,
  type TensorType,
  u32,
} from '../engine/graph.ts';
import { foldedGrid, nchw, testedThrough, WORKGROUP } from './common.ts';
import { standardizeOp } from './standardize.ts';

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

/** Invocations of a workgroup, and those that share the channels of a pixel. */
const SHARED = { WORKGROUP: 256, SLOTS: 16 } as const;

/** The definition, of features of a type. @see Op.reference */
export function channelDistanceReference(
  [a, b]: readonly [ArrayLike<number>, ArrayLike<number> | undefined],
  type: TensorType,
): Float64Array {
  const [n, c, h, w] = nchw(type);
  const plane = h * w;
  const y = new Float64Array(n * plane);
  for (let i = 0; i < a.length; i++) {
    y[Math.floor(i / (c * plane)) * plane + (i % plane)]! += (a[i]! - (b?.[i] ?? 0)) ** 2 / c;
  }
  return y;
}

/** Features, and what else belongs to them. */
type Features = readonly ['f32', ...'f32'[]];

export const channelDistanceOp: Op<None, Features> = {
  name: 'channelDistance',
  infer(inputs) {
    const [a, b] = inputs;
    const ok = a.shape.length === 4 && (!b || a.shape.join() === b.shape.join());
    expectShapes('channelDistance', ok, inputs, 'a and b of equal shape [N, C, H, W]');
    const [n, , h, w] = nchw(a);
    return { shape: [n, 1, h, w], dtype: 'f32' };
  },
  reference: ([a, b], node) => channelDistanceReference([a, b], node.inputs[0].type),
  absorb: (node, isOnlyUser) => standardizedDistance(node, isOnlyUser),
  variants: [
    {
      // A GPU has more invocations than a map has pixels.
      name: 'shared',
      supports: sharedSupports,
      madeFor: 'gpu',
      kernel: (node) => sharedKernel(node, { sets: [setOf(node)] }),
    },
    {
      name: 'pixel',
      kernel(node, caps) {
        const [, c, h, w] = nchw(node.inputs[0].type);
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

/** One of the maps that a dispatch computes. Its inputs: a, then mean and deviation to standardize it, then b. */
interface DistanceSet {
  readonly standardized: boolean;
  readonly target: boolean;
}

interface SharedAttrs {
  /** This map and, where the other one is computed here, too, that one. */
  readonly sets: readonly DistanceSet[];
  /**
   * Both maps and their weighted sum are the result; behind the sets' inputs come the other map, where it is there, and the
   * quantiles. The weight of either, and undefined where this map is the result.
   */
  readonly stacked?: number | undefined;
}

const setOf = (node: Node): DistanceSet => ({ standardized: false, target: node.inputs.length > 1 });

const inputsOf = ({ standardized, target }: DistanceSet) => 1 + 2 * Number(standardized) + Number(target);

/** A map as one set and its inputs, if it is the last dispatch of one. */
function lastSet(map: Node): { readonly set: DistanceSet; readonly inputs: InputNodes<Features> } | undefined {
  if (isOf(map, channelDistanceOp)) return { set: setOf(map), inputs: map.inputs };
  if (!isOf(map, sharedDistanceOp)) return undefined;
  const [set] = map.attrs.sets;
  return set && map.attrs.stacked === undefined ? { set, inputs: map.inputs } : undefined;
}

/** Distances with what is before and behind them: standardized features, both maps and their mean. */
const sharedDistanceOp: Op<SharedAttrs, Features> = {
  name: 'sharedDistance',
  infer([a], { stacked }) {
    const [n, , h, w] = nchw(a);
    return { shape: stacked === undefined ? [n, 1, h, w] : [3, n, 1, h, w], dtype: 'f32' };
  },
  reference: testedThrough('sharedDistance', 'channelDistance'),
  absorb(node, isOnlyUser) {
    const { sets, stacked } = node.attrs;
    if (stacked === undefined || sets.length > 1) return undefined;
    const [a, ...rest] = node.inputs;
    const [other, quantiles] = rest.slice(-2);
    const last = other && lastSet(other);
    if (!last || !quantiles || !isOnlyUser(other) || last.inputs[0].type.shape.join() !== a.type.shape.join())
      return undefined;
    const inputs = [a, ...rest.slice(0, -2), ...last.inputs, quantiles] as const;
    return makeNode(sharedDistanceOp, inputs, { sets: [...sets, last.set], stacked }, node.label);
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

function sharedKernel(node: Node<unknown, Features>, { sets, stacked }: SharedAttrs): Kernel {
  const isStacked = stacked !== undefined;
  const pixels = size(node.type) / (isStacked ? 3 : 1);
  const [, c, h, w] = nchw(node.inputs[0].type);
  const [first, second] = sets as [DistanceSet, DistanceSet | undefined];
  return {
    shader: { name: 'channel_distance_shared.wgsl', source: sharedDistanceShader },
    defines: {
      ...SHARED,
      SETS: sets.length,
      STACKED: Number(isStacked),
      INPUTS: node.inputs.length,
      INPUTS0: inputsOf(first),
      STANDARDIZED0: Number(first.standardized),
      TARGET0: Number(first.target),
      STANDARDIZED1: Number(second?.standardized ?? false),
      TARGET1: Number(second?.target ?? false),
    },
    params: {
      size: u32(pixels),
      plane: u32(h * w),
      channels: u32(c),
      ...(isStacked && { weight: f32(stacked) }),
    },
    grid: [Math.ceil((pixels * SHARED.SLOTS) / SHARED.WORKGROUP)],
  };
}

function standardizedDistance(
  { inputs: [a, ...b], label }: Node<None, Features>,
  isOnlyUser: (input: Node) => boolean,
): Node | undefined {
  if (!isOf(a, standardizeOp) || !isOnlyUser(a)) return undefined;
  const sets = [{ standardized: true, target: b.length > 0 }];
  return makeNode(sharedDistanceOp, [...a.inputs, ...b], { sets }, label);
}

/**
 * A distance with another map and their sum, where the dispatch that ends it can write all three.
 * @param map that nothing else uses @param weight of either map, once it is normalized by its quantiles
 */
export function stackedChannelDistance(map: Node, other: Node, quantiles: Node, weight: number): Node | undefined {
  const last = lastSet(map);
  if (!last) return undefined;
  const attrs = { sets: [last.set], stacked: weight };
  return makeNode(sharedDistanceOp, [...last.inputs, other, quantiles], attrs, map.label);
}
