import shader from '../../shaders/conv2d_tile.wgsl';
import type { Caps } from '../engine/caps.ts';
import { f32, isOf, type Kernel, makeNode, type Node, type Op, size, type TensorType, u32 } from '../engine/graph.ts';
import { nchw } from './common.ts';
import { conv2dFoldOp, foldReference } from './conv2dFold.ts';
import { convolved } from './conv2dReference.ts';
import type { Conv2dAttrs, Conv2dNode, Conv2dSignature } from './conv2dShape.ts';
import { packWeights, unpackWeights } from './packWeights.ts';
import { resizeBilinearOp, resizeReference } from './resizeBilinear.ts';

/** How a workgroup of the tile kernel is made up. */
export interface TileBlock {
  /** Output channels and pixels of a workgroup. */
  readonly channels: number;
  readonly pixels: number;
  /** Those of an invocation, multiples of 4. */
  readonly rows: number;
  readonly columns: number;
  /** Steps that are staged at once, and slices of invocations that share them; powers of two. */
  readonly step: number;
  readonly slices: number;
}

/*
 * Large blocks need few loads per multiply-add and many outputs to fill a GPU. Small ones make many workgroups; slices keep
 * these large, so that more loads are under way together and one barrier serves more steps. All stay within the portable
 * 16 KiB of workgroup memory.
 */
export const BLOCK_128x128: TileBlock = { channels: 128, pixels: 128, rows: 8, columns: 8, step: 8, slices: 1 };
export const BLOCK_64x64: TileBlock = { channels: 64, pixels: 64, rows: 4, columns: 4, step: 16, slices: 1 };
export const BLOCK_32x64: TileBlock = { channels: 32, pixels: 64, rows: 4, columns: 4, step: 16, slices: 1 };
export const BLOCK_32x32: TileBlock = { channels: 32, pixels: 32, rows: 4, columns: 4, step: 64, slices: 4 };
export const BLOCK_16x4: TileBlock = { channels: 16, pixels: 4, rows: 4, columns: 4, step: 64, slices: 16 };

export const blockName = ({ channels, pixels }: TileBlock) => `${channels}x${pixels}`;

/** Workgroups that cover the outputs of a convolution once. @param y its type before pooling, [N, CO, OH, OW] */
export function workgroupsOf({ channels, pixels }: TileBlock, y: readonly number[]): number {
  const [n, co, oh, ow] = y as [number, number, number, number];
  return Math.ceil(co / channels) * Math.ceil((n * oh * ow) / pixels);
}

/** Bounds of a window lie in 16 bits for rows and 16 for columns. */
export const MOST_PADDED_TAPS = 16;

/** Whether the tile kernel computes a convolution. The caller sees to it that no block holds channels of two groups. */
export function tileSupports(caps: Caps, node: Conv2dNode): boolean {
  const [, , kh, kw] = nchw(node.inputs[1].type);
  const { maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupStorageSize } = caps.limits;
  const fits = maxComputeInvocationsPerWorkgroup >= 256 && maxComputeWorkgroupStorageSize >= 16384;
  return fits && (node.attrs.padding === 0 || Math.max(kh, kw) <= MOST_PADDED_TAPS);
}

export interface TileAttrs extends Omit<Conv2dAttrs, 'firstChannel'> {
  readonly block: TileBlock;
  /** Of the weights [CO, CI / groups, KH, KW]. */
  readonly weights: readonly number[];
  /** Of the result [N, CO, OH, OW]. */
  readonly shape: readonly number[];
  readonly firstChannel: number;
  /** Parts of the sum over CI * KH * KW; more than one are left unadded, without bias and rectifier. */
  readonly splits: number;
  /** What is done to the input while it is read. */
  readonly source?: Source;
}

/** How a workgroup comes from the input, of which it stages the channels that it needs, to the x that is convolved. */
interface Source {
  /** Of x. */
  readonly shape: readonly number[];
  /** Parts that are added, as conv2dFold does; undefined for an input that is no parts. */
  readonly fold?: { readonly bias: boolean; readonly relu: boolean };
}

/** Steps of a convolution's sum, CI / groups * KH * KW. @param weights [CO, CI / groups, KH, KW] */
export function depthOf(weights: readonly number[]): number {
  return weights.slice(1).reduce((product, n) => product * n, 1);
}

/** A block with fewer slices where a sum would fill less than half of a stage. */
function fitting(block: TileBlock, depth: number): TileBlock {
  return depth > block.step / 2 ? block : { ...block, step: block.step / block.slices, slices: 1 };
}

