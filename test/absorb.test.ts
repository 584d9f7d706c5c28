import { describe, expect, test } from 'vitest';
import { compareFloats } from '../src/doctor/check.ts';
import { randomValues, toHost } from '../src/doctor/values.ts';
import {
  evaluateReference,
  input,
  isInput,
  type Node,
  Parameter,
  topologicalOrder,
  type Values,
} from '../src/engine/graph.ts';
import type { VariantChoice } from '../src/engine/plan.ts';
import { type Conv2dAttrs, conv2d } from '../src/kernels/conv2d.ts';
import { convDistance } from '../src/kernels/convDistance.ts';
import { combineMaps } from '../src/kernels/maps.ts';
import { resizeBilinear } from '../src/kernels/resizeBilinear.ts';
import { engine } from './gpu.ts';

const gpu = await engine();

/** What absorbs, where it is not for an adapter of this kind: with it, it is. */
const WINOGRAD: VariantChoice = { winogradInput: ['resized', 'tile'] };
const STAGED: VariantChoice = { conv2dTile: ['staged', 'tile'] };

interface Case {
  readonly name: string;
  readonly inputs: readonly (readonly number[])[];
  readonly build: (inputs: Node[]) => Node;
  readonly variants: VariantChoice;
  /** Dispatches of a run. */
  readonly dispatches: number;
  readonly reduction: number;
}

/** A convolution of a resized plane, N and CI first, then the sides before and after. */
function resized(
  [n, ci, h, w]: readonly [number, number, number, number],
  [oh, ow]: readonly [number, number],
  [co, k]: readonly [number, number],
  attrs: Partial<Conv2dAttrs>,
  conv: string,
): Case {
  const winograd = conv.startsWith('winograd');
  return {
    name: `${n}x${ci}x${h}x${w} to ${oh}x${ow} -> ${co}, k${k} ${JSON.stringify(attrs)} by ${conv}`,
    inputs: [[n, ci, h, w], [co, ci / (attrs.groups ?? 1), k, k], [co]],
    build: ([x, weights, b]) => conv2d(resizeBilinear(x!, oh, ow), weights!, b, attrs, 'y'),
    variants: { conv2d: conv, ...WINOGRAD, ...STAGED },
    dispatches: winograd ? 3 : conv.startsWith('split') ? 2 : 1,
    reduction: ci * k * k * (winograd ? 64 : 1),
  };
}

/** A convolution in parts, which the next one adds, with a resize in between if there is one. */
function inParts(
  [n, ci, h, w]: readonly [number, number, number, number],
  [middle, co, k]: readonly [number, number, number],
  attrs: Partial<Conv2dAttrs> & { readonly bias?: boolean; readonly to?: readonly [number, number] },
  conv: string,
): Case {
  const { bias = true, to, ...rest } = attrs;
  return {
    name: `${n}x${ci}x${h}x${w} -> ${middle} in parts${to ? ` to ${to.join('x')}` : ''} -> ${co}, k${k} ${JSON.stringify(rest)} by ${conv}`,
    inputs: [[n, ci, h, w], [middle, ci, 3, 3], [middle], [co, middle / (rest.groups ?? 1), k, k], [co]],
    build([x, first, shift, second, b]) {
      const y = conv2d(x!, first!, bias ? shift : undefined, { padding: 1, relu: bias }, 'first');
      return conv2d(to ? resizeBilinear(y, ...to) : y, second!, b, rest, 'second');
    },
    variants: { 'conv2d/first': 'split16x4', 'conv2d/second': conv, ...STAGED },
    dispatches: conv.startsWith('split') ? 3 : 2,
    // Of values that are sums themselves.
    reduction: middle * k * k + ci * 9,
  };
}

/** Both maps over one trunk of `ci` channels and those from `from` on, the second one to a target, and their mean. */
function combined(
  [n, ci, h, w]: readonly [number, number, number, number],
  [co, k, from]: readonly [number, number, number],
  [first, second]: readonly [string, string],
  dispatches: number,
): Case {
  return {
    name: `maps of ${n}x${ci}x${h}x${w} -> ${co}, k${k}, by ${first} and ${second}`,
    inputs: [[n, ci, h, w], [co, ci, k, k], [co], [co, ci - from, k, k], [co], [n, co, h - k + 1, w - k + 1]],
    build([x, wa, ba, wb, bb, target]) {
      const a = convDistance(x!, wa!, ba!, undefined, { firstChannel: 0 }, 'a');
      const b = convDistance(x!, wb!, bb!, target, { firstChannel: from }, 'b');
      const quantiles = new Parameter('q', { shape: [4], dtype: 'f32' }, Float32Array.of(0.5, 1.5, 0.1, 3));
      return combineMaps(a, b, quantiles.node);
    },
    variants: {
      'convDistance/a': first,
      'convDistance/b': second,
      winogradMap: 'workgroup',
      winogradMeanDistance: ['combined', 'workgroup'],
    },
    dispatches,
    reduction: 64 * ci * k * k,
  };
}

const CASES: readonly Case[] = [
  resized([2, 5, 7, 9], [13, 17], [9, 4], { padding: 2, relu: true }, 'winograd3'),
  resized([1, 3, 5, 4], [8, 15], [6, 4], {}, 'winograd2'),
  resized([2, 4, 1, 1], [3, 3], [5, 4], { padding: 2 }, 'winograd3'),
  resized([1, 2, 2, 2], [15, 11], [4, 3], { padding: 1 }, 'winograd4'),
  resized([1, 3, 17, 12], [8, 7], [5, 3], { padding: 1, relu: true }, 'winograd4'),
  resized([1, 3, 9, 5], [7, 11], [5, 3], { padding: 1, pool: true }, 'winograd2'),
  resized([2, 6, 6, 6], [6, 6], [128, 4], { padding: 1, groups: 2 }, 'winograd3'),
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
  // One transform for both, two products, one dispatch for the maps.
  combined([2, 5, 9, 11], [37, 4, 2], ['winograd3', 'winograd3'], 4),
  combined([1, 4, 9, 8], [33, 3, 0], ['winograd4', 'winograd4'], 4),
  // The first map is there already.
  combined([2, 3, 8, 8], [5, 4, 1], ['winograd2', 'winograd3'], 6),
];

describe('what takes in what produces its input equals the float64 reference, bit for bit in every run', () => {
  for (const { name, inputs, build, variants, dispatches, reduction } of CASES) {
    test(name, async () => {
      const nodes = inputs.map((shape, i) => input(`in${i}`, shape));
      const values = new Map<Node, Values>(nodes.map((node, i) => [node, randomValues(node, 'normal', 100 + i)]));
      const y = build(nodes);
      const plan = await gpu.compile({ outputs: { y }, variants });
      expect(plan.dispatches.filter(({ label }) => !/weights|packed/.test(label))).toHaveLength(dispatches);
      const used = topologicalOrder([y]).filter(isInput);
      const data = Object.fromEntries(used.map((node) => [node.label, toHost(values.get(node)!)]));
      const { y: actual } = await plan.run(data, ['y']);
      const { y: again } = await plan.run(data, ['y']);
      plan.destroy();
      const [expected] = evaluateReference([y], values);
      const { isRight, message } = compareFloats(actual!, expected!, { reduction });
      if (!isRight) expect.fail(message);
      expect(again).toEqual(actual);
    });
  }
});
