import { basename, join } from 'node:path';
import type { RgbImage } from '../../data/image.ts';
import { UserError } from '../../errors.ts';
import type { Detector, Prediction } from '../../model/detector.ts';
import { loadDetector } from '../../model/modelFile.ts';
import { expandImages, readBytes, writeAtomically } from '../../node/files.ts';
import { encodePng, readImage } from '../../node/images.ts';
import { renderHeatmap } from '../../report/heatmap.ts';
import { heatmapRange } from '../../report/range.ts';
import { type Arguments, type OptionTable, UsageError } from '../arguments.ts';
import { notice, withEngine } from '../session.ts';
import { verdictOf } from '../verdict.ts';

export const usage = `raad predict MODEL IMAGE...
  Scores images, files or folders or patterns, and draws where the defects are.

  --out DIR              where the heat maps go (IMAGE.heatmap.png), the current folder by default
  --no-heatmap           scores only
  --json                 a JSON line per image`;

export const options: OptionTable = {
  out: { type: 'string' },
  'no-heatmap': { type: 'boolean' },
  json: { type: 'boolean' },
};

export async function run(args: Arguments, signal: AbortSignal): Promise<void> {
  const [modelFile, ...patterns] = args.positionals;
  if (!modelFile || patterns.length === 0)
    throw new UsageError('predict needs a model and images.', 'raad predict MODEL IMAGE...');
  const bytes = await readBytes(modelFile);
  const paths = await expandImages(patterns);
  const names = heatmapNames(paths);
  const out = args.text('out') ?? '.';
  await withEngine(args, async (engine) => {
    const detector = await loadDetector(engine, bytes, modelFile);
    let done = 0;
    for (const [index, path] of paths.entries()) {
      signal.throwIfAborted();
      let image: RgbImage;
      try {
        image = await readImage(path);
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        notice(`left out: ${error.message}`);
        continue;
      }
      const prediction = await detector.predict(image);
      done++;
      const heatmap = args.flag('no-heatmap') ? undefined : join(out, names[index]!);
      if (heatmap) await writeHeatmap(heatmap, basename(path), image, prediction, detector);
      print(args.flag('json'), path, prediction, heatmap);
    }
    detector.destroy();
    if (done === 0) throw new UserError('none of the images could be read.', 'Give whole image files.');
    if (done < paths.length) notice(`${paths.length - done} of ${paths.length} images were left out.`);
  });
}

/** Draws a prediction: score, verdict, map with colour bar and contour. @throws UserError */
export async function writeHeatmap(
  file: string,
  title: string,
  image: RgbImage,
  prediction: Prediction,
  { state }: Detector,
  mask?: Uint8Array,
): Promise<void> {
  const { map, score } = prediction;
  const verdict = verdictOf(prediction);
  const optional = { ...(verdict && { verdict }), ...(mask && { mask }) };
  const picture = renderHeatmap({ ...heatmapRange(state), image, map, title, score, ...optional });
  await writeAtomically(file, await encodePng(picture));
}

/** File names for the heat maps, with the folder's name in front where two images have the same one. */
function heatmapNames(paths: readonly string[]): string[] {
  const count = new Map<string, number>();
  for (const path of paths) count.set(basename(path), (count.get(basename(path)) ?? 0) + 1);
  return paths.map((path) => {
    const unique = count.get(basename(path)) === 1;
    const parts = path.split(/[\\/]/).filter((part) => part !== '' && part !== '.' && part !== '..');
    return `${unique ? basename(path) : parts.join('_')}.heatmap.png`;
  });
}

function print(json: boolean, path: string, prediction: Prediction, heatmap: string | undefined): void {
  const { score, isAnomalous, width, height } = prediction;
  if (json) {
    console.log(JSON.stringify({ image: path, score, anomalous: isAnomalous ?? null, width, height, heatmap }));
    return;
  }
  const parts = [path, `score ${score.toFixed(4)}`, verdictOf(prediction), heatmap && `-> ${heatmap}`];
  console.log(parts.filter(Boolean).join('  '));
}
