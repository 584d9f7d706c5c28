import { imageDataOf } from '../src/browser/images.ts';
import type { RgbImage } from '../src/data/image.ts';

/** Shows an image in its own size on a canvas. */
export function drawOn(canvas: HTMLCanvasElement | OffscreenCanvas, image: RgbImage): void {
  canvas.width = image.width;
  canvas.height = image.height;
  const context = canvas instanceof OffscreenCanvas ? canvas.getContext('2d') : canvas.getContext('2d');
  context!.putImageData(imageDataOf(image), 0, 0);
}

export function encodePng(image: RgbImage): Promise<Blob> {
  const canvas = new OffscreenCanvas(1, 1);
  drawOn(canvas, image);
  return canvas.convertToBlob({ type: 'image/png' });
}
