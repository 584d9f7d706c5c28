import { checkSeed } from '../checks/numbers.ts';
import type { ImageSource } from '../data/image.ts';
import { joinedImages } from '../data/imageSets.ts';
import { calibrate, type Judge } from '../detector/calibrate.ts';
import { checkAlpha } from '../detector/conformal.ts';
import { Detector } from '../detector/detector.ts';
import type { DetectorState, Provenance } from '../detector/detectorState.ts';
import { checkHeldOut } from '../detector/heldOut.ts';
import type { MapFilter } from '../detector/mapFilter.ts';
import { looksAt, seenImages } from '../detector/seen.ts';
import type { Engine } from '../engine/engine.ts';
import { input } from '../engine/graph.ts';
import { UserError } from '../errors.ts';
import type { TensorFile } from '../formats/safetensors.ts';
import { Resizer } from '../imaging/pixels.ts';
import type { RegionOfInterest } from '../imaging/region.ts';
import type { TiledSize } from '../imaging/tiles.ts';
import { imageToTensor } from '../kernels/image.ts';
import { Networks } from '../networks/networks.ts';
import type { Padding, PdnSize } from '../networks/pdn.ts';
import { coresetOf, drawPatchVectors } from './patchVectors.ts';
import { loadTeacher } from './teacher.ts';

/** What defines a memory bank: equal settings and data give equal banks on the same adapter. */
export interface NearestSettings {
  readonly size: PdnSize;
  /** Input side in pixels: a multiple of 64 from 128 to 4096. */
  readonly resolution: number;
  /** `reflect` has the border of images scored, too; `none` when absent. */
  readonly padding?: Padding | undefined;
  /** Vectors at most; 1024. */
  readonly vectors?: number | undefined;
  readonly seed: number;
}

