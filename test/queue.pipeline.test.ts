import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { saveDetector } from '../src/detector/modelFile.ts';
import { DeviceLostError } from '../src/engine/errors.ts';
import { UserError } from '../src/errors.ts';
import { writeInspectionSet } from '../src/node/generated.ts';
import { RedisAddress } from '../src/node/redisAddress.ts';
import { openStudySets, studyDigest } from '../src/node/study.ts';
import { type CoordinateOptions, openStudyQueue, type StudyQueue, type WorkOptions } from '../src/node/studyQueue.ts';
import { type CellResult, cellId, type StudyCell, studyCells } from '../src/study/cells.ts';
import type { StudyStore } from '../src/study/options.ts';
import type { StudySettings } from '../src/study/settings.ts';
import { PRESETS } from '../src/train/fit.ts';
import { fakeResult } from './support/fakeCells.ts';
import { keysOf, kill, listen, startRedis, withoutRedis } from './support/redis.ts';
import { temporaryFolder } from './support/temporary.ts';
import { untrainedDetector } from './support/untrained.ts';

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

  async function connect(name: string, version = 'test'): Promise<StudyQueue> {
    const queue = await openStudyQueue({ url, name, version, onNotice: (message) => notices.push(message) });
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
    const model = await saveDetector({ state: await untrainedDetector() });
    const handler: Partial<WorkOptions['handler']> = {
      async prepare({ set, seed, arms, settings: told }, store) {
        expect(arms).toEqual(['float', 'hqs']);
        expect(told).toEqual(settings);
        order.push(`${set}/${seed}`);
        await store.save(`${set}-${seed}.safetensors`, model);
        await store.save(`${set}-${seed}.safetensors`, Uint8Array.of(9));
        await store.save(`${set}-${seed}.hqs.json`, new TextEncoder().encode('[{"layer": "conv1"}]'));
      },
      async run(cell, _, store) {
        expect(order).toContain(`${cell.set}/${cell.seed}`);
        expect(Buffer.compare((await store.load(`${cell.set}-${cell.seed}.safetensors`))!, model)).toBe(0);
        return fakeResult(cell);
      },
    };
    const workers = [await work(name, handler), await work(name, handler)];
    const queue = await connect(name);
    expect(await queue.coordinate(options)).toEqual(new Map());
    expect(results.map(({ id }) => id).sort()).toEqual(cells.map(cellId).sort());
    expect([...models.files.keys()].sort()).toEqual(['a-0', 'a-1', 'b-0', 'b-1'].map((x) => `${x}.safetensors`));
    expect(Buffer.compare(models.files.get('a-0.safetensors')!, model)).toBe(0);
    expect(notices).toContain('a-0.hqs.json has no usable value at 0.score: it is not copied.');
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
        entryPoints: [fileURLToPath(new URL('support/queueWorker.ts', import.meta.url))],
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

  /** A driver of the test's own, for what nobody should do. */
  async function intruder() {
    const { RedisConnection, Queue } = await import('bullmq');
    const connection = new RedisConnection({ url }, { blocking: false });
    const client = (await connection.client) as unknown as Record<string, (...args: unknown[]) => Promise<string>>;
    const queueOf = (name: string) => new Queue(name, { connection: { url }, prefix: 'raad' });
    onTestFinished(() => connection.close());
    return { client, queueOf };
  }

  test('results that nobody measured are not taken, and their cells are run again', async () => {
    const name = study();
    const cells = studyCells(['a'], [0], ['blur', 'locations']);
    const { results, options } = coordinator(cells);
    const { client } = await intruder();
    const [first] = cells;
    const good = fakeResult(first!);
    const poison = [
      'no JSON',
      '[]',
      '{"version": "test"}',
      JSON.stringify({ version: 'test', result: { ...good, metrics: { auroc: 'high' } } }),
      JSON.stringify({ version: 'test', result: { ...good, images: [] } }),
      JSON.stringify({ version: 'test', result: fakeResult(cells[1]!) }),
      JSON.stringify({ version: 'other', result: good }),
    ];
    const done = (await connect(name)).coordinate({ ...options, interval: 5 });
    let key = '';
    const put = async (text: string) => {
      await client['hset']!(key, cellId(first!), text);
      while (await client['hexists']!(key, cellId(first!))) await sleep(5);
    };
    while (key === '') {
      const id = await client['hget']!(`raad:${name}:study`, 'id');
      if (id) key = `raad:${name}:${id}:results`;
    }
    for (const text of poison.slice(0, 2)) await put(text);
    const worker = await work(name);
    expect(await done).toEqual(new Map());
    expect(results.map(({ id }) => id).sort()).toEqual(cells.map(cellId).sort());
    await worker.stop();
    expect(notices).toContain('the result of a/0/blur is not JSON: it is not taken.');

    const second = coordinator(cells);
    await client['hset']!(key, cellId(first!), poison[3]!);
    const again = await work(name);
    // Its job counts as done, and only its result is missing.
    expect(await (await connect(name)).coordinate(second.options)).toEqual(new Map());
    expect(second.results).toHaveLength(2);
    await again.stop();

    for (const text of poison) {
      const third = coordinator(cells.slice(0, 1), { interval: 5 });
      const name = study();
      const end = (await connect(name)).coordinate(third.options);
      let id: string | null = null;
      while (!id) id = await client['hget']!(`raad:${name}:study`, 'id');
      key = `raad:${name}:${id}:results`;
      for (let i = 0; i < 3; i++) await put(text);
      const failures = await end;
      expect(failures.get(cellId(first!))).toMatch(/^3 times its result could not be used: the result of a\/0\/blur /);
    }
  });

  test('tasks that no study has are refused before anything is allocated, and the others go on', async () => {
    const name = study();
    const cells = studyCells(['a'], [0], ['blur']);
    const { results, options } = coordinator(cells);
    const { client, queueOf } = await intruder();
    const queue = queueOf(name);
    onTestFinished(() => queue.close());
    const task = {
      version: 'test',
      settings,
      penalty: { name: 'generated' },
      study: 's',
      set: 'a',
      seed: 0,
      arms: ['blur'],
      digest: 'digest of a',
    };
    const cell = cells[0]!;
    const poison: unknown[] = [
      null,
      5,
      {},
      { ...task, settings: { ...settings, fit: { ...settings.fit, batch: 1e9 } } },
      { ...task, settings: { ...settings, fit: { ...settings.fit, resolution: 1e6 } } },
      { ...task, settings: { ...settings, scoring: { plantings: 1e9 } } },
      { ...task, seed: 2 ** 32 },
      { ...task, set: 7 },
      { ...task, arms: ['other'] },
      { ...task, cell: { ...cell, set: 'b' } },
      { ...task, more: 1 },
    ];
    await queue.addBulk(poison.map((data) => ({ name: 'cell', data })));
    const torn = await queue.add('cell', task);
    await client['hset']!(`raad:${name}:${torn.id}`, 'data', '{"torn');
    const seen: unknown[] = [];
    const handler = {
      refusal: async (task: unknown) => {
        seen.push(task);
        return undefined;
      },
    };
    const worker = await work(name, handler);
    expect(await (await connect(name)).coordinate(options)).toEqual(new Map());
    expect(results.map(({ id }) => id)).toEqual(['a/0/blur']);
    expect(seen).toHaveLength(2);
    await worker.stop();
  });

  test('a worker of another version leaves the study alone, a coordinator does not go on with it', async () => {
    const name = study();
    const { results, options } = coordinator(studyCells(['a'], [0], ['blur']));
    const stop = new AbortController();
    const old = (await connect(name, 'old')).work({
      worker: 'old one',
      signal: stop.signal,
      rest: 20,
      handler: {
        refusal: async () => undefined,
        prepare: async () => {},
        run: async (cell) => fakeResult(cell, 'old'),
      },
    });
    const end = old.catch((error) => error);
    const done = (await connect(name)).coordinate(options);
    const said = 'old one leaves a to others: the study is one of raad-webgpu "test", and it has "old".';
    while (!notices.includes(said)) await sleep(20);
    await expect((await connect(name, 'old')).coordinate(options)).rejects.toThrow(
      /is one of raad-webgpu "test", and this is "old"/,
    );
    const worker = await work(name);
    expect(await done).toEqual(new Map());
    expect(results.map(({ adapter }) => adapter)).toEqual(['fake']);
    stop.abort(STOP);
    expect(await end).toBe(STOP);
    await worker.stop();
  });

  test('a task that ends its workers is set aside and named', { timeout: 60_000 }, async () => {
    const name = study();
    const cells = studyCells(['a'], [0], ['blur']);
    const { results, options } = coordinator(cells);
    const done = (await connect(name)).coordinate(options);
    for (let i = 0; i < 3; i++) {
      const child = await standStill(name, 600);
      await listen(child).until(/in work/);
      await kill(child);
    }
    const worker = await work(name);
    const failures = await done;
    expect(failures.get('a/0/blur')).toMatch(/^it is set aside: 3 times a worker took it and fell silent/);
    expect(results).toEqual([]);
    await worker.stop();
    // The next coordinator has it tried once more.
    const again = await work(name);
    expect(await (await connect(name)).coordinate(coordinator(cells).options)).toEqual(new Map());
    await again.stop();
  });

  test('a worker whose clock is hours ahead holds up nobody', async () => {
    const name = study();
    const { results, options } = coordinator(studyCells(['a'], [0], ['blur']), { longestRest: 100 });
    const done = (await connect(name)).coordinate(options);
    const ahead = await work(name, { refusal: async () => 'it is elsewhere.' }, { worker: 'ahead', rest: 7_200_000 });
    while (!notices.includes('ahead leaves a to others: it is elsewhere.')) await sleep(20);
    await ahead.stop();
    const worker = await work(name);
    expect(await done).toEqual(new Map());
    expect(results).toHaveLength(1);
    await worker.stop();
  });

  test('a database that is not there is refused, another one is its own', async () => {
    const at = (database: string) =>
      openStudyQueue({ url: `${url}/${database}`, name: 'x', version: 'test', onNotice: () => {} });
    await expect(at('99')).rejects.toThrow(/^Redis at 127.0.0.1:\d+ has no database 99.$/);
    const queue = await at('3');
    await queue.close();
  });
});

test('addresses of Redis, and their passwords', () => {
  const { options, place, database } = new RedisAddress('rediss://me:a%25b@host:7/3', 'other');
  expect(options).toMatchObject({ host: 'host', port: 7, username: 'me', password: 'a%b', db: 3, tls: {} });
  expect({ place, database }).toEqual({ place: 'Redis at host:7', database: 3 });
  expect(new RedisAddress('redis://[::1]', 'p%w').options).toMatchObject({ host: '::1', port: 6379, password: 'p%w' });
  expect(new RedisAddress('redis://host', undefined).options.password).toBeUndefined();
  for (const text of ['redis://:p%w@host', 'redis://a%:b@host'])
    expect(() => new RedisAddress(text)).toThrow(
      "Redis's address has a % in its name or password that stands for nothing.",
    );
  for (const text of [
    '',
    'host',
    'http://host',
    'redis://:p#w@host',
    'redis://host/x',
    'redis://host/-1',
    'redis://host?a',
  ])
    expect(() => new RedisAddress(text), text).toThrow("Redis's address cannot be used.");
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
