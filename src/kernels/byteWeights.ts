import { type InputNodes, makeNode, type Op, type ParamValue, type Shader, size, u32 } from '../engine/graph.ts';
import type { WeightBits } from '../formats/weightCodes.ts';
import { foldedGrid, WORKGROUP } from './common.ts';
import { BLOCK_IN, codeDefines, type Qconv2dNode, type Qconv2dSignature } from './qconv2dShape.ts';
import { unpackBlocks } from './weightBlocks.ts';

/* Packed weights decoded to a signed byte each, in the order of a kernel that multiplies words of four of them. */

export interface ByteWeightsAttrs {
  /** [CO, CI, KH, KW] */
  readonly weights: readonly number[];
  readonly bits: WeightBits;
  /** Output channels that lie together. */
  readonly channels: number;
}

/** How a kernel wants its words of four input channels. */
interface ByteOrder {
  readonly name: string;
  readonly shader: Shader;
  /** Words that an output channel has together; those behind the last input channel are zero. */
  readonly together: number;
  /** What the shader takes besides the number of words and of output channels. */
  readonly params: (attrs: ByteWeightsAttrs) => Readonly<Record<string, ParamValue>>;
}

/** Packed weights -> signed bytes u32 [ceil(CO / channels), ceil(CI / (4 together)), KH * KW, channels, together] */
export function byteWeightsOp({ name, shader, together, params }: ByteOrder): Op<ByteWeightsAttrs, readonly ['u32']> {
  return {
    name,
    infer(_, { weights, channels }) {
      const [co, ci, kh, kw] = weights as [number, number, number, number];
      const steps = Math.ceil(ci / (BLOCK_IN * together));
      return { shape: [Math.ceil(co / channels), steps, kh * kw, channels, together], dtype: 'u32' };
    },
    reference([words], { attrs: { weights, bits, channels }, type }) {
      const [co, ci, kh, kw] = weights as [number, number, number, number];
      const [, steps, taps] = type.shape as [number, number, number];
      const filled = BLOCK_IN * Math.ceil(ci / BLOCK_IN);
      // Input channels that only fill a word count in, as in the table of scales and sums.
      const values = unpackBlocks(words, [co, filled, kh, kw], bits);
      return Uint32Array.from({ length: size(type) }, (_, i) => {
        const row = Math.floor(i / together);
        const tap = Math.floor(row / channels) % taps;
        const step = Math.floor(row / channels / taps);
        const first = BLOCK_IN * ((step % steps) * together + (i % together));
        const m = Math.floor(step / steps) * channels + (row % channels);
        if (m >= co || first >= filled) return 0;
        const byte = (c: number) => values[(m * filled + first + c) * taps + tap]! & 0xff;
        return (byte(0) | (byte(1) << 8) | (byte(2) << 16) | (byte(3) << 24)) >>> 0;
      });
    },
    variants: [
      {
        name: 'element',
        kernel(node, caps) {
          const { weights, bits, channels } = node.attrs;
          const count = size(node.type);
          return {
            shader,
            defines: { ...codeDefines(bits), MT: channels, WORKGROUP },
            params: { size: u32(count), outChannels: u32(weights[0]!), ...params(node.attrs) },
            grid: foldedGrid(count, caps),
          };
        },
      },
    ],
  };
}

/**
 * The integers in words of bytes of which an output channel has one together.
 * @param bytes [ceil(CO / channels), ceil(CI / 4), KH * KW, channels] @returns [CO, CI, KH, KW]
 */
export function bytesToCodes(bytes: ArrayLike<number>, weights: readonly number[], channels: number): Int32Array {
  const [co, ci, kh, kw] = weights as [number, number, number, number];
  const [taps, words] = [kh * kw, Math.ceil(ci / BLOCK_IN)];
  return Int32Array.from({ length: co * ci * taps }, (_, i) => {
    const [m, c] = [Math.floor(i / (ci * taps)), Math.floor(i / taps) % ci];
    const row = (Math.floor(m / channels) * words + Math.floor(c / BLOCK_IN)) * taps + (i % taps);
    return (bytes[row * channels + (m % channels)]! << (24 - 8 * (c % BLOCK_IN))) >> 24;
  });
}

/** The inputs of a convolution with its weights decoded by such an op. @param channels output channels that lie together */
export function withByteWeights(
  { inputs: [x, words, ...rest], attrs: { weights, bits }, label }: Qconv2dNode,
  op: Op<ByteWeightsAttrs, readonly ['u32']>,
  channels: number,
): InputNodes<Qconv2dSignature> {
  return [x, makeNode(op, [words], { weights, bits, channels }, `${label}.weights`), ...rest];
}
