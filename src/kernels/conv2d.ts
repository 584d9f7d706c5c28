import direct from '../../shaders/conv2d_direct.wgsl';
import type { Caps } from '../engine/caps.ts';
import { deferred } from '../engine/deferred.ts';
import {
  expectShapes,
  makeNode,
  type Node,
  type Op,
  size,
  type TensorType,
  u32,
  type Variant,
} from '../engine/graph.ts';
import { avgPool2d, isPlainPool } from './avgPool2d.ts';
import { foldedGrid, lanes, nchw, WORKGROUP } from './common.ts';
import { matrixVariants } from './conv2dMatrix.ts';
import { conv2dReference } from './conv2dReference.ts';
import {
  type Conv2dAttrs,
  type Conv2dNode,
  type Conv2dSignature,
  convOutput,
  DIRECT_MULTIPLY_ADDS,
  geometry,
} from './conv2dShape.ts';
import { splitConvolution, splitsOf } from './conv2dSplit.ts';
import {
  BLOCK_16x4,
  BLOCK_32x32,
  BLOCK_32x64,
  BLOCK_64x64,
  BLOCK_128x128,
  blockName,
  depthOf,
  type TileBlock,
  tiled,
  tileSupports,
  workgroupsOf,
} from './conv2dTile.ts';
import { halvesError, wholePairs } from './halves.ts';
import { winogradConvolution } from './winograd.ts';
import { WINOGRAD_TILES } from './winogradTiles.ts';

/**
 * 2-D convolution (cross-correlation) with optional bias, rectifier and 2x2 mean.
 * @param x [N, CI, H, W]
 * @param w [CO, CI / groups, KH, KW]
 * @param bias [CO]
 * @returns [N, CO, OH, OW], OH = floor((H + 2 padding - KH) / stride) + 1; with `pool` [N, CO, floor(OH / 2), floor(OW / 2)]
 * @throws ShapeError
 */
export function conv2d(
  x: Node,
  w: Node,
  bias: Node | undefined,
  attrs: Partial<Conv2dAttrs> = {},
  label?: string,
): Node {
  return makeNode(conv2dOp, bias ? [x, w, bias] : [x, w], { ...PLAIN, ...attrs }, label);
}

/** Attributes of a convolution that only convolves. */
export const PLAIN: Conv2dAttrs = { stride: 1, padding: 0, relu: false, pool: false, groups: 1 };

/** Fewer do not occupy the largest GPUs, of 132 multiprocessors. */
const FEW_WORKGROUPS = 132;

