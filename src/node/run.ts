import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import type { RgbImage } from '../data/image.ts';
import type { EvaluatedImage, Evaluation } from '../evaluation/evaluate.ts';
import type { Detector } from '../model/detector.ts';
import { saveDetector } from '../model/modelFile.ts';
import { overlayHeatmap } from '../report/heatmap.ts';
import { heatmapRange } from '../report/range.ts';
import type { StudyCell } from '../study/cells.ts';
import type { GalleryItem, RunRecord, Step, StepRecord } from '../study/record.ts';
import { STEPS } from '../study/record.ts';
import type { StudyData, StudyRunner } from '../study/runner.ts';
import { writeAtomically } from './output.ts';

export interface RunOptions {
  /** Runs the cells; its store has to be in the run's folder for the run to be continued. */
  readonly runner: StudyRunner;
  readonly folder: string;
  readonly set: string;
  readonly seed: number;
  readonly settings: RunRecord['settings'];
  readonly data: Pick<StudyData, 'train' | 'heldOut'>;
  readonly adapter: string;
  readonly versions: RunRecord['versions'];
  readonly onStep?: (record: StepRecord) => void;
}

const CELLS: Readonly<Record<Step, Pick<StudyCell, 'arm' | 'recalibrated'>>> = {
  float: { arm: 'float', recalibrated: false },
  quantised: { arm: 'hqs', recalibrated: false },
  recalibrated: { arm: 'hqs', recalibrated: true },
};

/**
 * The paper's three steps, each evaluated: training, quantisation by HQS, recalibration. Leaves a model per step, the bit
 * plan, pictures of all test images, and `run.json`. Steps that an earlier run has finished are not run again.
 */
export async function runSteps(options: RunOptions): Promise<RunRecord> {
  const { runner, folder, set, seed, settings, data, adapter, versions, onStep } = options;
  const steps: StepRecord[] = [];
  for (const step of STEPS) {
    const file = join(folder, 'steps', `${step}.json`);
    const record: StepRecord = existsSync(file)
      ? JSON.parse(await readFile(file, 'utf8'))
      : await runStep(options, step);
    steps.push(record);
    onStep?.(record);
  }
  const allocation = await runner.allocation({ set, seed, ...CELLS.quantised });
  await writeAtomically(join(folder, 'plan.json'), `${JSON.stringify(allocation.plan, null, 2)}\n`);
  const record: RunRecord = {
    format: 'raad-run',
    version: 1,
    set,
    seed,
    settings,
    finished: new Date().toISOString(),
    versions,
    adapter,
    trainImages: data.train.count,
    heldOutImages: data.heldOut.count,
    // A layer without a score has NaN, which JSON does not know.
    allocation: JSON.parse(JSON.stringify(allocation.rows)),
    steps,
    gallery: JSON.parse(await readFile(join(folder, 'steps/gallery.json'), 'utf8')),
  };
  await writeAtomically(join(folder, 'run.json'), `${JSON.stringify(record, null, 2)}\n`);
  return record;
}

async function runStep({ runner, folder, set, seed }: RunOptions, step: Step): Promise<StepRecord> {
  const gallery: GalleryItem[] = [];
  const isLast = step === STEPS.at(-1);
  let evaluated: { evaluation: Evaluation; detector: Detector } | undefined;
  const model = `${step}.safetensors`;
  const result = await runner.run(
    { set, seed, ...CELLS[step] },
    {
      async onImage(image, detector) {
        if (isLast) gallery.push(await writePictures(folder, gallery.length, image, detector));
      },
      async onEvaluated(evaluation, detector) {
        evaluated = { evaluation, detector };
        await writeAtomically(join(folder, model), await saveDetector(detector));
      },
    },
  );
  const { metrics, curve } = evaluated!.evaluation;
  const { threshold } = evaluated!.detector.state;
  const record: StepRecord = {
    step,
    model,
    result,
    metrics,
    ...(curve && { curve: thinned(curve) }),
    ...(threshold && { threshold }),
  };
  if (isLast) await writeAtomically(join(folder, 'steps/gallery.json'), JSON.stringify(gallery));
  await writeAtomically(join(folder, 'steps', `${step}.json`), `${JSON.stringify(record)}\n`);
  return record;
}

/** Points of a curve that are kept for drawing. */
const CURVE_POINTS = 400;

/** At most so many points, first and last among them. */
function thinned({ fpr, overlap }: NonNullable<StepRecord['curve']>): NonNullable<StepRecord['curve']> {
  const count = Math.min(CURVE_POINTS, fpr.length);
  const indices = Array.from({ length: count }, (_, i) => Math.round((i * (fpr.length - 1)) / Math.max(1, count - 1)));
  return { fpr: indices.map((i) => fpr[i]!), overlap: indices.map((i) => overlap[i]!) };
}

/** Longest side of the gallery's pictures. */
const PICTURE_SIDE = 320;

async function writePictures(
  folder: string,
  index: number,
  { name, defect, image, truth, prediction }: EvaluatedImage,
  { state }: Detector,
): Promise<GalleryItem> {
  const { score, isAnomalous, map, width, height } = prediction;
  const path = (kind: string) => `gallery/${String(index).padStart(4, '0')}-${kind}.webp`;
  const write = async (kind: string, picture: RgbImage) => {
    const raw = { width: picture.width, height: picture.height, channels: 3 } as const;
    const resized = sharp(picture.data, { raw, limitInputPixels: false }).resize(PICTURE_SIDE, PICTURE_SIDE, {
      fit: 'inside',
    });
    await writeAtomically(join(folder, path(kind)), await resized.webp({ quality: 72 }).toBuffer());
    return path(kind);
  };
  const mask =
    truth && truth.regions.length > 0 ? await write('mask', maskPicture(truth.mask, width, height)) : undefined;
  return {
    name,
    defect,
    score,
    ...(isAnomalous !== undefined && { isAnomalous }),
    image: await write('image', image),
    heatmap: await write('heatmap', overlayHeatmap({ ...heatmapRange(state), image, map })),
    ...(mask && { mask }),
  };
}

function maskPicture(mask: Uint8Array, width: number, height: number): RgbImage {
  const data = new Uint8Array(3 * mask.length);
  mask.forEach((value, i) => {
    if (value !== 0) data.fill(255, 3 * i, 3 * i + 3);
  });
  return { width, height, data };
}
