import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Random } from '../src/math/random.ts';
import { auroc } from '../src/metrics/ranking.ts';
import { openStudySets, ResultLog } from '../src/node/study.ts';
import { studyCharts } from '../src/report/study/charts.ts';
import { studyCsv, studyMarkdown } from '../src/report/study/tables.ts';
import { ARMS, type Arm } from '../src/study/arms.ts';
import { type CellResult, cellId, studyCells } from '../src/study/cells.ts';
import { compareArms, summarizeArms, verdict } from '../src/study/comparisons.ts';
import { checkTask, parseResult, resultText } from '../src/study/tasks.ts';
import { COLLECTED, writeCollections, writeSmallSet } from './support/collections.ts';
import { temporaryFolder, writeTree } from './support/temporary.ts';

const folder = temporaryFolder();

/** A cell whose scores tell good from bad as well as `quality` says. */
function cell(
  set: string,
  seed: number,
  arm: Arm,
  recalibrated: boolean,
  quality: number,
  change: Partial<CellResult> = {},
) {
  const random = new Random(seed + 100 * set.length);
  const images = Array.from({ length: 120 }, (_, i) => {
    const defect = i % 2 === 0 ? 'good' : i % 4 === 1 ? 'logical' : 'structural';
    return [defect, random.uniform() + (defect === 'good' ? 0 : quality)] as const;
  });
  const result = {
    set,
    seed,
    arm,
    recalibrated,
    layout: 'mvtec-ad',
    metrics: { auroc: 0.5 + quality / 2, overlap: 0.4, biasIndex: 0.3 - quality / 10 },
    size: { weightBytes: 1000, averageBits: 5, fileBytes: 1200 },
    timing: { milliseconds: 10, floatMilliseconds: 20 },
    memoryBytes: 5000,
    bits: { 'teacher.conv1': 4, 'teacher.conv2': 8, 'student.conv1': 4, 'autoencoder.enc1': 8 },
    images,
    adapter: 'test',
    seconds: 1,
    ...change,
  } as const;
  return { ...result, id: cellId(result) } satisfies CellResult;
}

describe('paired comparison', () => {
  const results = ['a', 'bb'].flatMap((set) =>
    [0, 1].flatMap((seed) => [
      cell(set, seed, 'float', false, 0.3),
      cell(set, seed, 'hqs', false, 0.3),
      cell(set, seed, 'uniform', false, 0.6),
    ]),
  );

  test('is zero for equal scores, and its interval holds the difference otherwise', () => {
    expect(compareArms(results, 'hqs', 'float')).toMatchObject({
      ...{ difference: 0, low: 0, high: 0, pairs: 4 },
      sets: ['a', 'bb'].map((set) => ({ set, difference: 0, low: 0, high: 0 })),
    });
    const better = compareArms(results, 'uniform', 'float')!;
    const of = (result: CellResult) =>
      100 *
      auroc(
        result.images.map(([, score]) => score),
        result.images.map(([defect]) => defect !== 'good'),
      )!;
    const differences = results
      .filter(({ arm }) => arm === 'uniform')
      .map(
        (result) =>
          of(result) - of(results.find((r) => r.arm === 'float' && r.set === result.set && r.seed === result.seed)!),
      );
    expect(better.difference).toBeCloseTo(differences.reduce((a, b) => a + b, 0) / differences.length, 8);
    expect(better.low).toBeLessThan(better.difference);
    expect(better.high).toBeGreaterThan(better.difference);
    expect(better.low).toBeGreaterThan(0);
    // By itself, a set's comparison is what it is without the others.
    const alone = compareArms(
      results.filter(({ set }) => set === 'a'),
      'uniform',
      'float',
    )!;
    expect(better.sets[0]!.difference).toBeCloseTo(alone.difference, 10);
    for (const end of ['low', 'high'] as const) {
      expect(Math.abs(better.sets[0]![end] - alone[end])).toBeLessThan(0.5);
      expect(Math.abs(better.sets[0]![end] - better.sets[0]!.difference)).toBeGreaterThan(0.5);
    }
    expect(verdict(better)).toBe('better');
    expect(verdict({ low: -1, high: 1 })).toBe('no difference shown');
    expect(compareArms(results, 'ompq', 'float')).toBeUndefined();
  });

  test('LOCO counts the mean over its kinds', () => {
    const loco = (arm: Arm, shift: number): CellResult => {
      const base = cell('loco', 0, arm, false, 0.3, { layout: 'mvtec-loco' });
      return {
        ...base,
        images: base.images.map(([defect, score]) => [defect, score + (defect === 'logical' ? shift : 0)]),
      };
    };
    const [float, other] = [loco('float', 0), loco('hqs', 1)];
    const kind = (result: CellResult, name: string) => {
      const own = result.images.filter(([defect]) => defect === 'good' || defect === name);
      return auroc(
        own.map(([, score]) => score),
        own.map(([defect]) => defect === name),
      )!;
    };
    const mean = (result: CellResult) => 50 * (kind(result, 'logical') + kind(result, 'structural'));
    expect(compareArms([float, other], 'hqs', 'float')!.difference).toBeCloseTo(mean(other) - mean(float), 8);
  });

  test('means are over sets of means over seeds', () => {
    const uneven = [
      cell('a', 0, 'float', false, 0.2),
      cell('a', 1, 'float', false, 0.4),
      cell('bb', 0, 'float', false, 0.9),
    ];
    const [row] = summarizeArms(uneven);
    expect(row!.auroc).toBeCloseTo((65 + 95) / 2, 8);
    expect(row!.relativeTime).toBeCloseTo(0.5, 8);
  });
});

