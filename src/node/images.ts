import sharp from 'sharp';
import { decodeBmp } from '../data/bmp.ts';
import type { RgbImage } from '../data/image.ts';
import { IMAGE_FORMATS, imageFormat, isLossyWebp } from '../data/imageFormat.ts';
import { inspectTiff, type TiffPicture } from '../data/tiff.ts';
import { UserError } from '../errors.ts';
import { readBytes } from './files.ts';

// Images are read once each: a cache of decoded ones would only grow. The cores belong to the networks.
sharp.cache(false);
sharp.concurrency(1);

/** Larger images are refused before they take memory. */
export const MAX_PIXELS = 2 ** 28;
/** Spaces whose black and white are known. */
const SPACES = ['b-w', 'grey16', 'srgb', 'rgb', 'rgb16', 'cmyk'];
/** From here on a pixel of a mask counts where compression has changed values. */
const LOSSY_MASK = 128;

/**
 * Reads a PNG, JPEG, WebP, BMP or TIFF file, told by its contents, as Pillow's `convert('RGB')` does: gray is spread, palettes
 * are looked up, CMYK is mixed, alpha and color profiles are dropped. 16 bits are cut to 8. EXIF orientation is applied. Of
 * several pictures in a file the first is read.
 * @throws UserError when it cannot be read as it is meant: other formats, damaged files, more than {@link MAX_PIXELS}, TIFF of
 * float, signed or 32-bit samples
 */
export async function readImage(path: string): Promise<RgbImage> {
  const { width, height, channels, data } = await decode(path, false);
  return { width, height, data: channels === 3 ? (data as Uint8Array) : spreadGray(data as Uint8Array, channels) };
}

/** Ground truth of one image. */
export interface Mask {
  readonly width: number;
  readonly height: number;
  /** [height, width], the largest channel of each pixel; 0 is normal. */
  readonly data: Uint8Array | Uint16Array;
}

/**
 * Reads a mask from any file that {@link readImage} reads. 16 bits are kept. Values under 128 of JPEG and other formats with
 * losses are 0: they ring around edges.
 * @throws UserError as {@link readImage}
 */
export async function readMask(path: string): Promise<Mask> {
  const { width, height, channels, data, lossy } = await decode(path, true);
  const mask = new (data instanceof Uint16Array ? Uint16Array : Uint8Array)(width * height);
  const least = lossy ? LOSSY_MASK : 0;
  for (let i = 0, k = 0; i < mask.length; i++, k += channels) {
    let value = data[k]!;
    for (let c = 1; c < channels; c++) if (data[k + c]! > value) value = data[k + c]!;
    mask[i] = value < least ? 0 : value;
  }
  return { width, height, data: mask };
}

/** PNG bytes of an image. */
export function encodePng({ width, height, data }: RgbImage): Promise<Buffer> {
  return sharp(data, { raw: { width, height, channels: 3 }, limitInputPixels: false })
    .png()
    .toBuffer();
}

/** PNG bytes of a mask, 0 and 255. */
export function encodeMaskPng(mask: Uint8Array, width: number, height: number): Promise<Buffer> {
  return sharp(mask, { raw: { width, height, channels: 1 }, limitInputPixels: false })
    .toColourspace('b-w')
    .png()
    .toBuffer();
}

interface Decoded {
  readonly width: number;
  readonly height: number;
  /** 3, or 1 for gray. */
  readonly channels: number;
  /** [height, width, channels] */
  readonly data: Uint8Array | Uint16Array;
  /** Values are near those that were stored. */
  readonly lossy: boolean;
}

/** @param wide keeps 16 bits */
async function decode(path: string, wide: boolean): Promise<Decoded> {
  const bytes = await readBytes(path);
  try {
    const format = imageFormat(bytes);
    if (format === 'bmp') return { ...decodeBmp(bytes, MAX_PIXELS), channels: 3, lossy: false };
    const tiff = format === 'tiff' ? inspectTiff(bytes) : undefined;
    const lossy = tiff?.lossy ?? (format === 'jpeg' || (format === 'webp' && isLossyWebp(bytes)));
    return { ...(await decodeByVips(bytes, tiff, wide)), lossy };
  } catch (error) {
    throw cannotDecode(path, error);
  }
}

