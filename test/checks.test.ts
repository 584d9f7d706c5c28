import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { checkSeed } from '../src/checks/numbers.ts';
import { checkShape, jsonText, parseShape, type Shape } from '../src/checks/shape.ts';
import { generateInspectionSet } from '../src/data/synthetic/generate.ts';
import { UserError } from '../src/errors.ts';
import { readJson, writeJson } from '../src/node/jsonFile.ts';
import { openRun } from '../src/node/report.ts';
import { keepSettings, ResultLog } from '../src/node/study.ts';
import { type RunOptions, runSteps } from '../src/node/threeSteps.ts';
import { type RunRecord, STEPS } from '../src/study/record.ts';
import { GALLERY, LAYER_SCORES } from '../src/study/shapes.ts';
import { generatedPenalty } from '../src/train/penalty.ts';
import { fakeResult } from './support/fakeCells.ts';
import { exampleRun } from './support/runRecord.ts';
import { temporaryFolder } from './support/temporary.ts';

const folder = temporaryFolder();
let count = 0;
const place = () => join(folder, `place${count++}`);

function write(path: string, text: string): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  return path;
}

/** The one sentence of a refusal, with its fix. */
async function refusal(work: () => unknown): Promise<string> {
  try {
    await work();
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    const { message, fix } = error as UserError;
    expect(`${message} ${fix}`).not.toMatch(/\n/);
    return `${message} ${fix}`;
  }
  return expect.fail('it was accepted');
}

describe('shapes', () => {
  const shape: Shape = {
    exact: true,
    fields: {
      name: 'text',
      share: { optional: { from: 0, to: 1 } },
      seed: { optional: { least: 0, most: 10 } },
      kind: { optional: { oneOf: ['a', 2] } },
      pairs: { optional: { list: { tuple: ['text', 'number'] }, atLeast: 1 } },
      bits: { optional: { record: 'number or null' } },
      on: { optional: 'truth value' },
    },
  };
  test('what fits passes as it is', () => {
    const value = { name: 'n', share: 1, seed: 10, kind: 2, pairs: [['a', 1]], bits: { a: null }, on: false };
    expect(parseShape(jsonText(value, shape, 'it'), shape, 'it', '')).toEqual(value);
  });

  for (const [text, message] of [
    ['[]', 'it has no usable value at the top. It has to be an object, not []. Mend it.'],
    ['{}', 'it has no usable value at name. It has to be text, not missing. Mend it.'],
    ['{"name": null}', 'it has no usable value at name. It has to be text, not null. Mend it.'],
    ['{"name": ""', 'it is not JSON. Mend it.'],
    ['{"name": "a", "name": "b"}', 'it has the key "name" twice. Mend it.'],
    ['{"name": "a", "more": 1}', 'it has no usable value at the top. It has to be without unknown fields, not "more".'],
    ['{"name": "a", "share": 1.5}', 'at share. It has to be a number from 0 to 1, not 1.5.'],
    ['{"name": "a", "share": 1e999}', 'at share. It has to be a number from 0 to 1, not null.'],
    ['{"name": "a", "seed": 1.5}', 'at seed. It has to be a whole number from 0 to 10, not 1.5.'],
    ['{"name": "a", "kind": "2"}', 'at kind. It has to be "a" or 2, not "2".'],
    ['{"name": "a", "pairs": []}', 'at pairs. It has to be a list of at least 1, not [].'],
    ['{"name": "a", "pairs": [["a", 1, 2]]}', 'at pairs.0. It has to be a list of 2, not ["a",1,2].'],
    ['{"name": "a", "pairs": [["a", "1"]]}', 'at pairs.0.1. It has to be a finite number, not "1".'],
    ['{"name": "a", "bits": {"x": "y"}}', 'at bits.x. It has to be a finite number or null, not "y".'],
    ['{"name": "a", "on": 1}', 'at on. It has to be true or false, not 1.'],
    ['{"name": "a", "__proto__": {}}', 'it has the key "__proto__". Mend it.'],
    [`${'['.repeat(10_000)}`, 'it is nested deeper than 8 levels. Mend it.'],
  ] as const) {
    test(text.slice(0, 40), async () => {
      expect(await refusal(() => parseShape(text, shape, 'it', 'Mend it.'))).toContain(message);
    });
  }

  test('nothing is written that could not be read', async () => {
    const path = join(place(), 'scores.json');
    const score = { layer: 'conv1', score: Number.NaN, low: 0, high: 1 };
    expect(await refusal(() => writeJson(path, [score], LAYER_SCORES))).toMatch(/no usable value at 0.score/);
    await writeJson(path, [{ ...score, score: 0.5 }], LAYER_SCORES);
    await expect(refusal(() => writeJson(path, [score], LAYER_SCORES))).resolves.toMatch(/scores.json/);
    expect(await readJson(path, LAYER_SCORES)).toEqual([{ ...score, score: 0.5 }]);
    const inherited = checkShape({ name: 'a' }, shape, 'it', '');
    expect(inherited).toEqual({ name: 'a' });
  });
});

