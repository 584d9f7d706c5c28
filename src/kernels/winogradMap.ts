import distanceShader from '../../shaders/winograd_distance.wgsl';
import meanShader from '../../shaders/winograd_mean_distance.wgsl';
import type { Caps } from '../engine/caps.ts';
import {
  type DataType,
  f32,
  type InputNodes,
  isOf,
  type Kernel,
  makeNode,
  type Node,
  type Op,
  size,
  u32,
} from '../engine/graph.ts';
import { testedThrough } from './common.ts';
import { foldSplits } from './foldSplits.ts';
import { type Chunk, type TileAttrs, transformWorkgroup } from './winogradTiles.ts';

/** How products lie in memory. */
interface Products extends TileAttrs {
  /** Words of two channels; no when absent. */
  readonly halves?: boolean | undefined;
}

interface MapAttrs extends Products {
  readonly target: boolean;
  readonly chunks: readonly Omit<Chunk, 'products'>[];
  readonly shape: readonly number[];
}

/** Mean over channels of (conv + bias - target)^2 from the products of a convolution. @returns [N, 1, OH, OW] */
export function winogradMap(
  chunks: readonly Chunk[],
  { m, k, bias, target, halves }: Products & { readonly bias: Node; readonly target: Node | undefined },
  shape: readonly number[],
  label: string,
): Node {
  const attrs: MapAttrs = {
    m,
    k,
    target: target !== undefined,
    chunks: chunks.map(({ products, ...chunk }) => chunk),
    shape,
    halves: halves || undefined,
  };
  const inputs = [bias, ...(target ? [target] : []), ...chunks.map(({ products }) => products)] as const;
  return makeNode(winogradMapOp, inputs, attrs, label);
}

/** The bias, the target if there is one, and products. */
type MapSignature = readonly ['f32', ...DataType[]];
/** Products, the bias, and what else a dispatch takes. */
type DistanceSignature = readonly [DataType, 'f32', ...DataType[]];
type MeanNode = Node<MeanAttrs, DistanceSignature>;

/** One dispatch for every chunk; all but the first one go on with what was written before. */
function overChunks(
  { inputs: [bias, ...rest], attrs }: Node<MapAttrs, MapSignature>,
  dispatch: (inputs: InputNodes<DistanceSignature>, chunk: MapAttrs['chunks'][number]) => Node,
): Node {
  const target = rest.slice(0, Number(attrs.target));
  const products = rest.slice(target.length);
  let y: Node | undefined;
  attrs.chunks.forEach((chunk, i) => {
    y = dispatch([products[i]!, bias, ...target, ...(y ? [y] : [])], chunk);
  });
  return y!;
}

/** Most parts that the channels of a distance are summed in; partial sums are added in a fixed order. */
const SPLITS = 16;

/** Inputs: the bias, the target if there is one, and the products of every chunk. */
const winogradMapOp: Op<MapAttrs, MapSignature> = {
  name: 'winogradMap',
  infer: (_, { shape }) => ({ shape, dtype: 'f32' }),
  reference: testedThrough('winogradMap', 'convDistance'),
  variants: [
    {
      name: 'workgroup',
      supports: (caps, { attrs }) => meanWorkgroup(attrs.m, caps) !== undefined,
      madeFor: 'gpu',
      lower: (node) =>
        overChunks(node, (inputs, chunk) => {
          const { chunks, ...attrs } = node.attrs;
          return makeNode(meanDistanceOp, inputs, { ...attrs, ...chunk }, `${node.label}.distance`);
        }),
    },
    {
      name: 'splits',
      lower(node) {
        const { chunks, shape, ...whole } = node.attrs;
        const channels = node.inputs[0].type.shape[0]!;
        const together = whole.halves ? 2 : 1;
        const channelsPerSplit = together * Math.ceil(channels / (SPLITS * together));
        const splits = Math.ceil(channels / channelsPerSplit);
        const y = overChunks(node, (inputs, chunk) => {
          const attrs: PartsAttrs = { ...whole, channelsPerSplit, ...chunk, shape: [splits, ...shape] };
          return makeNode(winogradDistanceOp, inputs, attrs, `${node.label}.distance`);
        });
        return foldSplits(y, shape, 1 / channels, `${node.label}.fold`);
      },
    },
  ],
};

