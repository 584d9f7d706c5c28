import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test, vi } from 'vitest';
import { parseArguments } from '../src/cli/arguments.ts';
import { chooseCommand } from '../src/cli/tables/all.ts';
import { checkpointOf, fitOne, readSettings } from '../src/cli/training.ts';
import { TrainingLog } from '../src/cli/trainingLog.ts';
import { type EngineSession, withEngine } from '../src/cli/withEngine.ts';
import type { Dataset } from '../src/data/dataset.ts';
import { DeviceLostError } from '../src/engine/errors.ts';
import { openDatasets } from '../src/node/datasets.ts';
import { writeInspectionSet } from '../src/node/generated.ts';
import { readTeacher } from '../src/node/teachers.ts';
import { temporaryFolder } from './support/temporary.ts';

const folder = temporaryFolder();
const at = (name: string) => join(folder, name);
const STEPS = 4;
const OPTIONS = ['--preset', 'quick', '--iterations', String(STEPS), '--batch', '1', '--checkpoint-every', '2'];
let root: string;
let dataset: Dataset;

beforeAll(async () => {
  const set = { part: 'biscuit', seed: 2, size: 96, train: 6, testGood: 1, testPerDefect: 1 } as const;
  await writeInspectionSet(at('data'), set);
  const opened = await openDatasets(at('data'));
  root = opened.root;
  dataset = opened.datasets[0]!;
});

/**
 * Trains as `raad fit` does.
 * @param watch is given the session beforehand
 * @returns what it says
 */
async function train(name: string, watch: (session: EngineSession) => void = () => {}): Promise<string[]> {
  const args = parseArguments(
    chooseCommand(['fit', at('data'), '-o', at(name), '--log', at(`${name}.log`), ...OPTIONS])!,
  );
  const settings = readSettings(args);
  const teacher = await readTeacher(settings.size);
  const log = await TrainingLog.open(args.text('log'), false);
  const said = vi.spyOn(console, 'error').mockImplementation(() => {});
  vi.spyOn(console, 'log').mockImplementation(() => {});
  try {
    await withEngine(args, (_, session) => {
      watch(session);
      const { signal } = new AbortController();
      return fitOne(args, { session, settings, root, dataset, output: at(name), teacher, log, signal });
    });
    return said.mock.calls.map(([line]) => String(line));
  } finally {
    vi.restoreAllMocks();
  }
}

/** Loses the device as soon as a checkpoint of this model is there. */
function loseBehindCheckpoint(name: string, { engine }: EngineSession): void {
  const timer = setInterval(() => {
    if (!existsSync(checkpointOf(at(name)))) return;
    clearInterval(timer);
    engine.device.destroy();
  }, 1);
}

test('raad fit goes on with a new device, and writes the same file', async () => {
  await train('undisturbed');
  const lines = await train('lost', (session) => loseBehindCheckpoint('lost', session));
  expect(lines.filter((line) => line.startsWith('note: the GPU device was lost'))).toEqual([
    expect.stringMatching(/Training goes on from its last checkpoint on a new device \(1 of 3 times\)\.$/),
  ]);
  expect(lines.filter((line) => line.startsWith('adapter: '))).toHaveLength(2);
  expect(Buffer.compare(readFileSync(at('lost')), readFileSync(at('undisturbed')))).toBe(0);
  // Losses are reported by time; no step stands twice.
  const log = readFileSync(at('lost.log'), 'utf8').trim().split('\n');
  const steps = log.map((line) => JSON.parse(line).step as number);
  expect(steps).toEqual([...new Set(steps)].sort((a, b) => a - b));
  expect(steps.at(-1)).toBe(STEPS);
});

test('a device that is lost time and again ends it', async () => {
  let opened = 0;
  const training = train('again', (session) => {
    const { reopen } = session;
    session.engine.device.destroy();
    session.reopen = async () => {
      const engine = await reopen.call(session);
      opened++;
      engine.device.destroy();
      return engine;
    };
  });
  await expect(training).rejects.toThrow(DeviceLostError);
  expect(opened).toBe(3);
});
