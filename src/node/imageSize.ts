import { open, stat } from 'node:fs/promises';
import sharp from 'sharp';
import { imageFormat } from '../data/imageFormat.ts';
import { inspectTiff } from '../data/tiff.ts';
import { UserError } from '../errors.ts';
import { readBytes } from './files.ts';
import { assertDecodable, assertPixels, cannotDecode } from './images.ts';

/** Bytes that tell what a file is, and hold the size of any bitmap. */
const HEAD = 64;
/** Of them, those of a bitmap's header. */
const BMP_HEADER = 26;

/**
 * The size of an image as it will be decoded, EXIF orientation applied, from its header alone.
 * @throws UserError for what {@link readImage} would refuse by the header
 */
export async function readImageSize(path: string): Promise<{ readonly width: number; readonly height: number }> {
  const found = await stat(path).catch(() => undefined);
  if (!found?.isFile())
    throw new UserError(`${path} cannot be read: it ${found ? 'is no file' : 'does not exist'}.`, 'Check the path.');
  try {
    const head = await readHead(path);
    const format = imageFormat(head);
    if (format === 'bmp') return bmpSize(head);
    if (format === 'tiff') inspectTiff(await readBytes(path));
    const metadata = await sharp(path, { failOn: 'error', limitInputPixels: false }).metadata();
    assertDecodable(metadata);
    const { width, height } = metadata.autoOrient;
    return { width, height };
  } catch (error) {
    throw cannotDecode(path, error);
  }
}

async function readHead(path: string): Promise<Uint8Array> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(new Uint8Array(HEAD), 0, HEAD, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

function bmpSize(head: Uint8Array): { readonly width: number; readonly height: number } {
  if (head.length < BMP_HEADER) throw new Error('the bitmap has no whole header');
  const view = new DataView(head.buffer, head.byteOffset);
  // The headers of OS/2 have sides of two bytes.
  const [width, height] =
    view.getUint32(14, true) === 12
      ? [view.getUint16(18, true), view.getUint16(20, true)]
      : [view.getInt32(18, true), Math.abs(view.getInt32(22, true))];
  assertPixels(width, height);
  return { width, height };
}
