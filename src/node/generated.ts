import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { generateInspectionSet, type InspectionSetOptions, inspectionPaths } from '../data/synthetic/generate.ts';
import { UserError } from '../errors.ts';
import { readText, removeFile } from './files.ts';
import { encodeMaskPng, encodePng } from './images.ts';
import { assertOutputs, writeAtomically } from './output.ts';

/** Beside the images: the settings that they were generated with, by which they are known as generated. */
const MARK = 'generated.json';

/** What writing a generated data set may replace, and whom it tells. */
export interface WriteInspectionSetOptions {
  /** Called after each image with the number written. */
  readonly onImage?: (done: number) => void;
  /**
   * What may be replaced of files that are there: none (the default) but those of a generated set of equal settings,
   * `generated` sets of any settings, or `all`. Files of a generated set that the new one does not have are removed.
   */
  readonly replace?: 'none' | 'generated' | 'all';
}

/**
 * Writes a generated data set in the layout of MVTec AD.
 * @returns the number of images
 * @throws UserError for unusable options, a folder that cannot be written, and files there that would be replaced
 */
export async function writeInspectionSet(
  folder: string,
  options: InspectionSetOptions,
  { onImage, replace = 'none' }: WriteInspectionSetOptions = {},
): Promise<number> {
  const paths = inspectionPaths(options);
  const mark = join(folder, MARK);
  const earlier = await readMark(mark);
  const settings = settingsOf(options);
  const isSame = earlier !== undefined && JSON.stringify(settingsOf(earlier)) === JSON.stringify(settings);
  const known = earlier && (isSame || replace !== 'none') ? inspectionPaths(earlier) : [];
  const own = new Set(known);
  const other = paths.find((path) => replace !== 'all' && !own.has(path) && existsSync(join(folder, path)));
  if (other !== undefined)
    throw new UserError(
      `${join(folder, other)} is there already.`,
      earlier ? 'The images there have other settings; use another folder.' : 'Use another folder.',
    );
  await assertOutputs([mark, ...paths.map((path) => join(folder, path))]);
  if (!isSame) for (const path of known) await removeFile(join(folder, path));
  await writeAtomically(mark, `${JSON.stringify(settings, null, 2)}\n`);
  let done = 0;
  for (const { image, imagePath, mask, maskPath } of generateInspectionSet(options)) {
    await writeAtomically(join(folder, imagePath), await encodePng(image));
    if (mask && maskPath) {
      await writeAtomically(join(folder, maskPath), await encodeMaskPng(mask, image.width, image.height));
    }
    done++;
    onImage?.(done);
  }
  return done;
}

/** In one order and without what is not said. */
function settingsOf({ part, seed, size = 256, train, testGood, testPerDefect }: InspectionSetOptions) {
  return { part, seed, size, train, testGood, testPerDefect };
}

/** The settings of what lies in a folder, undefined where nothing of ours does. */
async function readMark(path: string): Promise<InspectionSetOptions | undefined> {
  if (!existsSync(path)) return undefined;
  try {
    const settings = JSON.parse(await readText(path)) as InspectionSetOptions;
    inspectionPaths(settings);
    return settings;
  } catch {
    return undefined;
  }
}

/** Whether a folder holds a data set that {@link writeInspectionSet} wrote. */
export async function isGenerated(folder: string): Promise<boolean> {
  return (await readMark(join(folder, MARK))) !== undefined;
}