test('the tables hold every cell, every collection and every answer', () => {
  const collections = { 'mvtec-ad': 15, visa: 12, 'mvtec-loco': 5 } as const;
  const results = Object.entries(collections).flatMap(([layout, count]) =>
    Array.from({ length: count }, (_, k) => `${layout}-${k}`).flatMap((set) => [
      cell(set, 0, 'float', false, 0.4, { layout: layout as 'visa' }),
      cell(set, 0, 'float', true, 0.4, { layout: layout as 'visa' }),
      cell(set, 0, 'hqs', false, 0.4, { layout: layout as 'visa' }),
      cell(set, 0, 'hqs', true, 0.5, {
        layout: layout as 'visa',
        metrics: { auroc: 0.75, biasIndex: 0.2, simulatedAuroc: 0.7504 },
        size: { weightBytes: 400, averageBits: 5, fileBytes: 500 },
      }),
      cell(set, 0, 'uniform', true, 0.45, { layout: layout as 'visa' }),
    ]),
  );
  const text = studyMarkdown(results);
  expect(text).toMatch(/160 cells: 32 data sets/);
  for (const part of [
    '**mvtec-ad: mean of 15**',
    '**visa: mean of 12**',
    '**mvtec-loco: mean of 5**',
    '**mean of 32**',
    '| hqs+recalibrated - uniform+recalibrated |',
    '| hqs+recalibrated - float+recalibrated |',
    '| hqs+recalibrated | 0.260 | 0.200 | -0.060 | 32 of 32 |',
    '32 recalibrated cells: they differ by 0.040 points at most',
    '**Do deep layers get more bits?** Yes: of 32 plans of HQS, 32 rise with depth, 0 fall, 0 do neither',
    '**Does HQS beat its controls at equal size, after recalibration?** Yes. HQS minus the control in image AUROC: uniform +',
    '**Does recalibration add anything?** Over the same plan without it: 1 of 1 plans gain and 0 lose',
    '**Does the bias index fall?** Yes. Float has 0.260; float+recalibrated 0.260 (lower in 0 of 32), hqs 0.260',
    '| hqs+recalibrated | 32 | 75.00 | - | - | - | - | 0.200 | 0 | 2.50 |',
  ])
    expect(text).toContain(part);
  expect(text).not.toMatch(/NaN|undefined/);
  expect(studyCsv(results).trim().split('\r\n')).toHaveLength(161);
});

test('bias indices are compared over cells that both arms have', () => {
  const results = [
    cell('a', 0, 'float', false, 0.5, { metrics: { biasIndex: 0.3 } }),
    cell('a', 1, 'float', false, 0.5, { metrics: { biasIndex: 0.1 } }),
    cell('a', 0, 'hqs', false, 0.5, { metrics: { biasIndex: 0.4 } }),
    cell('bb', 0, 'hqs', false, 0.5, { metrics: { biasIndex: 0.001 } }),
    cell('a', 0, 'locations', false, 0.5, { metrics: { biasIndex: 0.05 } }),
    cell('a', 1, 'locations', false, 0.5, { metrics: { biasIndex: 0.05 } }),
  ];
  const text = studyMarkdown(results);
  expect(text).toContain(
    '**Does the bias index fall?** No, it rises. Float has 0.300; hqs 0.400 (lower in 0 of 1), locations 0.050 from 0.200 (lower in 2 of 2).',
  );
  expect(text).toContain('| hqs | 0.300 | 0.400 | 0.100 | 0 of 1 |');
});

test('answers name the data sets that a mean comes from', () => {
  const results = ['a', 'bb'].flatMap((set) =>
    [0, 1].flatMap((seed) => [
      cell(set, seed, 'hqs', false, set === 'a' ? 0.9 : 0.28),
      cell(set, seed, 'uniform', false, 0.3),
    ]),
  );
  expect(studyMarkdown(results)).toMatch(
    /before recalibration\?\*\* In the mean, but by itself on 1 of 2 data sets only\..* By data set: a \+\d+\.\d\d, bb -\d\.\d\d\./,
  );
});

