import { createHash } from 'node:crypto';
import { basename, dirname, join, resolve } from 'node:path';
import type { Dataset, DefectConfig, FileTree, LeftOut } from '../data/dataset.ts';
import type { ImageSource, RgbImage } from '../data/image.ts';
import { findDatasets, namedDataset } from '../data/layouts.ts';
import { resizeNearest, sizesAgree } from '../data/masks.ts';
import { belowCommonFolder, isImageFile, stem } from '../data/names.ts';
import { readVisa, VISA_SPLIT } from '../data/visa.ts';
import { UserError } from '../errors.ts';
import { type GroundTruth, type TestSource, UnreadableImageError } from '../evaluation/evaluate.ts';
import { componentRegions, type Region, saturationArea } from '../metrics/overlap.ts';
import { otherSize } from './checkData.ts';
import { readBytes, readFolder } from './files.ts';
import { readImage, readMask } from './images.ts';

/** Data sets on disk; their paths are relative to `root`. */
export interface OpenedDatasets {
  readonly root: string;
  readonly datasets: readonly Dataset[];
  /** Files between the data sets. */
  readonly leftOut: readonly LeftOut[];
}

/** Folders that a user names instead of a known layout. */
export interface PlainFolders {
  readonly good?: string | undefined;
  readonly bad?: string | undefined;
  readonly masks?: string | undefined;
}

/**
 * Finds the data sets below a folder, or makes one of folders that are named.
 * @throws UserError when there are none
 */
export async function openDatasets(folder: string | undefined, plain: PlainFolders = {}): Promise<OpenedDatasets> {
  if (plain.masks && !plain.bad) {
    throw new UserError(
      '--masks was given without --bad.',
      folder ? 'Masks of DATA belong into DATA/ground_truth/KIND.' : 'Give the folder of defective images, too.',
    );
  }
  if (plain.good || plain.bad) {
    if (folder) throw new UserError('both DATA and --good or --bad were given.', 'Give one of them.');
    const [good, bad, masks] = await Promise.all([plain.good, plain.bad, plain.masks].map(readNamed));
    const name = basename(resolve(plain.good ?? plain.bad!));
    return { root: '/', datasets: [namedDataset(name, { good, bad, masks })], leftOut: [] };
  }
  if (!folder) throw new UserError('no data set was given.', 'Give its folder, or --good DIR.');
  const tree = await readFolder(folder);
  return (await visaCategory(folder, tree)) ?? { root: folder, ...(await findDatasets(tree)) };
}

async function readNamed(folder: string | undefined): Promise<FileTree | undefined> {
  if (folder === undefined) return undefined;
  const tree = await readFolder(folder);
  if (!tree.files.some(isImageFile))
    throw new UserError(`the folder ${folder} holds no images.`, 'Give PNG, JPEG, WebP, BMP or TIFF files.');
  return tree;
}

/** A single category of VisA: its split is in the folder above. */
async function visaCategory(folder: string, tree: FileTree): Promise<OpenedDatasets | undefined> {
  if (!tree.files.includes('image_anno.csv')) return undefined;
  const root = dirname(resolve(folder));
  const collection = await readFolder(root);
  const name = basename(resolve(folder));
  const found = collection.files.includes(VISA_SPLIT) ? await readVisa(collection) : [];
  const datasets = found.filter((dataset) => dataset.name === name);
  if (datasets.length === 0) {
    throw new UserError(
      `${folder} is a category of VisA, but ${join(root, VISA_SPLIT)} with its split is missing.`,
      'Keep the folder split_csv beside the categories.',
    );
  }
  return { root, datasets, leftOut: [] };
}

/** Every file that is read of a data set: nothing is written over them. */
export function datasetFiles({ root, dataset }: { readonly root: string; readonly dataset: Dataset }): string[] {
  const { layout, train, validation, test, folder = '.', defects } = dataset;
  const described = [layout === 'visa' && VISA_SPLIT, defects && join(folder, 'defects_config.json')];
  const images = test.flatMap(({ image, masks }) => [image, ...masks]);
  return [...described, ...train, ...validation, ...images].flatMap((path) => (path ? [resolve(root, path)] : []));
}

/**
 * Tells the good images that a data set has to learn from from any others: SHA-256 of their names, below the folder that they have
 * in common, and of their files' bytes. Where the data set lies, how it is split and its test images do not count.
 * @returns undefined where there are none that can be read
 */
export async function trainingDigest(
  { root, dataset }: { readonly root: string; readonly dataset: Pick<Dataset, 'train' | 'validation'> },
  signal?: AbortSignal,
): Promise<string | undefined> {
  const all = createHash('sha256');
  let count = 0;
  for (const paths of [dataset.train, dataset.validation]) {
    const names = belowCommonFolder(paths).map((name) => name.normalize('NFC'));
    const entries = paths.map((path, i) => ({ path: resolve(root, path), name: names[i]! }));
    for (const { path, name } of entries.sort((a, b) => Number(a.name > b.name) - Number(a.name < b.name))) {
      signal?.throwIfAborted();
      // What cannot be read is not learned from; it is told where images are decoded.
      const bytes = await readBytes(path).catch((error) => {
        if (!(error instanceof UserError)) throw error;
      });
      if (!bytes) continue;
      all.update(JSON.stringify([name, createHash('sha256').update(bytes).digest('hex')]));
      count++;
    }
    all.update('\n');
  }
  return count > 0 ? all.digest('hex') : undefined;
}

