import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'csv-parse/sync';
import { describe, expect, test } from 'vitest';
import { readModel, saveDetector } from '../src/detector/modelFile.ts';
import { writeInspectionSet } from '../src/node/generated.ts';
import { readImage } from '../src/node/images.ts';
import { ResultLog } from '../src/node/study.ts';
import { commandLines } from '../src/report/words.ts';
import type { CellResult } from '../src/study/cells.ts';
import type { RunRecord } from '../src/study/record.ts';
import { COLLECTED, writeCollections } from './support/collections.ts';
import { commandLine } from './support/commandLine.ts';
import { temporaryFolder, writeTree } from './support/temporary.ts';

const folder = temporaryFolder();
const at = (...parts: string[]) => join(folder, ...parts);
const { raad, ok } = commandLine(folder);

await writeInspectionSet(at('biscuit'), {
  part: 'biscuit',
  seed: 2,
  size: 96,
  train: 8,
  testGood: 3,
  testPerDefect: 1,
});
const SHORT = ['--preset', 'quick', '--iterations', '4', '--batch', '1', '--recalibrate-iterations', '2'];

test('run leaves three models, a plan and the record, and goes on where it was stopped', async () => {
  const first = ok('run', 'biscuit', '-o', 'run', ...SHORT);
  for (const step of ['float', 'quantized', 'recalibrated']) {
    expect(first.stdout).toMatch(new RegExp(`${step} +\\d`));
    expect(existsSync(at('run', `${step}.safetensors`))).toBe(true);
  }
  const record: RunRecord = JSON.parse(readFileSync(at('run/run.json'), 'utf8'));
  expect(record.steps.map(({ step }) => step)).toEqual(['float', 'quantized', 'recalibrated']);
  const [float, quantized, recalibrated] = record.steps;
  expect(quantized!.result.size.weightBytes).toBeLessThan(float!.result.size.weightBytes / 3.5);
  expect(recalibrated!.result.metrics.simulatedAuroc).toBeCloseTo(recalibrated!.result.metrics.auroc!, 2);
  for (const { metrics, result, curve } of record.steps) {
    expect(metrics.auroc).toBe(result.metrics.auroc);
    expect(curve!.fpr.length).toBe(curve!.overlap.length);
  }
  expect(record.allocation.map(({ layer }) => layer).slice(0, 4)).toEqual(['conv1', 'conv2', 'conv3', 'conv4']);
  const scores = recalibrated!.result.images.length;
  expect(record.gallery).toHaveLength(scores);
  for (const { image, heatmap, mask, defect } of record.gallery) {
    for (const file of [image, heatmap, mask])
      if (file) expect((await readImage(at('run', file))).width).toBeGreaterThan(0);
    expect(mask === undefined).toBe(defect === 'good');
  }
  expect(ok('info', 'run/recalibrated.safetensors').stdout).toMatch(/conv1/);

  rmSync(at('run/steps/recalibrated.json'));
  const again = ok('run', 'biscuit', '-o', 'run', ...SHORT);
  const repeated: RunRecord = JSON.parse(readFileSync(at('run/run.json'), 'utf8'));
  expect(again.stderr).not.toMatch(/teacher statistics/);
  expect(repeated.steps.map(({ result }) => result.metrics)).toEqual(record.steps.map(({ result }) => result.metrics));
  const other = raad('run', 'biscuit', '-o', 'run', ...SHORT, '--seed', '1');
  expect(other.status).toBe(1);
  expect(other.stderr).toMatch(/was made with seed 0, this run has 1/);
});

test('report draws the run', () => {
  const { stdout } = ok('report', 'run');
  expect(stdout).toMatch(/run\/report.html/);
  const html = readFileSync(at('run/report.html'), 'utf8');
  expect(html.length).toBeLessThan(5e6);
  expect(html).toContain('raad run');
  // What it says to repeat the run is accepted as the same settings: nothing is left to do.
  const [[, , ...given]] = commandLines(JSON.parse(readFileSync(at('run/run.json'), 'utf8'))) as [string[]];
  const repeated = ok('run', 'biscuit', '-o', 'run', ...given.flatMap((option) => option.split(' ')));
  expect(repeated.stderr).not.toMatch(/statistics/);
});

