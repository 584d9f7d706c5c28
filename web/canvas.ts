import type { RgbImage } from '../src/data/image.ts';

/** Shows an image in its own size on a canvas. */
export function drawOn(canvas: HTMLCanvasElement | OffscreenCanvas, { width, height, data }: RgbImage): void {
  canvas.width = width;
  canvas.height = height;
  const pixels = new ImageData(width, height);
  for (let i = 0, k = 0; k < data.length; i += 4, k += 3) {
    pixels.data[i] = data[k]!;
    pixels.data[i + 1] = data[k + 1]!;
    pixels.data[i + 2] = data[k + 2]!;
    pixels.data[i + 3] = 255;
  }
  const context = canvas instanceof OffscreenCanvas ? canvas.getContext('2d') : canvas.getContext('2d');
  context!.putImageData(pixels, 0, 0);
}

export function encodePng(image: RgbImage): Promise<Blob> {
  const canvas = new OffscreenCanvas(1, 1);
  drawOn(canvas, image);
  return canvas.convertToBlob({ type: 'image/png' });
}
