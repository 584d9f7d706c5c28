import { type Node, Parameter } from '../engine/graph.ts';
import { channelDistance } from '../kernels/channelDistance.ts';
import { conv2d } from '../kernels/conv2d.ts';
import type { Conv2dAttrs } from '../kernels/conv2dShape.ts';
import { halvesError } from '../kernels/halves.ts';
import { resizeBilinear } from '../kernels/resizeBilinear.ts';
import { standardize } from '../kernels/standardize.ts';
import { rangeOf, storeActivations } from '../kernels/storage.ts';
import { type Absorption, type Case, normal as f, type InputSpec } from './cases.ts';

export type Shape4 = readonly [number, number, number, number];

/** Rounding errors of Winograd's method are larger than those of the plain sum, by this factor squared. */
export const WINOGRAD_ERROR = 64;

const RESIZED_INPUT = { op: 'winogradInput', variant: 'resized', plain: 'tile' } as const;
const RESIZED_HALVES = { ...RESIZED_INPUT, op: 'winogradHalvesInput' } as const;
const STAGED = { op: 'conv2dTile', variant: 'staged', plain: 'tile' } as const;
const SHARED = { op: 'sharedDistance', variant: 'shared' } as const;

/** A convolution of a resized plane. @param x [N, CI, H, W] @param to its sides @param w output channels and kernel size */
function resized(
  [n, ci, h, width]: Shape4,
  to: readonly [number, number],
  [co, k]: readonly [number, number],
  attrs: Partial<Conv2dAttrs>,
  variant: string,
): Case {
  const isWinograd = variant.startsWith('winograd');
  const tile = variant.match(/^winograd(\d)Halves$/)?.[1];
  return {
    name: `conv2d ${n}x${ci}x${h}x${width} resized to ${to.join('x')} -> ${co}, k${k} ${JSON.stringify(attrs)} by ${variant}`,
    inputs: [f(n, ci, h, width), f(co, ci / (attrs.groups ?? 1), k, k), f(co)],
    build: ([x, w, b]) => conv2d(resizeBilinear(x!, ...to), w!, b, attrs, 'y'),
    reduction: ci * k * k * (isWinograd ? WINOGRAD_ERROR : 1),
    absorbs: {
      ...(tile ? RESIZED_HALVES : isWinograd ? RESIZED_INPUT : STAGED),
      rounding: tile ? halvesError({ m: Number(tile), k }) : undefined,
      steps: [`conv2d/${variant}`],
      variants: { conv2d: variant },
      dispatches: isWinograd ? 3 : variant.startsWith('split') ? 2 : 1,
    },
  };
}

/**
 * A convolution in parts, which the next one adds, with a resize in between if there is one.
 * @param middle output channels of the first one, then of the second, and its kernel size
 */
function inParts(
  [n, ci, h, width]: Shape4,
  [middle, co, k]: readonly [number, number, number],
  attrs: Partial<Conv2dAttrs> & { readonly bias?: boolean; readonly to?: readonly [number, number] },
  variant: string,
): Case {
  const { bias = true, to, ...rest } = attrs;
  const by = to ? ` resized to ${to.join('x')}` : '';
  return {
    name: `conv2d ${n}x${ci}x${h}x${width} -> ${middle} in parts${by} -> ${co}, k${k} ${JSON.stringify(rest)} by ${variant}`,
    inputs: [f(n, ci, h, width), f(middle, ci, 3, 3), ...(bias ? [f(middle)] : []), f(co, middle, k, k), f(co)],
    build(inputs) {
      const [x, first] = inputs as [Node, Node];
      const [second, b] = inputs.slice(-2) as [Node, Node];
      const y = conv2d(x, first, bias ? inputs[2] : undefined, { padding: 1, relu: bias }, 'first');
      return conv2d(to ? resizeBilinear(y, ...to) : y, second, b, rest, 'second');
    },
    // Of values that are sums themselves.
    reduction: middle * k * k + ci * 9,
    absorbs: {
      ...STAGED,
      steps: [`conv2d/${variant}`],
      variants: { 'conv2d/first': 'split16x4', 'conv2d/second': variant },
      dispatches: variant.startsWith('split') ? 3 : 2,
    },
  };
}

