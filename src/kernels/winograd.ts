import inputShader from '../../shaders/winograd_input.wgsl';
import outputShader from '../../shaders/winograd_output.wgsl';
import weightsShader from '../../shaders/winograd_weights.wgsl';
import type { Caps } from '../engine/caps.ts';
import { deferred } from '../engine/deferred.ts';
import {
  type DataType,
  i32,
  makeNode,
  type Node,
  type Op,
  size,
  type TensorType,
  u32,
  type Variant,
} from '../engine/graph.ts';
import { foldedGrid, lanes, nchw, testedThrough, WORKGROUP } from './common.ts';
import { BLOCKS, type Block, blockFits, blockKernel, blockName, defaultBlock, type Operands } from './winogradBlock.ts';
import { winogradDyOp } from './winogradDy.ts';
import { LANES, type Lanes, lanesKernel, lanesName, lanesSuit } from './winogradLanes.ts';
import { winogradMap } from './winogradMap.ts';
import { absorbResize, resizedInputKernel } from './winogradResized.ts';
import {
  type Chunk,
  channelsPerInvocation,
  type InputAttrs,
  type OutputAttrs,
  type ProductAttrs,
  type ProductNode,
  type ProductSignature,
  pitch,
  quads,
  rowChunks,
  type TileAttrs,
  tiling,
  transformWorkgroup,
} from './winogradTiles.ts';

/*
 * Winograd convolution, stride 1: F(m x m, k x k) turns every tile of m x m outputs into (m + k - 1)^2 products per channel
 * pair instead of m^2 k^2, as (m + k - 1)^2 independent matrix products between three cheap transforms.
 */

/** Only tools ask for them. */
const definitions = deferred(() => import('./winogradReferences.ts'));

/** x [N, CI, H, W] -> [CI, (m + k - 1)^2, pitch(rows * tilesX)] */
export const winogradInputOp: Op<InputAttrs, readonly ['f32']> = {
  name: 'winogradInput',
  infer([x], { m, k, rows, tilesX }) {
    return { shape: [x.shape[1]!, (m + k - 1) ** 2, pitch(rows * tilesX)], dtype: 'f32' };
  },
  reference: (inputs, node) => definitions().winogradInputReference(inputs, node),
  cost: (node) => ({ flops: 0, bytes: 4 * (size(node.inputs[0].type) + size(node.type)) }),
  absorb: absorbResize,
  variants: [
    {
      name: 'tile',
      supports: (_, { attrs }) => attrs.resized === undefined,
      kernel(node, caps) {
        const { m, k, padding, firstRow, rows, tilesY, tilesX } = node.attrs;
        const [, channels, height, width] = nchw(node.inputs[0].type);
        const workgroup = transformWorkgroup(caps);
        const across = Math.ceil((rows * tilesX) / workgroup);
        const each = channelsPerInvocation(caps, across, channels);
        return {
          shader: { name: 'winograd_input.wgsl', source: inputShader },
          defines: {
            A: m + k - 1,
            K: k,
            M: m,
            PADDED: Number(padding > 0),
            CHANNELS: each,
            WORKGROUP: workgroup,
          },
          params: {
            channels: u32(channels),
            height: i32(height),
            width: i32(width),
            padding: i32(padding),
            firstRow: u32(firstRow),
            rows: u32(rows),
            tilesY: u32(tilesY),
            tilesX: u32(tilesX),
            pitch: u32(pitch(rows * tilesX)),
          },
          grid: [across, Math.ceil(channels / each)],
        };
      },
    },
    {
      name: 'resized',
      supports: (_, { attrs }) => attrs.resized !== undefined,
      madeFor: 'gpu',
      kernel: (node, caps) => resizedInputKernel(node, caps),
    },
  ],
};

interface WeightAttrs extends TileAttrs {
  /** Rows of the product that lie together. */
  readonly tile: number;
}

