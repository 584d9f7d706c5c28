import inputShader from '../../shaders/winograd_stored_input.wgsl';
import outputShader from '../../shaders/winograd_stored_output.wgsl';
import type { Caps } from '../engine/caps.ts';
import { type DataType, i32, type Op, size, u32 } from '../engine/graph.ts';
import { nchw, testedThrough } from './common.ts';
import { BLOCK_IN, CODE_CENTER, resultDefines } from './qconv2dShape.ts';
import { type ActivationStorage, CHANNELS_PER_WORD, isCodes, storedType, type WordStorage } from './storage.ts';
import {
  channelsPerInvocation,
  type InputAttrs,
  pitch,
  quads,
  type TileAttrs,
  transformWorkgroup,
} from './winogradTiles.ts';

/* The transforms of a quantized Winograd convolution: from stored activations to points, and from points to stored results. */

/** What lies between the transforms: words of two 16-bit numbers and sums modulo 2^32, or floats. */
export type Between = 'integers' | 'floats';

/** Words of four channels hold two pairs, in words of two 16-bit numbers. */
const PAIRS = 2;

export interface StoredInputAttrs extends InputAttrs {
  readonly between: Between;
  readonly storage: WordStorage;
  readonly channels: number;
}

/** Words of activations, halves of them for u4, that an invocation takes in turn. */
function wordsPerInvocation(caps: Caps, across: number, words: number, perWord: number): number {
  return Math.max(1, channelsPerInvocation(caps, across, words * perWord) / perWord);
}

/**
 * Stored x, range of codes -> floats [CI, (m + k - 1)^2, pitch(rows * tilesX)], or words of pairs of channels
 * [2 ceil(CI / 4), (m + k - 1)^2, pitch(rows * tilesX)].
 */
export const winogradStoredInputOp: Op<StoredInputAttrs, readonly ['u32', ...'f32'[]]> = {
  name: 'winogradStoredInput',
  infer(_, { m, k, rows, tilesX, between, channels }) {
    const points = [(m + k - 1) ** 2, pitch(rows * tilesX)];
    return between === 'integers'
      ? { shape: [PAIRS * Math.ceil(channels / BLOCK_IN), ...points], dtype: 'u32' }
      : { shape: [channels, ...points], dtype: 'f32' };
  },
  reference: testedThrough('winogradStoredInput', 'qconv2d'),
  cost: (node) => ({ flops: 0, bytes: 4 * (size(node.inputs[0].type) + size(node.type)) }),
  variants: [
    {
      name: 'tile',
      kernel(node, caps) {
        const { m, k, padding, firstRow, rows, tilesY, tilesX, between, storage, channels } = node.attrs;
        const [, xWords, height, width] = nchw(node.inputs[0].type);
        const perWord = Math.min(BLOCK_IN, CHANNELS_PER_WORD[storage]);
        const words = Math.ceil(channels / perWord);
        const workgroup = transformWorkgroup(caps);
        const across = Math.ceil((rows * tilesX) / workgroup);
        const each = wordsPerInvocation(caps, across, words, perWord);
        return {
          shader: { name: 'winograd_stored_input.wgsl', source: inputShader },
          defines: {
            A: m + k - 1,
            K: k,
            M: m,
            INTEGERS: Number(between === 'integers'),
            U8: Number(isCodes(storage)),
            U4: Number(storage === 'u4'),
            CHANNELS: perWord,
            PADDED: Number(padding > 0),
            WORDS: each,
            WORKGROUP: workgroup,
          },
          params: {
            words: u32(words),
            xWords: u32(xWords),
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
          grid: [across, Math.ceil(words / each)],
        };
      },
    },
  ],
};

export interface StoredOutputAttrs extends TileAttrs {
  readonly between: Between;
  readonly relu: boolean;
  readonly pool: boolean;
  /** Of the convolution's input, which decides how sums are scaled, and of the result. */
  readonly input: ActivationStorage;
  readonly output: ActivationStorage;
  readonly firstRow: number;
  readonly rows: number;
  readonly tilesY: number;
  readonly tilesX: number;
  /** Of the result as numbers. */
  readonly shape: readonly number[];
}

/**
 * Inputs: the products [CO, (m + k - 1)^2, pitch], table, bias, a range for each side of codes, and, but for the first chunk, the
 * output that earlier chunks wrote.
 * @returns the stored result @see ActivationStorage
 */
export const winogradStoredOutputOp: Op<StoredOutputAttrs, readonly [DataType, 'f32', 'f32', ...DataType[]]> = {
  name: 'winogradStoredOutput',
  infer: (_, { shape, output }) => storedType(shape, output),
  continues({ inputs, attrs: { input, output } }) {
    const operands = 3 + Number(isCodes(input)) + Number(isCodes(output));
    return inputs.length > operands ? operands : undefined;
  },
  reference: testedThrough('winogradStoredOutput', 'qconv2d'),
  cost: (node) => ({ flops: 0, bytes: 4 * (size(node.inputs[0].type) + size(node.type)) }),
  variants: [
    {
      name: 'tile',
      kernel(node, caps) {
        const { m, k, between, relu, pool, input, output, firstRow, rows, tilesY, tilesX, shape } = node.attrs;
        const [, channels, height, width] = shape as [number, number, number, number];
        const workgroup = transformWorkgroup(caps);
        const Q = quads(pool, m);
        const across = Math.ceil((rows * tilesX) / (Q * Q * workgroup));
        const perWord = CHANNELS_PER_WORD[output];
        const words = Math.ceil(channels / perWord);
        const each = wordsPerInvocation(caps, across, words, perWord);
        return {
          shader: { name: 'winograd_stored_output.wgsl', source: outputShader },
          defines: {
            A: m + k - 1,
            K: k,
            M: m,
            Q,
            ...resultDefines({ input, output, relu }, between === 'integers', CODE_CENTER, 1),
            CHANNELS: perWord,
            POOL: Number(pool),
            WORDS: each,
            WORKGROUP: workgroup,
          },
          params: {
            outChannels: u32(channels),
            outHeight: u32(height),
            outWidth: u32(width),
            firstRow: u32(firstRow),
            rows: u32(rows),
            tilesY: u32(tilesY),
            tilesX: u32(tilesX),
            pitch: u32(node.inputs[0].type.shape[2]!),
          },
          grid: [across, Math.ceil(words / each)],
        };
      },
    },
  ],
};
