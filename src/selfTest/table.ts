import { hardMean, hardStatsPartialOp, hardStatsTotalOp } from '../detectorOps/hardMean.ts';
import { blurMaps, normalizeMaps } from '../detectorOps/mapFilters.ts';
import { combineMaps, placeMap, stackMaps } from '../detectorOps/maps.ts';
import { nearestDistance } from '../detectorOps/nearest.ts';
import { siameseBias, siameseWeights } from '../detectorOps/siamese.ts';
import { distances, type Shape4, WINOGRAD_ERROR } from '../doctor/absorptionTable.ts';
import { type Case, normal as f, type InputSpec, positive } from '../doctor/cases.ts';
import { table } from '../doctor/table.ts';
import { makeNode, Parameter } from '../engine/graph.ts';
import { channelDistance } from '../kernels/channelDistance.ts';
import { conv2d } from '../kernels/conv2d.ts';
import { convDistance } from '../kernels/convDistance.ts';
import { halvesError } from '../kernels/halves.ts';
import { standardize } from '../kernels/standardize.ts';

const STACKED = { op: 'winogradMeanDistance', variant: 'stacked', plain: 'workgroup' } as const;
const quantiles = () => new Parameter('q', { shape: [4], dtype: 'f32' }, Float32Array.of(0.5, 1.5, 0.1, 3)).node;

/** From points of a map of 60 x 45 into the unit square, turned and in perspective. */
const INSIDE = [0.012, -0.004, 0.2, 0.003, 0.014, 0.05, 0.001, 0.002, 1];

/**
 * Both maps over one trunk, the second one to a target, and their mean.
 * @param x [N, C, H, W] @param w output channels, kernel size, and the first channel that the second map reads
 */
function stacked(
  [n, c, h, width]: Shape4,
  [co, k, from]: readonly [number, number, number],
  [first, second]: readonly [string, string],
  dispatches: number,
): Case {
  const isHalved = [first, second].some((name) => name.endsWith('Halves'));
  return {
    name: `stackMaps of ${n}x${c}x${h}x${width} -> ${co}, k${k}, by ${first} and ${second}`,
    inputs: [
      f(n, c, h, width),
      f(co, c, k, k),
      f(co),
      f(co, c - from, k, k),
      f(co),
      f(n, co, h - k + 1, width - k + 1),
    ],
    build([x, wa, ba, wb, bb, target]) {
      const a = convDistance(x!, wa!, ba!, undefined, { firstChannel: 0 }, 'a');
      const b = convDistance(x!, wb!, bb!, target, { firstChannel: from }, 'b');
      return stackMaps(a, b, quantiles());
    },
    reduction: WINOGRAD_ERROR * c * k * k,
    absorbs: {
      ...STACKED,
      steps: ['stackMaps/element'],
      variants: { 'convDistance/a': first, 'convDistance/b': second, winogradMap: 'workgroup' },
      dispatches,
      rounding: isHalved ? 2 * halvesError({ m: 3, k }) : undefined,
    },
  };
}

const map = [f(2, 7, 5, 6), f(2, 7, 5, 6)];
const standard: readonly InputSpec[] = [f(7), positive(7)];

/** How the maps of a PDN without padding lie on its input. */
const PDN = { offset: 16, stride: 4, margin: 4 } as const;

/** Of three images. */
const thresholds = () => new Parameter('threshold', { shape: [3], dtype: 'f32' }, Float32Array.of(0.9, 0.5, 1.2)).node;

