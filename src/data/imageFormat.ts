import { UserError } from '../errors.ts';
import { isBmp } from './bmp.ts';

/** What images may be. */
export type ImageFormat = 'png' | 'jpeg' | 'webp' | 'bmp' | 'tiff';

/** What a file is by its first bytes: a format that is read, the name of one that is not, or nothing known. */
export type SniffedImage = { readonly format: ImageFormat } | { readonly other: string } | undefined;

const SIGNATURES: readonly (readonly [format: ImageFormat, bytes: string])[] = [
  ['png', '\x89PNG\r\n\x1a\n'],
  ['jpeg', '\xff\xd8\xff'],
  ['tiff', 'II*\0'],
  ['tiff', 'MM\0*'],
  ['tiff', 'II+\0'],
  ['tiff', 'MM\0+'],
];

/** What is told by the characters at a place. */
const OTHERS: readonly (readonly [name: string, at: number, starts: readonly string[]])[] = [
  ['a GIF', 0, ['GIF87a', 'GIF89a']],
  ['an AVIF picture', 4, ['ftypavif', 'ftypavis']],
  ['a HEIF picture', 4, ['ftyphei', 'ftyphev', 'ftypmif1', 'ftypmsf1']],
  ['a JPEG 2000', 0, ['\0\0\0\x0cjP  ', '\xff\x4f\xff\x51']],
  ['a JPEG XL', 0, ['\xff\x0a', '\0\0\0\x0cJXL ']],
  ['a PDF', 0, ['%PDF-']],
  ['a Photoshop picture', 0, ['8BPS']],
  ['an OpenEXR picture', 0, ['\x76\x2f\x31\x01']],
  ['a Radiance picture', 0, ['#?RADIANCE', '#?RGBE']],
  ['an icon', 0, ['\0\0\x01\0', '\0\0\x02\0']],
  ['a gzip archive', 0, ['\x1f\x8b']],
  ['a zip archive', 0, ['PK\x03\x04']],
];
const SVG = /^(\xef\xbb\xbf)?\s*(<\?xml|<!--|<!DOCTYPE svg|<svg)/i;

/** Bytes that tell formats apart. */
const HEAD = 64;

/** The format of a file by its contents; its name does not count. */
export function sniffImage(bytes: Uint8Array): SniffedImage {
  let head = '';
  for (const byte of bytes.subarray(0, HEAD)) head += String.fromCharCode(byte);
  if (isBmp(bytes)) return { format: 'bmp' };
  if (/^RIFF....WEBP/s.test(head)) return { format: 'webp' };
  const known = SIGNATURES.find(([, signature]) => head.startsWith(signature));
  if (known) return { format: known[0] };
  if (SVG.test(head)) return { other: 'an SVG drawing' };
  const other = OTHERS.find(([, at, starts]) => starts.some((start) => head.startsWith(start, at)));
  return other && { other: other[0] };
}

/** What the program reads, for messages. */
export const IMAGE_FORMATS = 'PNG, JPEG, WebP, BMP or TIFF';

/**
 * The format of a file that can be read.
 * @throws UserError saying what the file is instead
 */
export function imageFormat(bytes: Uint8Array): ImageFormat {
  const sniffed = sniffImage(bytes);
  if (sniffed && 'format' in sniffed) return sniffed.format;
  throw new UserError(
    bytes.length === 0 ? 'the file is empty.' : `it is ${sniffed?.other ?? 'none of the pictures that are read'}.`,
    `Give a ${IMAGE_FORMATS} file.`,
  );
}

/** Whether a WebP file holds a picture that was compressed with losses. */
export function isLossyWebp(bytes: Uint8Array): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const name = (at: number) => String.fromCharCode(...bytes.subarray(at, at + 4));
  for (let at = 12; at + 8 <= bytes.length; ) {
    // A frame of an animation holds its picture behind 16 bytes of its own.
    const chunk = name(at) === 'ANMF' ? name(at + 24) : name(at);
    if (chunk === 'VP8 ') return true;
    if (chunk === 'VP8L') return false;
    const size = view.getUint32(at + 4, true);
    at += 8 + size + (size % 2);
  }
  return false;
}
