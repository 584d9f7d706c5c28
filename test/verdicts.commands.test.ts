import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readModel } from '../src/detector/modelFile.ts';
import { writeInspectionSet } from '../src/node/generated.ts';
import { commandLine } from './support/commandLine.ts';
import { temporaryFolder } from './support/temporary.ts';

const folder = temporaryFolder();
const at = (...parts: string[]) => join(folder, ...parts);
const { raad, ok } = commandLine(folder);
const read = (file: string) => readModel(readFileSync(at(file)), file);

await writeInspectionSet(at('data'), { part: 'biscuit', seed: 2, size: 96, train: 42, testGood: 3, testPerDefect: 1 });
await writeInspectionSet(at('few'), { part: 'biscuit', seed: 4, size: 96, train: 10, testGood: 2, testPerDefect: 1 });
const QUICK = ['--preset', 'quick', '--iterations', '2', '--batch', '1'];

describe('maps', () => {
  test('fit chooses a filter of the map, prints what each gives, and keeps it in the file', async () => {
    const { stdout, stderr } = ok('fit', 'data', '-o', 'm.safetensors', ...QUICK, '--maps', 'auto');
    expect(stderr).toMatch(/4 held-out images can promise .* --folds 5 takes the threshold from all good images/);
    expect(stdout).toMatch(/maps +AUROC +gain of AUROC +AU-PRO +gain of AU-PRO/);
    const rows = [...stdout.matchAll(/^ *(none|gaussian|location)( \*)? /gm)].map(([, kind, taken]) => [kind, !!taken]);
    expect(rows.map(([kind]) => kind)).toEqual(['none', 'gaussian', 'location']);
    const [chosen] = rows.filter(([, taken]) => taken);
    const { filter } = await read('m.safetensors');
    expect(filter?.kind ?? 'none').toBe(chosen![0]);
  });

  test('another filter of a model that is there, which quantizing learns anew', async () => {
    expect(ok('maps', 'm.safetensors', 'data', '--maps', 'location', '-o', 'l.safetensors').stdout).toMatch(
      /^l.safetensors: maps location, threshold -?\d/m,
    );
    expect(ok('info', 'l.safetensors').stdout).toMatch(/map filter: location, 4 images/);
    ok('quantize', 'l.safetensors', '--bits', '8', '--calibrate', 'data', '-o', 'q.safetensors');
    const [float, quantized] = [await read('l.safetensors'), await read('q.safetensors')];
    expect(quantized.filter!.value).toEqual({ kind: 'location', images: 4 });
    expect(quantized.filter!.tensors).not.toEqual(float.filter!.tensors);
    expect(ok('eval', 'q.safetensors', 'data').stdout).toMatch(/all +\d/);
    ok('maps', 'l.safetensors', 'data', '--maps', 'none', '-o', 'n.safetensors');
    expect((await read('n.safetensors')).filter).toBeUndefined();
  });

  test('a mirrored border is brought to the levels of the inside, unless that is not wanted or cannot be learned', async () => {
    const mirrored = ['--preset', 'quick', '--method', 'nearest', '--vectors', '64', '--border', 'reflect'];
    ok('fit', 'data', '-o', 'border.safetensors', ...mirrored);
    expect((await read('border.safetensors')).filter!.value).toEqual({ kind: 'border', images: 42 });
    expect((await read('border.safetensors')).threshold).toMatchObject({ images: 42 });
    expect(ok('info', 'border.safetensors').stdout).toMatch(/map filter: border, 42 images/);
    ok('fit', 'data', '-o', 'border.safetensors', ...mirrored, '--maps', 'none');
    expect((await read('border.safetensors')).filter).toBeUndefined();
    const told = ok('fit', 'few', '-o', 'border.safetensors', ...QUICK, '--border', 'reflect').stderr;
    expect(told).toMatch(/--maps border takes 4 held-out images/);
    expect((await read('border.safetensors')).filter).toBeUndefined();
  });

  test('what cannot be done is said', () => {
    const border = raad('fit', 'data', '-o', 'x.safetensors', ...QUICK, '--maps', 'border');
    expect([border.status, border.stderr]).toEqual([
      2,
      expect.stringMatching(/--maps border does not go with --border nearest/),
    ]);
    const { status, stderr } = raad('maps', 'm.safetensors', 'data', '--maps', 'median', '-o', 'x.safetensors');
    expect(status).toBe(2);
    expect(stderr).toMatch(/--maps median is not known. Use one of: auto, none, gaussian, location, border/);
    expect(raad('maps', 'm.safetensors').stderr).toMatch(/maps needs a model, a data set and -o/);
  });
});

