import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { randomValues, toHost } from '../src/doctor/values.ts';
import { maskCaps } from '../src/engine/adapter.ts';
import { Engine } from '../src/engine/engine.ts';
import { evaluateReference, input, type Node, type Values } from '../src/engine/graph.ts';
import { chooseVariant } from '../src/engine/lower.ts';
import { tune } from '../src/engine/tune.ts';
import { Tuning, tuningKey } from '../src/engine/tuning.ts';
import { conv2d } from '../src/kernels/conv2d.ts';
import type { Conv2dAttrs } from '../src/kernels/conv2dShape.ts';
import { countOperations } from '../src/measure/count.ts';
import { readVariants } from '../src/node/variants.ts';
import { toBeAllclose } from './support/close.ts';
import { engine } from './support/gpu.ts';
import { filesOf } from './support/page.ts';
import { temporaryFolder, writeTree } from './support/temporary.ts';

const folder = writeTree(temporaryFolder(), {
  ...filesOf(new URL('../docs/adding-a-variant.md', import.meta.url)),
  'broken.mjs': 'export default {',
  'list.mjs': 'export default [1, 2];',
  'nameless.mjs': 'export default { conv2d: [{ kernel() {} }] };',
});
const variants = await readVariants(join(folder, 'pointwise.mjs'));
const [pointwise] = variants['conv2d'] as [NonNullable<(typeof variants)[string]>[number]];
const gpu = await engine();
const extended = new Engine({ device: gpu.device, variants, tuning: new Tuning('none') });

function layer(
  x: readonly number[],
  co: number,
  { bias = true, k = 1, ...attrs }: Partial<Conv2dAttrs> & { readonly bias?: boolean; readonly k?: number } = {},
) {
  const inputs = [input('x', x), input('w', [co, x[1]!, k, k]), ...(bias ? [input('b', [co])] : [])];
  return { inputs, y: conv2d(inputs[0]!, inputs[1]!, inputs[2], attrs) };
}

describe('the variant of docs/adding-a-variant.md', () => {
  test.each([
    [[1, 5, 7, 9], 6, { relu: true }],
    [[2, 3, 1, 1], 1, {}],
    [[3, 17, 11, 13], 33, { bias: false }],
    [[1, 8, 8, 8], 4, { relu: true, bias: false }],
  ] as const)('equals the reference: %j to %i channels %j', async (x, co, options) => {
    const { inputs, y } = layer(x, co, options);
    const values = new Map<Node, Values>(inputs.map((node, i) => [node, randomValues(node, 'normal', 40 + i)]));
    const data = Object.fromEntries(inputs.map((node) => [node.label, toHost(values.get(node)!)]));
    const plan = await extended.compile({ outputs: { y }, variants: { conv2d: 'pointwise' } });
    expect(plan.dispatches.map(({ variant }) => variant)).toEqual(['pointwise']);
    const result = await plan.run(data, ['y']);
    plan.destroy();
    toBeAllclose(result['y']!, evaluateReference([y], values)[0]!, { reduction: x[1] });
  });

  test('executes what it says: a value is loaded once for four channels', async () => {
    const { y } = layer([1, 16, 8, 8], 8);
    const [count] = await countOperations(extended, y, { conv2d: 'pointwise' });
    expect(count!.multiplyAdds).toBe(16 * 64 * 8);
    expect(count!.loads).toBe(16 * 64 * (2 + 8) + 64 * 8);
  });
});

describe('added variants', () => {
  const chosen = (y: Node, target = {}, forced = {}) => chooseVariant(y, { ...extended, ...target }, forced).name;
  const { y } = layer([1, 5, 7, 9], 6);
  const eager = { conv2d: [{ ...pointwise, suits: () => true }] };

  test('come before the op’s own where they suit, behind what is measured and what is forced', () => {
    expect(chosen(y)).not.toBe('pointwise');
    expect(chosen(y, { variants: eager })).toBe('pointwise');
    const tuning = new Tuning('a', [[tuningKey(y), 'direct']]);
    expect(chosen(y, { variants: eager, tuning })).toBe('direct');
    expect(chosen(y, { tuning }, { conv2d: 'pointwise' })).toBe('pointwise');
    // A choice that was made with a module holds nothing up without it.
    const kept = new Tuning('a', [[tuningKey(y), 'pointwise']]);
    expect(chosen(y, { tuning: kept })).toBe('pointwise');
    expect(chosen(y, { tuning: kept, variants: {} })).not.toBe('pointwise');
  });

  test('are refused where they are not supported, with the names of all', () => {
    const wide = layer([1, 5, 7, 9], 6, { k: 3 }).y;
    expect(chosen(wide, { variants: eager })).not.toBe('pointwise');
    expect(() => chosen(wide, {}, { conv2d: 'pointwise' })).toThrow(/not supported here; it has pointwise, winograd3/);
  });

  test('are timed by the tuner', async () => {
    const seen = new Set<string>();
    const tuner = new Engine({
      device: gpu.device,
      caps: maskCaps(gpu.caps, { subgroups: false }),
      variants,
      onPlan: ([dispatch]) => seen.add(dispatch!.variant),
    });
    const small = layer([1, 2, 3, 3], 3).y;
    const tuning = new Tuning('a');
    await tune(tuner, { outputs: { small } }, tuning);
    expect([...seen]).toEqual(expect.arrayContaining(['pointwise', 'direct']));
    expect(tuning.size).toBe(1);
  });

  test('must have names of their own', () => {
    const clash = { conv2d: [{ ...pointwise, name: 'direct' }] };
    expect(() => chosen(y, { variants: clash })).toThrow(/^conv2d has a variant 'direct' already/);
    expect(() => chosen(y, { variants: { conv2d: [pointwise, pointwise] } })).toThrow(/'pointwise' already/);
  });

  test.each([
    ['missing.mjs', /missing.mjs cannot be loaded: /],
    ['broken.mjs', /broken.mjs cannot be loaded: /],
    ['list.mjs', /list.mjs is not a table of variants by op name/],
    ['nameless.mjs', /nameless.mjs is not a table of variants by op name/],
  ])('a module that holds none is refused: %s', async (file, message) => {
    await expect(readVariants(join(folder, file))).rejects.toThrow(message);
  });
});
