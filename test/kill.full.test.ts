import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Random } from '../src/math/random.ts';
import { writeInspectionSet } from '../src/node/generated.ts';
import { CLI } from './support/commandLine.ts';
import { temporaryFolder } from './support/temporary.ts';

const KILLS = 10;
const folder = temporaryFolder();
const model = join(folder, 'model.safetensors');
const SHORT = ['--preset', 'quick', '--iterations', '24', '--batch', '1', '--checkpoint-every', '1'];
const ARGS = ['fit', join(folder, 'data'), '-o', model, ...SHORT];

function start(...more: string[]): ChildProcess {
  return spawn(process.execPath, [CLI, ...ARGS, ...more], { stdio: 'ignore' });
}

function ended(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve) => child.once('exit', (code) => resolve(code)));
}

test('a killed run ends in the same weights when it is resumed', { timeout: 1_800_000 }, async () => {
  await writeInspectionSet(join(folder, 'data'), {
    part: 'denim',
    seed: 1,
    size: 128,
    train: 8,
    testGood: 0,
    testPerDefect: 0,
  });
  const began = performance.now();
  expect(await ended(start())).toBe(0);
  const duration = performance.now() - began;
  const expected = readFileSync(model);

  // A second process on the same output is refused, and takes it over once the first is dead.
  rmSync(model);
  const first = start();
  const end = ended(first);
  while (!existsSync(`${model}.checkpoint`)) await sleep(20);
  const second = spawnSync(process.execPath, [CLI, ...ARGS, '--resume'], { encoding: 'utf8' });
  expect(second.status).toBe(1);
  expect(second.stderr).toMatch(new RegExp(`model\\.safetensors is in use by process ${first.pid} on `));
  first.kill('SIGKILL');
  expect(await end).toBe(null);
  expect(existsSync(model)).toBe(false);
  expect(existsSync(`${model}.lock`)).toBe(true);
  expect(await ended(start('--resume'))).toBe(0);
  expect(Buffer.compare(readFileSync(model), expected), 'taken over').toBe(0);
  expect(existsSync(`${model}.lock`)).toBe(false);

  const random = new Random(Date.now());
  let resumed = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    rmSync(model);
    const child = start();
    const exit = ended(child);
    const timer = setTimeout(() => child.kill('SIGKILL'), duration * (0.15 + 0.8 * random.uniform()));
    await exit;
    clearTimeout(timer);
    // A run that was faster than its killer has left the model instead.
    if (existsSync(model)) continue;
    if (existsSync(`${model}.checkpoint`)) resumed++;
    expect(await ended(start('--resume'))).toBe(0);
    expect(Buffer.compare(readFileSync(model), expected), `kill ${kill}`).toBe(0);
    expect(existsSync(`${model}.checkpoint`)).toBe(false);
  }
  console.log(`${KILLS} kills, ${resumed} resumed from a checkpoint, all equal`);
  expect(resumed).toBeGreaterThan(0);
});