interface PartsAttrs extends Products {
  readonly target: boolean;
  readonly firstRow: number;
  readonly rows: number;
  readonly tilesY: number;
  readonly tilesX: number;
  /** Channels that one invocation sums. */
  readonly channelsPerSplit: number;
  readonly shape: readonly number[];
}

/** Sums of parts of the channels. Inputs: the products, bias, the target if there is one, and but for the first chunk the output so far. */
const winogradDistanceOp: Op<PartsAttrs, DistanceSignature> = {
  name: 'winogradDistance',
  infer: (_, { shape }) => ({ shape, dtype: 'f32' }),
  continues: (node) => (node.inputs.length > 2 + Number(node.attrs.target) ? node.inputs.length - 1 : undefined),
  reference: testedThrough('winogradDistance', 'convDistance'),
  cost: (node) => ({ flops: 0, bytes: 4 * (size(node.inputs[0].type) + size(node.type)) }),
  variants: [
    {
      name: 'tile',
      kernel(node, caps) {
        const { m, k, target, firstRow, rows, tilesY, tilesX, channelsPerSplit, halves } = node.attrs;
        const [splits, images, , height, width] = node.type.shape as [number, number, number, number, number];
        const channels = node.inputs[1].type.shape[0]!;
        const workgroup = transformWorkgroup(caps);
        return {
          shader: { name: 'winograd_distance.wgsl', source: distanceShader },
          defines: {
            A: m + k - 1,
            K: k,
            M: m,
            TARGET: Number(target),
            HALVES: Number(halves ?? false),
            WORKGROUP: workgroup,
          },
          params: {
            channels: u32(channels),
            channelsPerSplit: u32(channelsPerSplit),
            images: u32(images),
            height: u32(height),
            width: u32(width),
            firstRow: u32(firstRow),
            rows: u32(rows),
            tilesY: u32(tilesY),
            tilesX: u32(tilesX),
            pitch: u32(node.inputs[0].type.shape[2]!),
          },
          grid: [Math.ceil((rows * tilesX) / workgroup), splits],
        };
      },
    },
  ],
};

interface MeanAttrs extends Omit<PartsAttrs, 'channelsPerSplit'> {
  /** The result is another map, this one and their sum: the other one is there, or its products are a second set. */
  readonly stacked?: 'map' | 'products';
  /** Of either map in their sum, where it is stacked. */
  readonly weight?: number;
}

/** Invocations of a workgroup: as many as the device allows, up to what leaves each of them enough registers. */
const MEAN_WORKGROUPS = [512, 256] as const;
/** Tiles of a workgroup, whose products lie side by side; half as many where there would be fewer workgroups than this. */
const MEAN_TILES = 8;
const ENOUGH_WORKGROUPS = 128;

/** Invocations of a workgroup that sums up tiles of m x m values; undefined where the device allows too few. */
function meanWorkgroup(m: number, { limits }: Caps): number | undefined {
  return MEAN_WORKGROUPS.find(
    (size) =>
      limits.maxComputeInvocationsPerWorkgroup >= size && limits.maxComputeWorkgroupStorageSize >= 4 * m ** 2 * size,
  );
}

/**
 * The whole mean over channels. Inputs: the products, bias, the target if there is one, and but for the first chunk the output so far. Where
 * it is stacked with another map, there is one chunk, and behind the target come that map or its products and bias, and the
 * quantiles of both.
 */
