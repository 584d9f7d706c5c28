import rangeShader from '../../shaders/activation_range.wgsl';
import padShader from '../../shaders/pad_words.wgsl';
import poolShader from '../../shaders/pool_words.wgsl';
import storeShader from '../../shaders/store_activations.wgsl';
import storeResizedShader from '../../shaders/store_resized.wgsl';
import {
  expectShapes,
  f32,
  isOf,
  makeNode,
  type Node,
  type Op,
  size,
  type TensorType,
  u32,
  type Values,
} from '../engine/graph.ts';
import { floatToHalf, halfToFloat, roundHalfEven } from '../formats/half.ts';
import { nchw, planeGrid } from './common.ts';
import { resizeBilinearOp, resizeReference } from './resizeBilinear.ts';

/**
 * How activations lie in memory. `f32`: [N, C, H, W]. `f16`: pairs of channels in a 32-bit word, [N, ceil(C / 2), H, W].
 * `u8`: four channels in a word, [N, ceil(C / 4), H, W], lowest byte first; value = scale * (code - zero point). `u4`: eight
 * channels in a word, [N, ceil(C / 8), H, W]; byte i holds channel i in its low half and channel i + 4 in its high half, so that
 * a shift and a mask make words of u8 of it. Channels that do not exist hold zeros, in u8 and u4 the zero point's code.
 */
export type ActivationStorage = 'f32' | 'f16' | 'u8' | 'u4';

/** Storages of whole numbers. */
export type CodeStorage = 'u8' | 'u4';

/** Channels in a 32-bit word. */
export const CHANNELS_PER_WORD: Readonly<Record<ActivationStorage, number>> = { f32: 1, f16: 2, u8: 4, u4: 8 };

/** Whether activations are whole numbers, which have a range. @see rangeOf */
export function isCodes(storage: ActivationStorage): storage is CodeStorage {
  return storage === 'u8' || storage === 'u4';
}

/** Largest code that a storage holds. */
export function largestCode(storage: CodeStorage): number {
  return storage === 'u8' ? 255 : 15;
}

/** Bits of a stored value. */
export function storedBits(storage: ActivationStorage): number {
  return 32 / CHANNELS_PER_WORD[storage];
}

/** The zero point's code in every channel of a word, as a factor of that code. */
const EVERY_CHANNEL: Readonly<Record<CodeStorage, number>> = { u8: 0x01010101, u4: 0x11111111 };

/** Where a channel's bits begin in its word. */
function bitOf(channel: number, storage: ActivationStorage): number {
  if (storage === 'u4') return 8 * (channel % 4) + 4 * (Math.floor(channel / 4) % 2);
  return storedBits(storage) * (channel % CHANNELS_PER_WORD[storage]);
}

/** The type of stored feature maps [N, C, H, W]. */
export function storedType(shape: readonly number[], storage: ActivationStorage): TensorType {
  const [n, c, h, w] = shape as [number, number, number, number];
  return { shape: [n, Math.ceil(c / CHANNELS_PER_WORD[storage]), h, w], dtype: storage === 'f32' ? 'f32' : 'u32' };
}

/** Numbers that describe the codes of activations. @see rangeOf */
export const RANGE_LENGTH = 4;

/**
 * The range of codes: scale, zero point, reciprocal of the scale and the largest code, which is what a width below that of the
 * storage limits. Kernels multiply by the reciprocal as it is stored here, since division is not exactly rounded on GPUs: codes
 * are the same on every device.
 * @param scale at least 2^-126, so that its reciprocal is a float
 * @param most 255 for 8 bits, 63 for 6, 15 for 4
 */
export function rangeOf(scale: number, zeroPoint: number, most = 255): Float32Array<ArrayBuffer> {
  return Float32Array.of(scale, zeroPoint, 1 / Math.fround(scale), most);
}

/** Code of a value, as the kernels compute it. @param range its float32 numbers @see rangeOf */
export function activationCode(value: number, range: ArrayLike<number>): number {
  const steps = Math.fround(Math.fround(value) * range[2]!);
  return Math.min(Math.max(roundHalfEven(steps) + range[1]!, 0), range[3]!);
}

/** Reads stored activations as numbers; u8 and u4 as codes. @param shape [N, C, H, W] */
export function reader(values: ArrayLike<number>, shape: readonly number[], storage: ActivationStorage) {
  const [, channels, height, width] = shape as [number, number, number, number];
  const per = CHANNELS_PER_WORD[storage];
  const words = Math.ceil(channels / per);
  const plane = height * width;
  return (n: number, c: number, place: number): number => {
    const value = values[(n * words + Math.floor(c / per)) * plane + place]!;
    if (storage === 'f32') return value;
    const bits = value >>> bitOf(c, storage);
    return isCodes(storage) ? bits & largestCode(storage) : halfToFloat(bits & 0xffff);
  };
}

