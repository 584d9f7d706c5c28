import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { writeInspectionSet } from '../src/node/generated.ts';
import { ownVersion } from '../src/node/version.ts';
import type { CellResult } from '../src/study/cells.ts';
import { CLI } from './support/commandLine.ts';
import { ended, keysOf, kill, listen, openIntruder, startRedis, withoutRedis } from './support/redis.ts';
import { temporaryFolder } from './support/temporary.ts';

const folder = temporaryFolder();
if (withoutRedis) console.warn(`test of a study over Redis left out: ${withoutRedis}`);

// More than a hundred steps: training leaves a checkpoint on its way.
const STUDY = ['--preset', 'quick', '--iterations', '140', '--batch', '1', '--recalibrate-iterations', '2'];
const args = (out: string) => ['study', 'data', '--out', out, '--arms', 'float,uniform,hqs', '--seeds', '0', ...STUDY];

if (!withoutRedis) {
  const images = { part: 'biscuit', seed: 3, size: 96, train: 8, testGood: 3, testPerDefect: 1 } as const;
  await writeInspectionSet(join(folder, 'data'), images);
  const alone = spawnSync(process.execPath, [CLI, ...args('alone')], { cwd: folder, encoding: 'utf8' });
  expect(alone.status, alone.stderr).toBe(0);
}