/** How a distance absorbs what is before it. */
export const distances: Pick<Absorption, 'op' | 'variant' | 'variants' | 'dispatches'> = {
  ...SHARED,
  variants: { channelDistance: 'shared' },
  dispatches: 1,
};

const map = [f(2, 7, 5, 6), f(2, 7, 5, 6)];
const standard: readonly InputSpec[] = [f(7), { shape: [7], fill: 'positive' }];

/** Rows for dispatches that take in what produces their inputs. */
export const absorptionTable: readonly Case[] = [
  resized([2, 5, 7, 9], [13, 17], [9, 4], { padding: 2, relu: true }, 'winograd3'),
  resized([1, 3, 5, 4], [8, 15], [6, 4], {}, 'winograd2'),
  resized([2, 4, 1, 1], [3, 3], [5, 4], { padding: 2 }, 'winograd3'),
  resized([1, 2, 2, 2], [15, 11], [4, 3], { padding: 1 }, 'winograd4'),
  resized([1, 3, 17, 12], [8, 7], [5, 3], { padding: 1, relu: true }, 'winograd4'),
  resized([1, 3, 9, 5], [7, 11], [5, 3], { padding: 1, pool: true }, 'winograd2'),
  resized([2, 6, 6, 6], [6, 6], [128, 4], { padding: 1, groups: 2 }, 'winograd3'),
  resized([2, 5, 7, 9], [13, 17], [9, 4], { padding: 2, relu: true }, 'winograd3Halves'),
  resized([1, 3, 17, 12], [8, 7], [5, 3], { padding: 1, relu: true }, 'winograd4Halves'),
  resized([1, 9, 5, 6], [9, 11], [35, 4], { padding: 2, relu: true }, 'tile32x32'),
  resized([2, 5, 4, 3], [7, 7], [9, 3], { stride: 2, pool: true }, 'tile32x64'),
  resized([3, 20, 1, 1], [3, 3], [18, 4], { padding: 2, relu: true }, 'split16x4'),
  resized([1, 17, 9, 8], [5, 6], [40, 5], { padding: 2 }, 'split32x32'),
  resized([1, 28, 4, 4], [8, 8], [64, 3], { padding: 1, groups: 2 }, 'split32x32'),
  inParts([1, 32, 4, 4], [37, 20, 4], { stride: 2, padding: 1, relu: true }, 'split16x4'),
  inParts([2, 29, 3, 5], [24, 35, 5], { padding: 2 }, 'split32x32'),
  inParts([1, 40, 5, 5], [6, 9, 3], { bias: false }, 'tile32x32'),
  inParts([1, 30, 3, 3], [16, 20, 4], { padding: 2, relu: true, to: [7, 6] }, 'split16x4'),
  inParts([2, 64, 1, 1], [16, 18, 3], { padding: 1, to: [3, 3], bias: false }, 'tile32x32'),
  {
    name: 'channelDistance of what is standardized',
    inputs: [...map, ...standard],
    build: ([a, b, mean, deviation]) => channelDistance(standardize(a!, mean!, deviation!), b),
    reduction: 7,
    absorbs: { ...distances, steps: ['channelDistance/shared'] },
  },
  ...(['u8', 'u4', 'f16'] as const).map((storage): Case => {
    const range = new Parameter(
      'range',
      { shape: [4], dtype: 'f32' },
      storage === 'u4' ? rangeOf(0.371, 7, 15) : rangeOf(0.0371, 117),
    ).node;
    return {
      name: `storeActivations ${storage} of what is resized`,
      inputs: [f(2, 7, 5, 9)],
      build: ([x]) => storeActivations(resizeBilinear(x!, 8, 7), storage, storage === 'f16' ? undefined : range),
      storage,
      // A sum of four may be rounded to the neighboring code or half.
      units: 1,
      absorbs: {
        ...{ op: 'storeActivations', variant: 'resized', plain: 'element', variants: {}, steps: [] },
        dispatches: 1,
      },
    };
  }),
];
