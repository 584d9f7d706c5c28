import type { Readable } from 'node:stream';
import type { RgbImage } from '../data/image.ts';
import { UserError } from '../errors.ts';
import { UsageError } from './arguments.ts';

/** `640x480`. @throws UsageError */
export function readFrameSize(text: string): { readonly width: number; readonly height: number } {
  const [, width, height] = /^([1-9]\d{0,5})x([1-9]\d{0,5})$/.exec(text) ?? [];
  if (width === undefined)
    throw new UsageError(`--frames ${text} is not a size.`, 'Give width and height in pixels, as in 640x480.');
  return { width: Number(width), height: Number(height) };
}

/** Frames of RGB triples one behind the other. @throws UserError for one that ends too soon */
export async function* rawFrames(source: Readable, width: number, height: number): AsyncGenerator<RgbImage> {
  let frame = new Uint8Array(3 * width * height);
  let filled = 0;
  for await (const chunk of source as AsyncIterable<Uint8Array>) {
    for (let at = 0; at < chunk.length; ) {
      const some = chunk.subarray(at, at + frame.length - filled);
      frame.set(some, filled);
      at += some.length;
      filled += some.length;
      if (filled < frame.length) continue;
      yield { width, height, data: frame };
      frame = new Uint8Array(frame.length);
      filled = 0;
    }
  }
  if (filled > 0)
    throw new UserError(
      `the last frame has ${filled} of ${frame.length} bytes.`,
      'Send RGB triples: ffmpeg -i CAMERA -f rawvideo -pix_fmt rgb24 -',
    );
}
