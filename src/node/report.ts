import { readFile, stat } from 'node:fs/promises';
import { join, resolve, sep } from 'node:path';
import { isRecord, parseJson } from '../checks/json.ts';
import { checkShape } from '../checks/shape.ts';
import { quote, UserError } from '../errors.ts';
import { mediaType, worstFirst } from '../report/gallery.ts';
import { REPORT_BYTES } from '../report/html.ts';
import { type RunRecord, withStepNames } from '../study/record.ts';
import { RUN_RECORD } from '../study/shapes.ts';
import { readBytes } from './files.ts';

/** A run as it lies in its folder. */
export interface OpenedRun {
  readonly record: RunRecord;
  /** By their names in the gallery: those that a report may have room for. */
  readonly pictures: ReadonlyMap<string, Uint8Array>;
}

/**
 * Reads what a run left for its report.
 * @param onNotice told of pictures that are left out
 * @throws UserError when the folder holds no run that can be read
 */
export async function openRun(folder: string, onNotice: (message: string) => void): Promise<OpenedRun> {
  const path = join(folder, 'run.json');
  const found = await stat(folder).catch(() => undefined);
  if (!found) throw new UserError(`the folder ${folder} does not exist.`, 'Give the folder that raad run wrote.');
  if (!found.isDirectory()) throw new UserError(`${folder} is a file, not a folder.`, 'Give the folder of a run.');
  if (!(await stat(path).catch(() => undefined)))
    throw new UserError(`${folder} holds no run.json.`, 'Give the folder that raad run wrote.');
  const record = parseRun(await readBytes(path), path);
  return { record, pictures: await readPictures(folder, record, onNotice) };
}

async function readPictures(
  folder: string,
  { gallery, steps }: RunRecord,
  onNotice: (message: string) => void,
): Promise<Map<string, Uint8Array>> {
  const pictures = new Map<string, Uint8Array>();
  let total = 0;
  for (const { item } of worstFirst(gallery, steps.at(-1)?.threshold?.value)) {
    for (const file of [item.image, item.mask, item.heatmap]) {
      if (file === undefined || pictures.has(file)) continue;
      const bytes = await readPicture(folder, file);
      if (typeof bytes === 'string') {
        onNotice(`left out: the picture ${file} ${bytes}.`);
        continue;
      }
      pictures.set(file, bytes);
      total += bytes.length;
    }
    // More has no room in the report.
    if (total > REPORT_BYTES) break;
  }
  return pictures;
}

/** @returns a picture, or what is wrong with it */
async function readPicture(folder: string, file: string): Promise<Uint8Array | string> {
  const path = resolve(folder, file);
  if (!path.startsWith(resolve(folder) + sep)) return 'lies outside of the folder';
  const found = await stat(path).catch(() => undefined);
  if (!found?.isFile()) return 'does not exist';
  if (found.size >= REPORT_BYTES) return `has ${found.size} bytes, too many for a report`;
  const bytes = await readFile(path).catch(() => undefined);
  if (!bytes) return 'cannot be read';
  return mediaType(bytes) ? bytes : 'is no PNG, JPEG or WebP file';
}

const FIX = 'Repeat the run, or restore the file.';

/**
 * Checks and reads `run.json`.
 * @throws UserError naming what is wrong
 */
export function parseRun(bytes: Uint8Array, path: string): RunRecord {
  const value = parseJson(new TextDecoder().decode(bytes), path, FIX);
  const { format, version } = isRecord(value) ? value : {};
  if (format !== 'raad-run')
    throw new UserError(`${path} does not describe a run.`, 'Give the folder that raad run wrote.');
  if (version !== 1)
    throw new UserError(
      `${path} has version ${quote(version)}, and this program reads 1.`,
      'Use the raad that wrote it.',
    );
  return checkShape(withStepNames(value), RUN_RECORD, path, FIX);
}
