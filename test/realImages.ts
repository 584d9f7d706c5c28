import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type OpenedDatasets, openDatasets } from '../src/node/datasets.ts';

/** Folder of inspection data sets: `RAAD_DATA`, or `shared/data` beside the project. They do not come with it. */
const ROOT = process.env['RAAD_DATA'] ?? '../shared/data';

/** A data set of real images; absent where it is not on this machine, which is said aloud. */
export async function realDataset(path: string): Promise<OpenedDatasets | undefined> {
  const folder = resolve(join(ROOT, path));
  if (existsSync(folder)) return openDatasets(folder);
  console.warn(`SKIPPED: ${folder} with real images is not there; set RAAD_DATA to the folder of the data sets.`);
  return undefined;
}
