import { existsSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import type { RgbImage } from '../data/image.ts';
import type { Detector } from '../detector/detector.ts';
import { heatmapRange } from '../detector/heatmapRange.ts';
import { saveDetector } from '../detector/modelFile.ts';
import { quote, UserError } from '../errors.ts';
import type { EvaluatedImage, Evaluation } from '../evaluation/evaluate.ts';
import { Networks } from '../networks/networks.ts';
import { bitPlanText } from '../quantization/bitPlan.ts';
import { overlayHeatmap } from '../report/heatmap.ts';
import type { Treatment } from '../study/arms.ts';
import { cellId } from '../study/cells.ts';
import type { StudyData } from '../study/options.ts';
import type { GalleryItem, RunRecord, Step, StepRecord } from '../study/record.ts';
import { STEPS } from '../study/record.ts';
import type { StudyRunner } from '../study/runner.ts';
import { checkCellResult, GALLERY, RUN_RECORD, STEP_RECORD } from '../study/shapes.ts';
import { readJson, writeJson } from './jsonFile.ts';
import { writeAtomically } from './output.ts';

/** What a run of RAAD's three steps works on, and where it keeps its files. */
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

const CELLS: Readonly<Record<Step, Treatment>> = {
  float: { arm: 'float', recalibrated: false },
  quantized: { arm: 'hqs', recalibrated: false },
  recalibrated: { arm: 'hqs', recalibrated: true },
};

/**
 * The paper's three steps, each evaluated: training, quantization by HQS, recalibration. Leaves a model per step, the bit
 * plan, pictures of all test images, and `run.json`. Steps that an earlier run has finished are not run again.
 */
export async function runSteps(options: RunOptions): Promise<RunRecord> {
  const { runner, folder, set, seed, settings, data, adapter, versions, onStep } = options;
  const steps: StepRecord[] = [];
  for (const step of STEPS) {
    const file = join(folder, 'steps', `${step}.json`);
    const record = existsSync(file) ? await readStep(options, step, file) : await runStep(options, step);
    steps.push(record);
    onStep?.(record);
  }
  const { fit } = settings;
  const allocation = await runner.allocation({ set, seed, ...CELLS.quantized });
  await writeAtomically(
    join(folder, 'plan.json'),
    bitPlanText(allocation.plan, new Networks(fit.size, fit.resolution)),
  );
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
    gallery: await readJson(join(folder, GALLERY_FILE), GALLERY, REPEAT),
  };
  await writeJson(join(folder, 'run.json'), record, RUN_RECORD, 2);
  return record;
}

const GALLERY_FILE = 'steps/gallery.json';
const REPEAT = 'Remove the folder steps: the run then repeats them.';

/** What an earlier run has left of a step. @throws UserError for a damaged file, or that of another run */
async function readStep({ set, seed }: RunOptions, step: Step, file: string): Promise<StepRecord> {
  const record = await readJson<StepRecord>(file, STEP_RECORD, REPEAT);
  const expected = cellId({ set, seed, ...CELLS[step] });
  checkCellResult(record.result, file, REPEAT);
  if (record.step !== step || record.result.id !== expected)
    throw new UserError(`${file} is of ${quote(record.result.id)}, not of ${quote(expected)}.`, REPEAT);
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
    curve: curve && thinned(curve),
    threshold,
  };
  if (isLast) await writeJson(join(folder, GALLERY_FILE), gallery, GALLERY);
  await writeJson(join(folder, 'steps', `${step}.json`), record, STEP_RECORD);
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
    isAnomalous,
    image: await write('image', image),
    heatmap: await write('heatmap', overlayHeatmap({ ...heatmapRange(state), image, map })),
    mask,
  };
}

function maskPicture(mask: Uint8Array, width: number, height: number): RgbImage {
  const data = new Uint8Array(3 * mask.length);
  mask.forEach((value, i) => {
    if (value !== 0) data.fill(255, 3 * i, 3 * i + 3);
  });
  return { width, height, data };
}
