import { type Cost, type DataType, type Node, size, type TensorType, u32 } from '../engine/graph.ts';
import type { WeightBits } from '../formats/weightCodes.ts';
import { nchw } from './common.ts';
import { convOutput } from './conv2dShape.ts';
import { type ActivationStorage, CHANNELS_PER_WORD, isCodes, storedBits } from './storage.ts';
import { BLOCK_IN } from './weightBlocks.ts';

export { BLOCK_IN, BLOCK_OUT, packedWords } from './weightBlocks.ts';

/* What the kernels of qconv2d share: attributes, shapes and their parameters. */

/** What makes u8 codes signed bytes when it is taken from them. */
export const CODE_CENTER = 128;

export interface Qconv2dAttrs {
  /** [CO, CI, KH, KW] */
  readonly weights: readonly number[];
  readonly bits: WeightBits;
  /** Input channels that share a scale: all, or a multiple of 4. */
  readonly groupSize: number;
  readonly input: ActivationStorage;
  readonly output: ActivationStorage;
  readonly stride: number;
  /** Zeros on all four sides: of codes the zero point's. */
  readonly padding: number;
  readonly relu: boolean;
  /** Then take the mean over 2x2 windows with stride 2. */
  readonly pool: boolean;
}

/** Stored x, packed words, the table of scales and sums, the bias, and a range for each side of codes. */
export type Qconv2dSignature = readonly [DataType, 'u32', 'f32', 'f32', ...'f32'[]];

export type Qconv2dNode = Node<Qconv2dAttrs, Qconv2dSignature>;

/** Largest integer of a width in absolute value. */
export function largestInteger(bits: WeightBits): number {
  if (bits === 2) return 3;
  return bits === 8 ? 127 : 2 ** (bits - 1);
}

/** Largest sum of absolute values of an output channel's integers that shape and width allow, filled up to whole words. */
export function largestSum({ weights, bits }: Pick<Qconv2dAttrs, 'weights' | 'bits'>): number {
  const [, ci, kh, kw] = weights as [number, number, number, number];
  return BLOCK_IN * Math.ceil(ci / BLOCK_IN) * kh * kw * largestInteger(bits);
}

/** Whether a float sums products with codes of activations exactly. @param weights sum of the weights' absolute integers */
export function addsExactly(weights: number): boolean {
  return 255 * weights <= 2 ** 24;
}

/** Sizes of a convolution. */
export function geometry({ attrs, inputs: [x] }: Qconv2dNode) {
  return sizesOf(attrs, x.type);
}

function sizesOf({ weights, stride, padding }: Qconv2dAttrs, x: TensorType) {
  const [outChannels, inChannels, kernelHeight, kernelWidth] = weights as [number, number, number, number];
  const [batch, xWords, height, width] = nchw(x);
  const convHeight = convOutput(height, kernelHeight, stride, padding);
  const convWidth = convOutput(width, kernelWidth, stride, padding);
  return { batch, xWords, height, width, outChannels, inChannels, kernelHeight, kernelWidth, convHeight, convWidth };
}

export function convolutionCost(node: Qconv2dNode): Cost {
  const g = geometry(node);
  const outputs = g.batch * g.outChannels * g.convHeight * g.convWidth;
  const words = node.inputs.reduce((sum, input) => sum + size(input.type), size(node.type));
  return { flops: 2 * outputs * g.inChannels * g.kernelHeight * g.kernelWidth, bytes: 4 * words };
}

/** Of the result as numbers, however it is stored. */
export function outputShape(attrs: Qconv2dAttrs, x: TensorType): readonly number[] {
  const { batch, outChannels, convHeight, convWidth } = sizesOf(attrs, x);
  return attrs.pool
    ? [batch, outChannels, convHeight >> 1, convWidth >> 1]
    : [batch, outChannels, convHeight, convWidth];
}

/** Pixels that are computed: pooled ones four times. */
export function blockPixels(node: Qconv2dNode): number {
  const [batch, , outHeight, outWidth] = nchw(node.type);
  return batch * outHeight * outWidth * (node.attrs.pool ? 4 : 1);
}

/**
 * Defines of the snippet `qresult`.
 * @param isIntegers whether sums are
 * @param table index of that binding @see shaders/snippets/qbindings.wgsl
 * @param center what integers take from the codes of activations
 */
export function resultDefines(
  { input, output, relu }: Pick<Qconv2dAttrs, 'input' | 'output' | 'relu'>,
  isIntegers: boolean,
  center: number,
  table = 2,
) {
  return {
    U8: Number(isCodes(input)),
    INTEGERS: Number(isIntegers),
    SUM: isIntegers ? 'i32' : 'f32',
    CENTER: center,
    RELU: Number(relu),
    OUT: storedBits(output),
    TABLE: table,
    STORED: output === 'f32' ? 'f32' : 'u32',
  };
}

/** Defines of the snippet `qweights`. */
export function codeDefines(bits: WeightBits) {
  return { BITS: bits, JUSTIFIED: (0xff << (8 - bits)) & 0xff };
}

/**
 * Defines and parameters that every kernel takes.
 * @param weights type of what it reads weights in
 * @param center what it takes from the codes of activations
 */
export function common(node: Qconv2dNode, { weights: weightType = 'u32', center = 0 } = {}) {
  const { weights, bits, groupSize, input, pool } = node.attrs;
  const g = geometry(node);
  const [, , outHeight, outWidth] = nchw(node.type);
  const groups = g.inChannels / groupSize;
  const parts = Math.max(1, BLOCK_IN / CHANNELS_PER_WORD[input]);
  const ends = { WEIGHTS: weightType, ...resultDefines(node.attrs, isCodes(input), center) };
  return {
    g,
    /** Those of the snippet `qconv2d`. */
    ends,
    defines: {
      ...ends,
      ...codeDefines(bits),
      U4: Number(input === 'u4'),
      PARTS: parts,
      GROUPS: groups,
      POOL: Number(pool),
    },
    params: {
      batch: u32(g.batch),
      xWords: u32(g.xWords),
      inWords: u32(Math.ceil(weights[1]! / BLOCK_IN)),
      height: u32(g.height),
      width: u32(g.width),
      outChannels: u32(g.outChannels),
      outHeight: u32(outHeight),
      outWidth: u32(outWidth),
      groupWords: u32(Math.ceil(groupSize / BLOCK_IN)),
    },
    ragged: Number(g.xWords % parts !== 0),
  };
}

/** Parameters of kernels that find the window themselves. */
export function spatial(node: Qconv2dNode) {
  const { g, params } = common(node);
  const { stride, padding } = node.attrs;
  return {
    ...params,
    kernelHeight: u32(g.kernelHeight),
    kernelWidth: u32(g.kernelWidth),
    stride: u32(stride),
    padding: u32(padding),
  };
}
