import weightsShader from '../../shaders/qconv2d_word_weights.wgsl';
import shader from '../../shaders/qconv2d_words.wgsl';
import type { Caps } from '../engine/caps.ts';
import { makeNode, type Op, u32, type Variant } from '../engine/graph.ts';
import { bytesToCodes, byteWeightsOp, withByteWeights } from './byteWeights.ts';
import { MOST_PADDED_TAPS } from './conv2dTile.ts';
import { matrixVariants } from './qconv2dMatrix.ts';
import { convolvedCodes } from './qconv2dReference.ts';
import {
  BLOCK_IN,
  blockPixels,
  CODE_CENTER,
  common,
  convolutionCost,
  geometry,
  outputShape,
  type Qconv2dAttrs,
  type Qconv2dNode,
  type Qconv2dSignature,
} from './qconv2dShape.ts';
import { storedType } from './storage.ts';

/*
 * qconv2d of u8 activations by products of packed words of four codes. Weights are decoded to a byte each when they are
 * uploaded: on the device a layer takes 8 bits a weight more than its packed codes.
 */

/** How a workgroup is made up. */
interface Block {
  /** Output channels and pixels of a workgroup. */
  readonly channels: number;
  readonly pixels: number;
  /** Steps of a word that are staged at once, and slices of invocations that share them; powers of two. */
  readonly step: number;
  readonly slices: number;
}

/** Channels and pixels of an invocation. */
const ROWS = 4;
const COLUMNS = 4;

/*
 * All stay within the portable 16 KiB of workgroup memory and 256 invocations. The smaller a block, the more workgroups share
 * the outputs, and the more slices share a workgroup's sum: an autoencoder's layer of 256 pixels and 256 words becomes 64
 * workgroups that wait twice for their loads, one of a single pixel and 1,024 words becomes 16 that wait four times.
 */
const BLOCK_64x64: Block = { channels: 64, pixels: 64, step: 32, slices: 1 };
const BLOCK_32x32: Block = { channels: 32, pixels: 32, step: 64, slices: 4 };
const BLOCK_16x16: Block = { channels: 16, pixels: 16, step: 128, slices: 16 };
const BLOCK_4x4: Block = { channels: 4, pixels: 4, step: 256, slices: 64 };

/** Workgroups that leave most of a large GPU idle, and those that give each of its 132 multiprocessors one. */
const FEW_WORKGROUPS = 32;
const ENOUGH_WORKGROUPS = 132;
/**
 * Multiply-adds that packed products do in the time in which products of matrices get through their steps, which follow each
 * other: about 5 us at the peak of an H200.
 */
const FEW_MULTIPLY_ADDS = 3e8;

function workgroupsOf({ channels, pixels }: Block, node: Qconv2dNode): number {
  return Math.ceil(geometry(node).outChannels / channels) * Math.ceil(blockPixels(node) / pixels);
}

/** Whether products of matrices are the default where words are not. */
function hasMatrices(caps: Caps, node: Qconv2dNode): boolean {
  return matrixVariants.some((variant) => variant.supports!(caps, node) && variant.suits!(caps, node));
}

function isShort(caps: Caps, node: Qconv2dNode): boolean {
  const { outChannels, inChannels, kernelHeight, kernelWidth } = geometry(node);
  const multiplyAdds = blockPixels(node) * outChannels * inChannels * kernelHeight * kernelWidth;
  return !hasMatrices(caps, node) || multiplyAdds <= FEW_MULTIPLY_ADDS;
}

/** A block with shorter stages, and fewer slices, where a sum would fill less than half of one. */
function fitting(block: Block, depth: number): Block {
  const { channels, pixels, step, slices } = block;
  // Every invocation stages whole vec4 of both operands, and multiplies four steps at a time.
  const isShortest = slices === 1 && step <= Math.max(4, channels / 4, pixels / 4);
  if (isShortest || depth > step / 2) return block;
  return fitting({ ...block, step: step / 2, slices: Math.max(1, slices / 2) }, depth);
}

