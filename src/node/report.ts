import { readFile, stat } from 'node:fs/promises';
import { join, resolve, sep } from 'node:path';
import { UserError } from '../errors.ts';
import { mediaType, worstFirst } from '../report/gallery.ts';
import { REPORT_BYTES } from '../report/html.ts';
import { type RunRecord, STEPS } from '../study/record.ts';
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

/**
 * Checks and reads `run.json`.
 * @throws UserError naming what is wrong
 */
export function parseRun(bytes: Uint8Array, path: string): RunRecord {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw new UserError(`${path} is no JSON.`, 'Repeat the run, or restore the file.');
  }
  const { format, version } = (value ?? {}) as Partial<Record<keyof RunRecord, unknown>>;
  if (format !== 'raad-run')
    throw new UserError(`${path} does not describe a run.`, 'Give the folder that raad run wrote.');
  if (version !== 1)
    throw new UserError(`${path} has version ${version}, and this program reads 1.`, 'Use the raad that wrote it.');
  const wrong = firstMistake(value, RUN, '');
  if (wrong !== undefined)
    throw new UserError(`${path} has no usable value at ${wrong}.`, 'Repeat the run, or restore the file.');
  return value as RunRecord;
}

/** What a value has to be: the fields that a report shows. */
type Shape =
  | 'string'
  | 'number'
  /** JSON has no NaN. */
  | 'number or null'
  | 'boolean'
  | { readonly optional: Shape }
  | { readonly list: Shape; readonly least?: number }
  | { readonly record: Shape }
  | { readonly tuple: readonly Shape[] }
  | { readonly oneOf: readonly string[] }
  | { readonly fields: Readonly<Record<string, Shape>> };

const NUMBERS: Shape = { list: 'number' };
const MAYBE: Shape = { optional: 'number or null' };
const OVERLAP: Shape = { optional: { fields: { metric: { oneOf: ['AU-PRO', 'AU-sPRO'] }, areas: NUMBERS } } };

const STEP: Shape = {
  fields: {
    step: { oneOf: STEPS },
    model: 'string',
    result: {
      fields: {
        metrics: {
          fields: { auroc: MAYBE, ap: MAYBE, pixelAuroc: MAYBE, pixelAp: MAYBE, overlap: MAYBE, biasIndex: MAYBE },
        },
        size: { fields: { weightBytes: 'number', averageBits: 'number', fileBytes: 'number' } },
        timing: { fields: { milliseconds: 'number', floatMilliseconds: 'number' } },
        memoryBytes: 'number',
        images: { list: { tuple: ['string', 'number'] }, least: 1 },
      },
    },
    metrics: {
      fields: {
        goodImages: 'number',
        badImages: 'number',
        auroc: MAYBE,
        image: { optional: { fields: { auroc: 'number', f1Max: 'number' } } },
        overlap: OVERLAP,
        defects: { list: { fields: { defect: 'string', images: 'number', auroc: MAYBE, overlap: OVERLAP } } },
      },
    },
    curve: { optional: { fields: { fpr: NUMBERS, overlap: NUMBERS } } },
    threshold: { optional: { fields: { value: 'number', images: 'number' } } },
  },
};

const RUN: Shape = {
  fields: {
    set: 'string',
    seed: 'number',
    settings: {
      fields: {
        fit: {
          fields: {
            size: 'string',
            resolution: 'number',
            iterations: 'number',
            batch: 'number',
            learningRate: 'number',
          },
        },
        recalibration: { optional: { fields: { iterations: MAYBE, learningRate: MAYBE } } },
        scoring: { optional: { fields: { map: { optional: 'string' }, contribution: { optional: 'string' } } } },
        averageBits: MAYBE,
        penalty: 'string',
      },
    },
    finished: 'string',
    versions: { record: 'string' },
    adapter: 'string',
    trainImages: 'number',
    heldOutImages: 'number',
    allocation: {
      list: {
        fields: {
          layer: 'string',
          names: { list: 'string' },
          bits: 'number',
          bytes: 'number',
          score: 'number or null',
          low: 'number or null',
          high: 'number or null',
        },
      },
    },
    steps: { list: STEP, least: 1 },
    gallery: {
      list: {
        fields: {
          name: 'string',
          defect: 'string',
          score: 'number',
          isAnomalous: { optional: 'boolean' },
          image: 'string',
          heatmap: 'string',
          mask: { optional: 'string' },
        },
      },
    },
  },
};

/** @returns where the first value lies that has not its shape, such as `steps.0.model` */
function firstMistake(value: unknown, shape: Shape, path: string): string | undefined {
  const fits = (right: boolean) => (right ? undefined : path || 'the top');
  if (shape === 'number or null') return fits(value === null || typeof value === 'number');
  if (typeof shape === 'string') return fits(typeof value === shape);
  if ('optional' in shape) return value === undefined ? undefined : firstMistake(value, shape.optional, path);
  if ('oneOf' in shape) return fits(shape.oneOf.some((each) => each === value));
  const below = (pairs: readonly (readonly [key: string | number, shape: Shape])[]) => {
    for (const [key, each] of pairs) {
      const wrong = firstMistake(
        (value as Record<string, unknown>)[key],
        each,
        path === '' ? `${key}` : `${path}.${key}`,
      );
      if (wrong !== undefined) return wrong;
    }
    return undefined;
  };
  if ('list' in shape || 'tuple' in shape) {
    if (!Array.isArray(value)) return fits(false);
    if ('tuple' in shape) return below([...shape.tuple.entries()]);
    return value.length < (shape.least ?? 0) ? fits(false) : below(value.map((_, i) => [i, shape.list] as const));
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return fits(false);
  if ('record' in shape) return below(Object.keys(value).map((key) => [key, shape.record] as const));
  return below(Object.entries(shape.fields));
}
