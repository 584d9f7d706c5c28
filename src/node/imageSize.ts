import { open, stat } from 'node:fs/promises';
import sharp from 'sharp';
import { isBmp } from '../data/bmp.ts';
import { UserError } from '../errors.ts';

/** Bytes that hold the size of any bitmap. */
const BMP_HEADER = 26;

/**
 * The size of an image as it will be decoded, EXIF orientation applied, from its header alone.
 * @throws UserError for what is no image
 */
export async function readImageSize(path: string): Promise<{ readonly width: number; readonly height: number }> {
  const found = await stat(path).catch(() => undefined);
  if (!found?.isFile())
    throw new UserError(`${path} cannot be read: it ${found ? 'is no file' : 'does not exist'}.`, 'Check the path.');
  try {
    const head = await readHead(path);
    if (isBmp(head)) return bmpSize(head);
    const { autoOrient } = await sharp(path, { failOn: 'error' }).metadata();
    return { width: autoOrient.width, height: autoOrient.height };
  } catch (error) {
    const reason = (error as Error).message.split('\n')[0]!.replace(/\.$/, '');
    throw new UserError(`${path} cannot be decoded: ${reason}.`, 'Give a whole PNG, JPEG, WebP, BMP or TIFF file.');
  }
}

async function readHead(path: string): Promise<Uint8Array> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(new Uint8Array(BMP_HEADER), 0, BMP_HEADER, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

function bmpSize(head: Uint8Array): { readonly width: number; readonly height: number } {
  if (head.length < BMP_HEADER) throw new Error('the bitmap has no whole header');
  const view = new DataView(head.buffer, head.byteOffset);
  // The headers of OS/2 have sides of two bytes.
  if (view.getUint32(14, true) === 12) return { width: view.getUint16(18, true), height: view.getUint16(20, true) };
  return { width: view.getInt32(18, true), height: Math.abs(view.getInt32(22, true)) };
}