/** What a memory bank is made of, and how. */
export interface FitNearestOptions {
  readonly engine: Engine;
  readonly settings: NearestSettings;
  /** Name for the model file. */
  readonly dataset: string;
  /** As for {@link fit}. */
  readonly dataDigest?: string | undefined;
  /** The part of all images that the detector looks at; all of them by default. */
  readonly region?: RegionOfInterest | undefined;
  /** As for {@link fit}. */
  readonly tiles?: TiledSize | undefined;
  /** Good images that the bank remembers. */
  readonly train: ImageSource;
  /** Good images that it does not; may be none where there are at least two to train on. */
  readonly heldOut: ImageSource;
  /** PDN teacher weights: `conv1.weight`, ... */
  readonly teacher: TensorFile & { readonly name: string };
  /** Wanted false-alarm rate of the threshold; 0.01. */
  readonly alpha?: number | undefined;
  /**
   * What is done to maps: nothing by default. What a filter learns, and the threshold, come from all good images.
   * @param mapSide of the maps @param calibrated gives the detector without a filter, for a choice by what it finds
   */
  readonly filter?:
    | ((mapSide: number, calibrated: () => Promise<Detector>) => Promise<MapFilter | undefined>)
    | undefined;
  readonly onProgress?: ((progress: NearestProgress) => void) | undefined;
  readonly onNotice?: ((message: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** How far the making of a bank is. */
export interface NearestProgress {
  readonly phase: 'features' | 'coreset' | 'calibrate';
  readonly done: number;
  readonly total: number;
}

/** Vectors of a bank. */
export const VECTORS = 1024;
/** Parts that the training images are divided into: each is judged by a bank of all others. */
const FOLDS = 5;

/** Features at some places of the training images. */
interface Candidates {
  /** [n, channels], standardized. */
  readonly vectors: Float32Array;
  /** The image of each. */
  readonly images: Uint32Array;
}

/**
 * Makes a detector that remembers features of good parts instead of training on them: seconds instead of minutes, and the measure of
 * what training adds. The threshold is cross-fitted: each training image is judged by a bank that has not seen it.
 * @throws UserError for unusable settings or data, DeviceLostError, OutOfMemoryError
 */
export async function fitNearest(options: FitNearestOptions): Promise<Detector> {
  const { engine, settings, train, heldOut, teacher, alpha, onProgress, onNotice, signal } = options;
  const { size, resolution, padding, vectors = VECTORS, seed } = settings;
  checkSeed(seed);
  checkAlpha(alpha);
  const { MemoryBank, MOST_VECTORS } = await import('../networks/memoryBank.ts');
  if (!Number.isSafeInteger(vectors) || vectors < 1 || vectors > MOST_VECTORS)
    throw new UserError(
      `a bank of ${vectors} vectors cannot be used.`,
      `Give a whole number from 1 to ${MOST_VECTORS}.`,
    );
  if (train.count < 2)
    throw new UserError(
      `there are ${train.count} good images to remember.`,
      'Point to a folder with at least two images of good parts.',
    );
  if (heldOut.count > 0) await checkHeldOut(heldOut, train);
  const networks = (count: number, from?: Networks) => {
    const made = new Networks(size, resolution, padding, (channels) => new MemoryBank(count, channels));
    loadTeacher(made, teacher, teacher.name);
    if (from) [made.teacherMean.data, made.teacherStd.data] = [from.teacherMean.data, from.teacherStd.data];
    return made;
  };
  const first = networks(1);
  const looks = await looksAt(first, options);
  const state = (of: Networks): DetectorState => ({
    networks: of,
    quantiles: { studentTeacher: [0, 1], autoencoder: [0, 1] },
    placement: 'exact',
    ...looks,
    provenance: provenance(options, of.bank!.size),
  });
  const { images: seen } = await seenImages(state(first), train);
  const candidates = await readCandidates({ ...options, train: seen }, first, train.count);
  const parts = Math.min(FOLDS, train.count);
  const bankWithout = (part: number | undefined): Networks => {
    const own = part === undefined ? candidates : without(candidates, first.channels, part, parts);
    const remembered = coresetOf(own.vectors, first.channels, vectors, seed);
    const made = networks(remembered.length / first.channels, first);
    made.bank!.convolution.weight.data = remembered;
    made.bank!.settle();
    return made;
  };
  const detector = new Detector(engine, state(bankWithout(undefined)));
  const judges: Judge[] = [];
  try {
    // Behind the training images come those that no bank remembers.
    const all = joinedImages(train, heldOut);
    if (heldOut.count > 0)
      judges.push({ detector, images: Array.from({ length: heldOut.count }, (_, i) => train.count + i) });
    for (let part = 0; part < parts; part++) {
      signal?.throwIfAborted();
      onProgress?.({ phase: 'coreset', done: part, total: parts });
      const images = Array.from({ length: train.count }, (_, i) => i).filter((i) => i % parts === part);
      judges.push({ detector: new Detector(engine, state(bankWithout(part))), images });
    }
    onProgress?.({ phase: 'calibrate', done: 0, total: 1 });
    const calibratedAs = async (filter: MapFilter | undefined) => {
      const filtered = detector.with({ filter });
      try {
        return await calibrate(filtered, all, { alpha, judges, onNotice, signal });
      } finally {
        filtered.destroy();
      }
    };
    let plain: Detector | undefined;
    const calibrated = async () => {
      plain ??= await calibratedAs(undefined);
      return plain;
    };
    const filter = await options.filter?.(first.mapSide, calibrated);
    const result = filter ? await calibratedAs(filter) : await calibrated();
    if (result !== plain) plain?.destroy();
    onProgress?.({ phase: 'calibrate', done: 1, total: 1 });
    return result;
  } finally {
    for (const { detector: judge } of judges) judge.destroy();
    detector.destroy();
  }
}

/**
 * Statistics of the teacher, written into the networks, and features at places that are drawn by seed, in one pass.
 * @param images of which `train` shows one or more parts each
 */
async function readCandidates(
  { engine, settings, train, onProgress, signal }: FitNearestOptions,
  networks: Networks,
  images: number,
): Promise<Candidates> {
  const { side, mapSide, channels, teacher, teacherMean, teacherStd } = networks;
  const plan = await engine.compile({
    outputs: { features: teacher.forward(imageToTensor(input('image', [1, side, side], 'u32'))) },
  });
  const resizer = new Resizer(engine, side);
  try {
    const { vectors, perImage, mean, std } = await drawPatchVectors(
      { images: train.count, channels, plane: mapSide ** 2, seed: settings.seed },
      async (i) => {
        signal?.throwIfAborted();
        const { features } = await plan.run({ image: await resizer.resize(await train.image(i)) }, ['features']);
        onProgress?.({ phase: 'features', done: i + 1, total: train.count });
        return features as Float32Array;
      },
    );
    [teacherMean.data, teacherStd.data] = [mean, std];
    const imageOf = (vector: number) => Math.floor((Math.floor(vector / perImage) * images) / train.count);
    return { vectors, images: Uint32Array.from({ length: train.count * perImage }, (_, i) => imageOf(i)) };
  } finally {
    plan.destroy();
    resizer.destroy();
    engine.release(teacher.parameters);
  }
}

/** Those of images that are not in one of some parts. */
function without({ vectors, images }: Candidates, channels: number, part: number, parts: number): Candidates {
  const kept = Array.from(images.keys()).filter((i) => images[i]! % parts !== part);
  const own = new Float32Array(kept.length * channels);
  kept.forEach((from, to) => {
    own.set(vectors.subarray(from * channels, (from + 1) * channels), to * channels);
  });
  return { vectors: own, images: Uint32Array.from(kept, (i) => images[i]!) };
}

function provenance({ settings, dataset, dataDigest, train, heldOut, teacher }: FitNearestOptions, vectors: number) {
  return {
    dataset,
    method: 'nearest',
    vectors,
    seed: settings.seed,
    iterations: 0,
    batch: 0,
    learningRate: 0,
    teacher: teacher.name,
    penalty: 'none',
    trainImages: train.count,
    heldOutImages: heldOut.count,
    ...(dataDigest !== undefined && { dataDigest }),
  } satisfies Provenance;
}