/** Stores float64 feature maps [N, C, H, W], as the kernels do. */
export function store(
  values: ArrayLike<number>,
  shape: readonly number[],
  storage: ActivationStorage,
  range?: ArrayLike<number>,
): Values {
  if (storage === 'f32') return Float64Array.from(values);
  const [n, channels, height, width] = shape as [number, number, number, number];
  const per = CHANNELS_PER_WORD[storage];
  const words = Math.ceil(channels / per);
  const plane = height * width;
  const out = new Uint32Array(n * words * plane);
  for (let image = 0; image < n; image++) {
    for (let c = 0; c < words * per; c++) {
      for (let place = 0; place < plane; place++) {
        const value = c < channels ? values[(image * channels + c) * plane + place]! : 0;
        const bits = isCodes(storage) ? activationCode(value, range!) : floatToHalf(value);
        out[(image * words + Math.floor(c / per)) * plane + place]! |= bits << bitOf(c, storage);
      }
    }
  }
  return out;
}

/** Storages in 32-bit words of several channels. */
export type WordStorage = 'f16' | CodeStorage;

interface StoreAttrs {
  readonly storage: WordStorage;
}

/**
 * Float feature maps as f16, u8 or u4 ones. @see ActivationStorage
 * @param x [N, C, H, W]
 * @param range [4], for u8 and u4 @see rangeOf
 * @returns u32 [N, ceil(C / 2, 4 or 8), H, W]
 */
export function storeActivations(x: Node, storage: WordStorage, range?: Node, label?: string): Node {
  return makeNode(storeOp, range ? [x, range] : [x], { storage }, label);
}

function expectRange(op: string, inputs: readonly TensorType[], storage: ActivationStorage, at: number): void {
  const ok = isCodes(storage)
    ? inputs[at] !== undefined && size(inputs[at]) === RANGE_LENGTH
    : inputs[at] === undefined;
  expectShapes(
    op,
    ok,
    inputs,
    isCodes(storage) ? 'a range f32[4] (scale, zero point, reciprocal of the scale, largest code)' : 'no range',
  );
}

interface ResizedStoreAttrs extends StoreAttrs {
  /** Height and width to which x is resized while it is read. */
  readonly resized?: readonly [number, number];
}

export const storeOp: Op<ResizedStoreAttrs, readonly ['f32', ...'f32'[]]> = {
  name: 'storeActivations',
  infer(inputs, { storage, resized }) {
    expectShapes('storeActivations', inputs[0].shape.length === 4, inputs, 'x [N, C, H, W]');
    expectRange('storeActivations', inputs, storage, 1);
    return storedType([...inputs[0].shape.slice(0, 2), ...(resized ?? inputs[0].shape.slice(2))], storage);
  },
  absorb(node, isOnlyUser) {
    const [x, ...range] = node.inputs;
    if (!isOf(x, resizeBilinearOp) || node.attrs.resized || !isOnlyUser(x)) return undefined;
    const [, , height, width] = nchw(x.type);
    return makeNode(storeOp, [x.inputs[0], ...range], { ...node.attrs, resized: [height, width] }, node.label);
  },
  reference([x, range], node) {
    const { storage, resized } = node.attrs;
    const { type } = node.inputs[0];
    if (!resized) return store(x, type.shape, storage, range);
    return store(resizeReference(x, type, resized), [...type.shape.slice(0, 2), ...resized], storage, range);
  },
  cost: (node) => ({ flops: 4 * size(node.inputs[0].type), bytes: 4 * (size(node.inputs[0].type) + size(node.type)) }),
  variants: [
    {
      name: 'element',
      supports: (_, { attrs }) => attrs.resized === undefined,
      kernel(node) {
        const [, channels, height, width] = nchw(node.inputs[0].type);
        return {
          shader: { name: 'store_activations.wgsl', source: storeShader },
          defines: { TO_WORDS: 1, BITS: storedBits(node.attrs.storage) },
          params: { channels: u32(channels), height: u32(height), width: u32(width) },
          grid: planeGrid(node.type),
        };
      },
    },
    {
      name: 'resized',
      supports: (_, { attrs }) => attrs.resized !== undefined,
      madeFor: 'gpu',
      kernel(node) {
        const [, channels, height, width] = nchw(node.inputs[0].type);
        const [outHeight, outWidth] = node.attrs.resized!;
        return {
          shader: { name: 'store_resized.wgsl', source: storeResizedShader },
          defines: { BITS: storedBits(node.attrs.storage) },
          params: {
            channels: u32(channels),
            height: u32(height),
            width: u32(width),
            outHeight: u32(outHeight),
            outWidth: u32(outWidth),
            scaleX: f32(width / outWidth),
            scaleY: f32(height / outHeight),
          },
          grid: planeGrid(node.type),
        };
      },
    },
  ],
};

