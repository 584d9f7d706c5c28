import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse } from 'csv-parse/sync';
import type { RgbImage } from '../data/image.ts';
import type { Detector } from '../detector/detector.ts';
import { UserError } from '../errors.ts';
import { imagesBelow, readText } from '../node/files.ts';
import { readImage } from '../node/images.ts';
import { writeAtomically } from '../node/output.ts';
import { toCsv } from '../report/csv.ts';

const COLUMNS = ['image', 'modified', 'score', 'anomalous', 'error'] as const;

/** What has become of an image. Names are relative to the folder that is watched. */
export interface WatchedImage {
  readonly image: string;
  /** When the file was written, as an ISO date: one that is replaced is scored again. */
  readonly modified: string;
  readonly score: string;
  readonly anomalous: string;
  readonly error: string;
}

/** Milliseconds between two looks at the folder. */
const INTERVAL = 500;
/** Images after which the list is written while there are more. */
const WRITE_EVERY = 50;

export interface WatchJob {
  readonly detector: Detector;
  readonly folder: string;
  /** CSV of all images so far: what it holds is not scored again. */
  readonly list: string;
  readonly onImage: (image: WatchedImage) => void;
  readonly signal: AbortSignal;
}

/**
 * Scores the images of a folder and those that come, until it is stopped. The list is complete after every look at the folder, and
 * is replaced as a whole, so a process that was killed goes on where the list ends.
 * @throws UserError for a list of something else
 */
export async function watchFolder({ detector, folder, list, onImage, signal }: WatchJob): Promise<void> {
  const done = new Map((await readList(list)).map((row) => [row.image, row]));
  const write = () => writeAtomically(list, toCsv(COLUMNS, [...done.values()]));
  let sizes = new Map<string, number>();
  while (!signal.aborted) {
    const { ready, sizes: now } = await lookAt(folder, done, sizes);
    sizes = now;
    let count = 0;
    try {
      for await (const row of scoreAll(detector, folder, ready, signal)) {
        done.set(row.image, row);
        onImage(row);
        if (++count % WRITE_EVERY === 0) await write();
      }
    } finally {
      if (count > 0) await write();
    }
    if (ready.length === 0) await sleep(INTERVAL, undefined, { signal }).catch(() => {});
  }
}

type Waiting = Pick<WatchedImage, 'image' | 'modified'>;

/** The images that are new and no longer growing, in the order in which they were written. */
async function lookAt(folder: string, done: ReadonlyMap<string, WatchedImage>, before: ReadonlyMap<string, number>) {
  const sizes = new Map<string, number>();
  const ready: Waiting[] = [];
  for (const path of await imagesBelow(folder)) {
    const image = relative(folder, path).replaceAll('\\', '/');
    const found = await stat(path).catch(() => undefined);
    if (!found) continue;
    const modified = found.mtime.toISOString();
    if (done.get(image)?.modified === modified) continue;
    sizes.set(image, found.size);
    if (before.get(image) === found.size && found.size > 0) ready.push({ image, modified });
  }
  ready.sort((a, b) => (a.modified < b.modified ? -1 : Number(a.modified > b.modified)));
  return { ready, sizes };
}

/** Images that cannot be read take no part in the stream: what is left goes through it in the order of the list. */
async function* scoreAll(
  detector: Detector,
  folder: string,
  waiting: readonly Waiting[],
  signal: AbortSignal,
): AsyncGenerator<WatchedImage> {
  const failed: WatchedImage[] = [];
  const taken: Waiting[] = [];
  async function* images(): AsyncGenerator<RgbImage> {
    for (const each of waiting) {
      if (signal.aborted) return;
      try {
        const image = await readImage(join(folder, each.image));
        taken.push(each);
        yield image;
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        failed.push({ ...each, score: '', anomalous: '', error: error.message });
      }
    }
  }
  for await (const { score, isAnomalous } of detector.stream(images())) {
    yield* failed.splice(0);
    yield { ...taken.shift()!, score: String(score), anomalous: String(isAnomalous ?? ''), error: '' };
  }
  yield* failed;
}

async function readList(file: string): Promise<WatchedImage[]> {
  if (!existsSync(file)) return [];
  const rows = parse(await readText(file), {
    columns: true,
    skip_empty_lines: true,
    relax_column_count: true,
  }) as Record<string, string>[];
  const isList = rows.every((row) => COLUMNS.every((column) => typeof row[column] === 'string'));
  if (!isList)
    throw new UserError(`${file} is not a list of scored images.`, `Its columns have to be ${COLUMNS.join(', ')}.`);
  // What was written so that spreadsheets do not run it.
  return rows.map((row) => ({ ...row, image: row['image']!.replace(/^'(?=[=+\-@])/, '') }) as unknown as WatchedImage);
}
