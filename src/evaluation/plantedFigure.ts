import type { ImageSource, RgbImage } from '../data/image.ts';
import { type PlantedImage, type PlantingOptions, plantDefects } from '../data/plantedDefects.ts';
import type { Detector } from '../detector/detector.ts';
import { Resizer, unpackPixels } from '../imaging/pixels.ts';
import { auroc } from '../metrics/ranking.ts';

/** On which images a detector is judged: 8 by default. */
export interface PlantedFigureOptions extends Omit<PlantingOptions, 'plantings'> {
  /** Normal images that are not trained on. */
  readonly heldOut: ImageSource;
}

const IMAGES = 8;

/** A held-out image with a planted defect of each kind. */
interface Sample {
  readonly normal: RgbImage;
  readonly planted: readonly PlantedImage[];
}

/**
 * How well detectors tell planted defects from what is around them, for comparing what a training passes through: the mean AUROC of
 * the map's positions on held-out images with a defect of each kind. Both maps are divided by their means on the images without, so
 * nothing has to be calibrated.
 * @returns a function that gives the figure of a detector; all detectors see the same images
 */
export function plantedFigure({
  heldOut,
  images = IMAGES,
  seed = 0,
}: PlantedFigureOptions): (detector: Detector, signal?: AbortSignal) => Promise<number> {
  let samples: Promise<readonly Sample[]> | undefined;
  return async (detector, signal) => {
    samples ??= plantedSamples(detector, heldOut, Math.min(images, heldOut.count), seed);
    const scales = { studentTeacher: 0, autoencoder: 0 };
    const all = await samples;
    for (const { normal } of all) {
      signal?.throwIfAborted();
      const maps = await detector.rawMaps(normal);
      scales.studentTeacher += mean(maps.studentTeacher) / all.length;
      scales.autoencoder += mean(maps.autoencoder) / all.length;
    }
    const figures: number[] = [];
    for (const { image, mask } of all.flatMap(({ planted }) => planted)) {
      signal?.throwIfAborted();
      const { studentTeacher, autoencoder } = await detector.rawMaps(image);
      const map = studentTeacher.map(
        (value, i) => value / (scales.studentTeacher || 1) + autoencoder[i]! / (scales.autoencoder || 1),
      );
      // A defect may lie where the map has no position.
      const figure = auroc(map, gridMask(mask, detector));
      if (figure !== undefined) figures.push(figure);
    }
    return figures.length === 0 ? 0 : mean(figures);
  };
}

async function plantedSamples(
  { engine, state }: Detector,
  heldOut: ImageSource,
  count: number,
  seed: number,
): Promise<readonly Sample[]> {
  const { side } = state.networks;
  const resizer = new Resizer(engine, side);
  const samples: Sample[] = [];
  try {
    for (let i = 0; i < count; i++) {
      const pixels = await resizer.resize(await heldOut.image(Math.floor((i * heldOut.count) / count)));
      const normal = unpackPixels(pixels, side, side);
      samples.push({ normal, planted: [...plantDefects(normal, i, { plantings: 1, seed })] });
    }
  } finally {
    resizer.destroy();
  }
  return samples;
}

/** Which positions of a detector's map have a defect within half a stride of their center. */
function gridMask(mask: Uint8Array, { state }: Detector): Uint8Array {
  const { side, mapSide, mapGeometry } = state.networks;
  const { offset, stride } = mapGeometry;
  const marked = new Uint8Array(mapSide * mapSide);
  mask.forEach((value, i) => {
    if (value === 0) return;
    const [column, row] = [i % side, Math.floor(i / side)].map((at) => Math.round((at - offset) / stride));
    if (row! >= 0 && column! >= 0 && row! < mapSide && column! < mapSide) marked[row! * mapSide + column!] = 1;
  });
  return marked;
}

function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return sum / values.length;
}