describe('from scores to a recalibrated model', () => {
  const model = 'run/float.safetensors';

  test('allocate prints scores and writes a plan and a chart', () => {
    const planting = ['--plantings', '1', '--repeats', '1'];
    const { stdout } = ok('allocate', model, 'biscuit', '-o', 'plan.json', '--chart', 'plan.svg', ...planting);
    expect(stdout).toMatch(/first-half, seed 0 .* bits/);
    expect(stdout).toMatch(/second-half, seed 1 .* bits/);
    expect(stdout).toMatch(/1 pairs of repetitions: \d times a layer has another width, \d of them/);
    expect(stdout).toMatch(/conv1 \(teacher, student\) +0\.\d+ +0\.\d+ +0\.\d+ +[468] +\d+/);
    expect(readFileSync(at('plan.svg'), 'utf8')).toMatch(/^<svg/);
    const control = ok(
      'allocate',
      model,
      'biscuit',
      '-o',
      'other.json',
      '--method',
      'uniform',
      '--average-bits',
      '5.5',
    );
    expect(control.stdout).toMatch(/5\.\d+ bits on average/);
    const plan = JSON.parse(readFileSync(at('other.json'), 'utf8'));
    expect(new Set(Object.values<{ weights: number }>(plan.layers).map(({ weights }) => weights))).toEqual(
      new Set([5, 6]),
    );
  });

  test('allocate within a share of the time that float takes here', () => {
    const { stdout } = ok('allocate', model, 'biscuit', '-o', 'timed.json', '--budget-time', 'fastest');
    expect(stdout).toMatch(/^timed\.json: \d+ bytes/m);
    expect(stdout).toMatch(
      /^[\d.]+ % of float's [\d.]+ ms on this adapter, allowed [\d.]+ %; the fastest widths take [\d.]+ % \(\d plans timed/m,
    );
    expect(Object.keys(JSON.parse(readFileSync(at('timed.json'), 'utf8')).layers).length).toBe(22);
    const { status, stderr } = raad('allocate', model, 'biscuit', '-o', 'never.json', '--budget-ms', '0.001');
    expect(stderr).toMatch(/no widths bring the networks under 0\.00100 ms.*The fastest take .* bits\./);
    expect(status).toBe(1);
    expect(existsSync(at('never.json'))).toBe(false);
  });

  test('bench times model files in turns', () => {
    const { stdout } = ok('bench', '--model', model, '--model', 'run/quantized.safetensors', '--rounds', '2');
    expect(stdout).toMatch(/run\/float.safetensors +(?:[\d.]+ +){3}1.00 +\d+ +\d+/);
    expect(stdout).toMatch(/run\/quantized.safetensors +(?:[\d.]+ +){4}\d+ +\d+/);
  });

  test('recalibrate trains by the plan, and eval runs the result', () => {
    const { stdout } = ok(
      'recalibrate',
      model,
      '--plan',
      'plan.json',
      'biscuit',
      '-o',
      'r.safetensors',
      '--iterations',
      '2',
    );
    expect(stdout).toMatch(/^r.safetensors: \d+ bytes, threshold/m);
    expect(existsSync(at('r.safetensors.checkpoint'))).toBe(false);
    expect(ok('eval', 'r.safetensors', 'biscuit').stdout).toMatch(/all +\d/);
  });

  test('attention and bias draw their figures', async () => {
    const image = ok('attention', model, 'biscuit/test/good/000.png', '-o', 'attention.png');
    expect(image.stdout).toMatch(/conv4 +24x24/);
    expect((await readImage(at('attention.png'))).width).toBeGreaterThan(800);
    expect(ok('bias', model, 'biscuit', '-o', 'bias.png').stdout).toMatch(
      /bias index 0\.\d+, 3 normal and \d+ anomalous/,
    );
    expect((await readImage(at('bias.png'))).width).toBeGreaterThan(500);
  });

  test('bias: what has no map is named, and the exit code is 1', async () => {
    cpSync(at('biscuit'), at('torn'), { recursive: true });
    writeTree(at('torn'), { 'test/good/000.png': 'no image' });
    const torn = raad('bias', model, 'torn', '-o', 'torn.png');
    expect(torn.status).toBe(1);
    expect(torn.stderr).toMatch(/left out: .*test\/good\/000.png/);
    expect(torn.stderr).toMatch(
      /^raad: 1 of \d+ images were left out\. They are named above; the figures are of the others/m,
    );
    expect(torn.stdout).toMatch(/bias index 0\.\d+, 2 normal/);
    expect(existsSync(at('torn.png'))).toBe(true);
    const state = await readModel(readFileSync(at(model)), model);
    // Finite weights whose squares overflow.
    state.networks.student.convolutions.at(-1)!.bias.data.fill(3e38);
    writeFileSync(at('overflowing.safetensors'), await saveDetector({ state }));
    const none = raad('bias', 'overflowing.safetensors', 'biscuit', '-o', 'none.png');
    expect(none.status).toBe(1);
    expect(none.stderr).toMatch(/left out: .*test\/good\/000.png: the .* map has the value/);
    expect(none.stderr).toMatch(/none of the normal test images of biscuit could be scored/);
    expect(existsSync(at('none.png'))).toBe(false);
  });

  test('mistakes', () => {
    const refusals: [readonly string[], RegExp, number][] = [
      [['allocate', model, 'biscuit', '-o', 'p.json', '--mode', 'budget'], /needs a limit/, 1],
      [['allocate', model, 'biscuit', '-o', 'p.json', '--budget-time=-1'], /a budget of -1 of float/, 1],
      [
        ['allocate', model, 'biscuit', '-o', 'p.json', '--budget-ms', '9', '--budget-time', 'midway'],
        /both --budget-ms and --budget-time/,
        2,
      ],
      [
        ['allocate', model, 'biscuit', '-o', 'p.json', '--budget-ms', '9', '--bytes', '100'],
        /--bytes does not go with --budget-ms/,
        2,
      ],
      [['allocate', model, 'biscuit', '-o', 'p.json', '--bits', '4,9'], /--bits 9 does not exist/, 2],
      [
        ['allocate', model, 'biscuit', '-o', 'p.json', '--map', 'cka', '--contribution', 'separability'],
        /without a map/,
        1,
      ],
      [['allocate', 'r.safetensors', 'biscuit', '-o', 'p.json'], /is quantized/, 1],
      [['recalibrate', model, '--plan', 'none.json', 'biscuit', '-o', 'x.safetensors'], /none.json cannot be read/, 1],
      [
        ['recalibrate', 'r.safetensors', '--plan', 'plan.json', 'biscuit', '-o', 'x.safetensors'],
        /quantized already/,
        1,
      ],
      [['study', 'biscuit', '--out', 's', '--arms', 'best'], /there is no arm 'best'/, 2],
      [['study', '--out', 'nowhere', '--tables'], /nowhere\/cells\.jsonl has no finished cell/, 1],
      [['run', 'biscuit'], /needs a data set and -o/, 2],
    ];
    for (const [args, message, code] of refusals) {
      const { status, stderr } = raad(...args);
      expect(stderr).toMatch(message);
      expect(stderr).not.toMatch(/^\s+at /m);
      expect(status, args.join(' ')).toBe(code);
    }
    expect(existsSync(at('p.json'))).toBe(false);
  });
});

