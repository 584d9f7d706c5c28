import type { ImageSource } from '../data/image.ts';
import { UserError } from '../errors.ts';
import { conformalThreshold, type Threshold } from './conformal.ts';
import type { Detector, RawMaps } from './detector.ts';
import type { MapQuantiles } from './detectorState.ts';
import { farAbove, imageNames, type MapLevel, mapLevel, mapRange } from './heldOut.ts';

/** How a detector is calibrated on held-out images. */
export interface CalibrateOptions {
  /** Wanted false-alarm rate of the threshold. */
  readonly alpha?: number | undefined;
  /** Good images that were trained on: they tell what is usual where held-out images are few. */
  readonly train?: ImageSource;
  /** Called with one sentence for every image that is left out. */
  readonly onNotice?: ((message: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Held-out images that tell what is usual by themselves. */
const ENOUGH = 8;
const MAPS = ['studentTeacher', 'autoencoder'] as const satisfies readonly (keyof RawMaps)[];
const MAP_NAMES = { studentTeacher: 'student-teacher', autoencoder: 'autoencoder-student' } as const;

/** @throws UserError naming the image whose maps are not finite */
async function rawMapsOf(detector: Detector, source: ImageSource, index: number): Promise<RawMaps> {
  try {
    return await detector.rawMaps(await source.image(index));
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(`${imageNames(source, [index])[0]}: ${error.message}`, error.fix);
  }
}

/**
 * Takes map quantiles and the conformal threshold from held-out normal images, which must not have been trained on. Images far
 * outside the others, such as blank frames, are left out and named.
 * @returns the detector with both
 * @throws UserError when no image is left, or their maps are constant
 */
export async function calibrate(
  detector: Detector,
  heldOut: ImageSource,
  { alpha, train, onNotice, signal }: CalibrateOptions = {},
): Promise<Detector> {
  const { cells } = detector.state.networks;
  const plane = cells * cells;
  const planes = {
    studentTeacher: new Float32Array(plane * heldOut.count),
    autoencoder: new Float32Array(plane * heldOut.count),
  };
  const levels = { studentTeacher: [] as MapLevel[], autoencoder: [] as MapLevel[] };
  for (let i = 0; i < heldOut.count; i++) {
    signal?.throwIfAborted();
    const maps = await rawMapsOf(detector, heldOut, i);
    for (const map of MAPS) {
      planes[map].set(maps[map], i * plane);
      levels[map].push(mapLevel(maps[map]));
    }
  }
  const usual = { studentTeacher: [] as MapLevel[], autoencoder: [] as MapLevel[] };
  for (let i = 0; train && i < Math.min(train.count, ENOUGH - heldOut.count); i++) {
    signal?.throwIfAborted();
    const maps = await rawMapsOf(detector, train, i);
    for (const map of MAPS) usual[map].push(mapLevel(maps[map]));
  }
  const left = new Set<number>();
  for (const map of MAPS) {
    const judged = farAbove(levels[map], usual[map]);
    for (const i of judged.far) {
      if (left.has(i)) continue;
      left.add(i);
      onNotice?.(
        `${imageNames(heldOut, [i])[0]} is left out of map quantiles and threshold: its ${MAP_NAMES[map]} map reaches ${levels[map][i]!.level.toPrecision(3)} where ${judged.usual.toPrecision(3)} is usual.`,
      );
    }
  }
  const kept = levels.autoencoder.flatMap((_, i) => (left.has(i) ? [] : [i]));
  if (kept.length === 0)
    throw new UserError(
      `the held-out good images are unlike those that were trained on: ${imageNames(heldOut).join(', ')}.`,
      'Take blank frames and other pictures out of the good images.',
    );
  const range = (map: (typeof MAPS)[number]) => {
    // Those that stay move to the front.
    kept.forEach((from, to) => {
      planes[map].copyWithin(to * plane, from * plane, (from + 1) * plane);
    });
    return mapRange(planes[map].subarray(0, kept.length * plane), MAP_NAMES[map], imageNames(heldOut, kept));
  };
  const quantiles: MapQuantiles = { studentTeacher: range('studentTeacher'), autoencoder: range('autoencoder') };
  const normalized = detector.with({ quantiles });
  try {
    return normalized.with({ threshold: await thresholdOf(normalized, heldOut, kept, { alpha, signal }) });
  } finally {
    normalized.destroy();
  }
}

/** The conformal threshold from a detector's scores of some of the images. */
export async function thresholdOf(
  detector: Detector,
  heldOut: ImageSource,
  images: Iterable<number>,
  { alpha, signal }: Pick<CalibrateOptions, 'alpha' | 'signal'>,
): Promise<Threshold> {
  const scores: number[] = [];
  for (const i of images) {
    signal?.throwIfAborted();
    scores.push((await detector.predict(await heldOut.image(i))).score);
  }
  return conformalThreshold(scores, alpha);
}
