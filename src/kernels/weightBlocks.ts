import type { QuantizedWeights, WeightBits } from '../formats/weightCodes.ts';

/*
 * Quantized weights of convolutions. In memory a layer of b bits takes b bits per weight: blocks of 8 output channels x 4
 * input channels at one tap are 32 codes in b words, channel i's four codes in the bits from 4 b i on, least significant
 * first, two's complement. All kernels read this order.
 */

/** Channels of a block of packed weights. */
export const BLOCK_OUT = 8;
export const BLOCK_IN = 4;

/** What a code counts for in the integer sums: 2 bits stand for the odd numbers -3, -1, 1, 3 of half a step each. */
export function codeValue(code: number, bits: WeightBits): number {
  return bits === 2 ? 2 * code + 1 : code;
}

/** Step of {@link codeValue}'s numbers, as a share of the weights' scale. */
export function codeStep(bits: WeightBits): number {
  return bits === 2 ? 0.5 : 1;
}

/** Words of a layer's packed weights: 32 codes in `bits` words. @param shape [CO, CI, KH, KW] */
export function packedWords(shape: readonly number[], bits: WeightBits): number {
  const [co, ci, kh, kw] = shape as [number, number, number, number];
  return Math.ceil(co / BLOCK_OUT) * Math.ceil(ci / BLOCK_IN) * kh * kw * bits;
}

/** Codes in the kernels' order. */
export function packBlocks({ shape, bits, codes }: QuantizedWeights): Uint32Array<ArrayBuffer> {
  const [co, ci, kh, kw] = shape as [number, number, number, number];
  const taps = kh * kw;
  const inWords = Math.ceil(ci / BLOCK_IN);
  const words = new Uint32Array(packedWords(shape, bits));
  for (let m = 0; m < co; m++) {
    for (let c = 0; c < ci; c++) {
      for (let t = 0; t < taps; t++) {
        const block = (Math.floor(m / BLOCK_OUT) * inWords + Math.floor(c / BLOCK_IN)) * taps + t;
        const bit = block * 32 * bits + ((m % BLOCK_OUT) * BLOCK_IN + (c % BLOCK_IN)) * bits;
        const code = codes[(m * ci + c) * taps + t]! & (2 ** bits - 1);
        words[bit >>> 5]! |= code << (bit & 31);
        if ((bit & 31) + bits > 32) words[(bit >>> 5) + 1]! |= code >>> (32 - (bit & 31));
      }
    }
  }
  return words;
}

/**
 * Per output channel and group: the step of the integers, and the sum of the weights' integers, which takes the activations'
 * zero point out of a sum of products. Input channels that only fill a word count in.
 * @returns [CO, CI / groupSize, 2]
 */
export function scaleTable({ shape, bits, groupSize, codes, scales }: QuantizedWeights): Float32Array<ArrayBuffer> {
  const [co, ci, kh, kw] = shape as [number, number, number, number];
  const taps = kh * kw;
  const groups = ci / groupSize;
  const missing = groups === 1 ? (BLOCK_IN - (ci % BLOCK_IN)) % BLOCK_IN : 0;
  const table = new Float32Array(co * groups * 2);
  for (let i = 0; i < co * groups; i++) {
    let sum = missing * taps * codeValue(0, bits);
    for (let k = 0; k < groupSize * taps; k++) sum += codeValue(codes[i * groupSize * taps + k]!, bits);
    table[2 * i] = scales[i]! * codeStep(bits);
    table[2 * i + 1] = sum;
  }
  return table;
}

/** The integers of packed weights [CO, CI, KH, KW]. */
export function unpackBlocks(words: ArrayLike<number>, shape: readonly number[], bits: WeightBits): Int32Array {
  const [co, ci, kh, kw] = shape as [number, number, number, number];
  const taps = kh * kw;
  const inWords = Math.ceil(ci / BLOCK_IN);
  return Int32Array.from({ length: co * ci * taps }, (_, i) => {
    const m = Math.floor(i / (ci * taps));
    const c = Math.floor(i / taps) % ci;
    const block = (Math.floor(m / BLOCK_OUT) * inWords + Math.floor(c / BLOCK_IN)) * taps + (i % taps);
    const bit = block * 32 * bits + ((m % BLOCK_OUT) * BLOCK_IN + (c % BLOCK_IN)) * bits;
    let code = words[bit >>> 5]! >>> (bit & 31);
    if ((bit & 31) + bits > 32) code |= words[(bit >>> 5) + 1]! << (32 - (bit & 31));
    return codeValue((code << (32 - bits)) >> (32 - bits), bits);
  });
}