/** w [CO, CI, k, k] -> [(m + k - 1)^2, ceil(CO / tile), CI, tile] */
export const winogradWeightsOp: Op<WeightAttrs, readonly ['f32']> = {
  name: 'winogradWeights',
  infer([w], { m, k, tile }) {
    const [co, ci] = nchw(w);
    return { shape: [(m + k - 1) ** 2, Math.ceil(co / tile), ci, tile], dtype: 'f32' };
  },
  reference: (inputs, node) => definitions().winogradWeightsReference(inputs, node),
  variants: [
    {
      name: 'element',
      kernel(node, caps) {
        const { m, k, tile } = node.attrs;
        const [outChannels, inChannels] = nchw(node.inputs[0].type);
        const count = Math.ceil(outChannels / tile) * inChannels * tile;
        return {
          shader: { name: 'winograd_weights.wgsl', source: weightsShader },
          defines: { A: m + k - 1, K: k, M: m, WORKGROUP },
          params: { size: u32(count), outChannels: u32(outChannels), inChannels: u32(inChannels), tile: u32(tile) },
          grid: foldedGrid(count, caps),
        };
      },
    },
  ],
};

/**
 * The products of all points: [CO, CI, k, k] (or dy) x winogradInput -> [rows, (m + k - 1)^2, pitch(columns)], rows = CO,
 * columns = tiles (or CI). Its variants say how the first operand is laid out. The last of the input channels may lie in a
 * second winogradInput, of as many tiles.
 */
export const winogradProductOp: Op<ProductAttrs, ProductSignature> = {
  name: 'winogradProduct',
  infer([w, v], { from, tiles }) {
    const [channels, points] = v.shape as [number, number];
    const rows = from === 'weights' ? w.shape[0]! : w.shape[1]!;
    return { shape: [rows, points, pitch(from === 'weights' ? tiles : channels)], dtype: 'f32' };
  },
  reference: (inputs, node) => definitions().winogradProductReference(inputs, node),
  cost(node) {
    const [rows, points] = node.type.shape as [number, number];
    const { from, tiles } = node.attrs;
    // Rows x tiles x input channels either way.
    const channels = from === 'weights' ? node.inputs[0].type.shape[1]! : node.inputs[1].type.shape[0]!;
    return { flops: 2 * points * rows * tiles * channels, bytes: 4 * (size(node.inputs[1].type) + size(node.type)) };
  },
  variants: [
    ...LANES.map(
      (block): Variant<ProductAttrs, ProductSignature> => ({
        name: lanesName(block),
        madeFor: 'cpu',
        supports: (caps, node) => lanes(caps) >= 4 && wholeGroups(node, block.rows) && node.inputs.length === 2,
        suits: (caps, node) => lanesSuit(block, { rows: outputRows(node), columns: outputColumns(node) }, caps),
        lower: (node) => packed(node, { algorithm: 'lanes', ...block }),
      }),
    ),
    ...BLOCKS.map(
      (block): Variant<ProductAttrs, ProductSignature> => ({
        name: blockName(block),
        supports: (caps, node) => blockFits(block, caps) && isWhole(node, block),
        madeFor: 'gpu',
        suits: (caps, node) => blockOf(node, caps) === block,
        lower: (node) => packed(node, { algorithm: 'block', ...block }),
      }),
    ),
  ],
};

function outputRows(node: ProductNode): number {
  return node.type.shape[0]! / node.attrs.groups;
}

function outputColumns(node: ProductNode): number {
  return node.attrs.from === 'weights' ? node.attrs.tiles : node.inputs[1].type.shape[0]!;
}

/** No block of rows may hold channels of two groups. */
function wholeGroups(node: ProductNode, rows: number): boolean {
  return node.attrs.groups === 1 || outputRows(node) % rows === 0;
}

/** Whether no block has rows of two groups, and no lot steps of two operands. */
function isWhole(node: ProductNode, { rows, steps }: Block): boolean {
  return wholeGroups(node, rows) && (firstDepthOf(node) ?? 0) % steps === 0;
}

/** Input channels in the first of two operands. */
function firstDepthOf({ inputs: [w, , second] }: ProductNode): number | undefined {
  return second && w.type.shape[1]! - second.type.shape[0]!;
}

/** The default on GPUs. */
function blockOf(node: ProductNode, caps: Caps): Block | undefined {
  const product = { rows: node.type.shape[0]!, columns: outputColumns(node), points: node.type.shape[1]! };
  return defaultBlock(product, caps, (block) => isWhole(node, block));
}

type Algorithm = (Lanes & { readonly algorithm: 'lanes' }) | (Block & { readonly algorithm: 'block' });