export const meanDistanceOp: Op<MeanAttrs, DistanceSignature> = {
  name: 'winogradMeanDistance',
  infer: (_, { shape }) => ({ shape, dtype: 'f32' }),
  continues: (node) => (isContinued(node) ? node.inputs.length - 1 : undefined),
  reference: testedThrough('winogradMeanDistance', 'convDistance'),
  cost: (node) => ({ flops: 0, bytes: 4 * (size(node.inputs[0].type) + size(node.type)) }),
  absorb(node, isOnlyUser) {
    if (node.attrs.stacked !== 'map') return undefined;
    const [products, bias, ...rest] = node.inputs;
    const [other, quantiles] = rest.slice(-2);
    const isAlike = (of: MeanNode) =>
      !of.attrs.target && !of.attrs.stacked && !isContinued(of) && coverOf(of) === coverOf(node);
    if (!other || !quantiles || !isOf(other, meanDistanceOp) || !isOnlyUser(other) || !isAlike(other)) return undefined;
    const inputs = [products, bias, ...rest.slice(0, -2), ...other.inputs, quantiles] as const;
    return makeNode(meanDistanceOp, inputs, { ...node.attrs, stacked: 'products' }, node.label);
  },
  variants: [
    {
      name: 'workgroup',
      supports: (_, { attrs }) => attrs.stacked === undefined,
      kernel: meanKernel,
    },
    {
      name: 'stacked',
      supports: (_, { attrs }) => attrs.stacked !== undefined,
      madeFor: 'gpu',
      kernel: meanKernel,
    },
  ],
};

function isContinued({ inputs, attrs }: MeanNode): boolean {
  return !attrs.stacked && inputs.length > 2 + Number(attrs.target);
}

/** Tiles and channels, where equal ones are transformed together. */
function coverOf({ inputs, attrs }: MeanNode): string {
  const { m, k, firstRow, rows, tilesY, tilesX, halves = false } = attrs;
  const channels = inputs[1].type.shape;
  return [m, k, firstRow, rows, tilesY, tilesX, halves, ...channels, ...inputs[0].type.shape].join();
}

/**
 * A map with another one and their sum, where the dispatch that ends it can write all three.
 * @param map that nothing else uses @param weight of either map, once it is normalized by its quantiles
 */
export function stackedDistance(map: Node, other: Node, quantiles: Node, weight: number): Node | undefined {
  if (!isOf(map, meanDistanceOp)) return undefined;
  const { attrs, inputs, label } = map;
  if (attrs.stacked || isContinued(map)) return undefined;
  return makeNode(
    meanDistanceOp,
    [...inputs, other, quantiles],
    { ...attrs, stacked: 'map', weight, shape: [3, ...attrs.shape] },
    label,
  );
}

function meanKernel(node: MeanNode, caps: Caps): Kernel {
  const { m, k, target, firstRow, rows, tilesY, tilesX, stacked, weight = 0, halves = false } = node.attrs;
  const [height, width] = node.type.shape.slice(-2) as [number, number];
  const [, , pitch] = node.inputs[0].type.shape as [number, number, number];
  const channels = node.inputs[1].type.shape[0]!;
  const workgroup = meanWorkgroup(m, caps)!;
  const tiles = rows * tilesX;
  const together = Math.ceil(tiles / MEAN_TILES) < ENOUGH_WORKGROUPS ? MEAN_TILES / 2 : MEAN_TILES;
  return {
    shader: { name: 'winograd_mean_distance.wgsl', source: meanShader },
    defines: {
      A: m + k - 1,
      K: k,
      M: m,
      TARGET: Number(target),
      HALVES: Number(halves),
      STACKED: Number(stacked !== undefined),
      SETS: stacked === 'products' ? 2 : 1,
      SLOTS: workgroup / together,
      WORKGROUP: workgroup,
    },
    params: {
      channels: u32(channels),
      factor: f32(1 / channels),
      height: u32(height),
      width: u32(width),
      firstRow: u32(firstRow),
      rows: u32(rows),
      tilesY: u32(tilesY),
      tilesX: u32(tilesX),
      pitch: u32(pitch),
      ...(stacked && { mapSize: u32(size(node.type) / 3), weight: f32(weight) }),
    },
    grid: [Math.ceil(tiles / together)],
  };
}