function wordVariant(
  block: Block,
  suits: (caps: Caps, node: Qconv2dNode) => boolean,
): Variant<Qconv2dAttrs, Qconv2dSignature> {
  return {
    name: `words${block.channels}x${block.pixels}`,
    supports({ limits }, { attrs: { input, output, weights, groupSize, pool, stride, padding } }) {
      const [, ci, kh, kw] = weights as [number, number, number, number];
      const fits = limits.maxComputeInvocationsPerWorkgroup >= 256 && limits.maxComputeWorkgroupStorageSize >= 16384;
      const hasWindow = padding === 0 || Math.max(kh, kw) <= MOST_PADDED_TAPS;
      return fits && hasWindow && input === 'u8' && output !== 'u4' && groupSize === ci && !(pool && stride > 1);
    },
    madeFor: 'gpu',
    suits,
    lower(node) {
      const attrs = { ...node.attrs, ...fitting(block, depthOf(node.attrs.weights)) };
      return makeNode(qconv2dWordsOp, withByteWeights(node, wordWeightsOp, block.channels), attrs, node.label);
    },
  };
}

/** Variants of qconv2d for few outputs, smallest blocks first, and those for any number. */
export const smallWordVariants: readonly Variant<Qconv2dAttrs, Qconv2dSignature>[] = [
  wordVariant(BLOCK_4x4, (caps, node) => isShort(caps, node) && workgroupsOf(BLOCK_16x16, node) < FEW_WORKGROUPS),
  wordVariant(BLOCK_16x16, (caps, node) => isShort(caps, node) && workgroupsOf(BLOCK_32x32, node) < ENOUGH_WORKGROUPS),
  wordVariant(BLOCK_32x32, (caps, node) => {
    if (hasMatrices(caps, node)) return isShort(caps, node);
    return geometry(node).outChannels <= 32 || workgroupsOf(BLOCK_64x64, node) < ENOUGH_WORKGROUPS;
  }),
];
export const largeWordVariants: readonly Variant<Qconv2dAttrs, Qconv2dSignature>[] = [
  wordVariant(BLOCK_64x64, () => true),
];

/** Words of a sum, ceil(CI / 4) * KH * KW. @param weights [CO, CI, KH, KW] */
function depthOf(weights: readonly number[]): number {
  const [, ci, kh, kw] = weights as [number, number, number, number];
  return Math.ceil(ci / BLOCK_IN) * kh * kw;
}

/** Signed bytes in the order of `qconv2d_words.wgsl`. */
export const wordWeightsOp = byteWeightsOp({
  name: 'qconv2dWordWeights',
  shader: { name: 'qconv2d_word_weights.wgsl', source: weightsShader },
  together: 1,
  params: ({ weights }) => ({ depth: u32(depthOf(weights)) }),
});

type WordsAttrs = Qconv2dAttrs & Block;

/** qconv2d of weights that {@link wordWeightsOp} made. */
export const qconv2dWordsOp: Op<WordsAttrs, Qconv2dSignature> = {
  name: 'qconv2dWords',
  infer: ([x], attrs) => storedType(outputShape(attrs, x), attrs.output),
  reference([x, bytes, ...rest], node) {
    const { weights, channels } = node.attrs;
    return convolvedCodes([x, ...rest], bytesToCodes(bytes, weights, channels), node);
  },
  cost: convolutionCost,
  variants: [
    {
      name: 'block',
      madeFor: 'gpu',
      kernel(node, caps) {
        const { channels, pixels, step, slices, stride, padding } = node.attrs;
        const { g, ends, defines, params } = common(node, { weights: 'vec4u', center: CODE_CENTER });
        const { batch, xWords, inWords, height, width, outChannels, outHeight, outWidth } = params;
        return {
          shader: { name: 'qconv2d_words.wgsl', source: shader },
          defines: {
            ...ends,
            ...{ POOL: defines.POOL, MT: channels, NP: pixels, TM: ROWS, TN: COLUMNS, SL: slices, BK: step },
            LX: pixels / COLUMNS,
            LY: channels / ROWS,
            KH: g.kernelHeight,
            KW: g.kernelWidth,
            STRIDE: stride,
            PADDING: padding,
            PADDED: Number(padding > 0),
            IMAGES: Number(g.batch > 1),
            PACKED_DOT: Number(caps.packedDot),
          },
          params: { batch, xWords, inWords, height, width, outChannels, outHeight, outWidth },
          grid: [Math.ceil(blockPixels(node) / pixels), Math.ceil(g.outChannels / channels)] as const,
        };
      },
    },
  ],
};
