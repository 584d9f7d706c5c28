import type { Node } from '../engine/graph.ts';
import { Parameter } from '../engine/graph.ts';
import { conv2dInputGrad } from '../gradients/conv2dInputGrad.ts';
import { conv2dWeightGrad } from '../gradients/conv2dWeightGrad.ts';
import { reluGrad } from '../gradients/elementwiseGrad.ts';
import { avgPool2d } from '../kernels/avgPool2d.ts';
import { channelDistance } from '../kernels/channelDistance.ts';
import { concatOuter } from '../kernels/concat.ts';
import { conv2d } from '../kernels/conv2d.ts';
import { convDifference, convDistance } from '../kernels/convDistance.ts';
import { differenceWeights } from '../kernels/differenceWeights.ts';
import { dropout } from '../kernels/dropout.ts';
import { add, broadcast, scale, squaredDifference } from '../kernels/elementwise.ts';
import { adjustedImageToTensor, imageResize, imageToTensor, rgbToPixels, rgbWords } from '../kernels/image.ts';
import { imageWarp } from '../kernels/imageWarp.ts';
import { maximum, maximumInside } from '../kernels/maximum.ts';
import { pad2d } from '../kernels/pad2d.ts';
import { quantile } from '../kernels/quantile.ts';
import { resizeBilinear } from '../kernels/resizeBilinear.ts';
import { sliceOuter } from '../kernels/slice.ts';
import { standardize } from '../kernels/standardize.ts';
import { channelSum, mean } from '../kernels/sum.ts';
import { absorptionTable } from './absorptionTable.ts';
import { type Case, normal as f, pixels, positive, ties } from './cases.ts';
import { innerTable } from './innerTable.ts';
import { quantizedTable } from './quantizedTable.ts';
import { winogradTable } from './winogradTable.ts';

/** How much larger rounding errors of Winograd's method are than those of the plain sum. */
const WINOGRAD_ERROR = 8;

/** Turns and tilts: from points of a result of 41 x 30 to those of an image of 50 x 37. */
const PERSPECTIVE = [1.1, 0.2, 3, -0.15, 1.05, 7, 0.002, 0.003, 1];

interface Conv {
  readonly stride?: number;
  readonly padding?: number;
  readonly relu?: boolean;
  readonly pool?: boolean;
  readonly groups?: number;
  /** With it `x` has so many channels before those that are read, and one behind them. */
  readonly firstChannel?: number;
  readonly bias?: boolean;
  readonly perf?: boolean;
}

function conv(
  n: number,
  ci: number,
  h: number,
  w: number,
  co: number,
  k: number,
  { bias = true, perf = false, ...attrs }: Conv = {},
): Case {
  const channels = attrs.firstChannel === undefined ? ci : attrs.firstChannel + ci + 1;
  const options = Object.entries({ bias, ...attrs }).map(([key, value]) => `${key}=${value}`);
  return {
    name: `conv2d ${n}x${ci}x${h}x${w} -> ${co}, k${k} ${options.join(' ')}`,
    inputs: [f(n, channels, h, w), f(co, ci / (attrs.groups ?? 1), k, k), ...(bias ? [f(co)] : [])],
    build: ([x, weights, b]) => conv2d(x!, weights!, b, attrs),
    // Winograd's method adds and subtracts up to 21 times larger numbers on the way.
    reduction: ci * k * k * (k === 3 || k === 4 ? WINOGRAD_ERROR ** 2 : 1),
    gradient: attrs.pool || attrs.groups || attrs.firstChannel ? undefined : bias ? [0, 1, 2] : [0, 1],
    perf,
  };
}

