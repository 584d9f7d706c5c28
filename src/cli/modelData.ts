import { splitHeldOut } from '../data/dataset.ts';
import { Detector } from '../detector/detector.ts';
import type { DetectorState } from '../detector/detectorState.ts';
import { readModel } from '../detector/modelFile.ts';
import type { Engine } from '../engine/engine.ts';
import { UserError } from '../errors.ts';
import { openDatasets, trainingDigest } from '../node/datasets.ts';
import { readBytes } from '../node/files.ts';
import { openStudyData } from '../node/study.ts';
import type { StudyData } from '../study/options.ts';
import type { Arguments } from './arguments.ts';
import { announceDatasets, chooseCategories, type PlacedDataset } from './datasets.ts';
import { notice } from './withEngine.ts';

/**
 * Finds the data set of a command that takes one model: DATA with `--category`, or `--good`; and says what is read of it.
 * @throws UserError when there are none or several, or one without good images or with masks that cannot be used
 */
export async function openModelDataset(
  args: Arguments,
  folder: string | undefined,
  { provenance }: DetectorState,
  signal: AbortSignal,
): Promise<PlacedDataset> {
  const good = args.text('good');
  const { root, datasets } = await openDatasets(folder, good ? { good } : {});
  const chosen = chooseCategories(datasets, args.text('category'));
  if (chosen.length > 1) {
    throw new UserError(
      `there are ${chosen.length} data sets, and one model.`,
      `Choose one with --category (${chosen.map(({ name }) => name).join(', ')}).`,
    );
  }
  const set = { root, dataset: chosen[0]! };
  splitHeldOut(set.dataset, provenance.seed);
  await announceDatasets([set], { isEvaluated: false, signal });
  if (await isTrainedOnOthers({ provenance }, set, signal))
    notice(
      `the model was trained on other images than ${set.dataset.name} holds to learn from: some of those may count as held out here.`,
    );
  return set;
}

/** Whether a data set has other good images than a model was trained on; undefined where there are none, or the model tells nothing. */
export async function isTrainedOnOthers(
  { provenance }: Pick<DetectorState, 'provenance'>,
  set: PlacedDataset,
  signal: AbortSignal,
): Promise<boolean | undefined> {
  const { dataDigest } = provenance;
  const digest = dataDigest && (await trainingDigest(set, signal));
  return digest ? digest !== dataDigest : undefined;
}

/** Reads a model file without a device. @throws UserError */
export async function readModelFile(file: string): Promise<DetectorState> {
  return readModel(await readBytes(file), file);
}

/** @throws UserError for a model that no bits can be taken from */
export function assertFloat({ quantization }: DetectorState, file: string): void {
  if (quantization) throw new UserError(`${file} is quantized already.`, 'Give the float model that it was made from.');
}

/** A model on a device, and its data set in the split that it was trained with. */
export async function openModel(
  engine: Engine,
  state: DetectorState,
  { root, dataset }: PlacedDataset,
): Promise<{ readonly detector: Detector; readonly data: StudyData }> {
  const detector = new Detector(engine, state);
  const data = await openStudyData({ name: dataset.name, root, dataset }, state.provenance.seed, notice);
  return { detector, data };
}
