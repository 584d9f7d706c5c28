import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Dataset } from '../../data/dataset.ts';
import { safeFileNamesOf } from '../../data/names.ts';
import type { DetectorState } from '../../detector/detectorState.ts';
import { UserError } from '../../errors.ts';
import type { Evaluation } from '../../evaluation/evaluate.ts';
import { datasetFiles, openDatasets } from '../../node/datasets.ts';
import { assertOutputs } from '../../node/output.ts';
import { collectionTable, evaluationNotes, evaluationTable } from '../../report/summary.ts';
import { type Arguments, readPrecision, UsageError } from '../arguments.ts';
import { announceDatasets, chooseCategories, namedFolders, printDatasets } from '../datasets.ts';
import { assertTested, evaluateOne, evaluationOutputs } from '../evaluation.ts';
import { isTrainedOnOthers, readModelFile } from '../modelData.ts';
import { printLine, printText } from '../print.ts';
import { inputFiles, notice, withEngine } from '../withEngine.ts';

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
    chosen.flatMap((dataset) => evaluationOutputs(target(dataset), dataset)),
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

function printOne(evaluation: Evaluation & { readonly name: string }): void {
  printLine('', evaluation.name);
  printText(evaluationTable(evaluation));
  for (const line of evaluationNotes(evaluation)) printLine(`  ${line}`);
}