/** A convolution by the tile kernel. @returns what the node returns, or its parts [splits, N, CO, OH, OW] when there are several */
export function tiled(node: Conv2dNode, block: TileBlock, splits = 1): Node {
  const [x, w, bias] = node.inputs;
  const attrs: TileAttrs = {
    ...node.attrs,
    firstChannel: node.attrs.firstChannel ?? 0,
    block: fitting(block, depthOf(w.type.shape)),
    weights: w.type.shape,
    shape: node.type.shape,
    splits,
  };
  const packed = packWeights(w, block.channels);
  return makeNode(conv2dTileOp, bias && splits === 1 ? [x, packed, bias] : [x, packed], attrs, node.label);
}

/** Output pixels that blocks cover: those of windows where they are pooled. */
function pixelsOf({ shape, pool }: TileAttrs): number {
  const [n, , oh, ow] = shape as [number, number, number, number];
  return n * oh * ow * (pool ? 4 : 1);
}

/** [parts, N, C, H, W] of what is staged. */
function sourceShape(node: Node<TileAttrs, Conv2dSignature>): readonly number[] {
  const { shape } = node.inputs[0].type;
  return node.attrs.source?.fold ? shape : [1, ...shape];
}

/** Input channels that the steps of a workgroup span at most. */
function stagedChannels({ weights, block, splits }: TileAttrs): number {
  const taps = weights[2]! * weights[3]!;
  const depth = depthOf(weights);
  const steps = stepsPerSplit(weights, block, splits);
  const spans = Array.from({ length: splits }, (_, i) => {
    const last = Math.min((i + 1) * steps, depth) - 1;
    return Math.floor(last / taps) - Math.floor((i * steps) / taps) + 1;
  });
  return Math.max(...spans);
}

function stepsPerSplit(weights: readonly number[], { step }: TileBlock, splits: number): number {
  return Math.ceil(Math.ceil(depthOf(weights) / step) / splits) * step;
}

/** Values that a workgroup stages. */
function stagedValues(node: Node<TileAttrs, Conv2dSignature>): number {
  const [, n, , h, w] = sourceShape(node) as [number, number, number, number, number];
  return stagedChannels(node.attrs) * n * h * w;
}

/** Loads of an invocation in a row that take no longer than the dispatch that they save. */
const MOST_STAGED_LOADS = 64;

/** What is convolved, of an input that is staged. @param bias that of what is folded, if it has one */
function sourceReference(
  x: Float64Array,
  from: readonly number[],
  { shape, fold }: Source,
  bias: Float64Array | undefined,
): readonly [Float64Array, TensorType] {
  const [, , height, width] = shape as [number, number, number, number];
  const type: TensorType = { shape: fold ? from.slice(1) : from, dtype: 'f32' };
  const folded = fold ? foldReference(x, fold.bias ? bias : undefined, type, fold.relu) : x;
  return [resizeReference(folded, type, [height, width]), { shape, dtype: 'f32' }];
}

