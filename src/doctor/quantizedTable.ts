import { makeNode } from '../engine/graph.ts';
import { WEIGHT_BITS, type WeightBits } from '../formats/weightCodes.ts';
import { fakeQuantizeGradOp, fakeQuantizeOp, fakeQuantizeScaleGradOp } from '../kernels/fakeQuantize.ts';
import { type Qconv2dAttrs, qconv2d, qmatmul } from '../kernels/qconv2d.ts';
import {
  activationRange,
  type CodeStorage,
  isCodes,
  largestCode,
  loadActivations,
  padWords,
  poolWords,
  storeActivations,
  type WordStorage,
} from '../kernels/storage.ts';
import { quantizedLayerNodes, randomWeights, rangeNode as range } from '../measure/kernels.ts';
import type { Case, InputSpec } from './cases.ts';

/** Scale and zero point. */
type Affine = readonly [scale: number, zeroPoint: number];

interface Row extends Partial<Omit<Qconv2dAttrs, 'weights' | 'bits'>> {
  readonly perf?: boolean | undefined;
  readonly full?: boolean | undefined;
  readonly fill?: InputSpec['fill'] | undefined;
  /** Of codes; powers of two by default, so that nothing depends on the order of rounding. */
  readonly ranges?: { readonly input: Affine; readonly output: Affine } | undefined;
}

const EXACT = {
  u8: { input: [1, 100], output: [64, 30] },
  u4: { input: [16, 6], output: [512, 7] },
} as const;

/** @param x [N, CI, H, W] @param w [CO, KH, KW] */
function qconv(bits: WeightBits, x: readonly number[], w: readonly [number, number, number], row: Row = {}): Case {
  const { perf, full, fill = 'bytes', ranges, ...given } = row;
  const shape = [w[0], x[1]!, w[1], w[2]];
  const attrs: Qconv2dAttrs = {
    weights: shape,
    bits,
    groupSize: x[1]!,
    input: 'u8',
    output: 'f32',
    stride: 1,
    padding: 0,
    relu: false,
    pool: false,
    ...given,
  };
  const rangeOf = (side: 'input' | 'output') => {
    const storage = attrs[side];
    return isCodes(storage) ? range(...(ranges ?? EXACT[storage])[side], largestCode(storage)) : undefined;
  };
  const shown = Object.entries({
    ...given,
    ...(fill !== 'bytes' && { fill }),
    ...(ranges && { scales: `${ranges.input[0]},${ranges.output[0]}` }),
  }).map(([key, value]) => `${key} ${value}`);
  return {
    name: `qconv2d w${bits} ${x.join('x')} * ${w.join('x')} ${shown.join(' ')}`,
    inputs: [{ shape: x, fill }],
    reduction: x[1]! * w[1] * w[2],
    bits,
    storage: attrs.output === 'f32' ? undefined : attrs.output,
    units: attrs.output === 'f16' || ranges ? 1 : undefined,
    perf,
    full,
    build: ([floats]) => {
      const inRange = rangeOf('input');
      const stored = attrs.input === 'f32' ? floats! : storeActivations(floats!, attrs.input, inRange);
      return qconv2d(
        {
          x: stored,
          ...quantizedLayerNodes(randomWeights(shape, bits, attrs.groupSize)),
          inRange,
          outRange: rangeOf('output'),
        },
        attrs,
      );
    },
  };
}

/** Widths at which all rows run by default: at others the first one alone, since kernels differ by the width's decoder only. */
const DEFAULT_WIDTHS: ReadonlySet<number> = new Set([2, 3, 5, 8]);

/** Odd shapes, all storages on both sides, groups, strides, padding and pooling. */
const convolutions = WEIGHT_BITS.flatMap((bits) =>
  atWidth(bits).map((row, i): Case => (i === 0 || DEFAULT_WIDTHS.has(bits) ? row : { ...row, full: true })),
);

