import { resolve } from 'node:path';
import { type Dataset, GOOD, splitHeldOut } from '../src/data/dataset.ts';
import type { ImageSource } from '../src/data/image.ts';
import { newFilter, withFilter } from '../src/detector/calibrate.ts';
import type { Detector } from '../src/detector/detector.ts';
import type { MapFilter } from '../src/detector/mapFilter.ts';
import type { Engine } from '../src/engine/engine.ts';
import { UserError } from '../src/errors.ts';
import { loadImages, openDatasets } from '../src/node/datasets.ts';
import { readTeacher } from '../src/node/teachers.ts';
import { fit, PRESETS } from '../src/train/fit.ts';
import { fitNearest } from '../src/train/nearest.ts';
import { generatedPenalty } from '../src/train/penalty.ts';
import type { Method } from './methods.ts';

/** Good images of a data set, as it gives them to learn from and to test. Paths are absolute. */
export interface GoodImages {
  readonly name: string;
  readonly learn: Pick<Dataset, 'name' | 'train' | 'validation'>;
  readonly test: readonly string[];
}

/** @throws UserError for a folder that is not one data set */
export async function oneDataset(folder: string): Promise<{ readonly root: string; readonly dataset: Dataset }> {
  const { root, datasets } = await openDatasets(folder);
  const [dataset] = datasets;
  if (!dataset || datasets.length > 1)
    throw new UserError(`${folder} holds ${datasets.length} data sets.`, 'Give the folder of one.');
  return { root, dataset };
}

/** @throws UserError for a folder that is not one data set with good test images */
export async function goodImages(folder: string): Promise<GoodImages> {
  const { root, dataset } = await oneDataset(folder);
  const { name, train, validation, test } = dataset;
  const absolute = (paths: readonly string[]) => paths.map((path) => resolve(root, path));
  const good = test.filter(({ defect }) => defect === GOOD).map(({ image }) => image);
  if (good.length === 0) throw new UserError(`${folder} has no good test images.`, 'Give another data set.');
  return {
    name,
    learn: { name, train: absolute(train), validation: absolute(validation) },
    test: absolute(good),
  };
}

/** Images by their paths. */
export function images(paths: readonly string[]): Promise<ImageSource> {
  return loadImages(paths, (reason) => console.error(`note: ${reason}`));
}

export interface DetectorSettings {
  readonly engine: Engine;
  readonly resolution: number;
  readonly seed: number;
  readonly padding?: 'reflect';
  /** What is done to maps; nothing by default. */
  readonly maps?: MapFilter['kind'];
  /** Training steps of student and autoencoder; those of the preset quick by default. */
  readonly iterations?: number;
}

/** A detector with PDN-XS of good images, split as `raad fit` does. */
export async function fitted(
  method: Method,
  learn: GoodImages['learn'],
  { engine, iterations = PRESETS.quick.iterations, maps, ...settings }: DetectorSettings,
): Promise<Detector> {
  const split = splitHeldOut(learn, settings.seed);
  const shared = {
    engine,
    dataset: learn.name,
    train: await images(split.train),
    heldOut: await images(split.heldOut),
    teacher: await readTeacher('xs'),
  };
  if (method === 'nearest')
    return fitNearest({
      ...shared,
      settings: { size: 'xs', ...settings },
      filter: async (mapSide) => maps && newFilter(maps, mapSide),
    });
  const detector = await fit({
    ...shared,
    settings: { ...PRESETS.quick, ...settings, iterations },
    penalty: generatedPenalty(settings.seed),
  });
  if (!maps) return detector;
  const filtered = await withFilter(detector, await newFilter(maps, detector.state.networks.mapSide), shared.heldOut);
  detector.destroy();
  return filtered;
}
