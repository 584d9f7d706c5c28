import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { basename, join, resolve, sep } from 'node:path';
import { jsonText } from '../checks/shape.ts';
import { type Dataset, type LeftOut, splitHeldOut } from '../data/dataset.ts';
import { distinctEnds, safeFileNames } from '../data/names.ts';
import { quote, UserError } from '../errors.ts';
import type { CellResult } from '../study/cells.ts';
import type { StudyData, StudyStore } from '../study/options.ts';
import type { StudySettings } from '../study/settings.ts';
import { checkCellResult, parseCellResult, SETTINGS_FILE } from '../study/shapes.ts';
import { DEFAULT_MEMORY, loadImages, openDatasets, testSource, trainingDigest } from './datasets.ts';
import { readBytes, readText } from './files.ts';
import { readJson } from './jsonFile.ts';
import { writeAtomically } from './output.ts';

/** A data set of a study and where it lies. */
export interface StudySet {
  readonly name: string;
  readonly root: string;
  readonly dataset: Dataset;
}

/**
 * All data sets below some folders, each a data set or a collection of them. Sets of equal names get as much of their path in
 * front as tells them apart.
 * @param between takes the files that belong to no data set
 * @throws UserError when there are none, or one has no test images
 */
export async function openStudySets(folders: readonly string[], between: LeftOut[] = []): Promise<StudySet[]> {
  const all: StudySet[] = [];
  for (const folder of folders) {
    const { root, datasets, leftOut } = await openDatasets(folder);
    for (const { path, reason } of leftOut) between.push({ path: join(folder, path), reason });
    for (const dataset of datasets) {
      if (dataset.test.length === 0)
        throw new UserError(`${folder}: ${dataset.name} has no test images.`, 'A study needs labeled test images.');
      all.push({ name: dataset.name, root, dataset });
    }
  }
  // Names become those of files.
  const places = all.map(({ root, dataset }) => placeOf(root, dataset).replaceAll(sep, '/'));
  const repeated = places.find((place, i) => places.indexOf(place) !== i);
  if (repeated !== undefined)
    throw new UserError(`the data set ${repeated} was given twice.`, 'Give each folder once.');
  const names = distinctEnds(places).map((name) => name.replaceAll('/', '-'));
  const isTaken = (i: number) => names.some((name, k) => k !== i && name.toLowerCase() === names[i]!.toLowerCase());
  const safe = safeFileNames(
    names.map((name, i) => (isTaken(i) ? places[i]!.replace(/^\/+/, '').replaceAll('/', '-') : name)),
  );
  return all.map((set, i) => ({ ...set, name: safe[i]! }));
}

function placeOf(root: string, { name, layout, folder }: Dataset): string {
  return layout === 'visa' ? resolve(root, name) : resolve(root, folder ?? '.');
}

/** Sets by the names that a study gives them. */
export function namedSets(sets: readonly StudySet[]): { readonly root: string; readonly dataset: Dataset }[] {
  return sets.map(({ name, root, dataset }) => ({ root, dataset: { ...dataset, name } }));
}

/** The images of a set, split by a seed. @param onSkip told of images that are left out */
export async function openStudyData(
  { root, dataset }: StudySet,
  seed: number,
  onSkip: (reason: string) => void,
  signal?: AbortSignal,
): Promise<StudyData> {
  const split = splitHeldOut(dataset, seed);
  const load = (paths: readonly string[]) =>
    loadImages(
      paths.map((path) => resolve(root, path)),
      onSkip,
      DEFAULT_MEMORY,
      signal,
    );
  return {
    layout: dataset.layout,
    train: await load(split.train),
    heldOut: await load(split.heldOut),
    test: testSource(root, dataset, DEFAULT_MEMORY),
    digest: () => trainingDigest({ root, dataset }, signal),
  };
}

/**
 * Tells the contents of a data set from any other's: all images, the order and kinds of test images, and their masks.
 * @param onSkip told of images that cannot be read
 */
export async function studyDigest({ root, dataset }: StudySet, onSkip: (reason: string) => void): Promise<string> {
  const { layout, train, validation, test, defects } = dataset;
  const images = [...train, ...validation, ...test.map(({ image }) => image)].map((path) => resolve(root, path));
  const { digest } = await loadImages(images, onSkip, 0);
  const order = test.map(({ image, defect, masks }) => [basename(image), defect, masks.length]);
  const hash = createHash('sha256').update(JSON.stringify([layout, train.length, validation.length, order, defects]));
  for (const mask of test.flatMap(({ masks }) => masks)) hash.update(await readBytes(resolve(root, mask)));
  return hash.update(digest).digest('hex');
}

/** Files in a folder. */
export function folderStore(folder: string): StudyStore {
  return {
    async load(name) {
      const path = join(folder, name);
      return existsSync(path) ? readBytes(path) : undefined;
    },
    save: (name, bytes) => writeAtomically(join(folder, name), bytes),
  };
}