describe('verdicts', () => {
  const OTHER = join(folder, 'other');

  test('eval says which rate of false alarms was promised and which was seen', () => {
    expect(ok('eval', 'm.safetensors', 'data').stdout).toMatch(
      /own threshold: [\d.]+ % false alarms \(95 % interval [\d.]+ \.\. [\d.]+; at most 20\.00 promised\), [\d.]+ % of/,
    );
  });

  test('threshold takes it anew from parts of the line, and predict tells when those differ', async () => {
    await writeInspectionSet(OTHER, { part: 'denim', seed: 3, size: 96, train: 10, testGood: 1, testPerDefect: 0 });
    ok('threshold', 'm.safetensors', '--good', 'data/train/good', '-o', 'k.safetensors');
    const drifted = raad('predict', 'k.safetensors', 'other/train/good', '--json', '--no-heatmap');
    const last = JSON.parse(drifted.stdout.trim().split('\n').at(-1)!);
    expect(last.drift).toMatchObject({ images: 10, drifted: true });
    expect(drifted.stderr).toMatch(/these 10 images score (higher|lower) .* set the threshold anew/);
    const set = ok('threshold', 'm.safetensors', '--good', 'other/train/good', '-o', 't.safetensors', '--alpha', '0.1');
    expect(set.stdout).toMatch(/^before: threshold .*from 4 held-out images that score -?\d/m);
    expect(set.stdout).toMatch(/^t.safetensors: threshold .*at most 10\.0 % false alarms, from 10 held-out images/m);
    const [before, after] = [await read('m.safetensors'), await read('t.safetensors')];
    expect(after.quantiles).toEqual(before.quantiles);
    expect(after.calibration!.scores).toHaveLength(10);
    const again = raad('predict', 't.safetensors', 'other/train/good', '--json', '--no-heatmap');
    expect(JSON.parse(again.stdout.trim().split('\n').at(-1)!).drift).toMatchObject({ above: 0.5, drifted: false });
    expect(again.stderr).not.toMatch(/anew/);
  });

  test('threshold without good images is refused', () => {
    expect(raad('threshold', 'm.safetensors', '-o', 'x').stderr).toMatch(/threshold needs a model, --good and -o/);
  });
});

describe('a memory bank', () => {
  test('is made in one step, and goes through the same commands', async () => {
    const made = ok('fit', 'few', '-o', 'b.safetensors', '--preset', 'quick', '--method', 'nearest', '--vectors', '64');
    expect(made.stdout).toMatch(/^b.safetensors: threshold .*from 10 held-out images/m);
    expect((await read('b.safetensors')).networks.bank!.size).toBe(64);
    expect(ok('info', 'b.safetensors').stdout).toMatch(/PDN-XS memory bank of 64 features, 128x128 px/);
    expect(ok('eval', 'b.safetensors', 'few').stdout).toMatch(/all +\d/);
    ok('quantize', 'b.safetensors', '--bits', '5', '--calibrate', 'few', '-o', 'b5.safetensors');
    expect(ok('info', 'b5.safetensors').stdout).toMatch(/memory +64x128x1x1 +8192 +5 /);
    expect(ok('predict', 'b5.safetensors', 'few/test/good/000.png', '--no-heatmap').stdout).toMatch(/score -?\d/);
  });

  test('has no steps, no student, and refuses what needs them', () => {
    const stray = raad('fit', 'few', '-o', 'x', '--method', 'nearest', '--iterations', '5');
    expect([stray.status, stray.stderr]).toEqual([
      2,
      expect.stringMatching(/--iterations does not go with --method nearest/),
    ]);
    expect(raad('fit', 'few', '-o', 'x', '--vectors', '5').stderr).toMatch(
      /--vectors does not go with --method student/,
    );
    const allocated = raad('allocate', 'b.safetensors', 'few', '-o', 'plan.json');
    expect([allocated.status, allocated.stderr]).toEqual([
      1,
      expect.stringMatching(/is a memory bank, which has no student/),
    ]);
    expect(allocated.stderr).not.toMatch(/^\s+at /m);
  });
});

