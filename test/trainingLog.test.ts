import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { TrainingLog } from '../src/cli/trainingLog.ts';
import { temporaryFolder } from './support/temporary.ts';

const folder = temporaryFolder();
const at = (name: string) => join(folder, name);
const linesOf = (name: string): Record<string, unknown>[] =>
  readFileSync(at(name), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));

test('a step that is done again stands for the one before, with all behind it', async () => {
  const log = await TrainingLog.open(at('again'), false);
  log.begin('a');
  for (const [step, loss] of [
    [1, 5],
    [2, 4],
    [3, 3],
    [2, 8],
  ] as const)
    log.add(step, { loss });
  await log.write();
  expect(linesOf('again').map(({ step, loss }) => [step, loss])).toEqual([
    [1, 5],
    [2, 8],
  ]);
});

test('--resume keeps what came before the checkpoint, of every set, and its seconds', async () => {
  const line = (set: string, step: number, seconds: number) => JSON.stringify({ set, step, seconds, loss: 9 });
  writeFileSync(
    at('resumed'),
    `${[line('a', 1, 10), line('b', 1, 1), line('b', 2, 20), line('b', 3, 30)].join('\n')}\n`,
  );
  const log = await TrainingLog.open(at('resumed'), true);
  log.begin('b');
  log.add(3, { loss: 1 });
  log.add(4, { loss: 1 });
  await log.write();
  const lines = linesOf('resumed');
  expect(lines.map(({ set, step, loss }) => [set, step, loss])).toEqual([
    ['a', 1, 9],
    ['b', 1, 9],
    ['b', 2, 9],
    ['b', 3, 1],
    ['b', 4, 1],
  ]);
  const [third, fourth] = lines.slice(3).map(({ seconds }) => seconds as number);
  expect(third).toBeGreaterThanOrEqual(20);
  expect(fourth).toBeGreaterThanOrEqual(third!);
});

test('a new run does not go on with the old log, and one that did nothing leaves it', async () => {
  writeFileSync(at('old'), 'notes of mine\n');
  await (await TrainingLog.open(at('old'), false)).write();
  expect(readFileSync(at('old'), 'utf8')).toBe('notes of mine\n');
  await expect(TrainingLog.open(at('old'), true)).rejects.toMatchObject({
    message: expect.stringContaining('old, line 1, is not JSON'),
    fix: expect.stringContaining('name another file with --log'),
  });
  const log = await TrainingLog.open(at('old'), false);
  log.begin();
  log.add(1, { loss: 2 });
  await log.write();
  expect(linesOf('old')).toEqual([{ step: 1, seconds: expect.any(Number), loss: 2 }]);
});
