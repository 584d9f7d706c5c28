import type { ImageSource } from '../data/image.ts';
import { combineOnHost } from '../detectorOps/maps.ts';
import { UserError } from '../errors.ts';
import { judged } from './conformal.ts';
import { Detector, mapQuantilesParameter, type RawMaps } from './detector.ts';
import type { MapQuantiles } from './detectorState.ts';
import { farAbove, imageNames, type MapLevel, mapLevel, mapRange } from './heldOut.ts';
import type { MapFilter } from './mapFilter.ts';
import { mapScore } from './score.ts';
import { assertTileable, gridOf } from './seen.ts';

/** A detector, and images that it has not seen: the one to calibrate, or one like it that was trained on others. */
export interface Judge {
  readonly detector: Detector;
  /** Indices of the held-out images. */
  readonly images: readonly number[];
}

/** How a detector is calibrated on held-out images. */
export interface CalibrateOptions {
  /** Wanted false-alarm rate of the threshold. */
  readonly alpha?: number | undefined;
  /**
   * Who judges which image (cross-fitting): images that the detector itself has seen are judged by others of the same making. By
   * default it judges all.
   */
  readonly judges?: readonly Judge[] | undefined;
  /** Good images that were trained on: they tell what is usual where held-out images are few. */
  readonly train?: ImageSource | undefined;
  /** Called with one sentence for every image that is left out. */
  readonly onNotice?: ((message: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Cells of all maps that quantiles are taken from, at most: above, every second, every third and so on of each. */
const MOST_VALUES = 2 ** 23;
/** Held-out images that tell what is usual by themselves. */
const ENOUGH = 8;
const MAPS = ['studentTeacher', 'autoencoder'] as const satisfies readonly (keyof RawMaps)[];
const MAP_NAMES = { studentTeacher: 'student-teacher', autoencoder: 'autoencoder-student' } as const;

/** @throws UserError naming the image of which it is */
async function named<T>(source: ImageSource, index: number, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(`${imageNames(source, [index])[0]}: ${error.message}`, error.fix);
  }
}

/** @throws UserError naming the image whose maps are not finite */
function rawMapsOf(detector: Detector, source: ImageSource, index: number): Promise<RawMaps> {
  return named(source, index, async () => detector.rawMaps(await source.image(index)));
}

/**
 * Takes map quantiles and the conformal threshold from held-out normal images, which whoever judges them must not have been trained
 * on, and what the detector's map filter learns. Images far outside the others, such as blank frames, are left out and named.
 * @returns the detector with both
 * @throws UserError when no image is left, or their maps are constant
 */
export async function calibrate(
  detector: Detector,
  heldOut: ImageSource,
  { alpha, judges = [{ detector, images: allOf(heldOut) }], train, onNotice, signal }: CalibrateOptions = {},
): Promise<Detector> {
  const { filter } = detector.state;
  const { rows, columns } = gridOf(detector.state);
  // Quantiles of many values are those of some of them; a filter that learns needs all.
  const step = filter?.refit ? 1 : Math.max(1, Math.ceil((rows * columns * heldOut.count) / MOST_VALUES));
  const plane = Math.ceil((rows * columns) / step);
  const planes = {
    studentTeacher: new Float32Array(plane * heldOut.count),
    autoencoder: new Float32Array(plane * heldOut.count),
  };
  const levels = { studentTeacher: [] as MapLevel[], autoencoder: [] as MapLevel[] };
  for (const { detector: judge, images } of judges)
    for (const i of images) {
      signal?.throwIfAborted();
      const maps = await rawMapsOf(judge, heldOut, i);
      for (const map of MAPS) {
        planes[map].set(step === 1 ? maps[map] : maps[map].filter((_, k) => k % step === 0), i * plane);
        levels[map][i] = mapLevel(maps[map]);
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
  const combined = () =>
    kept.map((_, k) => {
      const [st, ae] = MAPS.map((map) => planes[map].subarray(k * plane, (k + 1) * plane));
      return combineOnHost(st!, ae!, mapQuantilesParameter(quantiles).data);
    });
  const refit = filter?.refit?.(combined());
  const normalized = { quantiles, filter: refit?.filter ?? filter };
  const result = detector.with(normalized);
  try {
    const scores = refit ? await scoresOf(result, heldOut, kept, refit.unseen, signal) : [];
    for (const { detector: judge, images } of refit ? [] : judges) {
      const own = judge.with(normalized);
      try {
        scores.push(
          ...(await scoresOfImages(
            own,
            heldOut,
            images.filter((i) => !left.has(i)),
            signal,
          )),
        );
      } finally {
        own.destroy();
      }
    }
    return result.with(judged(scores, alpha));
  } finally {
    result.destroy();
  }
}

const allOf = ({ count }: ImageSource) => Array.from({ length: count }, (_, i) => i);

/**
 * Threshold and calibration from a detector's own scores of normal images that it was not trained on.
 * @throws UserError without images, or naming the one that cannot be scored
 */
export async function judge(
  detector: Detector,
  good: ImageSource,
  { alpha, signal }: Pick<CalibrateOptions, 'alpha' | 'signal'> = {},
): Promise<ReturnType<typeof judged>> {
  return judged(await scoresOfImages(detector, good, allOf(good), signal), alpha);
}

/** A detector's own scores of some of the images. @throws UserError naming the image that cannot be scored */
async function scoresOfImages(
  detector: Detector,
  source: ImageSource,
  images: Iterable<number>,
  signal?: AbortSignal,
): Promise<number[]> {
  const scores: number[] = [];
  for (const i of images) {
    signal?.throwIfAborted();
    scores.push((await named(source, i, async () => detector.predict(await source.image(i)))).score);
  }
  return scores;
}

/** Scores of combined maps of some of the images. */
async function scoresOf(
  detector: Detector,
  source: ImageSource,
  images: readonly number[],
  maps: readonly Float32Array[],
  signal?: AbortSignal,
): Promise<number[]> {
  const scores: number[] = [];
  for (const [k, i] of images.entries()) {
    signal?.throwIfAborted();
    const { width, height } = await source.image(i);
    scores.push(mapScore(await detector.place(maps[k]!, width, height)));
  }
  return scores;
}

/**
 * The same detector with another filter of its map, and the threshold that belongs to it.
 * @param filter undefined: none
 * @param heldOut normal images that the detector was not trained on
 * @throws UserError for fewer images than the filter takes
 */
export async function withFilter(
  detector: Detector,
  filter: MapFilter | undefined,
  heldOut: ImageSource,
  options: CalibrateOptions = {},
): Promise<Detector> {
  const { filter: _, threshold, calibration: __, ...state } = detector.state;
  if (filter?.kind === 'location' && state.placement === 'anomalib')
    throw new UserError(
      'maps cannot be normalized per location where values are placed around them, as with the placement anomalib.',
      'Choose the filter gaussian or none, or import the detector with --placement exact.',
    );
  if (filter?.kind === 'border' && state.networks.padding !== 'reflect')
    throw new UserError(
      'the filter border is for networks that see beyond the border of images.',
      'Fit with --border reflect, or choose another filter.',
    );
  if (filter && state.tiling) assertTileable(filter);
  const filtered = new Detector(detector.engine, { ...state, filter });
  try {
    return await calibrate(filtered, heldOut, { alpha: threshold?.alpha, ...options });
  } finally {
    filtered.destroy();
  }
}

/**
 * A filter of a kind, whose code is loaded; one that learns says nothing before a detector is calibrated with it.
 * @param mapSide of the detector's networks @see withFilter
 */
export async function newFilter(kind: MapFilter['kind'], mapSide: number): Promise<MapFilter> {
  const { filterOfKind } = await import('./mapFilters.ts');
  return filterOfKind(kind, mapSide);
}
