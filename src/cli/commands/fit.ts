import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Dataset, splitHeldOut } from '../../data/dataset.ts';
import { safeFileNamesOf } from '../../data/names.ts';
import { checkAlpha } from '../../detector/conformal.ts';
import { Networks } from '../../networks/networks.ts';
import { datasetFiles, openDatasets } from '../../node/datasets.ts';
import { readBytes } from '../../node/files.ts';
import { holdOutputs } from '../../node/lock.ts';
import { assertOutputs } from '../../node/output.ts';
import { readTeacher } from '../../node/teachers.ts';
import { readCheckpoint } from '../../train/checkpoint.ts';
import { checkFitSettings } from '../../train/fit.ts';
import { loadTeacher } from '../../train/teacher.ts';
import { type Arguments, UsageError, wholeNumber } from '../arguments.ts';
import { announceDatasets, chooseCategories, printDatasets } from '../datasets.ts';
import { readFolds, readMethod, readPatience, readTiles } from '../fitOptions.ts';
import { readMaps } from '../mapFilter.ts';
import { readModelFile } from '../modelData.ts';
import { findPhotographs } from '../penalty.ts';
import { say } from '../print.ts';
import { readCorners } from '../region.ts';
import { CHECKPOINT_EVERY, checkpointOf, fitOne, readSettings, trainingOutputs } from '../training.ts';
import { TrainingLog } from '../trainingLog.ts';
import { inputFiles, withEngine } from '../withEngine.ts';

export async function run(args: Arguments, signal: AbortSignal): Promise<void> {
  const output = args.text('output');
  const isDry = args.flag('dry-run');
  if (!output && !isDry) throw new UsageError('fit needs -o MODEL.safetensors.', 'Say where the model goes.');
  const settings = readSettings(args);
  const good = args.text('good');
  const { root, datasets, leftOut } = await openDatasets(args.positionals[0], good ? { good } : {});
  const chosen = chooseCategories(datasets, args.text('category'));
  const sets = chosen.map((dataset) => ({ root, dataset }));
  const between = args.text('category') ? [] : leftOut;
  if (isDry || !output) return printDatasets(args, sets, between, signal);
  checkFitSettings(settings);
  checkAlpha(args.number('alpha'));
  readCorners(args);
  if (readMaps(args) === 'border' && settings.padding !== 'reflect')
    throw new UsageError('--maps border does not go with --border nearest.', 'Add --border reflect.');
  readMethod(args);
  readPatience(args);
  readFolds(args);
  readTiles(args);
  wholeNumber(args, 'checkpoint-every', CHECKPOINT_EVERY, 1);
  // What one of several would be refused for is found before the first is trained.
  for (const dataset of chosen) splitHeldOut(dataset, settings.seed);
  const single = chosen.length === 1;
  const nameOf = safeFileNamesOf(datasets);
  const target = (dataset: Dataset) => (single ? output : join(output, `${nameOf(dataset)}.safetensors`));
  const photographs = await findPhotographs(args);
  const teacher = await readTeacher(settings.size, args.text('teacher'));
  loadTeacher(new Networks(settings.size, settings.resolution, settings.padding), teacher, teacher.name);
  const start = args.text('from');
  const from = start === undefined ? undefined : await readModelFile(start);
  await assertOutputs(
    [...chosen.flatMap((dataset) => trainingOutputs(target(dataset))), args.text('log')],
    [...sets.flatMap(datasetFiles), ...(photographs?.paths ?? []), args.text('teacher'), start, ...inputFiles(args)],
  );
  await holdOutputs(chosen.map(target), async () => {
    if (args.flag('resume')) {
      for (const file of chosen.map((dataset) => checkpointOf(target(dataset))))
        if (existsSync(file)) await readCheckpoint(await readBytes(file), file);
    }
    await announceDatasets(sets, { isEvaluated: false, between, signal });
    const log = await TrainingLog.open(args.text('log'), args.flag('resume'));
    await withEngine(args, async (_, session) => {
      for (const dataset of chosen) {
        if (!single) say('', dataset.name);
        await fitOne(args, {
          session,
          settings,
          root,
          dataset,
          output: target(dataset),
          photographs,
          from,
          teacher,
          log,
          signal,
        });
      }
    });
  });
}
