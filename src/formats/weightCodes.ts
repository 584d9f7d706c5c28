import { UserError } from '../errors.ts';
import { roundHalfEven } from './half.ts';

/** Bit-widths of quantized weights. */
export const WEIGHT_BITS = [2, 3, 4, 5, 6, 7, 8] as const;
/** A width of integer weights. */
export type WeightBits = (typeof WEIGHT_BITS)[number];

/** Smallest and largest code of a width. 8 bits leave out -128, so that products of two codes and their sums stay symmetric. */
export function codeRange(bits: WeightBits): readonly [least: number, most: number] {
  return bits === 8 ? [-127, 127] : [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1];
}

/**
 * What is added to a code before it is scaled: 2 bits stand for the four half steps -1.5, -0.5, 0.5, 1.5, all other widths
 * for whole steps.
 */
export function codeOffset(bits: WeightBits): number {
  return bits === 2 ? 0.5 : 0;
}

/** Convolution weights as codes and scales: w = scale * (code + `codeOffset(bits)`). */
export interface QuantizedWeights {
  /** [CO, CI, KH, KW] */
  readonly shape: readonly number[];
  readonly bits: WeightBits;
  /** Input channels that share a scale; CI: one scale per output channel. */
  readonly groupSize: number;
  /** In the order of the weights, within `codeRange(bits)`. */
  readonly codes: Int8Array;
  /** [CO, CI / groupSize] */
  readonly scales: Float32Array;
}

/** How weights become codes. */
export interface WeightQuantizer {
  readonly bits: WeightBits;
  /** Input channels that share a scale; absent: all, so one scale per output channel. */
  readonly groupSize?: number | undefined;
  /**
   * `balanced` (the default): rounded such that the errors of a filter's taps sum to less than a step, for every input channel
   * and for the whole filter (SQuant, Guo et al. 2022). Where the input is smooth, as images are, errors then cancel.
   * `nearest`: every weight by itself.
   */
  readonly rounding?: 'balanced' | 'nearest' | undefined;
}

/** Scales tried between this share of the one that clips nothing, and that one. */
const SHRINK_FROM = 0.25;
const SHRINK_STEPS = 150;
/** Every so many steps are tried first, then those around the best. */
const COARSE = 5;

/**
 * Symmetric quantization of convolution weights, per output channel or per group of input channels. Each scale minimizes the
 * squared error of its weights over a search from clipping nothing downwards (RAAD, section on decomposition; BRECQ).
 * @param weights [CO, CI, KH, KW]
 * @throws UserError for a width or group size that does not exist, or weights that are not finite
 */
export function quantizeWeights(
  weights: Float32Array,
  shape: readonly number[],
  { bits, groupSize = shape[1]!, rounding = 'balanced' }: WeightQuantizer,
): QuantizedWeights {
  const [outChannels, inChannels, kernelHeight, kernelWidth] = shape as [number, number, number, number];
  if (!WEIGHT_BITS.includes(bits)) {
    throw new UserError(`weights cannot have ${bits} bits.`, `Use one of ${WEIGHT_BITS.join(', ')}.`);
  }
  if (!Number.isInteger(groupSize) || groupSize < 1 || inChannels % groupSize !== 0) {
    throw new UserError(
      `groups of ${groupSize} do not divide ${inChannels} input channels.`,
      'Use a divisor of their number.',
    );
  }
  const length = groupSize * kernelHeight * kernelWidth;
  const codes = new Int8Array(weights.length);
  const scales = new Float32Array(outChannels * (inChannels / groupSize));
  for (let group = 0; group < scales.length; group++) {
    const values = weights.subarray(group * length, (group + 1) * length);
    const scale = bestScale(values, bits);
    scales[group] = scale;
    const part = codes.subarray(group * length, (group + 1) * length);
    encode(values, scale, bits, part);
    if (rounding === 'balanced') balance(values, scale, bits, part, kernelHeight * kernelWidth);
  }
  return { shape, bits, groupSize, codes, scales };
}

/**
 * Codes for scales that are known already, such as learned ones.
 * @param weights [CO, CI, KH, KW] @param scales [CO, CI / groupSize]
 */
