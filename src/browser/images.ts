import type { RgbImage } from '../data/image.ts';

/** Pixels of anything that a canvas can draw: a file, a video frame, another canvas. Alpha is dropped. */
export async function imageFrom(source: Blob | ImageBitmapSource): Promise<RgbImage> {
  // Colors as they are stored, for the same pixels as in Node.
  const bitmap = await createImageBitmap(source, { colorSpaceConversion: 'none', premultiplyAlpha: 'none' });
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true })!;
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const rgba = context.getImageData(0, 0, width, height).data;
  const data = new Uint8Array(width * height * 3);
  for (let i = 0, k = 0; k < data.length; i += 4, k += 3) {
    data[k] = rgba[i]!;
    data[k + 1] = rgba[i + 1]!;
    data[k + 2] = rgba[i + 2]!;
  }
  return { width, height, data };
}

/** Pixels as a canvas takes them, opaque. */
export function imageDataOf({ width, height, data }: RgbImage): ImageData {
  const pixels = new ImageData(width, height);
  for (let i = 0, k = 0; k < data.length; i += 4, k += 3) {
    pixels.data[i] = data[k]!;
    pixels.data[i + 1] = data[k + 1]!;
    pixels.data[i + 2] = data[k + 2]!;
    pixels.data[i + 3] = 255;
  }
  return pixels;
}
