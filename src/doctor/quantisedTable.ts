import { layerNodes, randomWeights, rangeNode as range } from '../bench/kernels.ts';
import { makeNode } from '../engine/graph.ts';
import { fakeQuantiseGradOp, fakeQuantiseOp, fakeQuantiseScaleGradOp } from '../kernels/fakeQuantise.ts';
import { type Qconv2dAttrs, qconv2d, qmatmul } from '../kernels/qconv2d.ts';
import {
  type ActivationStorage,
  activationRange,
  loadActivations,
  padWords,
  poolWords,
  storeActivations,
} from '../kernels/storage.ts';
import { WEIGHT_BITS, type WeightBits } from '../quantisation/weights.ts';
import type { Case, InputSpec } from './table.ts';

interface Row extends Partial<Omit<Qconv2dAttrs, 'weights' | 'bits'>> {
  readonly perf?: boolean;
  readonly full?: boolean;
  readonly fill?: InputSpec['fill'];
}

/** @param x [N, CI, H, W] @param w [CO, KH, KW] */
function qconv(bits: WeightBits, x: readonly number[], w: readonly [number, number, number], row: Row = {}): Case {
  const { perf, full, fill = 'bytes', ...given } = row;
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
  const shown = Object.entries({ ...given, ...(fill !== 'bytes' && { fill }) }).map(
    ([key, value]) => `${key} ${value}`,
  );
  return {
    name: `qconv2d w${bits} ${x.join('x')} * ${w.join('x')} ${shown.join(' ')}`,
    inputs: [{ shape: x, fill }],
    reduction: x[1]! * w[1] * w[2],
    bits,
    ...(perf && { perf }),
    ...(full && { full }),
    build: ([floats]) => {
      const inRange = attrs.input === 'u8' ? range(1, 100) : undefined;
      const stored = attrs.input === 'f32' ? floats! : storeActivations(floats!, attrs.input, inRange);
      return qconv2d(
        {
          x: stored,
          ...layerNodes(randomWeights(shape, bits, attrs.groupSize)),
          inRange,
          outRange: attrs.output === 'u8' ? range(64, 30) : undefined,
        },
        attrs,
      );
    },
  };
}

const storages: readonly ActivationStorage[] = ['u8', 'f16', 'f32'];

/** Widths at which kernels over float activations run by default: their decoders differ by the width alone. */
const FLOAT_WIDTHS: ReadonlySet<number> = new Set([2, 3, 5, 8]);

/** Every width over odd shapes, all storages on both sides, groups, strides, padding and pooling. What takes seconds to compile
 * runs at a few widths by default. */
const convolutions = WEIGHT_BITS.flatMap((bits): Case[] => [
  qconv(bits, [1, 3, 9, 11], [5, 4, 4], { output: 'u8', relu: true }),
  qconv(bits, [2, 8, 7, 13], [12, 3, 3], { padding: 1, output: 'u8' }),
  qconv(bits, [1, 12, 11, 19], [8, 4, 4], { pool: true, relu: true, output: 'u8', full: bits % 4 !== 0 }),
  qconv(bits, [1, 20, 10, 10], [9, 4, 4], { stride: 2, padding: 1 }),
  qconv(bits, [1, 16, 6, 21], [10, 3, 3], { groupSize: 8 }),
  qconv(bits, [1, 8, 5, 5], [66, 1, 1]),
  qconv(bits, [1, 64, 9, 9], [8, 5, 5], { output: 'f16', full: bits !== 8 }),
  qconv(bits, [1, 6, 9, 17], [7, 3, 3], { input: 'f32', fill: 'normal', pool: true, relu: true, full: bits !== 3 }),
  qconv(bits, [1, 7, 8, 9], [6, 4, 4], { input: 'f32', output: 'u8', padding: 2, full: !FLOAT_WIDTHS.has(bits) }),
  qconv(bits, [2, 5, 9, 10], [9, 3, 3], { input: 'f16', output: 'f16', padding: 1, full: !FLOAT_WIDTHS.has(bits) }),
  qconv(bits, [1, 16, 8, 8], [6, 4, 4], {
    ...{ input: 'f32', fill: 'normal', groupSize: 4, stride: 2 },
    full: !FLOAT_WIDTHS.has(bits),
  }),
  qconv(bits, [1, 32, 8, 8], [3, 8, 8]),
]);

const x: InputSpec = { shape: [2, 7, 5, 9], fill: 'bytes' };

export const quantisedTable: readonly Case[] = [
  ...convolutions,
  qconv(8, [1, 128, 62, 62], [256, 4, 4], { perf: true, relu: true, pool: true, output: 'u8' }),
  qconv(4, [1, 128, 62, 62], [256, 4, 4], { perf: true, relu: true, pool: true, output: 'u8' }),
  qconv(4, [1, 128, 62, 62], [256, 4, 4], { perf: true, input: 'f32', fill: 'normal' }),
  {
    name: 'qmatmul w5 33x10 * 10x21',
    inputs: [{ shape: [1, 10, 1, 21], fill: 'bytes' }],
    build: ([floats]) => {
      const weights = randomWeights([33, 10, 1, 1], 5);
      const inRange = range(1, 100);
      const inputs = { x: storeActivations(floats!, 'u8', inRange), ...layerNodes(weights), inRange };
      return qmatmul(inputs, { weights: weights.shape, bits: 5, groupSize: 10, input: 'u8', output: 'f32' });
    },
  },
  ...storages.slice(0, 2).flatMap((storage): Case[] => {
    const r = storage === 'u8' ? range(2, 50) : undefined;
    const stored = storage as 'u8' | 'f16';
    return [
      { name: `storeActivations ${storage}`, inputs: [x], build: ([a]) => storeActivations(a!, stored, r) },
      {
        name: `loadActivations ${storage}`,
        inputs: [x],
        build: ([a]) => loadActivations(storeActivations(a!, stored, r), 7, stored, r),
      },
      {
        name: `padWords ${storage}`,
        inputs: [x],
        build: ([a]) => padWords(storeActivations(a!, stored, r), 3, r),
      },
    ];
  }),
  {
    name: 'poolWords',
    inputs: [x],
    build: ([a]) => poolWords(storeActivations(a!, 'u8', range(2, 50)), range(2, 50), range(4, 20)),
  },
  ...[fakeQuantiseOp, fakeQuantiseGradOp, fakeQuantiseScaleGradOp].map(
    (op): Case => ({
      name: op.name,
      inputs: [{ shape: [6, 3, 5, 7] }, { shape: [3] }, ...(op === fakeQuantiseOp ? [] : [{ shape: [6, 3, 5, 7] }])],
      build: (inputs) => makeNode(op, inputs, { least: -2, most: 1, offset: 0.5 }),
    }),
  ),
  ...[fakeQuantiseOp, fakeQuantiseGradOp, fakeQuantiseScaleGradOp].map(
    (op): Case => ({
      name: `${op.name} of a long row`,
      inputs: [{ shape: [2, 37, 41] }, { shape: [1] }, ...(op === fakeQuantiseOp ? [] : [{ shape: [2, 37, 41] }])],
      build: (inputs) => makeNode(op, inputs, { least: -2, most: 2, offset: 0 }),
    }),
  ),
  { name: 'activationRange', inputs: [{ shape: [3, 1111] }], build: ([a]) => activationRange(a!) },
  {
    name: 'activationRange of zeros and positives',
    inputs: [{ shape: [5], fill: 'positive' }],
    build: ([a]) => activationRange(a!),
  },
];