export function encodeWeights(
  weights: Float32Array,
  shape: readonly number[],
  bits: WeightBits,
  groupSize: number,
  scales: Float32Array,
): QuantizedWeights {
  const length = weights.length / scales.length;
  const codes = new Int8Array(weights.length);
  scales.forEach((scale, group) => {
    const at = group * length;
    encode(weights.subarray(at, at + length), scale, bits, codes.subarray(at, at + length));
  });
  return { shape, bits, groupSize, codes, scales };
}

function encode(values: Float32Array, scale: number, bits: WeightBits, codes: Int8Array): void {
  const [least, most] = codeRange(bits);
  const offset = codeOffset(bits);
  for (let i = 0; i < values.length; i++) {
    codes[i] = Math.min(Math.max(roundHalfEven(values[i]! / scale - offset), least), most);
  }
}

/** Rounds some codes of a filter to their other neighbor. @see WeightQuantizer.rounding */
function balance(values: Float32Array, scale: number, bits: WeightBits, codes: Int8Array, taps: number): void {
  const [least, most] = codeRange(bits);
  const offset = codeOffset(bits);
  const errors = Float64Array.from(codes, (code, i) => code + offset - values[i]! / scale);
  const moved = new Uint8Array(codes.length);
  /** The `count` weights whose code can best go one step against `sign`, largest error first. */
  const candidates = (from: number, to: number, sign: number): number[] => {
    const found: number[] = [];
    for (let i = from; i < to; i++) {
      const next = codes[i]! - sign;
      if (errors[i]! * sign > 0 && !moved[i] && next >= least && next <= most) found.push(i);
    }
    return found.sort((a, b) => (errors[b]! - errors[a]!) * sign);
  };
  const move = (i: number, sign: number) => {
    codes[i]! -= sign;
    errors[i]! -= sign;
    moved[i] = 1;
  };
  const kernels = codes.length / taps;
  const sums = new Float64Array(kernels);
  for (let kernel = 0; kernel < kernels; kernel++) {
    let sum = 0;
    for (let i = kernel * taps; i < (kernel + 1) * taps; i++) sum += errors[i]!;
    const sign = Math.sign(sum);
    const chosen = candidates(kernel * taps, (kernel + 1) * taps, sign).slice(0, Math.round(Math.abs(sum)));
    for (const i of chosen) move(i, sign);
    sums[kernel] = sum - sign * chosen.length;
  }
  const total = sums.reduce((all, sum) => all + sum, 0);
  const sign = Math.sign(total);
  const order = [...sums.keys()].sort((a, b) => (sums[b]! - sums[a]!) * sign);
  let left = Math.round(Math.abs(total));
  for (const kernel of order) {
    if (left === 0) break;
    const [i] = candidates(kernel * taps, (kernel + 1) * taps, sign);
    if (i === undefined) continue;
    move(i, sign);
    left--;
  }
}

function squaredError(values: Float32Array, scale: number, bits: WeightBits): number {
  const [least, most] = codeRange(bits);
  const offset = codeOffset(bits);
  let sum = 0;
  for (let i = 0; i < values.length; i++) {
    const code = Math.min(Math.max(roundHalfEven(values[i]! / scale - offset), least), most);
    sum += (values[i]! - scale * (code + offset)) ** 2;
  }
  return sum;
}

function bestScale(values: Float32Array, bits: WeightBits): number {
  let largest = 0;
  for (const value of values) largest = Math.max(largest, Math.abs(value));
  if (!Number.isFinite(largest)) throw new UserError('the weights hold values that are not finite.', 'Train anew.');
  // Any scale keeps zeros but that of 2 bits, which has no code for zero.
  if (largest === 0) return bits === 2 ? 2 ** -126 : 1;
  const [, most] = codeRange(bits);
  const widest = largest / (most + codeOffset(bits));
  let best = Math.fround(widest);
  let least = squaredError(values, best, bits);
  let bestStep = SHRINK_STEPS;
  const attempt = (step: number) => {
    // As it is stored, so that the search sees what inference will see.
    const scale = Math.fround(widest * (SHRINK_FROM + ((1 - SHRINK_FROM) * step) / SHRINK_STEPS));
    if (scale === 0) return;
    const error = squaredError(values, scale, bits);
    if (error < least) {
      least = error;
      best = scale;
      bestStep = step;
    }
  };
  for (let step = 0; step < SHRINK_STEPS; step += COARSE) attempt(step);
  const center = bestStep;
  for (let step = center - COARSE + 1; step < center + COARSE; step++) {
    if (step >= 0 && step < SHRINK_STEPS && step % COARSE !== 0) attempt(step);
  }
  return best;
}

