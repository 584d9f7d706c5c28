import shader from '../../shaders/conv2d_matrix.wgsl';
import weightsShader from '../../shaders/conv2d_matrix_weights.wgsl';
import type { Caps } from '../engine/caps.ts';
import { makeNode, type Node, type Op, size, u32 } from '../engine/graph.ts';
import { foldedGrid, nchw, testedThrough, WORKGROUP } from './common.ts';
import {
  type Block,
  blockPixels,
  LOT,
  LOT_WORDS,
  ROW_VECTORS,
  SUBGROUPS,
  SUMS_PADDING,
  tilingOf,
} from './conv2dMatrixTiling.ts';
import type { Conv2dAttrs, Conv2dNode } from './conv2dShape.ts';
import { depthOf } from './conv2dTile.ts';
import { halvesScale } from './halves.ts';

/** A convolution by matrices of halves, where {@link tilingOf} has them. */
export function matrixConvolution(node: Conv2dNode, block: Block, caps: Caps): Node {
  const [x, w, ...bias] = node.inputs;
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
}

interface MatrixWeightsAttrs {
  /** Output channels that lie together. */
  readonly channels: number;
}

/** w [CO, CI, KH, KW], scale -> words of two steps u32 [ceil(CO / channels), ceil(CI * KH * KW / 16), channels, 8] */
const matrixWeightsOp: Op<MatrixWeightsAttrs, readonly ['f32', 'f32']> = {
  name: 'conv2dMatrixWeights',
  infer([w], { channels }) {
    const lots = Math.ceil(depthOf(w.shape) / LOT);
    return { shape: [Math.ceil(w.shape[0]! / channels), lots, channels, LOT_WORDS], dtype: 'u32' };
  },
  reference: testedThrough('conv2dMatrixWeights', 'conv2d'),
  variants: [
    {
      name: 'element',
      kernel(node, caps) {
        const { shape } = node.inputs[0].type;
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
const conv2dMatrixOp: Op<MatrixAttrs, readonly ['f32', 'u32', 'f32', ...'f32'[]]> = {
  name: 'conv2dMatrix',
  infer: (_, { shape }) => ({ shape, dtype: 'f32' }),
  reference: testedThrough('conv2dMatrix', 'conv2d'),
  cost: (node) => ({
    flops: 2 * blockPixels(node) * node.attrs.weights[0]! * depthOf(node.attrs.weights),
    bytes: 4 * (size(node.inputs[0].type) + size(node.inputs[1].type) + size(node.type)),
  }),
  variants: [
    {
      name: 'block',
      kernel(node, caps) {
        const { weights, rows, columns, stride, padding, relu, pool, groups, firstChannel } = node.attrs;
        const { M, N, K, lanes, channels, pixels } = tilingOf(caps, node.attrs)!;
        const [outChannels, inChannels, KH, KW] = weights as [number, number, number, number];
        const [, xChannels, height, width] = nchw(node.inputs[0].type);
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
