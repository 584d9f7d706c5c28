import { basename, join } from 'node:path';
import type { Dataset, TestSample } from '../data/dataset.ts';
import { belowCommonFolder, distinctFileNames, lastPart, safeFileNames, stem } from '../data/names.ts';
import { loadDetector } from '../detector/modelFile.ts';
import type { Engine } from '../engine/engine.ts';
import type { Precision } from '../engine/variants.ts';
import { UserError } from '../errors.ts';
import { type EvaluatedImage, type Evaluation, evaluate } from '../evaluation/evaluate.ts';
import { testSource } from '../node/datasets.ts';
import { readBytes } from '../node/files.ts';
import { writeAtomically } from '../node/output.ts';
import { scoresCsv } from '../report/summary.ts';
import { writeHeatmap } from './heatmap.ts';
import { startProgress } from './progress.ts';
import { notice } from './withEngine.ts';

/** @throws UserError for a data set that cannot be evaluated */
export function assertTested({ name, test }: Dataset): void {
  if (test.length === 0)
    throw new UserError(`${name} holds no test images.`, 'Add a test folder, or give --good and --bad.');
}

/** The files of an evaluation. */
export function evaluationOutputs(out: string | undefined, { test }: Dataset): string[] {
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