/** The weights that the codes stand for. @returns [CO, CI, KH, KW] */
export function dequantizeWeights({ shape, bits, groupSize, codes, scales }: QuantizedWeights): Float32Array {
  const length = (codes.length / (shape[0]! * shape[1]!)) * groupSize;
  const offset = codeOffset(bits);
  const values = new Float32Array(codes.length);
  scales.forEach((scale, group) => {
    const end = (group + 1) * length;
    for (let i = end - length; i < end; i++) values[i] = scale * (codes[i]! + offset);
  });
  return values;
}

/** How close to the border of its code's decision interval a latent weight may lie, in steps: rounding on the device is not exact. */
const INTERVAL_MARGIN = 1e-3;

/**
 * Weights that round to given codes and differ as little as possible from others: where training with rounding starts.
 * @param weights [CO, CI, KH, KW] @returns the same shape
 */
export function latentWeights({ shape, bits, groupSize, codes, scales }: QuantizedWeights, weights: Float32Array) {
  const length = (codes.length / (shape[0]! * shape[1]!)) * groupSize;
  const offset = codeOffset(bits);
  const [least, most] = codeRange(bits);
  return Float32Array.from(weights, (weight, i) => {
    const scale = scales[Math.floor(i / length)]!;
    const code = codes[i]!;
    const low = code === least ? Number.NEGATIVE_INFINITY : code - 0.5 + INTERVAL_MARGIN;
    const high = code === most ? Number.POSITIVE_INFINITY : code + 0.5 - INTERVAL_MARGIN;
    return scale * (Math.min(Math.max(weight / scale - offset, low), high) + offset);
  });
}

/** Bytes of packed codes: bits / 32 of what float32 takes, rounded up to whole 32-bit words. */
export function packedBytes(count: number, bits: WeightBits): number {
  return Math.ceil((count * bits) / 32) * 4;
}

/**
 * Codes as a stream of bits: code i takes the bits from i * bits on, least significant first, as code - least code, an
 * unsigned number. Bit k of the stream is bit k % 8 of byte floor(k / 8). What is left of the last 32-bit word is zero.
 */
export function packCodes(codes: Int8Array, bits: WeightBits): Uint8Array {
  const [least] = codeRange(bits);
  const bytes = new Uint8Array(packedBytes(codes.length, bits));
  for (let i = 0; i < codes.length; i++) {
    const at = i * bits;
    const value = (codes[i]! - least) << (at % 8);
    bytes[at >> 3]! |= value & 0xff;
    if (value > 0xff) bytes[(at >> 3) + 1]! |= value >> 8;
  }
  return bytes;
}

/**
 * The reverse of {@link packCodes}.
 * @param source names the stream in messages
 * @throws UserError when the stream has another length, holds a code that the width does not have, or bits behind its end
 */
export function unpackCodes(bytes: Uint8Array, count: number, bits: WeightBits, source = 'the codes'): Int8Array {
  if (bytes.length !== packedBytes(count, bits)) {
    throw new UserError(
      `${source}: ${count} codes of ${bits} bits take ${packedBytes(count, bits)} bytes, not ${bytes.length}.`,
      'The file is damaged.',
    );
  }
  const [least, most] = codeRange(bits);
  const mask = 2 ** bits - 1;
  const codes = new Int8Array(count);
  // Bits that have been read and not used: always fewer than a code and a byte together.
  let waiting = 0;
  let held = 0;
  let next = 0;
  for (let i = 0; i < count; i++) {
    if (held < bits) {
      waiting |= bytes[next++]! << held;
      held += 8;
    }
    const code = (waiting & mask) + least;
    waiting >>= bits;
    held -= bits;
    if (code > most)
      throw new UserError(`${source}: code ${code} does not exist in ${bits} bits.`, 'The file is damaged.');
    codes[i] = code;
  }
  for (let k = count * bits; k < bytes.length * 8; k++) {
    if ((bytes[k >> 3]! >> (k % 8)) & 1)
      throw new UserError(`${source}: there are bits behind the last code.`, 'The file is damaged.');
  }
  return codes;
}
