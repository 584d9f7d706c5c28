import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { inspectionPaths } from '../src/data/synthetic/generate.ts';
import { readVisa } from '../src/data/visa.ts';
import { openDatasets, trainingDigest } from '../src/node/datasets.ts';
import { writeInspectionSet } from '../src/node/generated.ts';
import { holdOutputs, lockFolder } from '../src/node/lock.ts';
import { type KeptSettings, keepSettings, openStudySets, ResultLog, studyDigest } from '../src/node/study.ts';
import { fakeResult } from './support/fakeCells.ts';
import { temporaryFolder, writeTree } from './support/temporary.ts';

const folder = temporaryFolder();
const at = (...parts: string[]) => join(folder, ...parts);

describe('a folder belongs to one process', () => {
  const lock = (content: object | string) =>
    writeTree(folder, { 'locked/raad.lock': typeof content === 'string' ? content : JSON.stringify(content) });
  const since = '2026-01-02T03:04:05.000Z';

  test('taken and given back', async () => {
    const unlock = await lockFolder(at('own'));
    await expect(lockFolder(at('own'))).rejects.toThrow(
      new RegExp(`own is in use by process ${process.pid} on ${hostname()} since 20`),
    );
    expect(readdirSync(at('own'))).toEqual(['raad.lock']);
    await unlock();
    expect(readdirSync(at('own'))).toEqual([]);
    await (await lockFolder(at('own')))();
  });

  test('the other process is named, on this machine and on another', async () => {
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
    try {
      await once(child, 'spawn');
      lock({ pid: child.pid, host: hostname(), since });
      await expect(lockFolder(at('locked'))).rejects.toThrow(`in use by process ${child.pid} on ${hostname()} since`);
      lock({ pid: 1, host: 'another', since });
      await expect(lockFolder(at('locked'))).rejects.toThrow('in use by process 1 on another since 2026');
      lock('half a lo');
      await expect(lockFolder(at('locked'))).rejects.toThrow('in use by another process');
      expect(readdirSync(at('locked'))).toEqual(['raad.lock']);
    } finally {
      child.kill();
    }
  });

  test('the lock of a dead process is taken over by one', async () => {
    const { pid } = spawnSync(process.execPath, ['-e', '']);
    lock({ pid, host: hostname(), since });
    const results = await Promise.allSettled([1, 2, 3, 4].map(() => lockFolder(at('locked'))));
    const won = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    expect(won).toHaveLength(1);
    await won[0]!();
    // An earlier process of one's own id is dead, too.
    lock({ pid: process.pid, host: hostname(), since });
    await (await lockFolder(at('locked')))();
    expect(readdirSync(at('locked'))).toEqual([]);
  });
});

test('outputs belong to one process while it works, and to the next when it was killed', async () => {
  const [a, b] = [at('outputs/a.safetensors'), at('outputs/b.safetensors')];
  let calls = 0;
  const work = async () => void calls++;
  await holdOutputs([a, b], async () => {
    expect(readdirSync(at('outputs'))).toEqual(['a.safetensors.lock', 'b.safetensors.lock']);
    await expect(holdOutputs([b], work)).rejects.toThrow(`${b} is in use by process ${process.pid}`);
    // The one that was free is free again.
    await expect(holdOutputs([at('outputs/c'), b], work)).rejects.toThrow(/in use/);
    await holdOutputs([at('outputs/c')], work);
  });
  await expect(holdOutputs([a], () => Promise.reject(new Error('failed')))).rejects.toThrow('failed');
  expect(readdirSync(at('outputs'))).toEqual([]);
  const { pid } = spawnSync(process.execPath, ['-e', '']);
  writeFileSync(`${a}.lock`, JSON.stringify({ pid, host: hostname(), since: '2026-01-02T03:04:05.000Z' }));
  await holdOutputs([a], work);
  expect(calls).toBe(2);
  expect(readdirSync(at('outputs'))).toEqual([]);
});

