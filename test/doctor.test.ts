import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { compareResult, prepareCase } from '../src/doctor/check.ts';
import { Engine } from '../src/engine/engine.ts';
import { doctor } from '../src/selfTest/doctor.ts';
import { detectorTable as table } from '../src/selfTest/table.ts';
import { BROKEN, shader } from './support/brokenShader.ts';
import { engine } from './support/gpu.ts';

const gpu = await engine();
const row = (name: string) => {
  const found = table.find((each) => each.name === name);
  if (!found) throw new Error(`no row '${name}'`);
  return prepareCase(found);
};

describe('the checker', () => {
  test('floats: what rounding loses is allowed, more is not, and no number never is', () => {
    const prepared = row('avgPool2d even');
    const right = Float32Array.from(prepared.expected());
    expect(compareResult(prepared, right)).toMatchObject({ isRight: true, message: undefined });
    const largest = Math.max(...right.map(Math.abs));
    for (const [wrong, isRight] of [
      [right[5]! + 0.5e-6 * largest, true],
      [right[5]! + 3e-6 * largest, false],
      [Number.NaN, false],
    ] as const) {
      const result = compareResult(prepared, right.with(5, wrong));
      expect(result.isRight).toBe(isRight);
      if (!isRight)
        expect(result.message).toMatch(`element 5: got ${Number(Math.fround(wrong).toPrecision(9))}, expected`);
    }
    expect(compareResult(prepared, right.subarray(1)).message).toBe('71 values came back, expected 72');
  });

  test('stored activations: bytes exactly, halves within a unit', () => {
    const bytes = row('storeActivations u8');
    const codes = Uint32Array.from(bytes.expected());
    expect(compareResult(bytes, codes).isRight).toBe(true);
    const third = compareResult(bytes, codes.with(2, codes[2]! ^ 0x10000));
    expect(third).toMatchObject({ isRight: false, error: 1, limit: 0 });
    expect(third.message).toMatch('stored value 10: ');
    const halves = row('storeActivations f16');
    const words = Uint32Array.from(halves.expected());
    const at = words.findIndex((word) => (word & 0x3ff) > 2 && (word & 0x3ff) < 0x3f0);
    expect(compareResult(halves, words.with(at, words[at]! + 1)).isRight).toBe(true);
    expect(compareResult(halves, words.with(at, words[at]! - 2))).toMatchObject({ isRight: false, error: 2, limit: 1 });
  });
});

describe('doctor', () => {
  const ops = ['conv2dInputGrad', 'avgPool2d', 'storeActivations'];

  test('finds everything right on this adapter', async () => {
    const seen: number[] = [];
    const report = await doctor(gpu, { ops, onProgress: ({ done }) => seen.push(done) });
    expect(report.failures).toEqual([]);
    expect(report).toMatchObject({ verdict: 'healthy', excluded: [], full: false, cases: seen.length });
    expect(new Set(report.variants.map(({ op }) => op))).toEqual(new Set(ops));
    for (const { cases, failed, worst } of report.variants) {
      expect(cases).toBeGreaterThan(0);
      expect(failed).toBe(0);
      expect(worst).toBeLessThanOrEqual(1);
    }
    expect(report.smoke.map(({ name, isRight }) => [name, isRight])).toEqual([
      ['inference', true],
      ['training step', true],
    ]);
  });

  test('names a broken kernel, excludes it, and the rest is right without it', async () => {
    const shaders = new Map([[BROKEN.name, BROKEN.text]]);
    const report = await doctor(new Engine({ device: gpu.device, shaders }), { ops });
    expect(report.verdict).toBe('limited');
    expect(report.excluded).toEqual(['conv2dInputGrad/direct']);
    expect(report.failures.length).toBeGreaterThan(0);
    for (const { path, row: name, message } of report.failures) {
      expect(path).toBe('conv2dInputGrad/direct');
      expect(name).toMatch(/^conv2dInputGrad /);
      expect(message).toMatch(/element \d+: got .*, expected .*; the difference .* is above/);
    }
    expect(report.smoke.every(({ isRight }) => isRight)).toBe(true);
  });

  test('a kernel without another one in its place makes the adapter unfit', async () => {
    const shaders = new Map([['avg_pool2d.wgsl', shader('avg_pool2d.wgsl').replaceAll('0.25', '0.26')]]);
    const report = await doctor(new Engine({ device: gpu.device, shaders }), { ops: ['avgPool2d'] });
    expect(report).toMatchObject({ verdict: 'unfit', excluded: ['avgPool2d/element'] });
    expect(report.smoke[1]!.message).toMatch(/excluded are avgPool2d\/element/);
  });

  test('an op that is not there', async () => {
    await expect(doctor(gpu, { ops: ['convolution'] })).rejects.toThrow(/no op 'convolution' to check/);
  });
});

test.runIf(process.env['RAAD_TEST'] === 'full')('golden values are those of the float64 references', async () => {
  const { goldenValues } = await import('../src/selfTest/smoke.ts');
  const golden = JSON.parse(
    readFileSync(fileURLToPath(new URL('../src/selfTest/golden.json', import.meta.url)), 'utf8'),
  );
  const rounded = JSON.parse(
    JSON.stringify(goldenValues(), (_, value) => (typeof value === 'number' ? Number(value.toPrecision(9)) : value)),
  );
  expect(rounded).toEqual(golden);
});
