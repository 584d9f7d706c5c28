import type { Dataset } from '../data/dataset.ts';
import type { Engine } from '../engine/engine.ts';
import { UserError } from '../errors.ts';
import type { Detector } from '../model/detector.ts';
import { loadDetector } from '../model/modelFile.ts';
import { type OpenedDatasets, openDatasets } from '../node/datasets.ts';
import { readBytes } from '../node/files.ts';
import { openStudyData } from '../node/study.ts';
import type { StudyData } from '../study/runner.ts';
import type { Arguments } from './arguments.ts';
import { chooseCategories } from './datasets.ts';
import { notice } from './session.ts';

/** The one data set that goes with one model. */
export interface ModelDataset {
  readonly root: string;
  readonly dataset: Dataset;
}

/**
 * Finds the data set of a command that takes one model: DATA with `--category`, or `--good`.
 * @throws UserError when there are none or several
 */
export async function openModelDataset(args: Arguments, folder: string | undefined): Promise<ModelDataset> {
  const good = args.text('good');
  const { root, datasets }: OpenedDatasets = await openDatasets(folder, good ? { good } : {});
  const chosen = chooseCategories(datasets, args.text('category'));
  if (chosen.length > 1) {
    throw new UserError(
      `there are ${chosen.length} data sets, and one model.`,
      `Choose one with --category (${chosen.map(({ name }) => name).join(', ')}).`,
    );
  }
  return { root, dataset: chosen[0]! };
}

/** Reads a model, and its data set in the split that it was trained with. */
export async function openModel(
  engine: Engine,
  file: string,
  { root, dataset }: ModelDataset,
): Promise<{ readonly detector: Detector; readonly data: StudyData }> {
  const detector = await loadDetector(engine, await readBytes(file), file);
  const data = await openStudyData({ name: dataset.name, root, dataset }, detector.state.provenance.seed, notice);
  return { detector, data };
}