function start(...args: string[]) {
  const child: ChildProcess = spawn(process.execPath, [CLI, ...args], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  onTestFinished(() => void kill(child));
  return { child, log: listen(child) };
}

function results(out: string): Map<string, CellResult> {
  const lines = readFileSync(join(folder, out, 'cells.jsonl'), 'utf8')
    .trim()
    .split('\n');
  const cells = new Map<string, CellResult>(lines.map((line) => [JSON.parse(line).id, JSON.parse(line)]));
  expect(cells.size, 'each once').toBe(lines.length);
  return cells;
}

/** What studies have left; a worker that waits for the next one writes two keys whenever it looks for silent ones. */
async function leftOf(url: string): Promise<string[]> {
  return (await keysOf(url)).filter((key) => !/:(meta|stalled-check)$/.test(key));
}

/** @returns the number of cells */
function expectFiguresOfOneProcess(out: string): number {
  const expected = results('alone');
  const found = results(out);
  expect([...found.keys()].sort()).toEqual([...expected.keys()].sort());
  for (const [id, { metrics, images, bits, size }] of expected)
    expect({ ...found.get(id) }, id).toMatchObject({ metrics, images, bits, size });
  return found.size;
}

test.skipIf(withoutRedis !== undefined)(
  'killed workers and a killed coordinator leave the metrics of an undisturbed study',
  { timeout: 1_800_000 },
  async () => {
    const { url, stop } = await startRedis(folder);
    onTestFinished(() => void stop());
    const began = performance.now();
    const worker = () => start('study-worker', 'data', '--redis', url, '--lease', '5');
    const coordinator = () => start(...args('together'), '--redis', url);
    const first = coordinator();
    const workers = [worker(), worker()];

    // The worker that trains is killed when it has left a checkpoint.
    const trainer = await Promise.race(workers.map((each) => each.log.until(/the checkpoint/).then(() => each)));
    while (!(await keysOf(url)).some((key) => key.endsWith('data-0.checkpoint'))) await sleep(50);
    expect((await keysOf(url)).filter((key) => key.endsWith('data-0.safetensors'))).toEqual([]);
    await kill(trainer.child);
    const left = workers.find((each) => each !== trainer)!;
    await left.log.until(/the checkpoint/);

    // The coordinator is killed when the first result is there, a worker in the middle of a cell.
    await first.log.until(/: AUROC/);
    await kill(first.child);
    const other = worker();
    const second = coordinator();
    await other.log.until(/^data\/0\/[^:]+$/m);
    await sleep(500);
    await kill(other.child);

    expect(await ended(second.child), second.log.text()).toBe(0);
    expect(await kill(left.child, 'SIGINT'), left.log.text()).toBe(130);
    // The second trainer went on at step 100.
    expect(left.log.text()).not.toMatch(/train: \d?\d\/140/);
    expect(await leftOf(url)).toEqual([]);
    const seconds = (performance.now() - began) / 1000;

    const count = expectFiguresOfOneProcess('together');
    console.log(
      `${count} cells over Redis in ${seconds.toFixed(0)} s: 2 workers and the coordinator killed, metrics equal`,
    );
  },
);

test.skipIf(withoutRedis !== undefined)(
  'a killed worker, Redis restarted, ten poisoned jobs and results: the metrics of an undisturbed study',
  { timeout: 1_800_000 },
  async () => {
    const redis = await startRedis(mkdtempSync(join(folder, 'redis-')), true);
    onTestFinished(() => void redis.stop());
    const { url } = redis;
    const began = performance.now();
    const coordinator = start(...args('poisoned'), '--redis', url);
    await coordinator.log.until(/6 are left/);
    while (!(await keysOf(url)).includes('raad:study:wait')) await sleep(50);

    // Before any worker comes, so that they are taken first.
    const intruder = await openIntruder(url);
    const { fit, ...settings } = (await intruder.terms()).settings;
    const task = { ...(await intruder.terms()), set: 'data', seed: 0, arms: ['float'], digest: 'x' };
    await intruder.addJob('poison-empty', {});
    await intruder.addJob('poison-batch', { ...task, settings: { ...settings, fit: { ...fit, batch: 1e9 } } });
    await intruder.addJob('poison-seed', { ...task, seed: 2 ** 40 });
    await intruder.addJob('poison-arm', {
      ...task,
      cell: { set: 'data', seed: 0, arm: 'rm -rf', recalibrated: false },
    });
    await intruder.spoilJob('poison-bytes');

    const workers = [0, 1].map(() => start('study-worker', 'data', '--redis', url, '--lease', '5'));
    const trainer = await Promise.race(workers.map((each) => each.log.until(/the checkpoint/).then(() => each)));
    while (!(await keysOf(url)).some((key) => key.endsWith('data-0.checkpoint'))) await sleep(50);
    const before = (await keysOf(url)).filter((key) => /:(store|study|meta)/.test(key));
    await redis.restart();
    expect(await keysOf(url)).toEqual(expect.arrayContaining(before));
    expect(before.length).toBeGreaterThan(2);

    await kill(trainer.child);
    const left = workers.find((each) => each !== trainer)!;
    await left.log.until(/the checkpoint/);
    await left.log.until(/: AUROC/);
    const own = results('alone').get('data/0/float')!;
    const version = await ownVersion();
    const poison = {
      'data/0/float+recalibrated': JSON.stringify({ version, result: own }),
      'data/0/uniform': JSON.stringify({ version: '0.0.0', result: { ...own, id: 'data/0/uniform', arm: 'uniform' } }),
      'data/0/uniform+recalibrated': '{"version": "1", "result": {"metrics": {"auroc": NaN}}}',
      'data/0/hqs': JSON.stringify({
        version,
        result: { ...own, id: 'data/0/hqs', arm: 'hqs', metrics: { auroc: 2 } },
      }),
      'data/0/hqs+recalibrated': JSON.stringify({ version, result: null }),
    };
    for (const [cell, text] of Object.entries(poison)) await intruder.addResult(cell, text);
    await intruder.close();

    expect(await ended(coordinator.child), coordinator.log.text()).toBe(0);
    expect(await kill(left.child, 'SIGINT'), left.log.text()).toBe(130);
    const said = coordinator.log.text();
    for (const job of ['empty', 'batch', 'seed', 'arm', 'bytes'])
      expect(said).toMatch(
        new RegExp(`^note: the queue (held|holds) "poison-${job}", which is no task.*: it is removed`, 'm'),
      );
    for (const cell of Object.keys(poison))
      expect(said).toMatch(new RegExp(`^note: .*${cell.replace('+', '\\+')} .*: it is not taken\\.$`, 'm'));
    expect(left.log.text()).not.toMatch(/train: \d?\d\/140/);
    expect(await leftOf(url)).toEqual([]);
    const count = expectFiguresOfOneProcess('poisoned');
    const seconds = (performance.now() - began) / 1000;
    console.log(
      `${count} cells over Redis in ${seconds.toFixed(0)} s: a worker killed, Redis restarted, 5 jobs and 5 results poisoned, metrics equal`,
    );
  },
);
