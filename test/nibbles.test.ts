import { describe, expect, test } from 'vitest';
import { compareResult } from '../src/doctor/check.ts';
import { input, size } from '../src/engine/graph.ts';
import { supportedVariants } from '../src/engine/variants.ts';
import { qconv2dOp } from '../src/kernels/qconv2d.ts';
import { loadActivations, rangeOf, reader, store, storeActivations } from '../src/kernels/storage.ts';
import { rangeNode } from '../src/measure/kernels.ts';
import { engine } from './support/gpu.ts';
import { testedRows } from './support/planned.ts';

const gpu = await engine();
const rows = testedRows.filter(({ output, row }) => output.op === qconv2dOp && / u4/.test(row.name));

test('eight channels of 4 bits lie in a word, and a shift and a mask make bytes of each half', () => {
  const range = rangeOf(1, 0, 15);
  const values = Float64Array.from({ length: 11 }, (_, i) => i + 1);
  const words = store(values, [1, 11, 1, 1], 'u4', range) as Uint32Array;
  expect([...words].map((word) => word >>> 0)).toEqual([0x84736251, 0x00_0b_0a_09]);
  expect([words[0]! & 0x0f0f0f0f, (words[0]! >>> 4) & 0x0f0f0f0f]).toEqual([0x04030201, 0x08070605]);
  const read = reader(words, [1, 11, 1, 1], 'u4');
  expect(Array.from(values, (_, c) => read(0, c, 0))).toEqual([...values]);
});

test('what is stored in 4 bits takes an eighth of floats, and comes back rounded and clipped', async () => {
  const range = rangeNode(0.5, 3, 15);
  const x = input('x', [1, 13, 3, 5]);
  const words = storeActivations(x, 'u4', range);
  expect(size(words.type)).toBe(2 * 15);
  const plan = await gpu.compile({ outputs: { y: loadActivations(words, 13, 'u4', range) } });
  const values = Float32Array.from({ length: size(x.type) }, (_, i) => (i % 23) / 2 - 3);
  const { y } = await plan.run({ x: values }, ['y']);
  plan.destroy();
  expect(y).toEqual(values.map((value) => Math.min(Math.max(value, -1.5), 6)));
});

describe('convolutions of 4-bit activations', () => {
  test('run by packed words of bytes and by matrices nowhere, by the others everywhere', () => {
    expect(rows.length).toBeGreaterThan(4);
    const names = new Set(rows.flatMap(({ output }) => supportedVariants(output, gpu).map(({ name }) => name)));
    for (const name of ['rows', 'lanes', 'tile', 'direct', 'winograd3Integers', 'winograd4Floats'])
      expect(names, name).toContain(name);
    for (const name of names) expect(name).not.toMatch(/^(words|matrix)/);
  });

  // Those of Winograd's method are among the rows of ops.test.ts.
  test.each(['rows', 'lanes', 'tile', 'direct'])('%s', async (variant) => {
    const own = rows
      .filter(({ output }) => supportedVariants(output, gpu).some(({ name }) => name === variant))
      .slice(0, 2);
    expect(own.length).toBe(2);
    for (const prepared of own) {
      const plan = await gpu.compile({ outputs: { y: prepared.output }, variants: { qconv2d: variant } });
      const { y } = await plan.run(prepared.data(), ['y']);
      plan.destroy();
      expect(compareResult(prepared, y!).message, prepared.row.name).toBeUndefined();
    }
  });
});
