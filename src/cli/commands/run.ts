import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type LeftOut, splitHeldOut } from '../../data/dataset.ts';
import { UserError } from '../../errors.ts';
import { datasetFiles } from '../../node/datasets.ts';
import { lockFolder } from '../../node/lock.ts';
import { assertOutputs } from '../../node/output.ts';
import {
  folderStore,
  type KeptSettings,
  keepSettings,
  mergeSettings,
  namedSets,
  openStudyData,
  openStudySets,
  type StudySet,
  studyDigest,
} from '../../node/study.ts';
import { readTeacher } from '../../node/teachers.ts';
import { runSteps } from '../../node/threeSteps.ts';
import { ownVersion } from '../../node/version.ts';
import { metricsTable } from '../../report/table.ts';
import { STEPS, type StepRecord } from '../../study/record.ts';
import { checkStudySettings } from '../../study/settings.ts';
import { sharedFiles } from '../../study/sharedFiles.ts';
import { photographPenalty } from '../../train/penalty.ts';
import { type Arguments, readSeed, UsageError } from '../arguments.ts';
import { announceDatasets, chooseCategories, printDatasets } from '../datasets.ts';
import { findPhotographs, loadPhotographs } from '../penalty.ts';
import { printLine, printText, say } from '../print.ts';
import { studyRunner, studySettings } from '../studyOptions.ts';
import { inputFiles, notice, withEngine } from '../withEngine.ts';

export async function run(args: Arguments, signal: AbortSignal): Promise<void> {
  const out = args.text('output');
  const isDry = args.flag('dry-run');
  if ((!out && !isDry) || args.positionals.length === 0)
    throw new UsageError('run needs a data set and -o.', 'raad run DATA -o DIR');
  const settings = studySettings(args, 'standard');
  checkStudySettings(settings);
  const seed = readSeed(args);
  const between: LeftOut[] = [];
  const sets = chooseCategories(await openStudySets(args.positionals, between), args.text('category'));
  if (isDry || !out) return printDatasets(args, namedSets(sets), between, signal);
  for (const { dataset } of sets) splitHeldOut(dataset, seed);
  await announceDatasets(namedSets(sets), { isEvaluated: true, between, signal });
  await readTeacher(settings.fit.size);
  const found = await findPhotographs(args);
  const targetOf = ({ name }: StudySet) => (sets.length === 1 ? out : join(out, name));
  await assertOutputs(
    sets.flatMap((set) => outputsOf(targetOf(set), set.name, seed)),
    [...namedSets(sets).flatMap(datasetFiles), ...(found?.paths ?? []), ...inputFiles(args)],
  );
  for (const set of sets) assertOwn(targetOf(set), set.name, seed);
  const photographs = await loadPhotographs(found);
  const recorded = { ...settings, penalty: photographs?.name ?? 'generated' };
  const locks: (() => Promise<void>)[] = [];
  try {
    const runs: { readonly set: StudySet; readonly target: string; readonly kept: KeptSettings }[] = [];
    for (const set of sets) {
      const target = targetOf(set);
      locks.push(await lockFolder(target));
      // What cannot be read is told when the images are opened.
      const data = { [set.name]: await studyDigest(set, () => {}) };
      const kept = { ...recorded, seed, set: set.name, data, photographs: photographs?.digest };
      await mergeSettings(join(target, 'settings.json'), kept);
      runs.push({ set, target, kept });
    }
    await withEngine(args, async (engine) => {
      const penalty = photographs && photographPenalty(engine, photographs, photographs.name);
      try {
        for (const { set, target, kept } of runs) {
          if (sets.length > 1) say('', set.name);
          const data = await openStudyData(set, seed, notice, signal);
          const runner = await studyRunner({
            engine,
            settings,
            open: async () => data,
            penalty,
            store: folderStore(join(target, 'models')),
            signal,
          });
          try {
            await keepSettings(join(target, 'settings.json'), kept);
            const { steps } = await runSteps({
              runner,
              folder: target,
              set: set.name,
              seed,
              settings: recorded,
              data,
              adapter: engine.caps.description,
              versions: { 'raad-webgpu': await ownVersion(), node: process.version },
              onStep: ({ step, result }) =>
                say(
                  result.metrics.auroc === undefined
                    ? `${step}: no AUROC, which needs good and defective test images`
                    : `${step}: ${(100 * result.metrics.auroc).toFixed(2)} AUROC`,
                ),
            });
            printLine('', set.name);
            printText(stepsTable(steps));
          } finally {
            runner.destroy();
          }
        }
      } finally {
        penalty?.destroy();
      }
    });
  } finally {
    for (const unlock of locks) await unlock();
  }
}

/** @throws UserError for a folder that no run has begun, and that holds files a run would replace */
function assertOwn(folder: string, set: string, seed: number): void {
  if (existsSync(join(folder, 'settings.json'))) return;
  const other = outputsOf(folder, set, seed).find((file) => existsSync(file));
  if (other !== undefined)
    throw new UserError(`${other} is there already, and ${folder} is not the folder of a run.`, 'Use another folder.');
}

/** The files that a run leaves, but for its gallery, of which the first stands for all. */
function outputsOf(folder: string, set: string, seed: number): string[] {
  return [
    'settings.json',
    'run.json',
    'plan.json',
    ...STEPS.flatMap((step) => [`${step}.safetensors`, `steps/${step}.json`]),
    'steps/gallery.json',
    'gallery/0000-image.webp',
    ...sharedFiles(set, seed).map((name) => `models/${name}`),
  ].map((name) => join(folder, name));
}

function stepsTable(steps: readonly StepRecord[]): string {
  const percent = (value: number | undefined) => (value === undefined ? undefined : Number((100 * value).toFixed(2)));
  return metricsTable(
    steps.map(({ step, result: { metrics, size, timing, memoryBytes } }) => ({
      step,
      AUROC: percent(metrics.auroc),
      AP: percent(metrics.ap),
      'AU-PRO': percent(metrics.overlap),
      'bias index': metrics.biasIndex && Number(metrics.biasIndex.toFixed(3)),
      bits: Number(size.averageBits.toFixed(2)),
      'weight bytes': size.weightBytes,
      ms: Number(timing.milliseconds.toFixed(1)),
      'float ms': Number(timing.floatMilliseconds.toFixed(1)),
      'device bytes': memoryBytes,
    })),
    { digits: 2 },
  );
}
