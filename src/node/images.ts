import { readFile } from 'node:fs/promises';
import sharp, { type Sharp } from 'sharp';
import { decodeBmp, isBmp } from '../data/bmp.ts';
import type { RgbImage } from '../data/image.ts';
import { UserError } from '../errors.ts';

// Images are read once each: a cache of decoded ones would only grow. The cores belong to the networks.
sharp.cache(false);
sharp.concurrency(1);

/**
 * Reads a PNG, JPEG, WebP, BMP or TIFF file as Pillow's `convert('RGB')` does: gray is spread, palettes are looked up, alpha
 * and colour profiles are dropped, 16 bits are cut to 8. EXIF orientation is applied.
 * @throws UserError when it cannot be decoded
 */
export async function readImage(path: string): Promise<RgbImage> {
  const bytes = await readBytes(path);
  try {
    const { data, info } = await open(bytes).removeAlpha().toColourspace('srgb').raw({ depth: 'uchar' }).toBuffer({
      resolveWithObject: true,
    });
    return { width: info.width, height: info.height, data: spreadGray(data, info.channels) };
  } catch (error) {
    throw cannotDecode(path, error);
  }
}

/** Ground truth of one image. */
export interface Mask {
  readonly width: number;
  readonly height: number;
  /** [height, width], the largest channel of each pixel; 0 is normal. */
  readonly data: Uint8Array | Uint16Array;
}

/** @throws UserError when it cannot be decoded */
export async function readMask(path: string): Promise<Mask> {
  const bytes = await readBytes(path);
  try {
    const image = open(bytes).removeAlpha();
    const { depth } = isBmp(bytes) ? { depth: 'uchar' } : await sharp(bytes).metadata();
    const wide = depth === 'ushort';
    const raw = wide ? image.toColourspace('rgb16').raw({ depth: 'ushort' }) : image.raw({ depth: 'uchar' });
    const { data, info } = await raw.toBuffer({ resolveWithObject: true });
    const values = wide ? new Uint16Array(data.buffer, data.byteOffset, data.length / 2) : data;
    const { width, height, channels } = info;
    const mask = new (wide ? Uint16Array : Uint8Array)(width * height);
    for (let i = 0; i < mask.length; i++) {
      for (let c = 0; c < channels; c++) mask[i] = Math.max(mask[i]!, values[i * channels + c]!);
    }
    return { width, height, data: mask };
  } catch (error) {
    throw cannotDecode(path, error);
  }
}

/** PNG bytes of an image. */
export function encodePng({ width, height, data }: RgbImage): Promise<Buffer> {
  return sharp(data, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
}

/** PNG bytes of a mask, 0 and 255. */
export function encodeMaskPng(mask: Uint8Array, width: number, height: number): Promise<Buffer> {
  return sharp(mask, { raw: { width, height, channels: 1 } })
    .toColourspace('b-w')
    .png()
    .toBuffer();
}

async function readBytes(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new UserError(`${path} cannot be read: ${(error as NodeJS.ErrnoException).code}.`, 'Check the path.');
  }
}

function cannotDecode(path: string, error: unknown): UserError {
  const reason = (error as Error).message.split('\n')[0]!.replace(/\.$/, '');
  return new UserError(`${path} cannot be decoded: ${reason}.`, 'Give a whole PNG, JPEG, WebP, BMP or TIFF file.');
}

function open(bytes: Buffer): Sharp {
  if (isBmp(bytes)) {
    // libvips does not read BMP.
    const { width, height, data } = decodeBmp(bytes);
    return sharp(data, { raw: { width, height, channels: 3 } });
  }
  return sharp(bytes, { autoOrient: true, failOn: 'error', ignoreIcc: true, limitInputPixels: 2 ** 28 });
}

function spreadGray(data: Buffer, channels: number): Uint8Array {
  if (channels === 3) return new Uint8Array(data.buffer, data.byteOffset, data.length);
  const rgb = new Uint8Array((data.length / channels) * 3);
  for (let i = 0, k = 0; k < rgb.length; i += channels, k += 3) rgb.fill(data[i]!, k, k + 3);
  return rgb;
}