test('good images are told from others by names and contents, wherever they lie and whatever is tested', async () => {
  const good = { 'train/good/0.png': 'zero', 'train/good/sub/1.png': 'one' };
  let count = 0;
  const digest = async (files: Record<string, string>, below = '') => {
    const root = writeTree(at('trained', `${count++}`), files);
    return trainingDigest({ root, dataset: (await openDatasets(join(root, below))).datasets[0]! });
  };
  const expected = await digest(good);
  expect(expected).toMatch(/^[0-9a-f]{64}$/);
  expect(await digest({ ...good, 'test/good/0.png': 'zero', 'test/bad/2.png': 'two' })).toBe(expected);
  const moved = Object.fromEntries(Object.entries(good).map(([path, text]) => [`line/part/${path}`, text]));
  expect(await digest(moved)).toBe(expected);
  const plain = await openDatasets(undefined, { good: at('trained/0/train/good') });
  expect(await trainingDigest({ root: plain.root, dataset: plain.datasets[0]! })).toBe(expected);
  const others = [
    { ...good, 'train/good/0.png': 'Zero' },
    { 'train/good/0.png': 'one', 'train/good/sub/1.png': 'zero' },
    { 'train/good/9.png': 'zero', 'train/good/sub/1.png': 'one' },
    { ...good, 'train/good/2.png': 'two' },
    { 'train/good/0.png': 'zero', 'validation/good/1.png': 'one' },
  ];
  expect(new Set([expected, ...(await Promise.all(others.map((files) => digest(files))))]).size).toBe(6);
  expect(await trainingDigest({ root: folder, dataset: { train: [], validation: [] } })).toBeUndefined();
});

describe('results of a study', () => {
  const cell = { set: 'a', seed: 0, arm: 'float', recalibrated: false } as const;
  const result = fakeResult(cell);
  const write = (...lines: object[]) =>
    writeTree(folder, { 'log/cells.jsonl': lines.map((line) => `${JSON.stringify(line)}\n`).join('') });

  test('a cell twice with other figures is refused', async () => {
    const other = { ...result, metrics: { auroc: 0.75 } };
    write(result, fakeResult({ ...cell, seed: 1 }), other);
    await expect(ResultLog.open(at('log/cells.jsonl'))).rejects.toThrow(
      /cells\.jsonl: lines 1 and 3 are both "a\/0\/float", with different figures/,
    );
  });

  test('a cell twice with equal figures counts once, whatever it took', async () => {
    write(result, { ...result, seconds: 9, timing: { milliseconds: 2, floatMilliseconds: 2 }, adapter: 'other' });
    const before = readFileSync(at('log/cells.jsonl'), 'utf8');
    const log = await ResultLog.open(at('log/cells.jsonl'));
    expect(log.results).toEqual([result]);
    // Reading changes nothing: another process may be writing.
    expect(readFileSync(at('log/cells.jsonl'), 'utf8')).toBe(before);
    await Promise.all([1, 2, 3].map((seed) => log.add(fakeResult({ ...cell, seed }))));
    const again = await ResultLog.open(at('log/cells.jsonl'));
    expect(again.results.map(({ seed }) => seed)).toEqual([0, 1, 2, 3]);
  });
});

describe('settings beside results', () => {
  const settings: KeptSettings = {
    fit: { size: 'xs', resolution: 128, iterations: 1, batch: 1, learningRate: 1, weightDecay: 0 },
    recalibration: {},
    scoring: {},
    averageBits: 5,
    penalty: 'generated',
    data: { a: '1' },
  };
  const path = at('settings/settings.json');

  test('other images under a name are refused, further sets are taken', async () => {
    await keepSettings(path, settings);
    await keepSettings(path, { ...settings, data: { b: '2' } });
    expect(JSON.parse(readFileSync(path, 'utf8')).data).toEqual({ a: '1', b: '2' });
    await expect(keepSettings(path, { ...settings, data: { b: '2', a: '3' } })).rejects.toThrow(
      /made with other images in a\. Restore|made with other images in a\./,
    );
  });

  test('another set, other photographs', async () => {
    const run = at('settings/run.json');
    await keepSettings(run, { ...settings, set: 'a', penalty: 'photos', photographs: 'x' });
    await expect(keepSettings(run, { ...settings, set: 'b', penalty: 'photos', photographs: 'x' })).rejects.toThrow(
      /made with set "a", this run has "b"/,
    );
    await expect(keepSettings(run, { ...settings, set: 'a', penalty: 'photos', photographs: 'y' })).rejects.toThrow(
      /made with photographs "x", this run has "y"/,
    );
  });

  test('files without digests take them', async () => {
    const old = at('settings/old.json');
    const { data: _, ...without } = settings;
    writeFileSync(old, JSON.stringify(without));
    await keepSettings(old, settings);
    await expect(keepSettings(old, { ...settings, data: { a: '2' } })).rejects.toThrow(/other images in a/);
  });

  test('a digest tells contents, names and masks of data sets apart', async () => {
    const options = { part: 'biscuit', size: 64, train: 2, testGood: 1, testPerDefect: 1 } as const;
    await writeInspectionSet(at('digests/one/parts'), { ...options, seed: 1 });
    await writeInspectionSet(at('digests/two/parts'), { ...options, seed: 2 });
    const digest = async (name: string) => studyDigest((await openStudySets([at('digests', name)]))[0]!, () => {});
    expect(await digest('one')).not.toBe(await digest('two'));
  });
});