/** Finished cells as JSON lines; what a crash has left of a last line is dropped. */
export class ResultLog {
  readonly #path: string;
  readonly results: CellResult[];
  /** The file's text: each result is checked and written out once. */
  #text: string;
  /** One write follows the other. */
  #written: Promise<void> = Promise.resolve();

  private constructor(path: string, results: CellResult[]) {
    this.#path = path;
    this.results = results;
    this.#text = results.map(lineOf).join('');
  }

  /** Nothing is written before a result is added. @throws UserError for a file that is something else */
  static async open(path: string): Promise<ResultLog> {
    if (!existsSync(path)) return new ResultLog(path, []);
    const lines = (await readText(path)).split('\n');
    const known = new Map<string, { readonly result: CellResult; readonly line: number }>();
    for (const [i, line] of lines.entries()) {
      if (line === '') continue;
      let result: CellResult;
      try {
        result = parseCellResult(line, `${path}, line ${i + 1},`, LOG_FIX);
      } catch (error) {
        // What a crash has left of the last line.
        if (error instanceof UserError && i === lines.length - 1) continue;
        throw error;
      }
      const earlier = known.get(result.id);
      if (!earlier) known.set(result.id, { result, line: i + 1 });
      else if (figures(result) !== figures(earlier.result))
        throw new UserError(
          `${path}: lines ${earlier.line} and ${i + 1} are both ${quote(result.id)}, with different figures.`,
          'Remove the one that does not count.',
        );
    }
    return new ResultLog(
      path,
      [...known.values()].map(({ result }) => result),
    );
  }

  has(id: string): boolean {
    return this.results.some((result) => result.id === id);
  }

  /** A cell that is there already is not added again. */
  async add(result: CellResult): Promise<void> {
    if (this.has(result.id)) return;
    checkCellResult(result, 'the result of a cell', 'Nothing is written.');
    this.results.push(result);
    this.#text += lineOf(result);
    const written = this.#written.then(() => writeAtomically(this.#path, this.#text));
    // The next one writes all of them again.
    this.#written = written.catch(() => {});
    await written;
  }
}

function lineOf(result: CellResult): string {
  return `${JSON.stringify(result)}\n`;
}

/** What two results of one cell have in common; times differ from run to run. */
function figures({ set, seed, arm, recalibrated, layout, metrics, size, bits, images }: CellResult): string {
  return JSON.stringify([set, seed, arm, recalibrated, layout, metrics, size, bits, images]);
}

const LOG_FIX = 'Restore the file, or remove the line: its cell is run again then.';

/** What the results of a study or a run depend on. */
export interface KeptSettings extends StudySettings {
  readonly penalty: string;
  /** Of the photographs' contents. */
  readonly photographs?: string | undefined;
  /** Digests of data sets by name: a study may go on with further ones. @see studyDigest */
  readonly data: Readonly<Record<string, string>>;
  /** Of a run, which has one. */
  readonly seed?: number | undefined;
  readonly set?: string | undefined;
}

/** Files of earlier versions tell nothing of these, and take them. */
const ADDED = ['photographs', 'data', 'set'];

/**
 * Writes what defines a study beside its results, or checks that it is the same as before.
 * @throws UserError naming the first difference
 */
export async function keepSettings(path: string, settings: KeptSettings): Promise<void> {
  const text = await mergeSettings(path, settings);
  if (text !== undefined) await writeAtomically(path, text);
}

/**
 * Checks what {@link keepSettings} would write.
 * @returns the file's new text, undefined when it stays
 * @throws UserError naming the first difference
 */
export async function mergeSettings(path: string, settings: KeptSettings): Promise<string | undefined> {
  const textOf = (value: object) => `${jsonText(value, SETTINGS_FILE, path, 2)}\n`;
  if (!existsSync(path)) return textOf(settings);
  const known = await readJson<Record<string, unknown> & Partial<KeptSettings>>(path, SETTINGS_FILE);
  const now = JSON.parse(textOf(settings)) as Record<string, unknown> & KeptSettings;
  for (const key of new Set([...Object.keys(known), ...Object.keys(now)])) {
    if (key === 'data' || (ADDED.includes(key) && known[key] === undefined)) continue;
    const [before, after] = [JSON.stringify(known[key]), JSON.stringify(now[key])];
    if (before !== after)
      throw new UserError(
        `the study in ${path} was made with ${key} ${before ?? 'unset'}, this run has ${after ?? 'unset'}.`,
        'Use the same settings, or another folder.',
      );
  }
  for (const [set, digest] of Object.entries(now.data)) {
    if (Object.hasOwn(known.data ?? {}, set) && known.data?.[set] !== digest)
      throw new UserError(
        `the study in ${path} was made with other images in ${set}.`,
        'Restore them, or use another folder.',
      );
  }
  const merged = { ...known, ...now, data: { ...known.data, ...now.data } };
  return JSON.stringify(merged) === JSON.stringify(known) ? undefined : textOf(merged);
}
