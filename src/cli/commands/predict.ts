import { basename, join } from 'node:path';
import type { RgbImage } from '../../data/image.ts';
import { distinctFileNames } from '../../data/names.ts';
import { Detector, type Prediction } from '../../detector/detector.ts';
import { UserError } from '../../errors.ts';
import { expandImages } from '../../node/files.ts';
import { encodePng, readImage } from '../../node/images.ts';
import { assertOutputs, writeAtomically } from '../../node/output.ts';
import { renderHeatmap } from '../../report/heatmap.ts';
import { heatmapRange } from '../../report/range.ts';
import { type Arguments, type OptionTable, readPrecision, UsageError } from '../arguments.ts';
import { readModelFile } from '../modelData.ts';
import { printLine, printText } from '../print.ts';
import { inputFiles, notice, withEngine } from '../session.ts';
import { verdictOf } from '../verdict.ts';

export const usage = `raad predict MODEL IMAGE...
  Scores images, files or folders or patterns, and draws where the defects are.
  Folders and patterns leave out heat maps that were written before. An image that fails is named; all others are scored,
  and the exit code is 1.

  --out DIR              where the heat maps go, one for each image (IMAGE.heatmap.png), the current folder by default
  --no-heatmap           scores only
  --precision f32|f16    what a float network keeps between Winograd's transforms; f16 is for GPUs; f32
  --json                 a JSON line per image`;

export const options: OptionTable = {
  out: { type: 'string' },
  'no-heatmap': { type: 'boolean' },
  precision: { type: 'string' },
  json: { type: 'boolean' },
};

export async function run(args: Arguments, signal: AbortSignal): Promise<void> {
  const [modelFile, ...patterns] = args.positionals;
  if (!modelFile || patterns.length === 0)
    throw new UsageError('predict needs a model and images.', 'raad predict MODEL IMAGE...');
  const precision = readPrecision(args);
  const state = await readModelFile(modelFile);
  const paths = await expandImages(patterns, notice);
  const names = distinctFileNames(paths.map((path) => path.replaceAll('\\', '/')));
  const out = args.text('out') ?? '.';
  const heatmapOf = (index: number) => (args.flag('no-heatmap') ? undefined : join(out, `${names[index]}.heatmap.png`));
  const heatmaps = [...paths.keys()].map(heatmapOf);
  await assertOutputs(heatmaps, [modelFile, ...paths, ...inputFiles(args)]);
  await withEngine(args, async (engine) => {
    const detector = new Detector(engine, state, { precision });
    let done = 0;
    for (const [index, path] of paths.entries()) {
      signal.throwIfAborted();
      const heatmap = heatmaps[index];
      let prediction: Prediction;
      let picture: Uint8Array | undefined;
      try {
        const image = await readImage(path);
        prediction = await detector.predict(image);
        picture = heatmap ? await drawHeatmap(basename(path), image, prediction, detector) : undefined;
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        notice(`left out: ${error.message.includes(path) ? '' : `${path}: `}${error.message}`);
        continue;
      }
      if (heatmap && picture) await writeAtomically(heatmap, picture);
      done++;
      print(args.flag('json'), path, prediction, heatmap);
    }
    detector.destroy();
    const failed = paths.length - done;
    if (done === 0) throw new UserError('none of the images could be scored.', 'They are named above.');
    if (failed > 0)
      throw new UserError(
        `${failed} of ${paths.length} images were left out.`,
        'They are named above; all others are done.',
      );
  });
}

/** Draws a prediction into a file: score, verdict, map with colour bar and contour. @throws UserError */
export async function writeHeatmap(file: string, ...drawn: Parameters<typeof drawHeatmap>): Promise<void> {
  await writeAtomically(file, await drawHeatmap(...drawn));
}

async function drawHeatmap(
  title: string,
  image: RgbImage,
  prediction: Prediction,
  { state }: Detector,
  mask?: Uint8Array,
): Promise<Uint8Array> {
  const { map, score } = prediction;
  const verdict = verdictOf(prediction);
  const optional = { ...(verdict && { verdict }), ...(mask && { mask }) };
  return encodePng(renderHeatmap({ ...heatmapRange(state), image, map, title, score, ...optional }));
}

function print(json: boolean, path: string, prediction: Prediction, heatmap: string | undefined): void {
  const { score, isAnomalous, width, height } = prediction;
  if (json) {
    printText(JSON.stringify({ image: path, score, anomalous: isAnomalous ?? null, width, height, heatmap }));
    return;
  }
  const parts = [path, `score ${score.toFixed(4)}`, verdictOf(prediction), heatmap && `-> ${heatmap}`];
  printLine(parts.filter(Boolean).join('  '));
}