function atWidth(bits: WeightBits): Case[] {
  return [
    qconv(bits, [1, 3, 9, 11], [5, 4, 4], { output: 'u8', relu: true }),
    qconv(bits, [2, 8, 7, 13], [12, 3, 3], { padding: 1, output: 'u8' }),
    qconv(bits, [1, 12, 11, 19], [8, 4, 4], { pool: true, relu: true, output: 'u8', full: bits % 4 !== 0 }),
    qconv(bits, [1, 20, 10, 10], [9, 4, 4], { stride: 2, padding: 1 }),
    qconv(bits, [1, 16, 6, 21], [10, 3, 3], { groupSize: 8 }),
    qconv(bits, [1, 8, 5, 5], [66, 1, 1]),
    qconv(bits, [1, 64, 9, 9], [8, 5, 5], { output: 'f16', full: bits !== 8 }),
    qconv(bits, [1, 6, 9, 17], [7, 3, 3], { input: 'f32', fill: 'normal', pool: true, relu: true, full: bits !== 3 }),
    qconv(bits, [1, 7, 8, 9], [6, 4, 4], { input: 'f32', output: 'u8', padding: 2 }),
    qconv(bits, [2, 5, 9, 10], [9, 3, 3], { input: 'f16', output: 'f16', padding: 1 }),
    qconv(bits, [1, 16, 8, 8], [6, 4, 4], { input: 'f32', fill: 'normal', groupSize: 4, stride: 2 }),
    qconv(bits, [1, 32, 8, 8], [3, 8, 8]),
  ];
}

const x: InputSpec = { shape: [2, 7, 5, 9], fill: 'bytes' };
const anyValues: InputSpec = { shape: [2, 7, 5, 9] };

/** Values between stores: those that the storage holds exactly, and any, with a scale that is no power of two. */
const stores: readonly {
  readonly name: string;
  readonly stored: WordStorage;
  readonly affine?: Affine;
  /** Largest code, of widths that do not fill the storage. */
  readonly most?: number;
  readonly values: InputSpec;
  readonly units: number;
}[] = [
  { name: 'u8', stored: 'u8', affine: [2, 50], values: x, units: 0 },
  { name: 'u8 of any scale', stored: 'u8', affine: [0.0371, 117], values: anyValues, units: 0 },
  { name: '6 bits', stored: 'u8', affine: [0.0871, 29], most: 63, values: anyValues, units: 0 },
  { name: 'u4', stored: 'u4', affine: [16, 6], values: x, units: 0 },
  { name: 'u4 of any scale', stored: 'u4', affine: [0.371, 7], values: anyValues, units: 0 },
  { name: 'f16', stored: 'f16', values: x, units: 1 },
  { name: 'f16 of any values', stored: 'f16', values: anyValues, units: 1 },
];

/** Scales that are no powers of two. Sums in another order may round to the neighboring code. */
const inexact = [
  qconv(8, [1, 12, 9, 11], [6, 3, 3], {
    ...{ output: 'u8', padding: 1, relu: true, pool: true },
    ranges: { input: [1.23, 90], output: [57.1, 30] },
  }),
  qconv(3, [1, 8, 7, 13], [12, 4, 4], { output: 'u8', ranges: { input: [1.23, 90], output: [3.71, 101] } }),
  qconv(5, [1, 12, 8, 9], [7, 3, 3], {
    ...{ input: 'f32', fill: 'normal', output: 'u8' },
    ranges: { input: [1, 0], output: [0.123, 120] },
  }),
];

/** Fewer input channels than a block holds, as images have, in floats; all widths of codes are among {@link convolutions}. */
const images = [
  qconv(8, [1, 3, 9, 10], [9, 3, 3], { input: 'f16' }),
  qconv(3, [1, 2, 8, 9], [6, 4, 4], { input: 'f32', padding: 1 }),
];

/** Activations of 4 bits, eight to a word, on either side. */
const nibbles = [
  qconv(4, [1, 12, 9, 11], [10, 3, 3], { input: 'u4', output: 'u4', padding: 1, relu: true }),
  qconv(8, [2, 37, 15, 19], [35, 4, 4], { input: 'u4', output: 'u4', relu: true, pool: true }),
  qconv(5, [1, 20, 10, 10], [9, 4, 4], { input: 'u4', stride: 2, padding: 1 }),
  qconv(3, [1, 16, 6, 21], [10, 3, 3], { input: 'u4', output: 'u8', groupSize: 8 }),
  qconv(6, [1, 8, 7, 13], [12, 3, 3], { output: 'u4', padding: 2 }),
  qconv(2, [1, 7, 8, 9], [6, 4, 4], { input: 'f32', output: 'u4' }),
];

/** Several blocks of channels and pixels, whole steps of 32 input channels and parts of one. */
const blocks = [
  qconv(4, [2, 64, 9, 11], [70, 3, 3], { padding: 1, relu: true, pool: true, output: 'u8' }),
  qconv(7, [2, 37, 17, 13], [131, 4, 4], { stride: 2, padding: 2, output: 'f16' }),
];

