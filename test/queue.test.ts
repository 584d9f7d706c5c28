import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { DeviceLostError } from '../src/engine/errors.ts';
import { UserError } from '../src/errors.ts';
import { writeInspectionSet } from '../src/node/generated.ts';
import { openStudySets, studyDigest } from '../src/node/study.ts';
import { type CoordinateOptions, openStudyQueue, type StudyQueue, type WorkOptions } from '../src/node/studyQueue.ts';
import { type CellResult, cellId, type StudyCell, studyCells } from '../src/study/cells.ts';
import type { StudyStore } from '../src/study/runner.ts';
import type { StudySettings } from '../src/study/settings.ts';
import { PRESETS } from '../src/train/fit.ts';
import { CLI } from './commandLine.ts';
import { fakeResult } from './fakeCells.ts';
import { freePort, keysOf, kill, listen, startRedis, withoutRedis } from './redis.ts';
import { temporaryFolder } from './temporary.ts';

const folder = temporaryFolder();
if (withoutRedis) console.warn(`tests of the study queue left out: ${withoutRedis}`);

function memoryStore(): StudyStore & { readonly files: Map<string, Uint8Array> } {
  const files = new Map<string, Uint8Array>();
  return {
    files,
    load: async (name) => files.get(name),
    save: async (name, bytes) => {
      files.set(name, bytes);
    },
  };
}

function raad(args: readonly string[], node: readonly string[] = []) {
  const options = { encoding: 'utf8', cwd: folder, timeout: 60_000 } as const;
  return spawnSync(process.execPath, [...node, CLI, ...args], options);
}

/** A module that hides a package. */
function without(name: string): string {
  const url = (code: string) => `data:text/javascript,${encodeURIComponent(code)}`;
  const hooks = `export function resolve(name, context, next) {
    if (name !== '${name}') return next(name, context);
    throw Object.assign(new Error('hidden'), { code: 'ERR_MODULE_NOT_FOUND' });
  }`;
  return url(`import Module, { register } from 'node:module';
    register(${JSON.stringify(url(hooks))});
    const resolve = Module._resolveFilename;
    Module._resolveFilename = (request, ...rest) => resolve(request === '${name}' ? './hidden' : request, ...rest);`);
}

function expectRefusal({ status, stderr }: ReturnType<typeof raad>, message: RegExp, code: number): void {
  const lines = stderr.split('\n').filter((line) => line.startsWith('raad: '));
  expect(lines, stderr).toHaveLength(1);
  expect(lines[0]).toMatch(message);
  expect(stderr).not.toMatch(/^\s+at |pw/m);
  expect(status).toBe(code);
}

const settings: StudySettings = { fit: { ...PRESETS.quick, iterations: 12 } };
const STOP = new Error('stop');