interface LoadAttrs extends StoreAttrs {
  readonly channels: number;
}

/** The reverse of {@link storeActivations}. @returns [N, channels, H, W] */
export function loadActivations(
  words: Node,
  channels: number,
  storage: WordStorage,
  range?: Node,
  label?: string,
): Node {
  return makeNode(loadOp, range ? [words, range] : [words], { storage, channels }, label);
}

export const loadOp: Op<LoadAttrs, readonly ['u32', ...'f32'[]]> = {
  name: 'loadActivations',
  infer(inputs, { storage, channels }) {
    const [n, words, h, w] = nchw(inputs[0]);
    const ok = words === Math.ceil(channels / CHANNELS_PER_WORD[storage]) && inputs[0].dtype === 'u32';
    expectShapes('loadActivations', ok, inputs, `words of ${channels} channels`);
    expectRange('loadActivations', inputs, storage, 1);
    return { shape: [n, channels, h, w], dtype: 'f32' };
  },
  reference([words, range], node) {
    const [n, channels, h, w] = nchw(node.type);
    const read = reader(words, node.type.shape, node.attrs.storage);
    const y = new Float64Array(size(node.type));
    let at = 0;
    for (let image = 0; image < n; image++) {
      for (let c = 0; c < channels; c++) {
        for (let place = 0; place < h * w; place++) {
          const value = read(image, c, place);
          y[at++] = range ? (value - range[1]!) * range[0]! : value;
        }
      }
    }
    return y;
  },
  variants: [
    {
      name: 'element',
      kernel(node) {
        const [, channels, height, width] = nchw(node.type);
        return {
          shader: { name: 'store_activations.wgsl', source: storeShader },
          defines: { TO_WORDS: 0, BITS: storedBits(node.attrs.storage) },
          params: { channels: u32(channels), height: u32(height), width: u32(width) },
          grid: planeGrid(node.type),
        };
      },
    },
  ],
};

interface PadAttrs {
  readonly padding: number;
  readonly storage: WordStorage;
}

/**
 * Rows and columns of zeros around stored activations: in u8 and u4 of the zero point's code.
 * @param words [N, C', H, W]
 * @param range [4], for u8 and u4 @see rangeOf
 */
export function padWords(words: Node, padding: number, storage: WordStorage, range?: Node, label?: string): Node {
  return makeNode(padWordsOp, range ? [words, range] : [words], { padding, storage }, label);
}

export const padWordsOp: Op<PadAttrs, readonly ['u32', ...'f32'[]]> = {
  name: 'padWords',
  infer(inputs, { padding, storage }) {
    expectShapes('padWords', inputs[0].shape.length === 4 && inputs[0].dtype === 'u32', inputs, 'words [N, C, H, W]');
    expectRange('padWords', inputs, storage, 1);
    const [n, c, h, w] = nchw(inputs[0]);
    return { shape: [n, c, h + 2 * padding, w + 2 * padding], dtype: 'u32' };
  },
  reference([words, range], node) {
    const { padding, storage } = node.attrs;
    const [n, c, h, w] = nchw(node.inputs[0].type);
    const [, , oh, ow] = nchw(node.type);
    const y = new Uint32Array(size(node.type)).fill(isCodes(storage) ? range![1]! * EVERY_CHANNEL[storage] : 0);
    for (let plane = 0; plane < n * c; plane++) {
      for (let iy = 0; iy < h; iy++) {
        for (let ix = 0; ix < w; ix++) {
          y[(plane * oh + iy + padding) * ow + ix + padding] = words[(plane * h + iy) * w + ix]!;
        }
      }
    }
    return y;
  },
  variants: [
    {
      name: 'copy',
      kernel(node) {
        const { padding, storage } = node.attrs;
        const [, , height, width] = nchw(node.inputs[0].type);
        return {
          shader: { name: 'pad_words.wgsl', source: padShader },
          defines: { CODES: isCodes(storage) ? EVERY_CHANNEL[storage] : 0 },
          params: { height: u32(height), width: u32(width), padding: u32(padding) },
          grid: planeGrid(node.type),
        };
      },
    },
  ],
};

/**
 * Mean over 2x2 windows with stride 2 of u8 activations, rounded once.
 * @param words [N, ceil(C / 4), H, W] @param inRange @param outRange [4] @see rangeOf
 * @returns [N, ceil(C / 4), floor(H / 2), floor(W / 2)]
 */