/** Decoded images are kept up to this many bytes; the others are read again. */
export const DEFAULT_MEMORY = 2 ** 29;

/**
 * Decodes images once to find those that cannot be, and to tell one set of contents from another.
 * @param onSkip called with the reason for each image that is left out
 * @throws UserError when none is left
 */
export async function loadImages(
  paths: readonly string[],
  onSkip: (reason: string) => void,
  memory = DEFAULT_MEMORY,
  signal?: AbortSignal,
): Promise<ImageSource & { readonly paths: readonly string[]; readonly digest: string }> {
  const kept: string[] = [];
  const decoded: (RgbImage | undefined)[] = [];
  const hash = createHash('sha256');
  let bytes = 0;
  for (const path of paths) {
    signal?.throwIfAborted();
    let image: RgbImage;
    try {
      image = await readImage(path);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      onSkip(error.message);
      continue;
    }
    hash.update(`${image.width}x${image.height}\n`).update(image.data);
    kept.push(path);
    bytes += image.data.length;
    decoded.push(bytes <= memory ? image : undefined);
  }
  if (kept.length === 0) {
    throw new UserError(`none of the ${paths.length} images could be read.`, 'Give whole image files.');
  }
  return {
    count: kept.length,
    paths: kept,
    digest: hash.digest('hex'),
    image: async (index) => decoded[index] ?? readImage(kept[index]!),
  };
}

/**
 * The test images of a data set with their ground truth.
 * @param memory bytes of decoded images and masks that may be kept, for those that evaluate more than once
 * @throws UnreadableImageError (from `load`) for an image or a mask that cannot be used
 */
export function testSource(root: string, dataset: Dataset, memory = 0): TestSource {
  const { test, layout, defects } = dataset;
  const saturated = defects !== undefined && test.some(({ image, masks }) => masks.some((mask) => isPart(mask, image)));
  const load: TestSource['load'] = async (index) => {
    const { image: file, masks } = test[index]!;
    try {
      const image = await readImage(resolve(root, file));
      if (masks.length === 0) return { image };
      return { image, truth: await readTruth(root, masks, image, saturated ? defects : undefined) };
    } catch (error) {
      throw error instanceof UserError ? new UnreadableImageError(error.message, error.fix) : error;
    }
  };
  const kept = new Map<number, Awaited<ReturnType<TestSource['load']>>>();
  let left = memory;
  return {
    count: test.length,
    overlap: saturated ? 'saturated' : 'perRegion',
    averageKinds: layout === 'mvtec-loco',
    sample: (index) => ({ name: test[index]!.image, defect: test[index]!.defect }),
    async load(index) {
      const known = kept.get(index);
      if (known) return known;
      const loaded = await load(index);
      const { image, truth } = loaded;
      const regions = truth?.regions.reduce((sum, { pixels }) => sum + pixels.byteLength, 0) ?? 0;
      const bytes = image.data.length + (truth?.mask.length ?? 0) + regions;
      if (bytes <= left) {
        left -= bytes;
        kept.set(index, loaded);
      }
      return loaded;
    },
  };
}

/** Indices of the pixels that are not zero. */
function marked(mask: Uint8Array | Uint16Array): Uint32Array {
  let count = 0;
  for (const value of mask) if (value !== 0) count++;
  const pixels = new Uint32Array(count);
  count = 0;
  for (const [i, value] of mask.entries()) if (value !== 0) pixels[count++] = i;
  return pixels;
}

/** LOCO keeps a folder of files per image, called like it; other layouts a file. */
function isPart(mask: string, image: string): boolean {
  return basename(dirname(mask)).toLowerCase() === stem(basename(image)).toLowerCase();
}

async function readTruth(
  root: string,
  masks: readonly string[],
  { width, height }: RgbImage,
  defects: readonly DefectConfig[] | undefined,
): Promise<GroundTruth> {
  const union = new Uint8Array(width * height);
  const regions: Region[] = [];
  for (const file of masks) {
    const path = resolve(root, file);
    const mask = await readMask(path);
    if (!sizesAgree(mask, { width, height }))
      throw new UserError(
        otherSize(path, mask, { width, height }),
        'Bring both to one size, without interpolating the mask.',
      );
    const isSame = mask.width === width && mask.height === height;
    const data = isSame ? mask.data : resizeNearest(mask.data, mask, { width, height });
    for (const [i, value] of data.entries()) if (value !== 0) union[i] = 255;
    if (!defects) continue;
    const pixels = marked(data);
    if (pixels.length === 0) continue;
    const value = data[pixels[0]!]!;
    const config = defects.find(({ pixelValue }) => pixelValue === value);
    if (!config) {
      throw new UserError(
        `the mask ${path} has value ${value}, which defects_config.json lacks.`,
        'Restore the original files.',
      );
    }
    const { saturationThreshold, relativeSaturation } = config;
    const saturation = saturationArea(pixels.length, saturationThreshold, relativeSaturation);
    regions.push({ pixels, saturation });
  }
  return { mask: union, regions: defects ? regions : componentRegions(union, width, height) };
}
