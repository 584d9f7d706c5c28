import shader from '../../shaders/conv2d_matrix.wgsl';
import weightsShader from '../../shaders/conv2d_matrix_weights.wgsl';
import type { Caps, SubgroupMatrixConfig } from '../engine/caps.ts';
import { makeNode, type Node, type Op, size, u32, type Variant } from '../engine/graph.ts';
import { foldedGrid, inputType, nchw, testedThrough, WORKGROUP } from './common.ts';
import type { Conv2dAttrs } from './conv2dShape.ts';
import { depthOf } from './conv2dTile.ts';
import { HALF_ROUNDOFF, halfMatrices, halvesScale } from './halves.ts';

/*
 * conv2d by the products of small matrices of halves that a subgroup computes together, for layers that Winograd's method is not
 * for: few channels, strides. Weights are rounded when they are uploaded, values when they are staged.
 */

/** Steps of a lot, and the words that hold them. */
const LOT = 16;
const LOT_WORDS = LOT / 2;
/** Vec4 from a row of a lot to the next one in workgroup memory. */
const ROW_VECTORS = LOT_WORDS / 4 + 1;
/** Sums between rows of results beyond the block's pixels, against bank conflicts. */
const SUMS_PADDING = 8;
/** Subgroups of a workgroup: two by two. */
const SUBGROUPS = 4;

/** Matrices of a subgroup: rows of channels x columns of pixels. */
interface Block {
  readonly rows: number;
  readonly columns: number;
}

/** Large blocks load the least; many small ones keep all cores busy. */
const BLOCKS: readonly Block[] = [
  { rows: 4, columns: 4 },
  { rows: 2, columns: 4 },
  { rows: 2, columns: 2 },
];

/** What the kernel is made of on a device. */
interface Tiling extends Pick<SubgroupMatrixConfig, 'M' | 'N' | 'K'> {
  readonly lanes: number;
  /** Of a workgroup. */
  readonly channels: number;
  readonly pixels: number;
}

function tilingOf(caps: Caps, { rows, columns }: Block): Tiling | undefined {
  const config = halfMatrices(caps);
  const { subgroups, subgroupMinSize, subgroupMaxSize, limits } = caps;
  if (!config || !subgroups || subgroupMinSize !== subgroupMaxSize || LOT % config.K !== 0) return undefined;
  const { M, N, K } = config;
  const channels = 2 * rows * M;
  const pixels = 2 * columns * N;
  const invocations = SUBGROUPS * subgroupMaxSize;
  const bytes = 2 * 16 * ROW_VECTORS * (channels + pixels) + 4 * 2 * M * (pixels + SUMS_PADDING);
  const fits =
    invocations <= limits.maxComputeInvocationsPerWorkgroup &&
    bytes <= limits.maxComputeWorkgroupStorageSize &&
    // Every invocation loads the same number of vec4 of words.
    [channels, pixels].every((side) => (2 * side) % invocations === 0) &&
    (invocations % pixels === 0 || pixels % invocations === 0);
  return fits ? { M, N, K, lanes: subgroupMaxSize, channels, pixels } : undefined;
}

/** Workgroups with which a large GPU is busy, and without which small blocks of other kernels are better. */
const MANY_WORKGROUPS = 264;
/** Output channels from which on little of a block is computed for nothing. */
const LEAST_CHANNELS = 32;

/** Variants of conv2d, a block each. */
export const matrixVariants: readonly Variant<Conv2dAttrs>[] = BLOCKS.map((block) => ({
  name: `matrix${block.rows}x${block.columns}Halves`,
  supports(caps, node) {
    const tiling = tilingOf(caps, block);
    const { groups } = node.attrs;
    const [co] = inputType(node, 1).shape as [number];
    return tiling !== undefined && (groups === 1 || (co / groups) % tiling.channels === 0);
  },
  madeFor: 'gpu',
  // Both operands are rounded; the errors of a sum's products are independent.
  rounds: () => 2 * HALF_ROUNDOFF,
  suits(caps, node) {
    const { channels, pixels } = tilingOf(caps, block)!;
    const [co] = inputType(node, 1).shape as [number];
    const workgroups = Math.ceil(co / channels) * Math.ceil(blockPixels(node) / pixels);
    return co >= LEAST_CHANNELS && workgroups >= MANY_WORKGROUPS;
  },
  lower(node, caps) {
    const [x, w, ...bias] = node.inputs as [Node, Node, ...Node[]];
    const { channels } = tilingOf(caps, block)!;
    const scale = halvesScale(w, 0, `${node.label}.scale`);
    const words = makeNode(matrixWeightsOp, [w, scale], { channels }, `${node.label}.weights`);
    const { firstChannel = 0 } = node.attrs;
    const attrs: MatrixAttrs = {
      ...node.attrs,
      ...block,
      firstChannel,
      weights: w.type.shape,
      shape: node.type.shape,
    };
    return makeNode(conv2dMatrixOp, [x, words, scale, ...bias], attrs, node.label);
  },
}));

