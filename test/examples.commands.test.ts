import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { readModel } from '../src/detector/modelFile.ts';
import { writeInspectionSet } from '../src/node/generated.ts';
import { temporaryFolder } from './support/temporary.ts';

const examples = fileURLToPath(new URL('../examples', import.meta.url));
const folder = temporaryFolder();
const at = (...parts: string[]) => join(folder, ...parts);

/** Runs a program of `examples/` on the built package. @returns the lines that it printed */
function run(name: string, ...args: string[]): string[] {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(examples, name), ...args], {
    encoding: 'utf8',
    cwd: folder,
  });
  expect(status, stderr).toBe(0);
  return stdout.trim().split('\n');
}

test('reverse mode finds the kernel', () => {
  const lines = run('reverse-mode.mjs');
  const losses = lines.slice(0, -1).map((line) => Number(/loss (\S+)$/.exec(line)![1]));
  expect(losses[0]).toBeGreaterThan(1);
  expect(losses.at(-1)).toBeLessThan(1e-9);
  const kernel = lines.at(-1)!.replace('kernel: ', '').split(' ').map(Number);
  [-1, 0, 1, -2, 0, 2, -1, 0, 1].forEach((value, i) => {
    expect(kernel[i]).toBeCloseTo(value, 2);
  });
});

test('an op of one’s own: both variants give its value and its gradient', () => {
  const errors = run('own-op.mjs').map((line) => /^(\w+: \w+) differs by (\S+) at most$/.exec(line)!.slice(1));
  expect(errors.map(([what]) => what)).toEqual(['vectors: y', 'vectors: db', 'numbers: y', 'numbers: db']);
  for (const [what, error] of errors) expect(Number(error), what).toBeLessThan(1e-6);
});

test('a packing of one’s own: the kernel gives the integers of its definition', () => {
  const [kernel, bits, weights] = run('own-packing.mjs').map((line) =>
    Number(/([\d.e+-]+)(?: %.*| of the .*)?$/.exec(line)![1]),
  );
  expect(kernel).toBeLessThan(1e-6);
  // 1.6 where the last words are full.
  expect(bits).toBe(1.92);
  expect(weights).toBeGreaterThan(5);
  expect(weights).toBeLessThan(40);
});

test('train, predict, quantize', async () => {
  const set = { part: 'biscuit', seed: 2, size: 96, train: 6, testGood: 2, testPerDefect: 1 } as const;
  await writeInspectionSet(at('data'), set);
  const trained = run('train.mjs', 'data', 'model.safetensors', '2');
  expect(trained).toContain('train: 2');
  expect(trained.at(-2)).toMatch(/^image AUROC [01]\.\d{4}$/);
  const predicted = run('predict.mjs', 'model.safetensors', 'data/test/crack/000.png', 'map.png');
  expect(predicted[0]).toMatch(/^score -?\d+\.\d{4}, (normal|anomalous)$/);
  expect(readFileSync(at('map.png')).subarray(1, 4).toString()).toBe('PNG');
  expect(run('quantize.mjs', 'model.safetensors', 'data', 'small.safetensors')[0]).toMatch(/ bytes, threshold \d/);
  const [floats, small] = ['model', 'small'].map((name) => statSync(at(`${name}.safetensors`)).size);
  expect(small! / floats!).toBeLessThan(4 / 32 + 0.03);
  const { quantization } = await readModel(readFileSync(at('small.safetensors')), 'small');
  for (const layer of quantization!.values()) expect(layer.plan.weights).toBe(4);
});

test('the page names every program', () => {
  const page = readFileSync(join(examples, 'README.md'), 'utf8');
  const programs = readdirSync(examples).filter((file) => file.endsWith('.mjs'));
  for (const program of programs) expect(page).toContain(`node examples/${program}`);
  expect(programs).toHaveLength(6);
  const modules = readdirSync(join(examples, 'browser'));
  for (const module of modules) expect(page).toContain(`\`browser/${module}\``);
  expect(modules).toHaveLength(4);
});