/** What a decoder says of an image before it decodes it. */
export interface ImageHeader {
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  /** Type of a sample, such as `uchar`. */
  readonly depth: string;
  readonly space: string;
}

/** @throws UserError for a header of what is too large or not decoded as it is meant */
export function assertDecodable({ width, height, depth, space, channels }: ImageHeader): void {
  assertPixels(width, height);
  if ((depth !== 'uchar' && depth !== 'ushort') || !SPACES.includes(space) || channels > 4)
    throw new UserError(
      `it has ${channels} channels of type ${depth} in the space ${space}.`,
      'Save it as gray or RGB of 8 bits.',
    );
}

/** @throws UserError for more than {@link MAX_PIXELS} */
export function assertPixels(width: number, height: number): void {
  if (width * height > MAX_PIXELS)
    throw new UserError(`it has ${width}x${height} pixels.`, `At most ${MAX_PIXELS} are read: cut or shrink it.`);
}

async function decodeByVips(
  bytes: Uint8Array,
  tiff: TiffPicture | undefined,
  wide: boolean,
): Promise<Omit<Decoded, 'lossy'>> {
  const image = sharp(bytes, {
    autoOrient: true,
    // Damaged tiles are no more than a warning.
    failOn: tiff?.tiled ? 'warning' : 'error',
    ignoreIcc: true,
    limitInputPixels: MAX_PIXELS,
  });
  const metadata = await image.metadata();
  assertDecodable(metadata);
  const { depth, space } = metadata;
  const sixteen = depth === 'ushort';
  const raw = { depth: wide && sixteen ? 'ushort' : 'uchar' } as const;
  if (space === 'cmyk') {
    // Their own space on both sides: libvips would convert by a profile of its own.
    const inks = image.pipelineColourspace('cmyk').toColourspace('cmyk').raw({ depth });
    const { data, info } = await inks.toBuffer({ resolveWithObject: true });
    const values = sixteen ? Uint8Array.from(words(data), (value) => value >> 8) : data;
    return { width: info.width, height: info.height, channels: 3, data: mixInks(values) };
  }
  const colors = image
    .removeAlpha()
    .toColourspace(wide && sixteen ? 'rgb16' : 'srgb')
    .raw(raw);
  const { data, info } = await colors.toBuffer({ resolveWithObject: true });
  const values = raw.depth === 'ushort' ? words(data) : new Uint8Array(data.buffer, data.byteOffset, data.length);
  return { width: info.width, height: info.height, channels: info.channels, data: values };
}

function words(data: Buffer): Uint16Array {
  return new Uint16Array(data.buffer, data.byteOffset, data.length / 2);
}

/** The error of a file that is no picture, or none that is read. */
export function cannotDecode(path: string, error: unknown): UserError {
  const said = (error as Error).message.split('\n')[0]!.replace(/\.$/, '');
  const reason = said.startsWith('Warning treated') ? 'it is damaged' : said;
  const fix = error instanceof UserError ? error.fix : undefined;
  return new UserError(`${path} cannot be decoded: ${reason}.`, fix ?? `Give a whole ${IMAGE_FORMATS} file.`);
}

/** RGB of cyan, magenta, yellow and black, as Pillow mixes them: (255 - ink) (255 - black) / 255, rounded. */
function mixInks(inks: Uint8Array): Uint8Array {
  const rgb = new Uint8Array((inks.length / 4) * 3);
  for (let i = 0, k = 0; k < rgb.length; i += 4, k += 3) {
    const light = 255 - inks[i + 3]!;
    for (let c = 0; c < 3; c++) {
      const product = inks[i + c]! * light + 128;
      rgb[k + c] = light - (((product >> 8) + product) >> 8);
    }
  }
  return rgb;
}

function spreadGray(data: Uint8Array, channels: number): Uint8Array {
  const rgb = new Uint8Array((data.length / channels) * 3);
  for (let i = 0, k = 0; k < rgb.length; i += channels, k += 3) {
    const value = data[i]!;
    rgb[k] = value;
    rgb[k + 1] = value;
    rgb[k + 2] = value;
  }
  return rgb;
}
