import type { RgbImage } from '../data/image.ts';
import type { Detector, Prediction } from '../detector/detector.ts';
import { heatmapRange } from '../detector/heatmapRange.ts';
import { encodePng } from '../node/images.ts';
import { writeAtomically } from '../node/output.ts';
import { renderHeatmap } from '../report/heatmap.ts';
import { verdictOf } from './verdict.ts';

/** Draws a prediction into a file. @throws UserError */
export async function writeHeatmap(file: string, ...drawn: Parameters<typeof drawHeatmap>): Promise<void> {
  await writeAtomically(file, await drawHeatmap(...drawn));
}

/** A prediction as PNG: score, verdict, map with color bar and contour. */
export async function drawHeatmap(
  title: string,
  image: RgbImage,
  prediction: Prediction,
  { state }: Detector,
  mask?: Uint8Array,
): Promise<Uint8Array> {
  const { map, score } = prediction;
  const verdict = verdictOf(prediction);
  return encodePng(renderHeatmap({ ...heatmapRange(state), image, map, title, score, verdict, mask }));
}
