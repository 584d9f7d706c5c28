import { stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Dataset } from '../../data/dataset.ts';
import type { Engine } from '../../engine/engine.ts';
import { UserError } from '../../errors.ts';
import { type EvaluatedImage, type Evaluation, evaluate } from '../../evaluation/evaluate.ts';
import { loadDetector } from '../../model/modelFile.ts';
import { openDatasets, testSource } from '../../node/datasets.ts';
import { assertWritable, readBytes, writeAtomically } from '../../node/files.ts';
import { collectionTable, evaluationNotes, evaluationTable, scoresCsv } from '../../report/summary.ts';
import { type Arguments, type OptionTable, UsageError } from '../arguments.ts';
import { chooseCategories } from '../datasets.ts';
import { startProgress } from '../progress.ts';
import { notice, withEngine } from '../session.ts';
import { writeHeatmap } from './predict.ts';

export const usage = `raad eval MODEL DATA
  Image AUROC, AP and F1-max, pixel AUROC and AP, AU-PRO (AU-sPRO for MVTec LOCO) on a data set's test images.
  A folder of data sets needs a folder of models, one CATEGORY.safetensors each.

  --good DIR --bad DIR --masks DIR   folders of test images instead of DATA
  --category NAME        one of several data sets
  --out DIR              scores.csv, metrics.json and heatmaps/
  --json                 metrics as JSON`;

export const options: OptionTable = {
  good: { type: 'string' },
  bad: { type: 'string' },
  masks: { type: 'string' },
  category: { type: 'string' },
  out: { type: 'string' },
  json: { type: 'boolean' },
};

export async function run(args: Arguments, signal: AbortSignal): Promise<void> {
  const [model, folder] = args.positionals;
  if (!model) throw new UsageError('eval needs a model and a data set.', 'raad eval MODEL DATA');
  const plain = Object.fromEntries(
    ['good', 'bad', 'masks'].flatMap((name) => (args.text(name) ? [[name, args.text(name)!]] : [])),
  );
  const { root, datasets } = await openDatasets(folder, plain);
  const chosen = chooseCategories(datasets, args.text('category'));
  const out = args.text('out');
  if (out) await assertWritable(join(out, 'metrics.json'));
  const models = (await stat(model).catch(() => undefined))?.isDirectory();
  if (chosen.length > 1 && !models) {
    throw new UserError(
      `${folder} holds ${chosen.length} data sets, ${model} is one model.`,
      `Choose one with --category (${chosen.map(({ name }) => name).join(', ')}), or give a folder of models.`,
    );
  }
  const all: (Evaluation & { readonly name: string })[] = [];
  await withEngine(args, async (engine) => {
    for (const dataset of chosen) {
      const { name } = dataset;
      const file = models ? join(model, `${name}.safetensors`) : model;
      const target = out && (chosen.length > 1 ? join(out, name) : out);
      all.push({ name, ...(await evaluateOne({ engine, file, root, dataset, signal }, target)) });
      if (!args.flag('json')) printOne(all.at(-1)!);
    }
  });
  if (args.flag('json')) {
    console.log(JSON.stringify(Object.fromEntries(all.map(({ name, metrics }) => [name, metrics])), null, 2));
  } else if (all.length > 1) console.log(`\n${collectionTable(all)}`);
}

function printOne(evaluation: Evaluation & { readonly name: string }): void {
  console.log(`\n${evaluation.name}`);
  console.log(evaluationTable(evaluation));
  for (const line of evaluationNotes(evaluation)) console.log(`  ${line}`);
}

export interface EvaluationJob {
  readonly engine: Engine;
  readonly file: string;
  readonly root: string;
  readonly dataset: Dataset;
  readonly signal: AbortSignal;
}

/** Evaluates one model on one data set and writes what belongs into `out`. */
export async function evaluateOne(
  { engine, file, root, dataset, signal }: EvaluationJob,
  out: string | undefined,
  onImage?: (image: EvaluatedImage) => void,
): Promise<Evaluation> {
  const detector = await loadDetector(engine, await readBytes(file), file);
  const source = testSource(root, dataset);
  if (source.count === 0) {
    throw new UserError(`${dataset.name} holds no test images.`, 'Add a test folder, or give --good and --bad.');
  }
  const progress = startProgress(`evaluating ${dataset.name}`, source.count, 'images');
  try {
    const evaluation = await evaluate({
      detector,
      source,
      async onResult(index, result) {
        if (out) {
          const { name, defect, image, prediction, truth } = result;
          const file = join(out, 'heatmaps', defect, `${basename(name).replace(/\.[^.]+$/, '')}.png`);
          await writeHeatmap(file, `${defect} ${basename(name)}`, image, prediction, detector, truth?.mask);
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