/** Tiles of Winograd's method that are cut by every edge, with and without pooling, and several blocks of channels. */
const tiles = [
  qconv(8, [1, 37, 14, 23], [35, 4, 4], { padding: 2, output: 'u8' }),
  qconv(6, [2, 9, 15, 13], [33, 3, 3], { padding: 1, relu: true, pool: true, output: 'u8' }),
  qconv(4, [1, 34, 21, 18], [37, 4, 4], { relu: true, pool: true, output: 'f16' }),
];

export const quantizedTable: readonly Case[] = [
  ...convolutions,
  ...inexact,
  ...images,
  ...nibbles,
  ...blocks,
  ...tiles,
  qconv(8, [1, 128, 62, 62], [256, 4, 4], { perf: true, relu: true, pool: true, output: 'u8' }),
  qconv(4, [1, 128, 62, 62], [256, 4, 4], { perf: true, relu: true, pool: true, output: 'u8' }),
  qconv(4, [1, 128, 62, 62], [256, 4, 4], { perf: true, input: 'f32', fill: 'normal' }),
  {
    name: 'qmatmul w5 33x10 * 10x21',
    inputs: [{ shape: [1, 10, 1, 21], fill: 'bytes' }],
    build: ([floats]) => {
      const weights = randomWeights([33, 10, 1, 1], 5);
      const inRange = range(1, 100);
      const inputs = { x: storeActivations(floats!, 'u8', inRange), ...quantizedLayerNodes(weights), inRange };
      return qmatmul(inputs, { weights: weights.shape, bits: 5, groupSize: 10, input: 'u8', output: 'f32' });
    },
  },
  ...stores.flatMap(({ name, stored, affine, most, values, units }): Case[] => {
    const r = affine && range(...affine, most ?? largestCode(stored as CodeStorage));
    const words = { inputs: [values], storage: stored, units };
    return [
      { name: `storeActivations ${name}`, ...words, build: ([a]) => storeActivations(a!, stored, r) },
      {
        name: `loadActivations ${name}`,
        // A half may be rounded either way.
        inputs: [stored === 'f16' ? x : values],
        build: ([a]) => loadActivations(storeActivations(a!, stored, r), 7, stored, r),
      },
      { name: `padWords ${name}`, ...words, build: ([a]) => padWords(storeActivations(a!, stored, r), 3, stored, r) },
    ];
  }),
  {
    name: 'poolWords',
    inputs: [x],
    storage: 'u8',
    build: ([a]) => poolWords(storeActivations(a!, 'u8', range(2, 50)), range(2, 50), range(4, 20)),
  },
  {
    name: 'poolWords of any scale',
    inputs: [anyValues],
    storage: 'u8',
    units: 1,
    build: ([a]) => {
      const inRange = range(0.0371, 117);
      return poolWords(storeActivations(a!, 'u8', inRange), inRange, range(0.0123, 101));
    },
  },
  ...[fakeQuantizeOp, fakeQuantizeGradOp, fakeQuantizeScaleGradOp].map(
    (op): Case => ({
      name: op.name,
      inputs: [{ shape: [6, 3, 5, 7] }, { shape: [3] }, ...(op === fakeQuantizeOp ? [] : [{ shape: [6, 3, 5, 7] }])],
      build: ([a, scale, ...dy]) => makeNode(op, [a!, scale!, ...dy], { least: -2, most: 1, offset: 0.5 }),
    }),
  ),
  ...[fakeQuantizeOp, fakeQuantizeGradOp, fakeQuantizeScaleGradOp].map(
    (op): Case => ({
      name: `${op.name} of a long row`,
      inputs: [{ shape: [2, 37, 41] }, { shape: [1] }, ...(op === fakeQuantizeOp ? [] : [{ shape: [2, 37, 41] }])],
      build: ([a, scale, ...dy]) => makeNode(op, [a!, scale!, ...dy], { least: -2, most: 2, offset: 0 }),
    }),
  ),
  { name: 'activationRange', inputs: [{ shape: [3, 1111] }], build: ([a]) => activationRange(a!) },
  { name: 'activationRange of 4 bits', inputs: [{ shape: [3, 1111] }], build: ([a]) => activationRange(a!, 15) },
  {
    name: 'activationRange of zeros and positives',
    inputs: [{ shape: [5], fill: 'positive' }],
    build: ([a]) => activationRange(a!),
  },
];