test('seeds are 32-bit words: others would mean the same as these', () => {
  for (const seed of [0, 1, 2 ** 32 - 1]) expect(checkSeed(seed)).toBe(seed);
  for (const seed of [2 ** 32, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    expect(() => checkSeed(seed)).toThrow(`seed ${seed} cannot be used.`);
    expect(() => generatedPenalty(seed)).toThrow('cannot be used');
    const counts = { train: 1, testGood: 1, testPerDefect: 1 };
    expect(() => generateInspectionSet({ part: 'biscuit', seed, ...counts })).toThrow('cannot be used');
  }
});

describe('damaged files give a sentence that names the file', () => {
  let record: RunRecord;
  beforeAll(async () => {
    ({ record } = await exampleRun(10, 64));
  });

  /** A value with another one at a path. */
  const changed = (value: unknown, path: string, to: unknown): string => {
    const copy = structuredClone(value) as Record<string, unknown>;
    const keys = path.split('.');
    let at = copy;
    for (const key of keys.slice(0, -1)) at = at[key] as Record<string, unknown>;
    if (to === undefined) delete at[keys.at(-1)!];
    else at[keys.at(-1)!] = to;
    return JSON.stringify(copy);
  };

  const WRONG: readonly [path: string, to: unknown, at?: string][] = [
    ['steps', {}],
    ['steps.1.result.metrics.auroc', 7],
    ['steps.0.result.images.0', ['good']],
    ['steps.0.threshold.value', 'high'],
    ['steps.0.threshold.alpha', -1],
    ['steps.2.result.seed', 1.5],
    ['steps.2.result.arm', 'none'],
    ['gallery.0.score', null],
    ['gallery', null],
    ['allocation.0.bits', 9],
    ['settings.fit', undefined],
    ['settings.fit.batch', 'four'],
    ['trainImages', -1],
    ['versions.node', 20],
  ];
  test('run.json', async () => {
    for (const [path, to] of WRONG) {
      const where = place();
      const file = write(join(where, 'run.json'), changed(record, path, to));
      const said = await refusal(() => openRun(where, () => {}));
      expect(said).toContain(`${file} has no usable value at ${path}.`);
    }
    for (const text of ['', 'null', '[]', '{"format"', JSON.stringify(record).slice(0, -9)]) {
      const where = place();
      const file = write(join(where, 'run.json'), text);
      expect(await refusal(() => openRun(where, () => {}))).toContain(file);
    }
  });

  test('run.json with the step names of earlier versions', async () => {
    const where = place();
    write(join(where, 'run.json'), changed(record, 'steps.1.step', 'quantised'));
    expect((await openRun(where, () => {})).record.steps[1]?.step).toBe('quantized');
  });

  test('steps and the gallery, which a run goes on from', async () => {
    const options = (where: string) =>
      ({
        runner: { allocation: async () => ({ plan: {}, rows: [], bytes: 0, averageBits: 0 }) },
        folder: where,
        set: record.set,
        seed: record.seed,
        settings: record.settings,
      }) as unknown as RunOptions;
    const steps = (where: string) => {
      for (const [k, step] of STEPS.entries())
        write(join(where, 'steps', `${step}.json`), JSON.stringify(record.steps[k]));
      return where;
    };
    for (const text of ['', '[]', 'null', '{"step": "float"', changed(record.steps[0], 'result.images', 'none')]) {
      const where = steps(place());
      const file = write(join(where, 'steps', 'float.json'), text);
      expect(await refusal(() => runSteps(options(where)))).toContain(file);
    }
    const where = steps(place());
    write(join(where, 'steps', 'quantized.json'), JSON.stringify(record.steps[0]));
    expect(await refusal(() => runSteps(options(where)))).toMatch(
      /quantized.json is of "bracket\/3\/float", not of "bracket\/3\/hqs"/,
    );
    const gallery = join(place(), 'gallery.json');
    for (const text of ['{', '{}', '[{}]', changed(record.gallery, '0.score', '1')]) {
      write(gallery, text);
      expect(await refusal(() => readJson(gallery, GALLERY))).toContain(gallery);
    }
  });

  test('settings.json', async () => {
    const settings = { ...record.settings, data: { parts: '0123' } };
    for (const text of ['', '{', '[]', '3', '{"fit": []}', '{"fit": {"size": "xl"}}']) {
      const file = write(join(place(), 'settings.json'), text);
      expect(await refusal(() => keepSettings(file, settings))).toContain(file);
    }
    const file = join(place(), 'settings.json');
    await keepSettings(file, settings);
    await keepSettings(file, settings);
    expect(await refusal(() => keepSettings(file, { ...settings, averageBits: 4 }))).toMatch(/averageBits unset/);
  });

  test('cells.jsonl', async () => {
    const good = fakeResult({ set: 'a', seed: 0, arm: 'float', recalibrated: false });
    const lines: readonly [line: string, message: string][] = [
      ['{"id":', 'is not JSON.'],
      ['5', 'has no usable value at the top.'],
      ['[]', 'has no usable value at the top.'],
      [changed(good, 'metrics.auroc', 'high'), 'has no usable value at metrics.auroc.'],
      [changed(good, 'metrics.auroc', 2), 'has no usable value at metrics.auroc.'],
      [changed(good, 'metrics', undefined), 'has no usable value at metrics.'],
      [changed(good, 'arm', 'other'), 'has no usable value at arm.'],
      [changed(good, 'seed', '0'), 'has no usable value at seed.'],
      [changed(good, 'images', [['good', null]]), 'has no usable value at images.0.1.'],
      [changed(good, 'size.fileBytes', undefined), 'has no usable value at size.fileBytes.'],
      [changed(good, 'bits', { 'teacher.conv1': 9 }), 'has no usable value at bits.teacher.conv1.'],
      [changed(good, 'more', 1), 'has no usable value at the top.'],
      [changed(good, 'id', 'b/0/float'), 'calls the cell "a/0/float" by the name "b/0/float".'],
    ];
    for (const [line, message] of lines) {
      const file = write(join(place(), 'cells.jsonl'), `${JSON.stringify(good)}\n${line}\n`);
      expect(await refusal(() => ResultLog.open(file))).toContain(`${file}, line 2, ${message}`);
    }
    const log = await ResultLog.open(write(join(place(), 'cells.jsonl'), ''));
    const spoilt = { ...good, metrics: { auroc: Number.NaN } };
    expect(await refusal(() => log.add(spoilt))).toMatch(/the result of a cell has no usable value at metrics.auroc/);
    expect(log.results).toEqual([]);
  });

  test('what is published is none of these', async () => {
    const docs = fileURLToPath(new URL('../docs/study/', import.meta.url));
    const text = readFileSync(join(docs, 'cells.jsonl'), 'utf8');
    const log = await ResultLog.open(write(join(place(), 'cells.jsonl'), text));
    expect(log.results).toHaveLength(text.trim().split('\n').length);
    const settings = readFileSync(join(docs, 'settings.json'), 'utf8');
    await keepSettings(write(join(place(), 'settings.json'), settings), { data: {}, ...JSON.parse(settings) });
  });
});
