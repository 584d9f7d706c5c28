import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { writeInspectionSet } from '../src/node/generated.ts';
import type { CellResult } from '../src/study/cells.ts';
import { CLI } from './commandLine.ts';
import { ended, keysOf, kill, listen, startRedis, withoutRedis } from './redis.ts';
import { temporaryFolder } from './temporary.ts';

const folder = temporaryFolder();
if (withoutRedis) console.warn(`test of a study over Redis left out: ${withoutRedis}`);

// More than a hundred steps: training leaves a checkpoint on its way.
const STUDY = ['--preset', 'quick', '--iterations', '140', '--batch', '1', '--recalibrate-iterations', '2'];
const args = (out: string) => ['study', 'data', '--out', out, '--arms', 'float,hqs', '--seeds', '0', ...STUDY];

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

test.skipIf(withoutRedis !== undefined)(
  'killed workers and a killed coordinator leave the metrics of an undisturbed study',
  { timeout: 1_800_000 },
  async () => {
    const images = { part: 'biscuit', seed: 3, size: 96, train: 8, testGood: 3, testPerDefect: 1 } as const;
    await writeInspectionSet(join(folder, 'data'), images);
    const alone = spawnSync(process.execPath, [CLI, ...args('alone')], { cwd: folder, encoding: 'utf8' });
    expect(alone.status, alone.stderr).toBe(0);

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
    expect(await keysOf(url)).toEqual([]);
    const seconds = (performance.now() - began) / 1000;

    const expected = results('alone');
    const found = results('together');
    expect([...found.keys()].sort()).toEqual([...expected.keys()].sort());
    for (const [id, { metrics, images, bits, size }] of expected) {
      expect({ ...found.get(id) }, id).toMatchObject({ metrics, images, bits, size });
    }
    console.log(
      `${found.size} cells over Redis in ${seconds.toFixed(0)} s: 2 workers and the coordinator killed, metrics equal`,
    );
  },
);
