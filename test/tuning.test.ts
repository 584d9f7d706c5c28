import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { input, Parameter } from '../src/engine/graph.ts';
import { tune } from '../src/engine/tune.ts';
import { adapterIdentity, Tuning, tuningKey } from '../src/engine/tuning.ts';
import { conv2d } from '../src/kernels/conv2d.ts';
import { loadTuning, saveTuning, tuningFile } from '../src/node/tuning.ts';
import { engine } from './gpu.ts';
import { temporaryFolder } from './temporary.ts';

const gpu = await engine();
const layer = (label: string, side = 9) => {
  const w = new Parameter('w', { shape: [8, 4, 3, 3], dtype: 'f32' });
  return conv2d(input('x', [1, 4, side, side]), w.node, undefined, {}, label);
};

describe('choices', () => {
  test('are found by op, attributes and shapes, whatever the label', () => {
    const tuning = new Tuning('a');
    tuning.set(layer('one'), 'direct');
    expect(tuning.get(layer('two'))).toBe('direct');
    expect(tuning.get(layer('two', 10))).toBeUndefined();
    expect(tuningKey(layer('one'))).toContain('conv2d 1x4x9x9,8x4x3x3!');
  });

  test('decide what a plan runs, after what is forced', async () => {
    const tuning = new Tuning('a');
    const y = layer('y');
    tuning.set(y, 'direct');
    const tuned = await gpu.compile({ outputs: { y }, tuning });
    expect(tuned.dispatches.map(({ variant }) => variant)).toEqual(['direct']);
    const forced = await gpu.compile({ outputs: { y }, tuning, variants: { conv2d: 'winograd2' } });
    expect(forced.dispatches.length).toBeGreaterThan(1);
    tuned.destroy();
    forced.destroy();
  });

  test('are made for every op with variants, down into what they consist of', async () => {
    const tuning = new Tuning(adapterIdentity(gpu.caps));
    const seen: string[] = [];
    const { variants } = layer('y').op;
    await tune(gpu, { outputs: { y: layer('y') } }, tuning, { onProgress: ({ variant }) => seen.push(variant) });
    expect(seen).toHaveLength(1);
    expect(variants.map(({ name }) => name)).toContain(seen[0]);
    expect(Object.keys(tuning.toJSON().choices).some((key) => key.startsWith('winogradProduct '))).toBe(true);
    seen.length = 0;
    await tune(gpu, { outputs: { y: layer('y') } }, tuning, { onProgress: ({ variant }) => seen.push(variant) });
    expect(seen).toEqual([]);
  });
});

describe('the table', () => {
  test('survives its own text', () => {
    const tuning = new Tuning('some adapter', [['a', 'b']]);
    expect(Tuning.parse(JSON.stringify(tuning), 'some adapter').toJSON()).toEqual(tuning.toJSON());
  });

  const table = { format: 'raad-tuning', version: 1, adapter: 'x', choices: {} };
  for (const [what, text, message] of [
    ['no JSON', '{', 'is not JSON'],
    ['something else', '{"a": 1}', 'not a tuning table'],
    ['null', 'null', 'not a tuning table'],
    ['a newer one', JSON.stringify({ ...table, version: 2 }), 'has version 2, expected 1'],
    ['numbers for names', JSON.stringify({ ...table, choices: { a: 1 } }), 'not names'],
    ["another adapter's", JSON.stringify(table), "is for 'x', not for 'y'"],
  ] as const) {
    test(`${what} is refused with a sentence`, () => {
      expect(() => Tuning.parse(text, 'y')).toThrow(message);
    });
  }
});

describe("the user's cache", () => {
  const before = process.env['RAAD_CACHE'];
  beforeAll(() => {
    process.env['RAAD_CACHE'] = temporaryFolder();
  });
  afterAll(() => {
    if (before === undefined) delete process.env['RAAD_CACHE'];
    else process.env['RAAD_CACHE'] = before;
  });

  test('keeps choices per adapter, over the shipped ones', async () => {
    const tuning = new Tuning(adapterIdentity(gpu.caps));
    tuning.set(layer('y'), 'direct');
    await saveTuning(gpu.caps, tuning);
    const loaded = await loadTuning(gpu.caps, (message) => expect.fail(message));
    expect(loaded.get(layer('y'))).toBe('direct');
    expect(loaded.size).toBeGreaterThanOrEqual(1);
    expect(tuningFile({ ...gpu.caps, description: 'another driver' })).not.toBe(tuningFile(gpu.caps));
  });

  test('a damaged one is ignored with a notice', async () => {
    const file = tuningFile(gpu.caps);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, '{"format":');
    const notices: string[] = [];
    const loaded = await loadTuning(gpu.caps, (message) => notices.push(message));
    expect(notices).toEqual([`${file} is ignored: the tuning table is not JSON.`]);
    expect(loaded.get(layer('y'))).toBeUndefined();
  });
});
