import type { RgbImage } from '../../src/data/image.ts';

/** The upper left corner of an image. */
export function crop({ width, data }: RgbImage, newWidth: number, newHeight: number): RgbImage {
  const rows = Array.from({ length: newHeight }, (_, y) => data.subarray(y * width * 3, (y * width + newWidth) * 3));
  return { width: newWidth, height: newHeight, data: Uint8Array.from(rows.flatMap((row) => [...row])) };
}