export const conv2dOp: Op<Conv2dAttrs, Conv2dSignature> = {
  name: 'conv2d',
  infer(inputs, { stride, padding, pool, groups, firstChannel }) {
    const [x, w, b] = inputs;
    const ok =
      x.shape.length === 4 &&
      w.shape.length === 4 &&
      (firstChannel === undefined
        ? x.shape[1] === w.shape[1]! * groups
        : x.shape[1]! >= firstChannel + w.shape[1]! * groups) &&
      w.shape[0]! % groups === 0 &&
      (!b || b.shape[0] === w.shape[0]);
    const of = groups === 1 ? '' : ` / ${groups}`;
    expectShapes('conv2d', ok, inputs, `x [N, CI, H, W], w [CO, CI${of}, KH, KW], bias [CO] with equal CI and CO`);
    const [n, , h, width] = nchw(x);
    const [co, , kh, kw] = nchw(w);
    const oh = convOutput(h, kh, stride, padding);
    const ow = convOutput(width, kw, stride, padding);
    expectShapes('conv2d', oh >= 1 && ow >= 1, inputs, `an input of at least ${kh}x${kw} after padding ${padding}`);
    return { shape: pool ? [n, co, oh >> 1, ow >> 1] : [n, co, oh, ow], dtype: 'f32' };
  },
  extend(node, user) {
    if (!isPlainPool(user) || node.attrs.pool) return undefined;
    return makeNode(conv2dOp, node.inputs, { ...node.attrs, pool: true }, node.label);
  },
  reference: conv2dReference,
  cost(node) {
    const g = geometry(node.inputs[0].type, node.inputs[1].type, node.attrs.stride, node.attrs.padding);
    const outputs = g.batch * g.outChannels * g.outHeight * g.outWidth;
    return {
      flops: 2 * outputs * g.inChannels * g.kernelHeight * g.kernelWidth,
      bytes: 4 * (size(node.inputs[0].type) + size(node.inputs[1].type) + size(node.type)),
    };
  },
  variants: [
    ...[3, 4, 2].map(winogradHalvesVariant),
    winogradVariant(3),
    winogradVariant(4),
    winogradVariant(2),
    ...matrixVariants,
    {
      // Register rows with shuffles; fastest direct kernel on CPU adapters where a row fills the lanes.
      name: 'rows',
      supports: (caps, node) => {
        const [, , kh, kw] = nchw(node.inputs[1].type);
        const s = lanes(caps);
        return s >= 4 && node.attrs.stride === 1 && kw < s && kh <= 5 && kw <= 5 && wholeGroups(node, ROWS_CHANNELS);
      },
      // With 4 lanes a row is all edges: the plain lane kernel is faster there.
      madeFor: 'cpu',
      suits: (caps, node) => lanes(caps) >= 8 && node.type.shape[3]! >= 4,
      lower: (node) => onCpus().lowerPacked(node, { algorithm: 'rows', tile: ROWS_CHANNELS }),
    },
    {
      name: 'lanes',
      supports: (caps, node) =>
        lanes(caps) >= 4 && node.inputs[1].type.shape[3]! <= 16 && wholeGroups(node, LANES_CHANNELS),
      madeFor: 'cpu',
      lower: (node) => unpooled(node) ?? onCpus().lowerPacked(node, { algorithm: 'lanes', tile: LANES_CHANNELS }),
    },
    splitVariant(BLOCK_16x4, (node) => pixelsOf(node) <= 16 && isStarved(node)),
    splitVariant(BLOCK_32x32, isStarved),
    tileVariant(BLOCK_32x32, (node) => workgroupsOf(BLOCK_64x64, unpooledShape(node)) < FEW_WORKGROUPS),
    tileVariant(BLOCK_32x64, (node) => channelsPerGroup(node) <= 32 || !wholeGroups(node, BLOCK_64x64.channels)),
    tileVariant(BLOCK_64x64),
    tileVariant(BLOCK_128x128),
    {
      name: 'direct',
      lower: unpooled,
      kernel(node, caps) {
        const g = geometry(node.inputs[0].type, node.inputs[1].type, node.attrs.stride, node.attrs.padding);
        return {
          shader: { name: 'conv2d_direct.wgsl', source: direct },
          defines: { BIAS: node.inputs.length - 2, RELU: Number(node.attrs.relu), WORKGROUP },
          params: {
            batch: u32(g.batch),
            xChannels: u32(g.xChannels),
            inChannels: u32(g.inChannels),
            height: u32(g.height),
            width: u32(g.width),
            outChannels: u32(g.outChannels),
            outHeight: u32(g.outHeight),
            outWidth: u32(g.outWidth),
            kernelHeight: u32(g.kernelHeight),
            kernelWidth: u32(g.kernelWidth),
            stride: u32(node.attrs.stride),
            padding: u32(node.attrs.padding),
            channelsPerGroup: u32(g.outChannels / node.attrs.groups),
            firstChannel: u32(node.attrs.firstChannel ?? 0),
          },
          grid: foldedGrid(size(node.type), caps),
        };
      },
    },
  ],
};

/** Channels per invocation of the lane kernels: the packing order of the weights. */
const ROWS_CHANNELS = 8;
const LANES_CHANNELS = 16;
const onCpus = deferred(() => import('./cpuKernels.ts'));

/** F(m x m, k x k). The largest tile does least work and is the default where channels are many enough to pay for it. */
function winogradVariant(m: number): Variant<Conv2dAttrs, Conv2dSignature> {
  return {
    name: `winograd${m}`,
    supports(_, node) {
      const [, , kh, kw] = nchw(node.inputs[1].type);
      const exists = node.attrs.stride === 1 && kh === kw && (WINOGRAD_TILES[kh]?.includes(m) ?? false);
      return exists && wholeGroups(node, 64);
    },
    suits: (caps, node) =>
      winogradSuits(node.inputs[1].type, m) && (caps.isCpu || multiplyAdds(node) > DIRECT_MULTIPLY_ADDS),
    lower: (node, caps) => lowerWinograd(node, m, caps, false),
  };
}