export function poolWords(words: Node, inRange: Node, outRange: Node, label?: string): Node {
  return makeNode(poolWordsOp, [words, inRange, outRange], {}, label);
}

export const poolWordsOp: Op<Record<string, never>, readonly ['u32', 'f32', 'f32']> = {
  name: 'poolWords',
  infer(inputs) {
    const [words, inRange, outRange] = inputs;
    const ranges = [inRange, outRange].every((range) => size(range) === RANGE_LENGTH);
    const ok = words.shape.length === 4 && words.dtype === 'u32' && ranges;
    expectShapes('poolWords', ok, inputs, 'words [N, C, H, W] and two ranges f32[4]');
    const [n, c, h, w] = nchw(words);
    return { shape: [n, c, h >> 1, w >> 1], dtype: 'u32' };
  },
  reference([words, inRange, outRange], node) {
    const [, , h, w] = nchw(node.inputs[0].type);
    const [n, c, oh, ow] = nchw(node.type);
    const y = new Uint32Array(size(node.type));
    for (let i = 0; i < n * c * oh * ow; i++) {
      const at = (Math.floor(i / (oh * ow)) * h + 2 * (Math.floor(i / ow) % oh)) * w + 2 * (i % ow);
      for (let k = 0; k < 32; k += 8) {
        const sum = [at, at + 1, at + w, at + w + 1].reduce((s, from) => s + ((words[from]! >>> k) & 255), 0);
        const value = (sum / 4 - inRange[1]!) * inRange[0]!;
        y[i]! |= activationCode(value, outRange) << k;
      }
    }
    return y;
  },
  variants: [
    {
      name: 'element',
      kernel(node) {
        const [, , height, width] = nchw(node.inputs[0].type);
        const [, , outHeight, outWidth] = nchw(node.type);
        return {
          shader: { name: 'pool_words.wgsl', source: poolShader },
          params: { height: u32(height), width: u32(width), outHeight: u32(outHeight), outWidth: u32(outWidth) },
          grid: planeGrid(node.type),
        };
      },
    },
  ],
};

const RANGE_GROUPS = 64;
const RANGE_WORKGROUP = 64;

interface RangeAttrs {
  readonly partial: boolean;
  /** Largest code. */
  readonly most: number;
}

/** The smallest distance of two values that gets a scale of its own: below, its reciprocal nears the largest float. */
export const SMALLEST_SPAN = 2 ** -100;

/**
 * The range of codes of activations from their own smallest and largest value, zero included: quantization that needs no
 * calibration and costs a pass over the data.
 * @param most largest code
 * @returns [4] @see rangeOf
 */
export function activationRange(x: Node, most = 255, label?: string): Node {
  return makeNode(activationRangeOp, [x], { partial: false, most }, label);
}

export const activationRangeOp: Op<RangeAttrs, readonly ['f32']> = {
  name: 'activationRange',
  infer: (_, { partial }) => ({ shape: partial ? [RANGE_GROUPS, 2] : [RANGE_LENGTH], dtype: 'f32' }),
  reference([x], { attrs: { most } }) {
    let [low, high] = [0, 0];
    for (let i = 0; i < x.length; i++) {
      low = Math.min(low, x[i]!);
      high = Math.max(high, x[i]!);
    }
    const span = Math.fround(high - low);
    const isFlat = span < SMALLEST_SPAN;
    const reciprocal = isFlat ? 1 : Math.fround(most / span);
    const zeroPoint = Math.min(Math.max(roundHalfEven(Math.fround(-low * reciprocal)), 0), most);
    return Float64Array.of(isFlat ? 1 : Math.fround(span / most), zeroPoint, reciprocal, most);
  },
  variants: [
    {
      name: 'twoPasses',
      lower(node) {
        const { partial, most } = node.attrs;
        if (partial || isOf(node.inputs[0], activationRangeOp)) return undefined;
        const parts = makeNode(activationRangeOp, node.inputs, { partial: true, most }, `${node.label}.parts`);
        return makeNode(activationRangeOp, [parts], { partial: false, most }, node.label);
      },
      kernel: (node) => ({
        shader: { name: 'activation_range.wgsl', source: rangeShader },
        defines: {
          PARTIAL: Number(node.attrs.partial),
          WORKGROUP: RANGE_WORKGROUP,
          SMALLEST_SPAN,
          MOST: node.attrs.most,
        },
        params: { size: u32(node.attrs.partial ? size(node.inputs[0].type) : RANGE_GROUPS) },
        grid: [node.attrs.partial ? RANGE_GROUPS : 1],
      }),
    },
  ],
};