function convInputGrad(
  n: number,
  ci: number,
  h: number,
  w: number,
  co: number,
  k: number,
  stride = 1,
  padding = 0,
): Case {
  const [oh, ow] = [h, w].map((side) => Math.floor((side + 2 * padding - k) / stride) + 1) as [number, number];
  return {
    name: `conv2dInputGrad ${n}x${ci}x${h}x${w} <- ${co}, k${k} s${stride} p${padding}`,
    inputs: [f(n, co, oh, ow), f(co, ci, k, k)],
    build: ([dy, weights]) => conv2dInputGrad(dy!, weights!, { stride, padding, shape: [n, ci, h, w] }),
    reduction: co * k * k * (k === 3 || k === 4 ? WINOGRAD_ERROR ** 2 : 1),
  };
}

function convWeightGrad(
  n: number,
  ci: number,
  h: number,
  w: number,
  co: number,
  k: number,
  stride = 1,
  padding = 0,
): Case {
  const [oh, ow] = [h, w].map((side) => Math.floor((side + 2 * padding - k) / stride) + 1) as [number, number];
  return {
    name: `conv2dWeightGrad ${n}x${ci}x${h}x${w} -> ${co}, k${k} s${stride} p${padding}`,
    inputs: [f(n, ci, h, w), f(n, co, oh, ow)],
    build: ([x, dy]) => conv2dWeightGrad(x!, dy!, { stride, padding, shape: [co, ci, k, k] }),
    reduction: n * oh * ow * (k === 3 || k === 4 ? WINOGRAD_ERROR ** 2 : 1),
  };
}

function convDistances(
  n: number,
  ci: number,
  h: number,
  w: number,
  co: number,
  k: number,
  {
    target = false,
    firstChannel = 0,
    extra = 0,
  }: { readonly target?: boolean; readonly firstChannel?: number; readonly extra?: number },
): Case {
  return {
    name: `convDistance ${n}x${ci}x${h}x${w} -> ${co}, k${k} from ${firstChannel}${target ? ' to a target' : ''}`,
    inputs: [
      f(n, firstChannel + ci + extra, h, w),
      f(co, ci, k, k),
      f(co),
      ...(target ? [f(n, co, h - k + 1, w - k + 1)] : []),
    ],
    build: ([x, weights, bias, to]) => convDistance(x!, weights!, bias!, to, { firstChannel }),
    reduction: ci * k * k * WINOGRAD_ERROR ** 2,
  };
}

/**
 * A distance between two convolutions.
 * @param x [N, CI, H, W] @param w output channels and kernel size @param target input channels, kernel size and padding
 */
function convDifferences(
  [n, ci, h, w]: readonly [number, number, number, number],
  [co, k]: readonly [number, number],
  [ct, kt, padding]: readonly [number, number, number],
  { firstChannel = 0, bias = true }: { readonly firstChannel?: number; readonly bias?: boolean } = {},
): Case {
  const side = (length: number) => length - k + kt - 2 * padding;
  return {
    name: `convDifference ${n}x${ci}x${h}x${w} -> ${co}, k${k} from ${firstChannel}, and ${ct} channels, k${kt} padding=${padding} bias=${bias}`,
    inputs: [
      f(n, firstChannel + ci, h, w),
      f(co, ci, k, k),
      f(co),
      f(n, ct, side(h), side(w)),
      f(co, ct, kt, kt),
      ...(bias ? [f(co)] : []),
    ],
    build([x, weights, shift, other, taps, otherShift]) {
      const target = conv2d(other!, taps!, otherShift, { padding });
      return convDifference(x!, weights!, shift!, target, { firstChannel });
    },
    reduction: (ci + ct) * k * k * WINOGRAD_ERROR ** 2,
  };
}

/** The training state at a given step, as a constant. */
const stateAt = (step: number): Node =>
  new Parameter('state', { shape: [4], dtype: 'u32' }, Uint32Array.of(step, 0, 0, 0)).node;