test('study writes a line per cell, tables and charts, and runs nothing twice', () => {
  const args = ['study', 'biscuit', '--out', 'study', '--seeds', '0', ...SHORT];
  ok(...args, '--arms', 'float');
  const lines = () => readFileSync(at('study/cells.jsonl'), 'utf8').trim().split('\n');
  expect(lines()).toHaveLength(2);
  const { stderr } = ok(...args, '--arms', 'float,budget');
  expect(stderr).toMatch(/2 cells are done, 2 are left/);
  const results = lines().map((line): CellResult => JSON.parse(line));
  expect(results.map(({ id }) => id)).toEqual([
    'biscuit/0/float',
    'biscuit/0/float+recalibrated',
    'biscuit/0/budget',
    'biscuit/0/budget+recalibrated',
  ]);
  const table: Record<string, string>[] = parse(readFileSync(at('study/study.csv'), 'utf8'), { columns: true });
  expect(table.map(({ arm }) => arm)).toEqual(['float', 'float', 'budget', 'budget']);
  for (const chart of ['auroc-bytes', 'auroc-latency', 'overlap-bytes', 'overlap-latency'])
    expect(readFileSync(at(`study/pareto-${chart}.svg`), 'utf8')).toMatch(/^<svg.*budget\+recalibrated/s);
  expect(readFileSync(at('study/study.md'), 'utf8')).toMatch(/budget\+recalibrated - float\+recalibrated/);
  const changed = raad(...args, '--average-bits', '4');
  expect(changed.status).toBe(1);
  expect(changed.stderr).toMatch(/was made with averageBits 5, this run has 4/);
});

test('study takes collections in the layouts of MVTec AD, LOCO and VisA, and trains on every set', async () => {
  const roots = await writeCollections(at('collections'));
  ok('study', ...roots, '--out', 'collected', '--seeds', '0', '--arms', 'blur', ...SHORT);
  const { results } = await ResultLog.open(at('collected/cells.jsonl'));
  expect(results.map(({ set, layout }) => [set, layout])).toEqual(COLLECTED);
  for (const { metrics } of results) expect(metrics.overlap).toBeGreaterThanOrEqual(0);
  expect(readFileSync(at('collected/study.md'), 'utf8')).toMatch(/\*\*mean of 3\*\*/);
});

test('settings that a later step would refuse are refused before anything is written', () => {
  const cases: [args: string[], message: RegExp][] = [
    [['study', 'biscuit', '--out', 'early', '--average-bits', '1'], /cannot be brought under an average of 1 bits/],
    [['study', 'biscuit', '--out', 'early', '--map', 'cka', '--contribution', 'separability'], /without a map/],
    [['study', 'biscuit', '--out', 'early', '--recalibrate-iterations', '0'], /iterations 0 cannot be used/],
    [['run', 'biscuit', '-o', 'early', '--preset', 'quick', '--iterations', '1.5'], /iterations 1\.5 cannot be used/],
    [['run', 'biscuit', '-o', 'early', '--seed=-1'], /--seed -1 cannot be used/],
    [['run', 'biscuit', '-o', 'early', '--preset', 'quick', '--size', 'm'], /teacher/],
  ];
  for (const [args, message] of cases) {
    const { status, stderr } = raad(...args);
    expect(stderr, args.join(' ')).toMatch(message);
    expect(status, args.join(' ')).toBeGreaterThan(0);
    expect(existsSync(at('early/settings.json')), args.join(' ')).toBe(false);
  }
});
