import { describe, expect, test } from 'vitest';
import { MACHINES } from '../src/bench/machines.ts';
import { maskCaps } from '../src/engine/adapter.ts';
import type { Caps } from '../src/engine/caps.ts';
import { input, type Kernel, type Node, topologicalOrder } from '../src/engine/graph.ts';
import { chooseVariant, lower } from '../src/engine/lower.ts';
import { conv2dWeightGrad } from '../src/gradients/conv2dWeightGrad.ts';
import { conv2d } from '../src/kernels/conv2d.ts';
import { channelSum, mean } from '../src/kernels/sum.ts';
import { engine } from './support/gpu.ts';

const gpu = await engine();
const hopper = MACHINES.h100.caps;

/** Of a batch of 4. @param x [CI, H, W] */
function weightGrad(x: readonly [number, number, number], co: number, k: number, stride = 1): Node {
  const [oh, ow] = [x[1], x[2]].map((side) => Math.floor((side - k) / stride) + 1) as [number, number];
  const dy = input('dy', [4, co, oh, ow]);
  return conv2dWeightGrad(input('x', [4, ...x]), dy, { stride, padding: 0, shape: [co, x[0], k, k] });
}

const workgroupsOf = ({ grid: [x, y = 1, z = 1] }: Kernel) => x * y * z;

const kernelsOf = (node: Node, caps: Caps) =>
  topologicalOrder(Object.values(lower({ outputs: { node } }, { caps }).outputs)).map(({ op, type }) => ({
    op: op.name,
    shape: type.shape,
  }));

describe('weight gradients on GPUs', () => {
  const chosen = (node: Node, caps: Caps = hopper) => chooseVariant(node, { caps }).name;

  test("are Winograd's where layers are large enough", () => {
    expect(chosen(weightGrad([128, 126, 126], 256, 4))).toBe('winogradSplits');
    expect(chosen(weightGrad([256, 61, 61], 256, 3))).toBe('winogradSplits');
    expect(chosen(weightGrad([3, 256, 256], 128, 4))).toBe('tile');
    expect(chosen(weightGrad([64, 34, 34], 64, 4, 2))).toBe('tile');
    expect(chosen(weightGrad([64, 8, 8], 64, 4))).toBe('tile');
    expect(chosen(weightGrad([128, 126, 126], 256, 4), maskCaps(hopper, { isCpu: true }))).not.toBe('winogradSplits');
  });

  test('have at least 256 workgroups, whatever the shape, in splits that depend on it alone', () => {
    for (const node of [
      weightGrad([128, 126, 126], 256, 4),
      weightGrad([256, 59, 59], 384, 4),
      weightGrad([64, 63, 63], 64, 4),
      weightGrad([3, 256, 256], 128, 4),
      weightGrad([32, 128, 128], 32, 4, 2),
    ]) {
      const least = maskCaps(hopper, { subgroupMinSize: 8, limits: { maxComputeWorkgroupStorageSize: 16384 } });
      const product = /^(winogradGradProduct|conv2dWeightGradPartial)$/;
      const partial = (caps: Caps) => kernelsOf(node, caps).find(({ op }) => product.test(op))!;
      expect(partial(hopper).shape).toEqual(partial(least).shape);
      const { kernels } = lower({ outputs: { node } }, { caps: hopper });
      const [, { kernel }] = [...kernels].find(([{ op }]) => product.test(op.name))!;
      expect(workgroupsOf(kernel)).toBeGreaterThanOrEqual(250);
    }
  });

  test('share the transformed input with the forward pass', () => {
    const [x, dy] = [input('x', [4, 64, 63, 63]), input('dy', [4, 96, 60, 60])];
    const y = conv2d(x, input('w', [96, 64, 4, 4]), undefined);
    const dw = conv2dWeightGrad(x, dy, { stride: 1, padding: 0, shape: [96, 64, 4, 4] });
    const { kernels } = lower({ outputs: { y, dw } }, { caps: hopper });
    const names = [...kernels.keys()].map(({ op }) => op.name);
    expect(names).toContain('winogradGradProduct');
    expect(names.filter((name) => name === 'winogradInput')).toHaveLength(1);
  });

  test('give the same bits in every run', async () => {
    const node = conv2dWeightGrad(input('x', [2, 9, 40, 41]), input('dy', [2, 11, 38, 39]), {
      ...{ stride: 1, padding: 0, shape: [11, 9, 3, 3] },
    });
    const values = (length: number) => Float32Array.from({ length }, (_, i) => Math.sin(i));
    const data = { x: values(2 * 9 * 40 * 41), dy: values(2 * 11 * 38 * 39) };
    for (const conv2dWeightGradVariant of ['winogradSplits', 'tile']) {
      const variants = { conv2dWeightGrad: conv2dWeightGradVariant };
      const plan = await gpu.compile({ outputs: { y: node }, variants });
      const runs = [await plan.run(data, ['y']), await plan.run(data, ['y'])];
      plan.destroy();
      expect(runs[0]!['y']!.some((value) => value !== 0)).toBe(true);
      expect(runs[0]!['y']).toEqual(runs[1]!['y']);
    }
  });
});

describe('sums on GPUs', () => {
  test.each([
    ['a plane of a few values', channelSum(input('x', [2, 64, 4, 4])), 1, 1],
    ['a plane of one workgroup', channelSum(input('x', [4, 64, 16, 16])), 1, 64],
    ['large planes', channelSum(input('x', [4, 128, 253, 253])), 2, 1024],
    ['all values', mean(input('x', [4, 384, 56, 56])), 2, 1024],
  ])('of %s take %s', (_, node, dispatches, workgroups) => {
    const { kernels } = lower({ outputs: { node } }, { caps: hopper });
    const grids = [...kernels.values()].map(({ kernel }) => workgroupsOf(kernel));
    expect(grids).toHaveLength(dispatches);
    expect(Math.max(...grids)).toBe(workgroups);
  });
});
