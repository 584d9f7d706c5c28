import { stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Dataset, TestSample } from '../../data/dataset.ts';
import {
  belowCommonFolder,
  distinctFileNames,
  lastPart,
  safeFileNames,
  safeFileNamesOf,
  stem,
} from '../../data/names.ts';
import type { DetectorState } from '../../detector/detectorState.ts';
import { loadDetector } from '../../detector/modelFile.ts';
import type { Engine } from '../../engine/engine.ts';
import type { Precision } from '../../engine/variants.ts';
import { UserError } from '../../errors.ts';
import { type EvaluatedImage, type Evaluation, evaluate } from '../../evaluation/evaluate.ts';
import { datasetFiles, openDatasets, testSource } from '../../node/datasets.ts';
import { readBytes } from '../../node/files.ts';
import { assertOutputs, writeAtomically } from '../../node/output.ts';
import { collectionTable, evaluationNotes, evaluationTable, scoresCsv } from '../../report/summary.ts';
import { type Arguments, type OptionTable, readPrecision, UsageError } from '../arguments.ts';
import { announceDatasets, chooseCategories, DRY_RUN_OPTIONS, printDatasets } from '../datasets.ts';
import { isTrainedOnOthers, readModelFile } from '../modelData.ts';
import { printLine, printText } from '../print.ts';
import { startProgress } from '../progress.ts';
import { inputFiles, notice, withEngine } from '../session.ts';
import { namedFolders } from './data.ts';
import { writeHeatmap } from './predict.ts';

export const usage = `raad eval MODEL DATA
  Image AUROC, AP and F1-max, pixel AUROC and AP, AU-PRO (AU-sPRO for MVTec LOCO) on a data set's test images.
  A folder of data sets needs a folder of models, one CATEGORY.safetensors each, trained on the same training images.

  --good DIR --bad DIR --masks DIR   folders of test images instead of DATA
  --category NAME        one of several data sets
  --out DIR              scores.csv, metrics.json and heatmaps/, one for each image
  --precision f32|f16    what a float network keeps between Winograd's transforms; f16 is for GPUs; f32
  --json                 metrics as JSON
  --dry-run              only say what would be read; see raad data
  An image that fails is named; all others are evaluated, and the exit code is 1.`;

export const options: OptionTable = {
  good: { type: 'string' },
  bad: { type: 'string' },
  masks: { type: 'string' },
  category: { type: 'string' },
  out: { type: 'string' },
  precision: { type: 'string' },
  ...DRY_RUN_OPTIONS,
};

export async function run(args: Arguments, signal: AbortSignal): Promise<void> {
  const [model, folder] = args.positionals;
  if (!model) throw new UsageError('eval needs a model and a data set.', 'raad eval MODEL DATA');
  const precision = readPrecision(args);
  const { root, datasets, leftOut } = await openDatasets(folder, namedFolders(args));
  const chosen = chooseCategories(datasets, args.text('category'));
  const sets = chosen.map((dataset) => ({ root, dataset }));
  const between = args.text('category') ? [] : leftOut;
  const models = (await stat(model).catch(() => undefined))?.isDirectory();
  if (chosen.length > 1 && !models) {
    throw new UserError(
      `${folder} holds ${chosen.length} data sets, ${model} is one model.`,
      `Choose one with --category (${chosen.map(({ name }) => name).join(', ')}), or give a folder of models.`,
    );
  }
  const nameOf = safeFileNamesOf(datasets);
  const fileOf = (dataset: Dataset) => (models ? join(model, `${nameOf(dataset)}.safetensors`) : model);
  const states = new Map<Dataset, DetectorState>();
  for (const dataset of chosen) states.set(dataset, await readModelFile(fileOf(dataset)));
  if (args.flag('dry-run')) return printDatasets(args, sets, between, signal);
  const out = args.text('out');
  const target = (dataset: Dataset) => out && (chosen.length > 1 ? join(out, nameOf(dataset)) : out);
  await assertOutputs(
    chosen.flatMap((dataset) => outputsOf(target(dataset), dataset)),
    [...chosen.map(fileOf), ...sets.flatMap(datasetFiles), ...inputFiles(args)],
  );
  for (const dataset of chosen) assertTested(dataset);
  await announceDatasets(sets, { isEvaluated: true, between, signal });
  for (const set of sets) {
    const { name, layout } = set.dataset;
    // The good images of folders that were named are those of the test.
    if (layout === 'plain' || !(await isTrainedOnOthers(states.get(set.dataset)!, set, signal))) continue;
    const differs = `${fileOf(set.dataset)} was trained on other images than ${name} holds to learn from`;
    // A model that was named is meant; one that was found has to be the data set's own.
    if (models)
      throw new UserError(
        `${differs}: only their names agree.`,
        `Give the models of these data sets, or, if it is meant, that file with --category ${name}.`,
      );
    notice(`${differs}.`);
  }
  const all: (Evaluation & { readonly name: string })[] = [];
  await withEngine(args, async (engine) => {
    for (const dataset of chosen) {
      const { name } = dataset;
      const job = { engine, file: fileOf(dataset), root, dataset, precision, signal };
      all.push({ name, ...(await evaluateOne(job, target(dataset))) });
      if (!args.flag('json')) printOne(all.at(-1)!);
    }
  });
  if (args.flag('json')) {
    printText(JSON.stringify(Object.fromEntries(all.map(({ name, metrics }) => [name, metrics])), null, 2));
  } else if (all.length > 1) printText(`\n${collectionTable(all)}`);
  const failed = all.reduce((sum, evaluation) => sum + evaluation.leftOut.length, 0);
  if (failed > 0)
    throw new UserError(
      `${failed} ${failed === 1 ? 'image' : 'images'} could not be evaluated.`,
      'They are named above; the figures are of the others.',
    );
}