type PackedAttrs = ProductAttrs & Algorithm & { readonly outRows: number; readonly firstDepth?: number | undefined };

function packed(node: ProductNode, block: Algorithm): Node {
  const [w, ...operands] = node.inputs;
  const { m, k, from, tilesY, tilesX } = node.attrs;
  const tile = block.rows;
  const u =
    from === 'weights'
      ? makeNode(winogradWeightsOp, [w], { m, k, tile }, `${node.label}.weights`)
      : makeNode(winogradDyOp, [w], { m, k, tile, tilesY, tilesX }, `${node.label}.dy`);
  const attrs: PackedAttrs = {
    ...node.attrs,
    ...block,
    outRows: node.type.shape[0]!,
    firstDepth: firstDepthOf(node),
  };
  return makeNode(productPackedOp, [u, ...operands], attrs, node.label);
}

const productPackedOp: Op<PackedAttrs, ProductSignature> = {
  name: 'winogradProductPacked',
  infer([, v], { from, outRows, tiles }) {
    const [channels, points] = v.shape as [number, number];
    return { shape: [outRows, points, pitch(from === 'weights' ? tiles : channels)], dtype: 'f32' };
  },
  reference: testedThrough('winogradProductPacked', 'winogradProduct'),
  cost(node) {
    const [, , depth] = node.inputs[0].type.shape as [number, number, number];
    const { from, tiles } = node.attrs;
    const [rows, points] = node.type.shape as [number, number];
    return {
      flops: 2 * rows * points * (from === 'weights' ? tiles : node.inputs[1].type.shape[0]!) * depth,
      bytes: 4 * (size(node.inputs[0].type) + size(node.inputs[1].type) + size(node.type)),
    };
  },
  variants: [
    {
      name: 'block',
      kernel(node, caps) {
        const { groups, firstChannel, from, outRows, tiles, firstDepth } = node.attrs;
        const [channels, points, vPitch] = node.inputs[1].type.shape as [number, number, number];
        const [, , depth] = node.inputs[0].type.shape as [number, number, number];
        const operands: Operands = {
          rows: outRows,
          columns: from === 'weights' ? tiles : channels,
          points,
          depth,
          groups,
          gathered: from === 'dy',
          firstDepth,
          vPitch,
          firstOffset: firstChannel * points * vPitch,
          mPitch: node.type.shape[2]!,
        };
        return node.attrs.algorithm === 'block'
          ? blockKernel(node.attrs, operands)
          : lanesKernel(node.attrs, caps, operands);
      },
    },
  ],
};

/** Inputs: the products, the bias if there is one, and, but for the first chunk, the output that earlier chunks wrote. */
export const winogradOutputOp: Op<OutputAttrs, readonly [DataType, ...'f32'[]]> = {
  name: 'winogradOutput',
  infer: (_, { shape }) => ({ shape, dtype: 'f32' }),
  continues: (node) => (node.inputs.length > 1 + Number(node.attrs.bias) ? node.inputs.length - 1 : undefined),
  reference: (inputs, node) => definitions().winogradOutputReference(inputs, node),
  cost: (node) => ({ flops: 0, bytes: 4 * (size(node.inputs[0].type) + size(node.type)) }),
  variants: [
    {
      name: 'tile',
      kernel(node, caps) {
        const { m, k, relu, pool, bias, firstRow, rows, tilesY, tilesX, halves = false } = node.attrs;
        const [, channels, height, width] = nchw(node.type);
        const workgroup = transformWorkgroup(caps);
        const Q = quads(pool, m);
        const across = Math.ceil((rows * tilesX) / (Q * Q * workgroup));
        const each = halves ? 2 : channelsPerInvocation(caps, across, channels);
        return {
          shader: { name: 'winograd_output.wgsl', source: outputShader },
          defines: {
            A: m + k - 1,
            K: k,
            M: m,
            Q,
            HALVES: Number(halves),
            BIAS: Number(bias),
            RELU: Number(relu),
            POOL: Number(pool),
            CHANNELS: each,
            WORKGROUP: workgroup,
          },
          params: {
            channels: u32(channels),
            imageStride: u32(channels * height * width),
            channelStride: u32(height * width),
            height: u32(height),
            width: u32(width),
            firstRow: u32(firstRow),
            rows: u32(rows),
            tilesY: u32(tilesY),
            tilesX: u32(tilesX),
            pitch: u32(node.inputs[0].type.shape[2]!),
          },
          grid: [across, Math.ceil(channels / each)],
        };
      },
    },
  ],
};