/** Pixels that are computed: pooled ones four times. */
function blockPixels({ type, attrs }: Pick<Node<{ readonly pool: boolean }>, 'type' | 'attrs'>): number {
  const [n, , height, width] = nchw(type);
  return n * height * width * (attrs.pool ? 4 : 1);
}

interface MatrixWeightsAttrs {
  /** Output channels that lie together. */
  readonly channels: number;
}

/** w [CO, CI, KH, KW], scale -> words of two steps u32 [ceil(CO / channels), ceil(CI * KH * KW / 16), channels, 8] */
const matrixWeightsOp: Op<MatrixWeightsAttrs> = {
  name: 'conv2dMatrixWeights',
  infer([w], { channels }) {
    const lots = Math.ceil(depthOf(w!.shape) / LOT);
    return { shape: [Math.ceil(w!.shape[0]! / channels), lots, channels, LOT_WORDS], dtype: 'u32' };
  },
  reference: testedThrough('conv2dMatrixWeights', 'conv2d'),
  variants: [
    {
      name: 'element',
      kernel(node, caps) {
        const { shape } = inputType(node, 0);
        const count = size(node.type);
        return {
          shader: { name: 'conv2d_matrix_weights.wgsl', source: weightsShader },
          defines: { BM: node.attrs.channels, WORKGROUP },
          params: {
            size: u32(count),
            outChannels: u32(shape[0]!),
            depth: u32(depthOf(shape)),
            lots: u32(node.type.shape[1]!),
          },
          grid: foldedGrid(count, caps),
        };
      },
    },
  ],
};

interface MatrixAttrs extends Conv2dAttrs, Block {
  readonly firstChannel: number;
  /** [CO, CI / groups, KH, KW] */
  readonly weights: readonly number[];
  readonly shape: readonly number[];
}

/** conv2d of weights that {@link matrixWeightsOp} made. */
const conv2dMatrixOp: Op<MatrixAttrs> = {
  name: 'conv2dMatrix',
  infer: (_, { shape }) => ({ shape, dtype: 'f32' }),
  reference: testedThrough('conv2dMatrix', 'conv2d'),
  cost: (node) => ({
    flops: 2 * blockPixels(node) * node.attrs.weights[0]! * depthOf(node.attrs.weights),
    bytes: 4 * (size(inputType(node, 0)) + size(inputType(node, 1)) + size(node.type)),
  }),
  variants: [
    {
      name: 'block',
      kernel(node, caps) {
        const { weights, rows, columns, stride, padding, relu, pool, groups, firstChannel } = node.attrs;
        const { M, N, K, lanes, channels, pixels } = tilingOf(caps, node.attrs)!;
        const [outChannels, inChannels, KH, KW] = weights as [number, number, number, number];
        const [, xChannels, height, width] = nchw(inputType(node, 0));
        const [batch, , outHeight, outWidth] = nchw(node.type);
        const invocations = SUBGROUPS * lanes;
        const results = pixels / (pool ? 4 : 1);
        return {
          shader: { name: 'conv2d_matrix.wgsl', source: shader },
          defines: {
            ...{ M, N, K, S: lanes, TM: rows, TN: columns, BM: channels, BN: pixels, KH, KW },
            BIAS: node.inputs.length - 3,
            RELU: Number(relu),
            POOL: Number(pool),
            PADDED: Number(padding > 0),
            BUFFER: (channels + pixels) * ROW_VECTORS,
            PITCH: pixels + SUMS_PADDING,
            // Loads of an invocation: pixels, vec4 of words of pixels, and of weights.
            XR: Math.max(1, pixels / invocations),
            XU: (2 * pixels) / invocations,
            WU: (2 * channels) / invocations,
            // Results of a row of matrices: places, those of an invocation, and rows that are stored at once.
            PX: results,
            PR: Math.max(1, results / invocations),
            QS: Math.max(1, invocations / results),
          },
          params: {
            batch: u32(batch),
            xChannels: u32(xChannels),
            inChannels: u32(inChannels),
            height: u32(height),
            width: u32(width),
            outChannels: u32(outChannels),
            outHeight: u32(outHeight),
            outWidth: u32(outWidth),
            stride: u32(stride),
            padding: u32(padding),
            channelsPerGroup: u32(outChannels / groups),
            firstChannel: u32(firstChannel),
            depth: u32(depthOf(weights)),
          },
          grid: [Math.ceil(blockPixels(node) / pixels), Math.ceil(outChannels / channels)],
        };
      },
    },
  ],
};