describe('generated images', () => {
  const options = { part: 'bracket', seed: 1, size: 64, train: 1, testGood: 1, testPerDefect: 0 } as const;

  test('replace nothing but their own of equal settings', async () => {
    const target = at('generated');
    await writeInspectionSet(target, options);
    await writeInspectionSet(target, options);
    const own = readFileSync(at('generated/train/good/000.png'));
    await expect(writeInspectionSet(target, { ...options, seed: 2 })).rejects.toThrow(
      /generated\/train\/good\/000\.png is there already/,
    );
    expect(readFileSync(at('generated/train/good/000.png'))).toEqual(own);
    await writeInspectionSet(target, { ...options, seed: 2, testGood: 0 }, { replace: 'generated' });
    expect(readFileSync(at('generated/train/good/000.png'))).not.toEqual(own);
    expect(existsSync(at('generated/test/good/000.png'))).toBe(false);
  });

  test('images of somebody else are never replaced unless it is said', async () => {
    const target = writeTree(at('photos'), { 'train/good/000.png': 'precious', 'train/good/keep.png': 'kept' });
    for (const replace of ['none', 'generated'] as const) {
      await expect(writeInspectionSet(target, options, { replace })).rejects.toThrow(/000\.png is there already/);
      expect(readFileSync(join(target, 'train/good/000.png'), 'utf8')).toBe('precious');
      expect(readdirSync(target)).toEqual(['train']);
    }
    await writeInspectionSet(target, options, { replace: 'all' });
    expect(readFileSync(join(target, 'train/good/keep.png'), 'utf8')).toBe('kept');
    expect(readFileSync(join(target, 'train/good/000.png')).length).toBeGreaterThan(100);
  });

  test('counts have a bound', () => {
    expect(() => inspectionPaths({ ...options, train: 1e12 })).toThrow(/train is 1000000000000/);
  });
});

describe('names in VisA’s table', () => {
  const tree = (row: string) => ({
    name: 'visa',
    files: [],
    readText: async () => `object,split,label,image,mask\nx,train,normal,x/0.png,\n${row}\n`,
  });

  test.each(['/etc/0.png', '../0.png', 'x/../../0.png', 'x\\..\\..\\0.png', 'C:/0.png', 'c:0.png', '\\\\host\\0.png'])(
    'the image %s is outside',
    async (path) => {
      await expect(readVisa(tree(`x,test,normal,${path},`))).rejects.toThrow(
        /names a file outside of the data set, line 3: /,
      );
      await expect(readVisa(tree(`x,test,anomaly,x/1.png,${path}`))).rejects.toThrow(/outside of the data set, line 3/);
    },
  );

  test('objects become names of files in the output folder', async () => {
    const rows = ['train,normal,x/0.png,', 'train,normal,x/1.png,', 'test,normal,x/2.png,', 'test,anomaly,x/3.png,'];
    mkdirSync(at('visa/split_csv'), { recursive: true });
    const lines = ['../../X', 'x', '..', 'con'].flatMap((object) => rows.map((row) => `${object},${row}`));
    writeFileSync(at('visa/split_csv/1cls.csv'), `object,split,label,image,mask\n${lines.join('\n')}\n`);
    const names = (await openStudySets([at('visa')])).map(({ name }) => name);
    expect(new Set(names.map((name) => name.toLowerCase())).size).toBe(4);
    for (const name of names) expect(name).toMatch(/^\w[\w-]*$/);
  });
});
