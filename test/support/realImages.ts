import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type OpenedDatasets, openDatasets } from '../../src/node/datasets.ts';

/** A data set of real images below `RAAD_DATA`; absent where it is not on this machine, which is said aloud. */
export async function realDataset(path: string): Promise<OpenedDatasets | undefined> {
  const root = process.env['RAAD_DATA'];
  const folder = root && resolve(join(root, path));
  if (folder && existsSync(folder)) return openDatasets(folder);
  console.warn(
    `SKIPPED: real images need RAAD_DATA, the folder that holds ${path}; they do not come with the project.`,
  );
  return undefined;
}