/** A second convolution that is added to another one, of an equally large result. Stride 1. */
interface SecondInput {
  /** Its input; its weights are the last ones of the convolution's. */
  readonly x: Node;
  readonly padding: number;
}

interface Convolution extends TileAttrs {
  readonly x: Node;
  readonly w: Node;
  readonly second?: SecondInput | undefined;
  readonly bias: Node | undefined;
  readonly padding: number;
  readonly groups: number;
  readonly firstChannel: number;
  readonly label: string;
  /** Whether what lies between the transforms is rounded to halves, which no second input has; no when absent. */
  readonly halves?: boolean | undefined;
}

const inHalves = deferred(() => import('./matrixKernels.ts'));

/** Input transform and products, cut into runs of tile rows whose intermediate values can be bound at once. */
function chunks(conv: Convolution, quad: number, caps: Caps): readonly Chunk[] {
  const { x, w, m, k, padding, groups, firstChannel, second, label, halves } = conv;
  const [images, inChannels, height, width] = nchw(x.type);
  const outHeight = height + 2 * padding - k + 1;
  const outWidth = width + 2 * padding - k + 1;
  const { tilesY, tilesX } = tiling(outHeight, outWidth, m, quad);
  const widest = Math.max(inChannels, w.type.shape[0]!, second?.x.type.shape[1] ?? 0);
  const bytesPerPoint = (m + k - 1) ** 2 * (halves ? 4 * Math.ceil(widest / 2) : 4 * widest);
  const result: Chunk[] = [];
  for (const { firstRow, rows } of rowChunks({ total: images * tilesY, tilesX, quad, bytesPerPoint }, caps)) {
    const transformed = (from: Node, zeros: number, name: string) =>
      makeNode(
        halves ? inHalves().winogradHalvesInputOp : winogradInputOp,
        [from],
        { m, k, padding: zeros, firstRow, rows, tilesY, tilesX } satisfies InputAttrs,
        `${label}.${name}`,
      );
    const v = transformed(x, padding, 'input');
    const others = second ? [transformed(second.x, second.padding, 'second')] : [];
    const tiles = rows * tilesX;
    const attrs: ProductAttrs = { m, k, groups, firstChannel, from: 'weights', tiles, tilesY, tilesX };
    const products = halves
      ? makeNode(inHalves().winogradHalvesProductOp, [w, v], { m, k, groups, firstChannel, tiles }, label)
      : makeNode(winogradProductOp, [w, v, ...others], attrs, label);
    result.push({ products, firstRow, rows, tilesY, tilesX });
  }
  return result;
}

/** conv2d by Winograd's method. @returns [N, CO, OH, OW], pooled if `pool` */
export function winogradConvolution(
  conv: Convolution & { readonly relu: boolean; readonly pool: boolean },
  type: TensorType,
  caps: Caps,
): Node {
  const { bias, m, k, relu, pool, label, halves } = conv;
  let y: Node | undefined;
  for (const { products, ...chunk } of chunks(conv, quads(pool, m), caps)) {
    const attrs: OutputAttrs = {
      m,
      k,
      relu,
      pool,
      bias: bias !== undefined,
      ...chunk,
      shape: type.shape,
      halves: halves || undefined,
    };
    const inputs = [products, ...(bias ? [bias] : []), ...(y ? [y] : [])] as const;
    y = makeNode(winogradOutputOp, inputs, attrs, `${label}.output`);
  }
  return y!;
}

/** Mean over channels of (conv - target)^2 by Winograd's method. @returns [N, 1, OH, OW] */
export function winogradDistance(
  conv: Convolution & { readonly bias: Node; readonly target: Node | undefined },
  type: TensorType,
  caps: Caps,
): Node {
  const { bias, target, m, k, label, halves } = conv;
  return winogradMap(chunks(conv, 1, caps), { m, k, bias, target, halves }, type.shape, label);
}