/** The same with halves between the transforms. */
function winogradHalvesVariant(m: number): Variant<Conv2dAttrs, Conv2dSignature> {
  const floats = winogradVariant(m);
  return {
    ...floats,
    name: `${floats.name}Halves`,
    supports: (caps, node) =>
      floats.supports!(caps, node) && wholePairs(node.inputs[1].type.shape, { firstChannel: 0, ...node.attrs }),
    madeFor: 'gpu',
    rounds: (node) => halvesError({ m, k: node.inputs[1].type.shape[2]! }),
    lower: (node, caps) => lowerWinograd(node, m, caps, true),
  };
}

function lowerWinograd(node: Conv2dNode, m: number, caps: Caps, halves: boolean): Node {
  const [x, w, bias] = node.inputs;
  const { padding, groups, relu, pool, firstChannel = 0 } = node.attrs;
  const k = w.type.shape[2]!;
  const conv = { x, w, bias, m, k, padding, groups, firstChannel, relu, pool, label: node.label, halves };
  return winogradConvolution(conv, node.type, caps);
}

/** Whether F(m x m, k x k) is the default for weights of that shape. */
export function winogradSuits(w: TensorType, m: number): boolean {
  const [co, ci, k] = nchw(w);
  return m === WINOGRAD_TILES[k]![0] && ci >= WINOGRAD_CHANNELS && co >= WINOGRAD_CHANNELS;
}

/** Channels from which on the transforms are cheap beside the products. */
const WINOGRAD_CHANNELS = 32;

/** A GPU's kernel in workgroup memory. @param suits whether it is the default there among those that follow */
function tileVariant(block: TileBlock, suits = (_: Conv2dNode) => true): Variant<Conv2dAttrs, Conv2dSignature> {
  return {
    name: `tile${blockName(block)}`,
    supports: (caps, node) => tileSupports(caps, node) && wholeGroups(node, block.channels),
    madeFor: 'gpu',
    suits: (_, node) => suits(node),
    lower: (node) => tiled(node, block),
  };
}

/** The same with its sum in parts, where there is more than one. */
function splitVariant(block: TileBlock, suits: (node: Conv2dNode) => boolean): Variant<Conv2dAttrs, Conv2dSignature> {
  const whole = tileVariant(block, suits);
  return {
    ...whole,
    name: `split${blockName(block)}`,
    supports: (caps, node) =>
      splitsOf(block, node.inputs[1].type.shape, unpooledShape(node)) > 1 && whole.supports!(caps, node),
    lower: (node) => unpooled(node) ?? splitConvolution(node, block),
  };
}

/** Whether even small blocks leave most of a GPU idle while each adds up a long sum. */
function isStarved(node: Conv2dNode): boolean {
  const stages = depthOf(node.inputs[1].type.shape) / BLOCK_32x32.step;
  return workgroupsOf(BLOCK_32x32, unpooledShape(node)) <= MOST_STARVED && stages >= LONG_STAGES;
}

/**
 * A quarter of the multiprocessors of the largest GPUs. With more workgroups the sum has fewer parts, and the second dispatch
 * costs as much as they save: some 8 stages.
 */
const MOST_STARVED = 32;
const LONG_STAGES = 8;

/** [N, CO, OH, OW] before pooling. */
function unpooledShape(node: Conv2dNode): readonly number[] {
  const { stride, padding } = node.attrs;
  const g = geometry(node.inputs[0].type, node.inputs[1].type, stride, padding);
  return [g.batch, g.outChannels, g.outHeight, g.outWidth];
}

function pixelsOf(node: Conv2dNode): number {
  const [n, , h, w] = unpooledShape(node) as [number, number, number, number];
  return n * h * w;
}

function multiplyAdds(node: Conv2dNode): number {
  return pixelsOf(node) * size(node.inputs[1].type);
}

function channelsPerGroup(node: Conv2dNode): number {
  return node.inputs[1].type.shape[0]! / node.attrs.groups;
}

/** Pooling by an op of its own, for kernels that cannot do it. */
function unpooled(node: Conv2dNode): Node | undefined {
  if (!node.attrs.pool) return undefined;
  return avgPool2d(makeNode(conv2dOp, node.inputs, { ...node.attrs, pool: false }, node.label), { padding: 0 });
}

/** No block of output channels may hold channels of two groups. */
function wholeGroups(node: Conv2dNode, block: number): boolean {
  return node.attrs.groups === 1 || channelsPerGroup(node) % block === 0;
}