export const conv2dTileOp: Op<TileAttrs, Conv2dSignature> = {
  name: 'conv2dTile',
  infer: (_, { shape, splits }) => ({ shape: splits > 1 ? [splits, ...shape] : shape, dtype: 'f32' }),
  reference([x, packed, ...rest], { attrs, inputs: [from] }) {
    const { weights, shape, block, splits, source } = attrs;
    const w = unpackWeights(packed, weights, block.channels);
    const [values, type] = source ? sourceReference(x, from.type.shape, source, rest.at(-1)) : [x, from.type];
    if (splits === 1) return convolved([values, w, ...rest], type, weights, attrs);
    const depth = depthOf(weights);
    const steps = stepsPerSplit(weights, block, splits);
    const parts = new Float64Array(splits * size({ shape, dtype: 'f32' }));
    for (let split = 0; split < splits; split++) {
      const own = w.map((value, i) => (Math.floor((i % depth) / steps) === split ? value : 0));
      const sums = convolved([values, own], type, weights, { ...attrs, relu: false });
      parts.set(sums, split * sums.length);
    }
    return parts;
  },
  cost(node) {
    const [co] = node.attrs.weights as [number];
    const depth = depthOf(node.attrs.weights);
    return {
      flops: 2 * pixelsOf(node.attrs) * co * depth,
      bytes: 4 * (size(node.inputs[0].type) + co * depth + size(node.type)),
    };
  },
  absorb(node, isOnlyUser) {
    const [x, w, ...rest] = node.inputs;
    const { source } = node.attrs;
    if (!isOnlyUser(x) || source?.fold) return undefined;
    const shape = source?.shape ?? x.type.shape;
    if (isOf(x, resizeBilinearOp) && !source)
      return makeNode(conv2dTileOp, [x.inputs[0], w, ...rest], { ...node.attrs, source: { shape } }, node.label);
    if (!isOf(x, conv2dFoldOp)) return undefined;
    const [parts, ...bias] = x.inputs;
    const fold = { bias: bias.length > 0, relu: x.attrs.relu };
    return makeNode(conv2dTileOp, [parts, w, ...rest, ...bias], { ...node.attrs, source: { shape, fold } }, node.label);
  },
  variants: [
    {
      name: 'tile',
      madeFor: 'gpu',
      supports: (_, { attrs }) => attrs.source === undefined,
      kernel: tileKernel,
    },
    {
      name: 'staged',
      supports(caps, node) {
        if (node.attrs.source === undefined) return false;
        const { channels, pixels, step } = node.attrs.block;
        return 4 * (step * (channels + pixels) + stagedValues(node)) <= caps.limits.maxComputeWorkgroupStorageSize;
      },
      madeFor: 'gpu',
      suits(_, node) {
        const [parts] = sourceShape(node) as [number];
        return Math.ceil(stagedValues(node) / invocationsOf(node.attrs.block)) * parts <= MOST_STAGED_LOADS;
      },
      kernel: tileKernel,
    },
  ],
};

function invocationsOf({ channels, pixels, rows, columns, slices }: TileBlock): number {
  return (channels / rows) * (pixels / columns) * slices;
}

function tileKernel(node: Node<TileAttrs, Conv2dSignature>): Kernel {
  const { block, weights, shape, splits, stride, padding, relu, pool, groups, firstChannel, source } = node.attrs;
  const { channels, pixels, rows, columns, step, slices } = block;
  const [, xChannels, height, width] = source?.shape ?? node.inputs[0].type.shape;
  const [outChannels, inChannels, kernelHeight, kernelWidth] = weights as [number, number, number, number];
  const [batch, , outHeight, outWidth] = shape as [number, number, number, number];
  const [parts, images, , sourceHeight, sourceWidth] = sourceShape(node) as [number, number, number, number, number];
  const isResized = source !== undefined && (sourceHeight !== height || sourceWidth !== width);
  const shift = Number(source?.fold?.bias ?? false);
  return {
    shader: { name: 'conv2d_tile.wgsl', source: shader },
    defines: {
      WEIGHTS: 'vec4f',
      MT: channels,
      NP: pixels,
      TM: rows,
      TN: columns,
      LX: pixels / columns,
      LY: channels / rows,
      SL: slices,
      BK: step,
      KH: kernelHeight,
      KW: kernelWidth,
      PADDED: Number(padding > 0),
      BIAS: node.inputs.length - 2 - shift,
      RELU: Number(relu && splits === 1),
      POOL: Number(pool),
      IMAGES: Number(batch > 1),
      PARTIAL: Number(splits > 1),
      STAGED: Number(source !== undefined),
      RESIZED: Number(isResized),
      SHIFT: shift,
      ...(source && {
        RECTIFIED: Number(source.fold?.relu ?? false),
        PARTS: parts,
        SOURCE_IMAGES: images,
        SOURCE_CHANNELS: stagedChannels(node.attrs),
        SOURCE_H: sourceHeight,
        SOURCE_W: sourceWidth,
      }),
    },
    params: {
      batch: u32(batch),
      xChannels: u32(xChannels!),
      inChannels: u32(inChannels),
      height: u32(height!),
      width: u32(width!),
      outChannels: u32(outChannels),
      outHeight: u32(outHeight),
      outWidth: u32(outWidth),
      stride: u32(stride),
      padding: u32(padding),
      channelsPerGroup: u32(outChannels / groups),
      firstChannel: u32(firstChannel),
      ...(splits > 1 && { stepsPerSplit: u32(stepsPerSplit(weights, block, splits)) }),
      ...(source && { partSize: u32(size(node.inputs[0].type) / parts) }),
      ...(isResized && { scaleY: f32(sourceHeight / height!), scaleX: f32(sourceWidth / width!) }),
    },
    grid: [Math.ceil(pixelsOf(node.attrs) / pixels), Math.ceil(outChannels / channels), splits],
  };
}