describe.skipIf(withoutRedis !== undefined)('a study over Redis', () => {
  let url: string;
  let count = 0;
  const open: StudyQueue[] = [];
  beforeAll(async () => {
    const redis = await startRedis(folder);
    url = redis.url;
    return async () => {
      for (const queue of open) await queue.close();
      await redis.stop();
    };
  });

  async function connect(name: string): Promise<StudyQueue> {
    const queue = await openStudyQueue({ url, name, onNotice: (message) => notices.push(message) });
    open.push(queue);
    return queue;
  }
  const notices: string[] = [];
  const study = () => `study-${count++}`;

  /** A coordinator's options, and what it was given. */
  function coordinator(cells: readonly StudyCell[], options: Partial<CoordinateOptions> = {}) {
    const results: CellResult[] = [];
    const models = memoryStore();
    return {
      results,
      models,
      options: {
        terms: { settings, penalty: { name: 'generated' } },
        digests: new Map([...new Set(cells.map(({ set }) => set))].map((set) => [set, `digest of ${set}`])),
        cells,
        models,
        onResult: async (result) => void results.push(result),
        interval: 20,
        ...options,
      } satisfies CoordinateOptions,
    };
  }

  /** A worker in this process. */
  async function work(name: string, handler: Partial<WorkOptions['handler']> = {}, more: Partial<WorkOptions> = {}) {
    const stop = new AbortController();
    const queue = await connect(name);
    const done = queue.work({
      worker: 'tester',
      signal: stop.signal,
      lease: 1,
      rest: 50,
      ...more,
      handler: {
        refusal: async () => undefined,
        prepare: async () => {},
        run: async (cell) => fakeResult(cell),
        ...handler,
      },
    });
    const end = done.catch((error) => error);
    return {
      end,
      stop: () => {
        stop.abort(STOP);
        return end;
      },
    };
  }

  test('every result arrives once; a checkpoint comes before its cells and is kept', async () => {
    const name = study();
    const cells = studyCells(['a', 'b'], [0, 1], ['float', 'hqs']);
    const { results, models, options } = coordinator(cells);
    const order: string[] = [];
    const handler: Partial<WorkOptions['handler']> = {
      async prepare({ set, seed, arms, settings: told }, store) {
        expect(arms).toEqual(['float', 'hqs']);
        expect(told).toEqual(settings);
        order.push(`${set}/${seed}`);
        await store.save(`${set}-${seed}.safetensors`, Uint8Array.of(0, 255, order.length));
        await store.save(`${set}-${seed}.safetensors`, Uint8Array.of(9));
      },
      async run(cell, _, store) {
        expect(order).toContain(`${cell.set}/${cell.seed}`);
        expect((await store.load(`${cell.set}-${cell.seed}.safetensors`))![1]).toBe(255);
        return fakeResult(cell);
      },
    };
    const workers = [await work(name, handler), await work(name, handler)];
    const queue = await connect(name);
    expect(await queue.coordinate(options)).toEqual(new Map());
    expect(results.map(({ id }) => id).sort()).toEqual(cells.map(cellId).sort());
    expect([...models.files.keys()].sort()).toEqual(['a-0', 'a-1', 'b-0', 'b-1'].map((x) => `${x}.safetensors`));
    expect([...models.files.get('a-0.safetensors')!].slice(0, 2)).toEqual([0, 255]);
    for (const worker of workers) expect(await worker.stop()).toBe(STOP);
    await queue.clear();
    expect(await keysOf(url)).toEqual([]);
  });

  test('a coordinator that was away collects what was done meanwhile; settings and data have to be the same', async () => {
    const name = study();
    const cells = studyCells(['a'], [0], ['float', 'blur', 'locations']);
    const stop = new AbortController();
    const first = coordinator(cells, { signal: stop.signal });
    let ran = 0;
    const worker = await work(name, {
      async run(cell) {
        if (++ran === 1) stop.abort(STOP);
        return fakeResult(cell);
      },
    });
    await expect((await connect(name)).coordinate(first.options)).rejects.toBe(STOP);
    while (ran < cells.length) await sleep(20);
    const queue = await connect(name);
    const other = { ...first.options.terms, settings: { ...settings, averageBits: 4 } };
    await expect(queue.coordinate({ ...first.options, terms: other })).rejects.toThrow(/made with other settings/);
    const digests = new Map([['a', 'changed']]);
    await expect(queue.coordinate({ ...first.options, digests })).rejects.toThrow(/made with other images in a/);
    const known = new Set(first.results.map(({ id }) => id));
    const second = coordinator(cells.filter((cell) => !known.has(cellId(cell))));
    expect(await queue.coordinate(second.options)).toEqual(new Map());
    expect([...first.results, ...second.results].map(({ id }) => id).sort()).toEqual(cells.map(cellId).sort());
    expect(ran).toBe(cells.length);
    await worker.stop();
  });

  test('a coordinator whose study is taken out of Redis ends', async () => {
    const name = study();
    const done = (await connect(name)).coordinate(coordinator(studyCells(['a'], [0])).options);
    await sleep(200);
    await (await connect(name)).clear();
    await expect(done).rejects.toThrow(/the study '.*' is gone from Redis at 127.0.0.1/);
  });

  test('cells that fail are told at the end, the others go on; a bug is tried again', async () => {
    const name = study();
    const cells = studyCells(['a', 'b'], [0], ['float', 'blur']);
    const { results, options } = coordinator(cells);
    let tries = 0;
    const worker = await work(name, {
      async prepare({ set }) {
        if (set === 'b') throw new UserError('b holds no good images.', 'Put some there.');
      },
      async run(cell) {
        if (cell.arm === 'blur' && ++tries < 3) throw new Error('a bug');
        if (cell.recalibrated) throw new UserError('too little memory.');
        return fakeResult(cell);
      },
    });
    const queue = await connect(name);
    expect(Object.fromEntries(await queue.coordinate(options))).toEqual({
      'a/0/float+recalibrated': 'too little memory.',
      'b/0/float': 'b holds no good images. Put some there.',
      'b/0/float+recalibrated': 'b holds no good images. Put some there.',
      'b/0/blur': 'b holds no good images. Put some there.',
    });
    expect(results.map(({ id }) => id).sort()).toEqual(['a/0/blur', 'a/0/float']);
    expect(tries).toBe(3);
    await worker.stop();
    // What has failed is tried anew by the next coordinator.
    const again = await work(name);
    const second = coordinator(cells.slice(1, 2));
    expect(await queue.coordinate(second.options)).toEqual(new Map());
    await again.stop();
  });

  test('a data set that a worker cannot take is left to another', async () => {
    const name = study();
    const cells = studyCells(['a', 'b'], [0], ['float']);
    const { results, options } = coordinator(cells);
    const only = (own: string) =>
      work(
        name,
        {
          refusal: async ({ set }) => (set === own ? undefined : 'it was not given this data set.'),
          run: async (cell) => fakeResult(cell, own),
        },
        { worker: `worker ${own}` },
      );
    const first = await only('a');
    const done = (await connect(name)).coordinate(options);
    while (!notices.includes('worker a leaves b to others: it was not given this data set.')) await sleep(20);
    const second = await only('b');
    expect(await done).toEqual(new Map());
    for (const { set, adapter } of results) expect(adapter).toBe(set);
    expect(results).toHaveLength(cells.length);
    await first.stop();
    await second.stop();
  });

  test('a stopped worker gives its cell back at once, one without a device ends', async () => {
    const name = study();
    const { results, options } = coordinator(studyCells(['a'], [0], ['blur']));
    const done = (await connect(name)).coordinate(options);
    const lost = await work(name, {
      async run() {
        throw new DeviceLostError('gone');
      },
    });
    expect(await lost.end).toBeInstanceOf(DeviceLostError);
    const stop = new AbortController();
    let began = false;
    const stopped = await work(
      name,
      {
        async run() {
          began = true;
          await once(stop.signal, 'abort');
          throw STOP;
        },
      },
      { lease: 600, signal: stop.signal },
    );
    while (!began) await sleep(20);
    stop.abort(STOP);
    expect(await stopped.end).toBe(STOP);
    const other = await work(name, {}, { lease: 600 });
    await done;
    expect(results).toHaveLength(1);
    await other.stop();
  });

  /** A worker in a process of its own whose event loop stands still during its first cell. */
  async function standStill(name: string, seconds: number): Promise<ChildProcess> {
    const script = join(folder, 'queueWorker.mjs');
    if (!existsSync(script)) {
      symlinkSync(fileURLToPath(new URL('../node_modules', import.meta.url)), join(folder, 'node_modules'));
      await build({
        entryPoints: [fileURLToPath(new URL('queueWorker.ts', import.meta.url))],
        outfile: script,
        bundle: true,
        format: 'esm',
        platform: 'node',
        target: 'es2023',
        packages: 'external',
        loader: { '.wgsl': 'text' },
      });
    }
    const child = spawn(process.execPath, [script, url, name, String(seconds)], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    onTestFinished(() => void kill(child));
    return child;
  }

  test('a killed worker’s cell is taken by another', async () => {
    const name = study();
    const cells = studyCells(['a'], [0], ['float', 'blur']);
    const { results, options } = coordinator(cells);
    const child = await standStill(name, 600);
    const done = (await connect(name)).coordinate(options);
    await listen(child).until(/in work/);
    await kill(child);
    const worker = await work(name);
    expect(await done).toEqual(new Map());
    expect(results.map(({ id }) => id).sort()).toEqual(cells.map(cellId).sort());
    await worker.stop();
  });

  test('a worker that was thought dead may still give its result, which counts once', async () => {
    const name = study();
    const { results, options } = coordinator(studyCells(['a'], [0], ['blur']));
    const child = await standStill(name, 5);
    const done = (await connect(name)).coordinate(options);
    await listen(child).until(/in work/);
    let taken = 0;
    const worker = await work(name, {
      async run(cell) {
        taken++;
        while (results.length === 0) await sleep(20);
        return fakeResult(cell, 'second');
      },
    });
    expect(await done).toEqual(new Map());
    expect(taken).toBe(1);
    expect(results.map(({ adapter }) => adapter)).toEqual(['late']);
    await worker.stop();
    await kill(child);
  });

  test('the command line says what is wrong in a sentence', { timeout: 120_000 }, async () => {
    await writeInspectionSet(join(folder, 'data'), {
      part: 'biscuit',
      seed: 1,
      size: 64,
      train: 4,
      testGood: 1,
      testPerDefect: 1,
    });
    const port = await freePort();
    const wrong: [args: string[], message: RegExp, code: number][] = [
      [
        ['study', 'data', '--out', 'o', '--redis', 'http://here'],
        /address cannot be used. Write redis:\/\/host:port/,
        1,
      ],
      [
        ['study', 'data', '--out', 'o', '--redis', `redis://:pw@127.0.0.1:${port}`],
        new RegExp(`Redis at 127.0.0.1:${port} cannot be used: connect ECONNREFUSED`),
        1,
      ],
      [
        ['study-worker', 'data', '--redis', `redis://127.0.0.1:${port}`],
        new RegExp(`Redis at 127.0.0.1:${port} cannot`),
        1,
      ],
      [['study-worker', 'data', '--redis', url, '--name', 'a b'], /a study cannot be called 'a b'/, 1],
      [['study-worker', 'data'], /study-worker needs a data set and --redis/, 2],
      [['study', 'data', '--out', 'o', '--name', 'x'], /--name and --clear go with --redis/, 2],
    ];
    for (const [args, message, code] of wrong) expectRefusal(raad(args), message, code);
    for (const name of ['bullmq', 'ioredis']) {
      const result = raad(['study', 'data', '--out', 'o', '--redis', url], ['--import', without(name)]);
      expectRefusal(result, new RegExp(`needs the package ${name}. Run .npm install bullmq ioredis`), 1);
    }
  });
});

test('a digest tells contents from others, wherever they lie', async () => {
  const options = { part: 'biscuit', seed: 4, size: 64, train: 4, testGood: 1, testPerDefect: 1 } as const;
  await writeInspectionSet(join(folder, 'one/parts'), options);
  await writeInspectionSet(join(folder, 'two/parts'), options);
  const digest = async (path: string) => studyDigest((await openStudySets([join(folder, path)]))[0]!, () => {});
  const first = await digest('one/parts');
  expect(await digest('one')).toBe(first);
  expect(await digest('two/parts')).toBe(first);
  await writeInspectionSet(join(folder, 'three/parts'), { ...options, seed: 5 });
  expect(await digest('three/parts')).not.toBe(first);
});
