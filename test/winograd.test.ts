import { describe, expect, test } from 'vitest';
import { randomValues, toHost } from '../src/doctor/values.ts';
import { evaluateReference, input, type Node, type Values } from '../src/engine/graph.ts';
import { conv2dWeightGrad } from '../src/gradients/conv2dWeightGrad.ts';
import { conv2d } from '../src/kernels/conv2d.ts';
import { convDistance } from '../src/kernels/convDistance.ts';
import { winogradConvolution, winogradDistance, winogradProductOp } from '../src/kernels/winograd.ts';
import { BLOCKS, blockFits, blockName, defaultBlock } from '../src/kernels/winogradBlock.ts';
import { WINOGRAD_TILES } from '../src/kernels/winogradTiles.ts';
import { errorByNorm } from './support/close.ts';
import { engine } from './support/gpu.ts';

const gpu = await engine();

/** Largest error allowed, relative to the largest output. */
const LIMIT = 5e-5;

describe('rounding errors against float64', () => {
  for (const [k, tiles] of Object.entries(WINOGRAD_TILES)) {
    for (const m of tiles) {
      test(`F(${m}x${m}, ${k}x${k}) over 128 channels`, async () => {
        const taps = Number(k);
        const inputs = [input('x', [1, 128, 13, 11]), input('w', [16, 128, taps, taps]), input('b', [16])];
        const values = new Map<Node, Values>(inputs.map((node, i) => [node, randomValues(node, 'positive', 50 + i)]));
        const [x, w, b] = inputs as [Node, Node, Node];
        const y = conv2d(x, w, b);
        const [expected] = evaluateReference([y], values);
        const plan = await gpu.compile({ outputs: { y }, variants: { conv2d: `winograd${m}` } });
        const data = Object.fromEntries(inputs.map((node) => [node.attrs.name, toHost(values.get(node)!)]));
        const { y: actual } = await plan.run(data, ['y']);
        plan.destroy();
        const largest = Math.max(...Array.from(expected!, Math.abs));
        const error = Math.max(...Array.from(expected!, (value, i) => Math.abs(value - actual![i]!))) / largest;
        console.log(`F(${m}x${m}, ${k}x${k}): largest error ${error.toExponential(1)} of the largest output`);
        expect(error).toBeLessThan(LIMIT);
      });
    }
  }
});

describe('every block of the products', () => {
  const inputs = [input('x', [2, 10, 12, 23]), input('w', [70, 10, 4, 4]), input('b', [70])];
  const [x, w, b] = inputs as [Node, Node, Node];
  const values = new Map<Node, Values>(inputs.map((node, i) => [node, randomValues(node, 'normal', 60 + i)]));
  const data = Object.fromEntries(inputs.map((node) => [node.attrs.name, toHost(values.get(node)!)]));
  const dy = input('dy', [2, 70, 9, 20]);
  values.set(dy, randomValues(dy, 'normal', 70));
  const cases = {
    conv2d: conv2d(x, w, b, { relu: true }),
    conv2dWeightGrad: conv2dWeightGrad(x, dy, { stride: 1, padding: 0, shape: [70, 10, 4, 4] }),
  };
  for (const { name, supports } of winogradProductOp.variants) {
    for (const [op, y] of Object.entries(cases)) {
      test(`${op} with ${name}`, async () => {
        const variants = { conv2d: 'winograd3', conv2dWeightGrad: 'winograd', winogradProduct: name };
        if (!(supports?.(gpu.caps, { ...y, attrs: { groups: 1 } } as never) ?? true)) return;
        const plan = await gpu.compile({ outputs: { y }, variants });
        const given = op === 'conv2d' ? data : { x: data['x']!, dy: toHost(values.get(dy)!) };
        const { y: actual } = await plan.run(given, ['y']);
        plan.destroy();
        const [expected] = evaluateReference([y], values);
        expect(errorByNorm(actual!, expected!)).toBeLessThan(1e-5);
      });
    }
  }
});

