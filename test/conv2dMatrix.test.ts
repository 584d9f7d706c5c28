import { describe, expect, test } from 'vitest';
import { MACHINES, withMatrices } from '../src/bench/machines.ts';
import { randomValues, toHost } from '../src/doctor/values.ts';
import { maskCaps } from '../src/engine/adapter.ts';
import { evaluateReference, input, type Node, Parameter, type Values } from '../src/engine/graph.ts';
import { chooseVariant } from '../src/engine/lower.ts';
import { supportedVariants } from '../src/engine/variants.ts';
import { conv2d } from '../src/kernels/conv2d.ts';
import { matrixVariants } from '../src/kernels/conv2dMatrix.ts';
import { HALF_ROUNDOFF } from '../src/kernels/halves.ts';
import { engine } from './support/gpu.ts';

const gpu = await engine();
const hopper = withMatrices(MACHINES.h100).caps;
const NAMES = matrixVariants.map(({ name }) => name);

const CASES = {
  'pooled, with rectifier': conv2d(input('x', [2, 3, 21, 19]), input('w', [70, 3, 4, 4]), input('b', [70]), {
    relu: true,
    pool: true,
  }),
  'stride and padding': conv2d(input('x', [2, 5, 13, 18]), input('w', [9, 5, 4, 4]), input('b', [9]), {
    stride: 2,
    padding: 1,
  }),
  'groups, without bias': conv2d(input('x', [1, 6, 11, 9]), input('w', [256, 3, 3, 3]), undefined, { groups: 2 }),
  'some channels, odd sum': conv2d(input('x', [1, 7, 9, 12]), input('w', [33, 3, 1, 5]), undefined, {
    firstChannel: 3,
  }),
} as const;

const supports = (y: Node, name: string) =>
  supportedVariants(y, { caps: gpu.caps, precision: 'f16' }).some((variant) => variant.name === name);

async function errorOf(y: Node, variant: string, of = (values: Values) => values): Promise<number> {
  const values = new Map(y.inputs.map((node, i) => [node, of(randomValues(node, 'normal', 90 + i))]));
  const plan = await gpu.compile({ outputs: { y }, variants: { conv2d: variant }, precision: 'f16' });
  const { y: actual } = await plan.run(
    Object.fromEntries([...values].map(([node, each]) => [node.label, toHost(each)])),
    ['y'],
  );
  plan.destroy();
  const [expected] = evaluateReference([y], values);
  const largest = Math.max(...Array.from(expected!, Math.abs));
  return Math.max(...Array.from(expected!, (value, i) => Math.abs(value - actual![i]!))) / largest;
}

describe('conv2d by matrices of halves', () => {
  for (const name of NAMES) {
    for (const [what, y] of Object.entries(CASES)) {
      test.runIf(supports(y, name))(`${name}: ${what}`, async () => {
        expect(await errorOf(y, name)).toBeLessThan(2 * HALF_ROUNDOFF);
      });
    }
  }

  test.runIf(supports(CASES['stride and padding'], 'matrix2x2Halves'))('is exact for small integers', async () => {
    const whole = (values: Values) => values.map((v) => Math.round(2 * v)) as Values;
    expect(await errorOf(CASES['stride and padding'], 'matrix2x2Halves', whole)).toBe(0);
  });

  const first = (side: number, channels = 256) => {
    const w = new Parameter('w', { shape: [channels, 3, 4, 4], dtype: 'f32' }).node;
    return conv2d(input('x', [1, 3, side, side]), w, undefined, { relu: true, pool: true });
  };
  const chosen = (node: Node, caps = hopper, precision: 'f32' | 'f16' = 'f16') =>
    chooseVariant(node, { caps, precision }).name;

  test('is the default of plans of that precision, where Winograd is not and there is work for all cores', () => {
    expect(chosen(first(256))).toBe('matrix4x4Halves');
    expect(chosen(first(64))).not.toMatch(/Halves/);
    expect(chosen(first(256), hopper, 'f32')).not.toMatch(/Halves/);
    const wide = new Parameter('w', { shape: [256, 128, 4, 4], dtype: 'f32' }).node;
    expect(chosen(conv2d(input('x', [1, 128, 128, 128]), wide, undefined))).toBe('winograd3Halves');
  });

  test('needs matrices of halves with sums in f32', () => {
    const bytes = hopper.subgroupMatrixConfigs.filter(({ componentType }) => componentType === 'i8');
    for (const caps of [maskCaps(hopper, { subgroupMatrixConfigs: bytes }), maskCaps(hopper, { f16: false })])
      expect(chosen(first(256), caps)).not.toMatch(/Halves/);
  });
});
