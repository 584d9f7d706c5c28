import { join } from 'node:path';
import { generateInspectionSet, type InspectionSetOptions } from '../data/synthetic/generate.ts';
import { encodeMaskPng, encodePng } from './images.ts';
import { writeAtomically } from './output.ts';

/**
 * Writes a generated data set in the layout of MVTec AD.
 * @param onImage called after each image with the number written
 * @returns the number of images
 * @throws UserError for unusable options, or a folder that cannot be written
 */
export async function writeInspectionSet(
  folder: string,
  options: InspectionSetOptions,
  onImage?: (done: number) => void,
): Promise<number> {
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
