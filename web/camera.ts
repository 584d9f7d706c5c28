import { imageFrom } from '../src/browser/images.ts';
import type { RgbImage } from '../src/data/image.ts';
import { UserError } from '../src/errors.ts';

/** A running camera; disposing it switches it off. */
export interface Camera {
  /** What it sees now. */
  frame(): Promise<RgbImage>;
  [Symbol.dispose](): void;
}

/** Opens the camera that looks away from the user, where there are two. @throws UserError */
export async function openCamera(): Promise<Camera> {
  if (!navigator.mediaDevices) throw new UserError('this browser offers no camera.', 'Open the page over HTTPS.');
  const stream = await navigator.mediaDevices
    .getUserMedia({ video: { facingMode: 'environment' } })
    .catch((error: DOMException) => {
      throw new UserError(`the camera cannot be used: ${error.message}.`, 'Connect one, and allow the page to use it.');
    });
  const video = document.createElement('video');
  video.muted = true;
  video.playsInline = true;
  video.srcObject = stream;
  const stop = () => {
    for (const track of stream.getTracks()) track.stop();
  };
  await video.play().catch((error) => {
    stop();
    throw error;
  });
  return {
    frame: () => imageFrom(video),
    [Symbol.dispose]: stop,
  };
}