describe('tiles', () => {
  const NEAREST = ['--preset', 'quick', '--method', 'nearest', '--vectors', '64'];

  test('are fitted, and go through the same commands', async () => {
    ok('fit', 'few', '-o', 'tiles.safetensors', ...NEAREST, '--tiles', '192x160', '--maps', 'gaussian');
    expect((await read('tiles.safetensors')).tiling!.value).toEqual({ width: 192, height: 160 });
    const told = ok('info', 'tiles.safetensors').stdout;
    expect(told).toMatch(/map 40x32,/);
    expect(told).toMatch(/looks at images of 192x160 px in tiles/);
    expect(JSON.parse(ok('info', 'tiles.safetensors', '--json').stdout).tiles).toEqual({ width: 192, height: 160 });
    expect(ok('eval', 'tiles.safetensors', 'few').stdout).toMatch(/all +\d/);
    ok('quantize', 'tiles.safetensors', '--bits', '8', '--calibrate', 'few', '-o', 'tiles8.safetensors');
    expect(ok('predict', 'tiles8.safetensors', 'few/test/good/000.png').stdout).toMatch(/score -?\d.* -> /);
    expect(ok('bias', 'tiles.safetensors', 'few').stdout).toMatch(/bias index/);
  });

  test.each([
    [['--tiles', 'large'], 2, /--tiles large is not a size. Give width and height in pixels/],
    [['--tiles', '192x160', '--maps', 'auto'], 2, /--maps auto does not go with --tiles. Use none or gaussian/],
    [['--tiles', '192x160', '--region', '0,0 9,0 9,9 0,9'], 2, /--region does not go with --tiles/],
    [
      ['--tiles', '192x100'],
      1,
      /is \{"width":192,"height":100\}. It has to be a width and a height of at least 128 px/,
    ],
  ])('%j is refused', (given, code, message) => {
    const { status, stderr } = raad('fit', 'few', '-o', 'x.safetensors', ...NEAREST, ...given);
    expect([status, stderr]).toEqual([code, expect.stringMatching(message)]);
    expect(stderr).not.toMatch(/^\s+at /m);
  });

  test('what takes the networks alone is refused', () => {
    for (const [command, ...more] of [
      ['export', '--onnx', 'x.onnx'],
      ['attention', 'few/test/good/000.png'],
    ] as const) {
      const { status, stderr } = raad(command, 'tiles.safetensors', ...more);
      expect([status, stderr]).toEqual([1, expect.stringMatching(/looks at tiles/)]);
    }
  });
});

describe('folds', () => {
  test('the threshold comes from all good images, and what that takes is said before', async () => {
    const { stdout, stderr } = ok('fit', 'few', '-o', 'f.safetensors', ...QUICK, '--folds', '2', '--alpha', '0.1');
    expect(stderr).toMatch(/2 further trainings take the threshold from all 10 good images: 3 times the work of one/);
    expect(stderr).toMatch(/training 2 of 2, without the images that it judges/);
    expect(stdout).toMatch(/^f.safetensors: threshold .*at most 10\.0 % false alarms, from 10 held-out images/m);
    expect((await read('f.safetensors')).calibration!.scores).toHaveLength(10);
  });

  test('a number that cannot be is refused', () => {
    expect(raad('fit', 'few', '-o', 'x', ...QUICK, '--folds', '1').stderr).toMatch(/--folds 1 cannot be used/);
    expect(raad('fit', 'few', '-o', 'x', ...QUICK, '--folds', '99').stderr).toMatch(/cannot be judged in 99 parts/);
  });
});