/** @throws UserError for a data set that cannot be evaluated */
function assertTested({ name, test }: Dataset): void {
  if (test.length === 0)
    throw new UserError(`${name} holds no test images.`, 'Add a test folder, or give --good and --bad.');
}

function printOne(evaluation: Evaluation & { readonly name: string }): void {
  printLine('', evaluation.name);
  printText(evaluationTable(evaluation));
  for (const line of evaluationNotes(evaluation)) printLine(`  ${line}`);
}

/** The files of an evaluation. */
export function outputsOf(out: string | undefined, { test }: Dataset): string[] {
  if (!out) return [];
  const heatmaps = heatmapFiles(test).map((file) => join('heatmaps', file));
  return ['scores.csv', 'metrics.json', ...heatmaps].map((name) => join(out, name));
}

/** A file for each heat map: `KIND/NAME.png`, with folders in front of names that would be another's, too. */
export function heatmapFiles(test: readonly TestSample[]): string[] {
  const files: string[] = [];
  for (const kind of new Set(test.map(({ defect }) => defect))) {
    const indices = [...test.keys()].filter((i) => test[i]!.defect === kind);
    const names = distinctFileNames(belowCommonFolder(indices.map((i) => test[i]!.image)), (path) =>
      stem(lastPart(path)),
    );
    for (const [k, i] of indices.entries()) files[i] = `${kind}/${names[k]}`;
  }
  return safeFileNames(files).map((name) => `${name}.png`);
}

export interface EvaluationJob {
  readonly engine: Engine;
  readonly file: string;
  readonly root: string;
  readonly dataset: Dataset;
  /** `f32` when absent. */
  readonly precision?: Precision;
  readonly signal: AbortSignal;
}

/** Evaluates one model on one data set and writes what belongs into `out`. */
export async function evaluateOne(
  { engine, file, root, dataset, precision = 'f32', signal }: EvaluationJob,
  out: string | undefined,
  onImage?: (image: EvaluatedImage) => void,
): Promise<Evaluation> {
  assertTested(dataset);
  const detector = await loadDetector(engine, await readBytes(file), { name: file, precision });
  const source = testSource(root, dataset);
  const files = heatmapFiles(dataset.test);
  const progress = startProgress(`evaluating ${dataset.name}`, source.count, 'images');
  try {
    const evaluation = await evaluate({
      detector,
      source,
      async onResult(index, result) {
        if (out) {
          const { name, defect, image, prediction, truth } = result;
          await writeHeatmap(
            join(out, 'heatmaps', files[index]!),
            `${defect} ${basename(name)}`,
            image,
            prediction,
            detector,
            truth?.mask,
          );
        }
        onImage?.(result);
        progress.update(index + 1);
      },
      onNotice: notice,
      signal,
    });
    if (out) {
      await writeAtomically(join(out, 'scores.csv'), scoresCsv(evaluation.results));
      await writeAtomically(join(out, 'metrics.json'), `${JSON.stringify(evaluation.metrics, null, 2)}\n`);
    }
    return evaluation;
  } finally {
    progress.stop();
    detector.destroy();
  }
}
