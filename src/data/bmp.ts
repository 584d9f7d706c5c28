import { UserError } from '../errors.ts';
import type { RgbImage } from './image.ts';

/** A Windows bitmap by its first two bytes. */
export function isBmp(bytes: Uint8Array): boolean {
  return bytes.length > 2 && bytes[0] === 0x42 && bytes[1] === 0x4d;
}

const BI_RGB = 0;
const BI_BITFIELDS = 3;
const BI_ALPHABITFIELDS = 6;
/** Bits per pixel without a palette. */
const DIRECT = [16, 24, 32];
const MAX_SIDE = 2 ** 15;

/**
 * Decodes an uncompressed bitmap of 1, 4, 8, 16, 24 or 32 bits per pixel, bottom-up or top-down. Alpha is dropped.
 * @throws UserError for one that is cut off, damaged or compressed
 */
export function decodeBmp(bytes: Uint8Array): RgbImage {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const need = (end: number) => {
    if (end > bytes.length) throw new UserError(`the bitmap ends at byte ${bytes.length} of ${end}.`, 'Save it again.');
  };
  need(54);
  const pixels = view.getUint32(10, true);
  const headerSize = view.getUint32(14, true);
  if (headerSize < 40) throw new UserError('the bitmap has an OS/2 header.', 'Save it as a Windows bitmap or PNG.');
  const width = view.getInt32(18, true);
  const signedHeight = view.getInt32(22, true);
  const height = Math.abs(signedHeight);
  const bits = view.getUint16(28, true);
  const compression = view.getUint32(30, true);
  const hasMasks = compression === BI_BITFIELDS || compression === BI_ALPHABITFIELDS;
  if (width < 1 || height < 1 || width > MAX_SIDE || height > MAX_SIDE) {
    throw new UserError(`the bitmap claims a size of ${width}x${height}.`, 'Save it again.');
  }
  if (![1, 4, 8, ...DIRECT].includes(bits) || (compression !== BI_RGB && !(hasMasks && bits >= 16))) {
    throw new UserError(
      `the bitmap has ${bits} bits in compression ${compression}.`,
      'Save it uncompressed or as PNG.',
    );
  }
  const rowBytes = Math.ceil((width * bits) / 32) * 4;
  need(pixels + rowBytes * height);

  const colourOf = bits <= 8 ? palette() : direct();
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    const row = pixels + rowBytes * (signedHeight > 0 ? height - 1 - y : y);
    for (let x = 0; x < width; x++) colourOf(row, x, data, (y * width + x) * 3);
  }
  return { width, height, data };

  type Write = (row: number, x: number, into: Uint8Array, at: number) => void;

  function palette(): Write {
    const start = 14 + headerSize;
    const entries = view.getUint32(46, true) || 2 ** bits;
    need(start + entries * 4);
    const perByte = 8 / bits;
    const mask = 2 ** bits - 1;
    return (row, x, into, at) => {
      const packed = bytes[row + Math.floor(x / perByte)]!;
      const index = (packed >> (8 - bits * ((x % perByte) + 1))) & mask;
      if (index >= entries) throw new UserError(`the bitmap uses colour ${index} of ${entries}.`, 'Save it again.');
      for (let c = 0; c < 3; c++) into[at + c] = bytes[start + index * 4 + 2 - c]!;
    };
  }

  function direct(): Write {
    if (bits === 24) {
      return (row, x, into, at) => {
        for (let c = 0; c < 3; c++) into[at + c] = bytes[row + x * 3 + 2 - c]!;
      };
    }
    // The masks of red, green and blue follow the first 40 bytes of the header, within or after it.
    if (hasMasks) need(66);
    const standard = bits === 16 ? [0x7c00, 0x3e0, 0x1f] : [0xff0000, 0xff00, 0xff];
    const masks = hasMasks ? [54, 58, 62].map((at) => view.getUint32(at, true)) : standard;
    const fields = masks.map((mask) => {
      const shift = mask === 0 ? 0 : 31 - Math.clz32(mask & -mask);
      return { mask, shift, top: mask >>> shift || 1 };
    });
    return (row, x, into, at) => {
      const word = bits === 16 ? view.getUint16(row + x * 2, true) : view.getUint32(row + x * 4, true);
      fields.forEach(({ mask, shift, top }, c) => {
        into[at + c] = Math.round((((word & mask) >>> shift) * 255) / top);
      });
    };
  }
}