test('plans that several arms share are named', () => {
  const wide = { bits: { 'teacher.conv1': 8, 'teacher.conv2': 8, 'student.conv1': 8, 'autoencoder.enc1': 8 } };
  const results = [0, 1].flatMap((seed) => [
    cell('a', seed, 'hqs', false, 0.3),
    cell('a', seed, 'random', false, 0.3, seed === 0 ? {} : wide),
    cell('a', seed, 'uniform', false, 0.3, wide),
  ]);
  const text = studyMarkdown(results);
  expect(text).toContain("Of the 4 control plans, 1 is the plan of HQS and 1 repeat another control's.");
  expect(text).toContain('Equal plans, whose cells are one experiment: a/0: hqs, random; a/1: random, uniform.');
  const different = [cell('a', 0, 'hqs', false, 0.3), cell('a', 0, 'uniform', false, 0.3, wide)];
  expect(studyMarkdown(different)).not.toMatch(/the plan of HQS|Equal plans/);
});

/** A study's folder that an earlier version left. */
function keptStudy(folder: URL) {
  const read = (name: string) => readFileSync(new URL(name, folder), 'utf8');
  const text = read('cells.jsonl');
  const lines = text.trim().split('\n');
  return { read, text, lines, results: lines.map((line): CellResult => JSON.parse(line)) };
}

const DOCS = new URL('../docs/', import.meta.url);
const GOLDEN = new URL('golden/study/', import.meta.url);

test.each([
  ['published', new URL('study/', DOCS), new URL('study.md', DOCS), 'study/'],
  ['committed', GOLDEN, new URL('study.md', GOLDEN), ''],
])('pages, tables and charts of the %s cells are the same bytes', (_, study, page, charts) => {
  const { read, results } = keptStudy(study);
  const pictures = studyCharts(results);
  const addresses = [...pictures.keys()].map((name) => charts + name);
  const settings = JSON.parse(read('settings.json'));
  expect(studyMarkdown(results, { settings, charts: addresses })).toBe(readFileSync(page, 'utf8'));
  expect(studyCsv(results)).toBe(read('study.csv'));
  expect(pictures.size).toBe(4);
});

test('charts of the published cells are the same bytes', () => {
  const { read, results } = keptStudy(new URL('study/', DOCS));
  for (const [name, svg] of studyCharts(results)) expect(svg, name).toBe(read(name));
});

test('a study goes on from committed cells, in their order and without changing a byte of them', async () => {
  const { text, lines, results } = keptStudy(GOLDEN);
  const path = join(folder, 'kept', 'cells.jsonl');
  writeTree(join(folder, 'kept'), { 'cells.jsonl': `${lines.slice(0, 5).join('\n')}\n` });
  const log = await ResultLog.open(path);
  // Those of the version that committed them.
  const arms = ARMS.filter((arm) => results.some((result) => result.arm === arm));
  const cells = studyCells(['biscuit'], [3], arms);
  expect(cells.map(cellId)).toEqual(results.map(({ id }) => id));
  expect(cells.map((cell) => log.has(cellId(cell)))).toEqual(cells.map((_, i) => i < 5));
  for (const result of results) await log.add(result);
  expect(readFileSync(path, 'utf8')).toBe(text);
});

test('messages of a queue are taken and returned as the same text', () => {
  const [tasks, returned] = ['tasks.jsonl', 'returned.json'].map((name) => readFileSync(new URL(name, GOLDEN), 'utf8'));
  const lines = tasks!.trim().split('\n');
  for (const line of lines) expect(JSON.stringify(checkTask(JSON.parse(line)))).toBe(line);
  const { version, cell } = checkTask(JSON.parse(lines.at(-1)!));
  const result = parseResult(returned!, { version, cell: cell! });
  expect(resultText({ version, result }, cell!)).toBe(returned);
});

test('results survive a crash in the middle of a line, and come once', async () => {
  const path = join(folder, 'log', 'cells.jsonl');
  const first = await ResultLog.open(path);
  mkdirSync(join(folder, 'log'), { recursive: true });
  const [a, b] = [cell('a', 0, 'float', false, 0.3), cell('a', 0, 'hqs', false, 0.3)];
  await first.add(a);
  await first.add(b);
  await first.add(a);
  const text = readFileSync(path, 'utf8');
  writeFileSync(path, text.slice(0, -20));
  const second = await ResultLog.open(path);
  expect(second.results.map(({ id }) => id)).toEqual([a.id]);
  await second.add(b);
  expect(readFileSync(path, 'utf8')).toBe(text);
  writeFileSync(path, `{"id":"x"}\n${text}`);
  await expect(ResultLog.open(path)).rejects.toThrow(/cells.jsonl, line 1, has no usable value at set\./);
});

test('collections in the layouts of MVTec AD, LOCO and VisA are told apart, and equal names of sets as well', async () => {
  const root = join(folder, 'collections');
  const roots = await writeCollections(root);
  const sets = await openStudySets(roots);
  expect(sets.map(({ name, dataset }) => [name, dataset.layout])).toEqual(COLLECTED);
  await writeSmallSet(join(root, 'more/bottle'), 4);
  const doubled = await openStudySets([roots[0]!, join(root, 'more')]);
  expect(doubled.map(({ name }) => name)).toEqual(['ad-bottle', 'more-bottle']);
});