/** The doctor's table with the ops of this detector alone. */
export const detectorTable: readonly Case[] = [
  ...table,
  {
    name: 'hardMean',
    inputs: [positive(3, 7, 41)],
    build: ([x]) => hardMean(x!, thresholds()),
    gradient: [0],
    reduction: 287,
  },
  ...[false, true].map(
    (shared): Case => ({
      name: `hardStatsPartial${shared ? ' of workgroups' : ''}`,
      inputs: [positive(3, 7, 411)],
      build: ([x]) => makeNode(hardStatsPartialOp, [x!, thresholds()], { chunks: 5, shared }),
      reduction: 576,
    }),
  ),
  { name: 'hardStatsTotal', inputs: [f(3, 9, 2)], build: ([x]) => makeNode(hardStatsTotalOp, [x!], {}), reduction: 9 },
  {
    name: 'hardMean of many',
    inputs: [positive(2, 9001)],
    build: ([x]) =>
      hardMean(x!, new Parameter('threshold', { shape: [2], dtype: 'f32' }, Float32Array.of(0.9, 1.1)).node),
    reduction: 9001,
  },
  {
    name: 'siameseWeights',
    inputs: [f(3, 2, 4, 4), f(6, 2, 4, 4), positive(3)],
    build: ([wt, ws, deviation]) => siameseWeights(wt!, ws!, deviation!),
  },
  {
    name: 'siameseBias',
    inputs: [f(3), f(6), f(3), positive(3)],
    build: ([bt, bs, mu, deviation]) => siameseBias(bt!, bs!, mu!, deviation!),
  },
  {
    name: 'combineMaps',
    inputs: [f(2, 1, 5, 6), f(2, 1, 5, 6)],
    build: ([a, b]) => combineMaps(a!, b!, quantiles()),
  },
  {
    name: 'placeMap exact, mirrored',
    inputs: [f(1, 1, 32, 32)],
    build: ([x]) => placeMap(x!, { height: 71, width: 50, side: 128, placement: 'exact', ...PDN, offset: 2 }),
    reduction: 32,
  },
  {
    name: 'nearestDistance',
    inputs: [f(2, 7, 5, 6), f(2, 9, 5, 6)],
    build: ([x, products]) => nearestDistance(x!, products!),
    reduction: 7,
  },
  {
    name: 'nearestDistance to a bank',
    inputs: [f(1, 12, 9, 8), f(17, 12, 1, 1), f(17)],
    build: ([x, vectors, bias]) => nearestDistance(x!, conv2d(x!, vectors!, bias!)),
    reduction: 24,
  },
  {
    name: 'blurMaps',
    inputs: [f(2, 1, 5, 6), positive(5)],
    build: ([x, taps]) => blurMaps(x!, taps!, 2),
    reduction: 25,
  },
  {
    name: 'blurMaps, the last of six',
    inputs: [f(3, 2, 1, 4, 3), positive(7)],
    build: ([x, taps]) => blurMaps(x!, taps!, 2),
    reduction: 49,
  },
  {
    name: 'normalizeMaps',
    inputs: [f(2, 1, 5, 6), positive(2, 5, 6)],
    build: ([x, usual]) => normalizeMaps(x!, usual!, 2),
  },
  {
    name: 'normalizeMaps, the last of nine',
    inputs: [f(3, 3, 1, 7, 9), positive(2, 7, 9)],
    build: ([x, usual]) => normalizeMaps(x!, usual!, 3),
  },
  {
    name: 'stackMaps',
    inputs: [f(2, 1, 5, 6), f(2, 1, 5, 6)],
    build: ([a, b]) => stackMaps(a!, b!, quantiles()),
  },
  {
    name: 'placeMap exact',
    inputs: [f(2, 1, 24, 24)],
    build: ([x]) => placeMap(x!, { height: 50, width: 71, side: 128, placement: 'exact', ...PDN }),
    // Coordinates of up to 24 positions are rounded before the difference between two is taken.
    reduction: 24,
  },
  {
    name: 'placeMap reference',
    inputs: [f(1, 1, 24, 24)],
    build: ([x]) => placeMap(x!, { height: 45, width: 128, side: 128, placement: 'reference', ...PDN }),
    reduction: 24,
  },
  {
    name: 'placeMap exact, padded',
    inputs: [f(1, 1, 32, 32)],
    build: ([x]) => placeMap(x!, { height: 71, width: 50, side: 128, placement: 'exact', ...PDN, offset: 0 }),
    reduction: 32,
  },
  {
    name: 'placeMap in a region',
    inputs: [f(1, 1, 24, 24)],
    // All of the map lies inside: what lies outside is no number.
    build: ([x]) => placeMap(x!, { height: 45, width: 60, side: 128, placement: 'exact', ...PDN, region: INSIDE }),
    reduction: 24,
  },
  {
    name: 'placeMap among values',
    inputs: [f(2, 1, 24, 24)],
    build: ([x]) => placeMap(x!, { height: 45, width: 70, side: 128, placement: 'anomalib', ...PDN, around: -0.3 }),
    reduction: 24,
  },
  // One transform for both, two products, one dispatch for the maps.
  stacked([2, 5, 9, 11], [37, 4, 2], ['winograd3', 'winograd3'], 4),
  stacked([1, 4, 9, 8], [33, 3, 0], ['winograd4', 'winograd4'], 4),
  stacked([2, 5, 9, 11], [37, 4, 2], ['winograd3Halves', 'winograd3Halves'], 4),
  // The first map is there already.
  stacked([2, 4, 8, 9], [7, 4, 2], ['winograd3', 'winograd3Halves'], 6),
  stacked([2, 3, 8, 8], [5, 4, 1], ['winograd2', 'winograd3'], 6),
  {
    name: 'stackMaps of a map and one of features',
    inputs: [f(2, 1, 5, 6), f(2, 7, 5, 6)],
    build: ([a, b]) => stackMaps(a!, channelDistance(b!), quantiles()),
    reduction: 7,
    absorbs: { ...distances, steps: ['stackMaps/element'] },
  },
  {
    name: 'stackMaps of standardized features and plain ones',
    inputs: [...map, ...standard, ...map],
    build: ([a, b, mean, deviation, c, d]) =>
      stackMaps(channelDistance(standardize(a!, mean!, deviation!), b), channelDistance(c!, d), quantiles()),
    reduction: 7,
    absorbs: { ...distances, steps: ['stackMaps/element'] },
  },
];