test.each([
  [512, 1764, 32, 'block128x128x8'],
  [384, 361, 32, 'block128x64x8'],
  // 64 rows do not fill a block of 128.
  [64, 1849, 32, 'block64x128x8'],
  [64, 484, 32, 'block64x64x16'],
  [64, 9, 32, 'block32x32x16'],
  [512, 1764, 8, 'block64x64x16'],
])('the default of %i rows and %i columns on a GPU with subgroups of %i is %s', (rows, columns, lanes, name) => {
  const caps = { ...gpu.caps, subgroupMinSize: lanes };
  expect(blockName(defaultBlock({ rows, columns, points: 36 }, caps)!)).toBe(name);
});

test('blocks keep to the portable limits', () => {
  const limits = { maxComputeWorkgroupStorageSize: 16384, maxComputeInvocationsPerWorkgroup: 256 };
  const portable = { ...gpu.caps, limits: { ...gpu.caps.limits, ...limits } };
  expect(BLOCKS.filter((block) => !blockFits(block, portable))).toEqual([]);
});

describe('a map whose products are cut into runs of tile rows', () => {
  const x = input('x', [2, 5, 21, 17]);
  const w = input('w', [37, 5, 4, 4]);
  const bias = input('b', [37]);
  const target = input('t', [2, 37, 18, 14]);
  const values = new Map<Node, Values>([x, w, bias, target].map((node, i) => [node, randomValues(node, 'normal', i)]));
  const conv = { x, w, bias, m: 3, k: 4, padding: 0, groups: 1, firstChannel: 0, label: 'y' };
  for (const variant of ['splits', 'workgroup']) {
    for (const to of [undefined, target]) {
      test(`${variant}${to ? ' to a target' : ''}`, async () => {
        const whole = convDistance(x, w, bias, to);
        const limits = { ...gpu.caps.limits, maxStorageBufferBindingSize: 250_000 };
        const y = winogradDistance({ ...conv, target: to }, whole.type, { ...gpu.caps, limits });
        const plan = await gpu.compile({ outputs: { y }, variants: { winogradMap: variant } });
        expect(plan.dispatches.filter(({ label }) => label === 'y.distance').length).toBeGreaterThan(2);
        const data = Object.fromEntries(
          [x, w, bias, ...(to ? [to] : [])].map((node) => [node.attrs.name, toHost(values.get(node)!)]),
        );
        const { y: actual } = await plan.run(data, ['y']);
        plan.destroy();
        const [expected] = evaluateReference([whole], values);
        expect(errorByNorm(actual!, expected!)).toBeLessThan(1e-5);
      });
    }
  }
});

test('work above the binding limit is cut into runs of tile rows', async () => {
  const x = input('x', [2, 16, 31, 29]);
  const w = input('w', [24, 16, 4, 4]);
  const whole = conv2d(x, w, undefined, { relu: true, pool: true });
  const settings = { m: 3, k: 4, padding: 0, groups: 1, firstChannel: 0, relu: true, pool: true, label: 'y' };
  const results = [];
  for (const maxStorageBufferBindingSize of [gpu.caps.limits.maxStorageBufferBindingSize, 300_000]) {
    const limits = { ...gpu.caps.limits, maxStorageBufferBindingSize };
    const y = winogradConvolution({ x, w, bias: undefined, ...settings }, whole.type, { ...gpu.caps, limits });
    const plan = await gpu.compile({ outputs: { y } });
    const data = { x: toHost(randomValues(x, 'normal', 1)), w: toHost(randomValues(w, 'normal', 2)) };
    const chunks = plan.dispatches.filter(({ node }) => node.op.name === 'winogradOutput').length;
    results.push({ chunks, y: (await plan.run(data, ['y']))['y'] });
    plan.destroy();
  }
  expect(results[0]!.chunks).toBe(1);
  expect(results[1]!.chunks).toBeGreaterThan(2);
  expect(results[1]!.y).toEqual(results[0]!.y);
});