/** The rows that the doctor and the tests run: ops with the shapes and attributes that their variants treat differently. */
export const table: readonly Case[] = [
  conv(1, 3, 9, 9, 8, 4),
  conv(2, 3, 13, 11, 5, 4, { relu: true }),
  conv(1, 8, 7, 19, 16, 3, { padding: 1 }),
  conv(2, 5, 12, 35, 9, 4, { relu: true }),
  conv(1, 4, 10, 30, 65, 3, { bias: false }),
  conv(3, 7, 8, 8, 12, 4, { stride: 2, padding: 1, relu: true }),
  conv(2, 6, 9, 7, 10, 3, { stride: 2 }),
  conv(4, 6, 8, 8, 9, 8),
  conv(2, 9, 5, 6, 17, 1),
  conv(2, 4, 3, 3, 6, 4, { padding: 2, relu: true }),
  conv(1, 3, 16, 16, 4, 5, { padding: 2 }),
  conv(1, 3, 13, 11, 5, 4, { relu: true, pool: true }),
  conv(2, 4, 12, 23, 9, 4, { relu: true, pool: true }),
  conv(2, 5, 11, 8, 6, 3, { pool: true, padding: 1 }),
  conv(1, 6, 9, 10, 7, 4, { pool: true, stride: 2 }),
  conv(2, 8, 9, 13, 16, 4, { groups: 2, relu: true }),
  conv(1, 6, 8, 9, 128, 3, { groups: 2, pool: true }),
  conv(1, 9, 7, 7, 12, 3, { groups: 3, padding: 1, bias: false }),
  conv(1, 2, 7, 21, 130, 4, { padding: 3 }),
  conv(1, 32, 29, 44, 12, 3),
  conv(1, 64, 9, 12, 256, 3, { groups: 2 }),
  // Long sums of few outputs, in parts.
  conv(1, 24, 8, 8, 20, 8),
  conv(2, 37, 5, 4, 18, 4, { stride: 3, padding: 1, relu: true }),
  conv(1, 80, 7, 6, 64, 3, { groups: 2, padding: 1, relu: true, bias: false }),
  conv(2, 32, 6, 7, 64, 3, { groups: 2, firstChannel: 3, padding: 1 }),
  conv(1, 21, 11, 9, 35, 5, { stride: 2, padding: 2, pool: true }),
  conv(1, 32, 62, 62, 64, 4, { relu: true, perf: true }),
  conv(1, 64, 29, 29, 64, 3, { relu: true, perf: true }),
  conv(1, 64, 27, 27, 128, 4, { perf: true }),
  conv(1, 3, 128, 128, 32, 4, { relu: true, perf: true }),
  conv(1, 128, 62, 62, 256, 4, { relu: true, perf: true }),
  convInputGrad(2, 5, 12, 19, 9, 4),
  convInputGrad(1, 8, 9, 9, 16, 3, 1, 1),
  convInputGrad(2, 6, 10, 8, 7, 4, 2, 1),
  convInputGrad(1, 3, 9, 7, 5, 3, 2),
  convInputGrad(2, 4, 8, 8, 6, 8),
  convInputGrad(2, 4, 3, 3, 6, 4, 1, 2),
  convWeightGrad(2, 5, 12, 19, 9, 4),
  convWeightGrad(1, 3, 33, 31, 16, 4),
  convWeightGrad(3, 3, 21, 18, 19, 4, 2, 1),
  convWeightGrad(2, 17, 9, 9, 8, 3, 1, 1),
  // Enough tiles for several splits, whole and in part.
  convWeightGrad(1, 5, 70, 67, 9, 4),
  convWeightGrad(3, 34, 37, 38, 66, 3, 1, 1),
  convWeightGrad(2, 6, 10, 8, 7, 4, 2, 1),
  convWeightGrad(3, 4, 8, 8, 6, 8),
  convWeightGrad(2, 9, 5, 6, 17, 1),
  { name: 'avgPool2d even', inputs: [f(2, 3, 8, 6)], build: ([x]) => avgPool2d(x!), gradient: [0] },
  { name: 'avgPool2d odd', inputs: [f(1, 5, 7, 9)], build: ([x]) => avgPool2d(x!), gradient: [0] },
  { name: 'avgPool2d padded', inputs: [f(2, 3, 7, 8)], build: ([x]) => avgPool2d(x!, { padding: 1 }), gradient: [0] },
  { name: 'resizeBilinear up', inputs: [f(2, 3, 5, 4)], build: ([x]) => resizeBilinear(x!, 8, 15), gradient: [0] },
  { name: 'resizeBilinear down', inputs: [f(1, 4, 17, 12)], build: ([x]) => resizeBilinear(x!, 8, 7), gradient: [0] },
  {
    name: 'resizeBilinear from one pixel',
    inputs: [f(2, 4, 1, 1)],
    build: ([x]) => resizeBilinear(x!, 3, 3),
    gradient: [0],
  },
  { name: 'resizeBilinear same', inputs: [f(1, 2, 6, 6)], build: ([x]) => resizeBilinear(x!, 6, 6), gradient: [0] },
  {
    name: 'dropout',
    inputs: [f(3, 5, 7)],
    build: ([x]) => dropout(x!, stateAt(7), { rate: 0.2, seed: 9, node: 3 }),
    gradient: [0],
  },
  { name: 'add', inputs: [f(7, 11), f(7, 11)], build: ([a, b]) => add(a!, b!), gradient: [0, 1] },
  { name: 'scale', inputs: [f(130)], build: ([a]) => scale(a!, -1.5), gradient: [0] },
  { name: 'broadcast', inputs: [f()], build: ([a]) => broadcast(a!, [3, 70], 0.25) },
  { name: 'reluGrad', inputs: [f(4, 33), f(4, 33)], build: ([dy, y]) => reluGrad(dy!, y!) },
  {
    name: 'squaredDifference',
    inputs: [f(5, 13), f(5, 13)],
    build: ([a, b]) => squaredDifference(a!, b!),
    gradient: [0, 1],
  },
  { name: 'standardize', inputs: [f(2, 3, 4, 5), f(3), positive(3)], build: ([x, m, s]) => standardize(x!, m!, s!) },
  { name: 'mean', inputs: [f(3, 5, 67)], build: ([x]) => mean(x!), gradient: [0], reduction: 1005 },
  { name: 'channelSum', inputs: [f(3, 5, 9, 7)], build: ([x]) => channelSum(x!), reduction: 189 },
  { name: 'channelSum of large planes', inputs: [f(2, 3, 47, 53)], build: ([x]) => channelSum(x!), reduction: 4982 },
  { name: 'mean of many', inputs: [positive(71, 1009)], build: ([x]) => mean(x!), reduction: 71_639 },
  {
    name: 'pad2d',
    inputs: [f(2, 3, 4, 5)],
    build: ([x]) => pad2d(x!, { top: 1, bottom: 2, left: 3, right: 0 }),
    gradient: [0],
  },
  {
    name: 'pad2d crop',
    inputs: [f(1, 2, 6, 7)],
    build: ([x]) => pad2d(x!, { top: -1, bottom: -2, left: 1, right: -3 }),
  },
  {
    name: 'pad2d mirrored',
    inputs: [f(2, 3, 5, 8)],
    build: ([x]) => pad2d(x!, { top: 2, bottom: 4, left: 7, right: 1, mirrored: true }),
  },
  {
    name: 'pad2d mirrored on one side',
    inputs: [f(1, 2, 9, 7)],
    build: ([x]) => pad2d(x!, { bottom: 8, right: 6, mirrored: true }),
  },
  { name: 'pad2d dilated', inputs: [f(1, 2, 3, 4)], build: ([x]) => pad2d(x!, { top: 1, left: 2, dilation: 2 }) },
  { name: 'sliceOuter', inputs: [f(8, 3, 2)], build: ([x]) => sliceOuter(x!, 3, 4), gradient: [0] },
  { name: 'quantile 0.999', inputs: [f(3, 5000)], build: ([x]) => quantile(x!, 0.999) },
  { name: 'quantile 0.5 even', inputs: [f(2, 1024)], build: ([x]) => quantile(x!, 0.5) },
  { name: 'quantile with ties', inputs: [ties(2, 3000)], build: ([x]) => quantile(x!, 0.9) },
  { name: 'quantile 0', inputs: [f(2, 77)], build: ([x]) => quantile(x!, 0) },
  { name: 'quantile 1', inputs: [f(2, 77)], build: ([x]) => quantile(x!, 1) },
  { name: 'quantile of one', inputs: [f(2, 1)], build: ([x]) => quantile(x!, 0.3) },
  { name: 'maximum', inputs: [f(3, 7, 41)], build: ([x]) => maximum(x!) },
  { name: 'maximum inside', inputs: [f(3, 7, 41)], build: ([x]) => maximumInside(x!) },
  { name: 'maximum in stages', inputs: [f(2, 20_011)], build: ([x]) => maximum(x!) },
  ...[35, 36, 37, 38].map(
    (width): Case => ({
      name: `rgbToPixels ${width} x 3`,
      inputs: [pixels(rgbWords(3 * width))],
      build: ([x]) => rgbToPixels(x!, 3, width),
    }),
  ),
  { name: 'imageToTensor', inputs: [pixels(2, 9, 7)], build: ([x]) => imageToTensor(x!) },
  {
    name: 'adjustedImageToTensor',
    inputs: [pixels(5, 9, 7)],
    build: ([x]) => {
      const change = Float32Array.of(0, 1, 1, 1.2, 2, 0.8, 3, 1.15, 4, 1);
      return adjustedImageToTensor(x!, new Parameter('change', { shape: [5, 2], dtype: 'f32' }, change).node);
    },
    reduction: 63,
  },
  { name: 'imageResize down', inputs: [pixels(2, 37, 53)], build: ([x]) => imageResize(x!, 16, 16) },
  {
    name: 'imageWarp in perspective',
    inputs: [pixels(2, 37, 53)],
    build: ([x]) => imageWarp(x!, { height: 30, width: 41, sourceWidth: 50, matrix: PERSPECTIVE }),
    storage: 'u8',
    // A place between two of 1/256 of a pixel may be rounded to either.
    units: 1,
  },
  { name: 'imageResize up', inputs: [pixels(1, 9, 5)], build: ([x]) => imageResize(x!, 16, 13) },
  {
    name: 'channelDistance',
    inputs: [f(2, 7, 5, 6), f(2, 7, 5, 6)],
    build: ([a, b]) => channelDistance(a!, b!),
    reduction: 7,
  },
  {
    name: 'channelDistance to zero',
    inputs: [f(2, 7, 5, 6)],
    build: ([a]) => channelDistance(a!),
    reduction: 7,
  },
  convDistances(2, 5, 9, 11, 7, 4, { target: true }),
  convDistances(1, 6, 12, 10, 33, 4, { firstChannel: 2 }),
  convDistances(1, 4, 9, 9, 5, 3, { target: true, extra: 3 }),
  convDistances(2, 4, 5, 6, 9, 1, {}),
  convDifferences([2, 16, 9, 11], [7, 4], [5, 3, 1]),
  convDifferences([1, 32, 12, 8], [33, 4], [16, 4, 2], { firstChannel: 3, bias: false }),
  convDifferences([1, 16, 8, 7], [12, 3], [9, 1, 0]),
  convDifferences([2, 64, 9, 8], [21, 4], [35, 3, 1], { firstChannel: 2 }),
  { name: 'concatOuter', inputs: [f(3, 5), f(2, 5)], build: ([a, b]) => concatOuter(a!, b!) },
  { name: 'differenceWeights', inputs: [f(5, 3, 4, 4), f(5, 7, 4, 4)], build: ([a, b]) => differenceWeights(a!, b!) },
  ...winogradTable,
  ...quantizedTable,
  ...absorptionTable,
  ...innerTable,
];
