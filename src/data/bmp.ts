import { UserError } from '../errors.ts';
import type { RgbImage } from './image.ts';

/** A Windows or OS/2 bitmap by its first two bytes. */
export function isBmp(bytes: Uint8Array): boolean {
  return bytes.length > 2 && bytes[0] === 0x42 && bytes[1] === 0x4d;
}

/** Fields of either header. */
interface BmpHeader {
  /** Where the pixels begin. */
  readonly pixels: number;
  /** Bytes of the header behind the first 14. */
  readonly headerSize: number;
  readonly width: number;
  readonly height: number;
  /** Rows run from top to bottom. */
  readonly topDown: boolean;
  readonly bits: number;
  readonly compression: number;
  /** Colors of the palette. */
  readonly colors: number;
}

const BI_RGB = 0;
const BI_RLE8 = 1;
const BI_RLE4 = 2;
const BI_BITFIELDS = 3;
const BI_ALPHABITFIELDS = 6;
/** Bytes of the first OS/2 header, whose palette has three bytes a color, and of the longest second one. */
const OS2_CORE = 12;
const OS2_LONGEST = 64;
/** Headers of Windows of 40 bytes and more. */
const WINDOWS_HEADERS = [40, 52, 56, 108, 124];
const BITS = [1, 4, 8, 16, 24, 32];
const MAX_SIDE = 2 ** 20;

/**
 * Decodes a bitmap of 1, 4, 8, 16, 24 or 32 bits per pixel, bottom-up or top-down, with the headers of Windows or OS/2, plain
 * or run-length encoded. Alpha is dropped. Colors beyond the palette are black, as Pillow has them.
 * @param maxPixels larger ones are refused before any memory is taken
 * @throws UserError for one that is too large, cut off, damaged, or compressed in another way
 */
export function decodeBmp(bytes: Uint8Array, maxPixels = 2 ** 28): RgbImage {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const need = (end: number) => {
    if (end > bytes.length) throw new UserError(`the bitmap ends at byte ${bytes.length} of ${end}.`, 'Save it again.');
  };
  const header = readHeader(view, need);
  const { width, height, bits, compression, pixels, topDown } = header;
  if (width < 1 || height < 1 || width > MAX_SIDE || height > MAX_SIDE || width * height > maxPixels)
    throw new UserError(`the bitmap claims a size of ${width}x${height}.`, `At most ${maxPixels} pixels are read.`);
  const runs = (compression === BI_RLE8 && bits === 8) || (compression === BI_RLE4 && bits === 4);
  const rowBytes = Math.ceil((width * bits) / 32) * 4;
  if (!runs) need(pixels + rowBytes * height);

  const data = new Uint8Array(width * height * 3);
  /** Place of row `y` of the file in the image. */
  const placed = (y: number) => (topDown ? y : height - 1 - y) * width * 3;
  if (bits <= 8) {
    const paint = painter(bytes, header, need, data);
    if (runs) readRuns(bytes, header, (x, y, index) => paint(placed(y) + x * 3, index));
    else readIndices(bytes, header, rowBytes, (x, y, index) => paint(placed(y) + x * 3, index));
  } else {
    const pixel = directColor(bytes, view, header, need);
    for (let y = 0; y < height; y++) {
      const [from, to] = [pixels + rowBytes * y, placed(y)];
      for (let x = 0; x < width; x++) pixel(from, x, data, to + x * 3);
    }
  }
  return { width, height, data };
}

/** @throws UserError for a header or an encoding that is not read */
function readHeader(view: DataView, need: (end: number) => void): BmpHeader {
  need(14 + OS2_CORE);
  const pixels = view.getUint32(10, true);
  const headerSize = view.getUint32(14, true);
  if (headerSize === OS2_CORE) {
    const [width, height] = [view.getUint16(18, true), view.getUint16(20, true)];
    const bits = view.getUint16(24, true);
    const header = { pixels, headerSize, width, height, topDown: false, bits, compression: BI_RGB, colors: 0 };
    checkEncoding(header);
    return completed(header);
  }
  const isWindows = WINDOWS_HEADERS.includes(headerSize);
  if (!isWindows && (headerSize < 16 || headerSize > OS2_LONGEST))
    throw new UserError(`the bitmap has a header of ${headerSize} bytes.`, 'Save it again or as PNG.');
  need(14 + headerSize);
  // The second OS/2 header may end behind any field; what it leaves out is 0.
  const field = (at: number) => (at + 4 <= 14 + headerSize ? view.getUint32(at, true) : 0);
  const height = view.getInt32(22, true);
  const header = {
    pixels,
    headerSize,
    width: view.getInt32(18, true),
    height: Math.abs(height),
    topDown: height < 0,
    bits: view.getUint16(28, true),
    compression: field(30),
    colors: field(46),
  };
  checkEncoding(header);
  return completed(header);
}

function checkEncoding({ bits, compression, headerSize }: BmpHeader): void {
  // OS/2 has other compressions under the numbers of bit fields.
  const hasMasks = hasBitFields(compression) && WINDOWS_HEADERS.includes(headerSize) && (bits === 16 || bits === 32);
  const runs = (compression === BI_RLE8 && bits === 8) || (compression === BI_RLE4 && bits === 4);
  if (!BITS.includes(bits) || !(compression === BI_RGB || hasMasks || runs))
    throw new UserError(`the bitmap has ${bits} bits in compression ${compression}.`, 'Save it as PNG.');
}

function hasBitFields(compression: number): boolean {
  return compression === BI_BITFIELDS || compression === BI_ALPHABITFIELDS;
}

/** Where the palette begins, and the bytes of a color. */
function paletteOf({ headerSize }: Pick<BmpHeader, 'headerSize'>) {
  return { start: 14 + headerSize, each: headerSize === OS2_CORE ? 3 : 4 };
}

/** The header with what it leaves out: the palette's length, and the place of pixels that are said to begin with it. */
function completed(header: BmpHeader): BmpHeader {
  if (header.bits > 8) return header;
  const { start, each } = paletteOf(header);
  const colors = Math.min(header.colors || 2 ** header.bits, 2 ** header.bits);
  return { ...header, colors, pixels: header.pixels > start ? header.pixels : start + colors * each };
}

/** Writes the color of an index of the palette. */
type Paint = (at: number, index: number) => void;

function painter(bytes: Uint8Array, header: BmpHeader, need: (end: number) => void, data: Uint8Array): Paint {
  const { bits, pixels, colors } = header;
  const { start, each } = paletteOf(header);
  // Palettes that run into the pixels end there, as those of OS/2 may.
  const entries = Math.min(colors, Math.floor((pixels - start) / each));
  need(start + entries * each);
  const palette = new Uint8Array(2 ** bits * 3);
  for (let i = 0; i < entries; i++) {
    for (let c = 0; c < 3; c++) palette[i * 3 + c] = bytes[start + i * each + 2 - c]!;
  }
  return (at, index) => {
    data[at] = palette[index * 3]!;
    data[at + 1] = palette[index * 3 + 1]!;
    data[at + 2] = palette[index * 3 + 2]!;
  };
}

/** Gets every pixel's index, rows in the order of the file. */
type Visit = (x: number, y: number, index: number) => void;

function readIndices(bytes: Uint8Array, { width, height, bits, pixels }: BmpHeader, rowBytes: number, visit: Visit) {
  const perByte = 8 / bits;
  const mask = 2 ** bits - 1;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const packed = bytes[pixels + rowBytes * y + Math.floor(x / perByte)]!;
      visit(x, y, (packed >> (8 - bits * ((x % perByte) + 1))) & mask);
    }
  }
}

/**
 * Run-length encoded rows of 8 or 4 bits per pixel. Pixels that are skipped, and the rest of rows that end early, have index 0;
 * what reaches beyond a row is cut off.
 * @throws UserError when the data ends before the last row does
 */
function readRuns(bytes: Uint8Array, { width, height, bits, pixels }: BmpHeader, visit: Visit): void {
  let at = pixels;
  let x = 0;
  let y = 0;
  const next = () => {
    if (at >= bytes.length)
      throw new UserError(`the bitmap ends in row ${y + 1} of ${height}.`, 'Copy or save the file again.');
    return bytes[at++]!;
  };
  const put = (count: number, index: (i: number) => number) => {
    const end = Math.min(x + count, width);
    for (let i = 0; x < end; i++) visit(x++, y, index(i));
  };
  const skipTo = (column: number, row: number) => {
    while (y < row && y < height) {
      put(width - x, () => 0);
      x = 0;
      y++;
    }
    if (y < height) put(column - x, () => 0);
  };
  while (y < height && !(y === height - 1 && x === width)) {
    const count = next();
    const value = next();
    if (count > 0) put(count, bits === 8 ? () => value : (i) => (i % 2 === 0 ? value >> 4 : value & 15));
    else if (value === 0) skipTo(0, y + 1);
    else if (value === 1)
      throw new UserError(`the bitmap leaves out what follows row ${y + 1} of ${height}.`, 'Save it again or as PNG.');
    else if (value === 2) {
      const right = next();
      const up = next();
      skipTo(Math.min(x + right, width), y + up);
    } else {
      // Pixels one by one, filled up to an even number of bytes.
      const length = Math.ceil((value * bits) / 8);
      const start = at;
      at += length + (length % 2);
      if (start + length > bytes.length) next();
      put(value, (i) => (bits === 8 ? bytes[start + i]! : (bytes[start + (i >> 1)]! >> (i % 2 === 0 ? 4 : 0)) & 15));
    }
  }
}

type WritePixel = (row: number, x: number, into: Uint8Array, at: number) => void;

function directColor(bytes: Uint8Array, view: DataView, header: BmpHeader, need: (end: number) => void): WritePixel {
  const { bits, compression } = header;
  if (bits === 24) {
    return (row, x, into, at) => {
      for (let c = 0; c < 3; c++) into[at + c] = bytes[row + x * 3 + 2 - c]!;
    };
  }
  // The masks of red, green and blue follow the first 40 bytes of the header, within or after it.
  const hasMasks = hasBitFields(compression);
  if (hasMasks) need(66);
  const standard = bits === 16 ? [0x7c00, 0x3e0, 0x1f] : [0xff0000, 0xff00, 0xff];
  const masks = hasMasks ? [54, 58, 62].map((at) => view.getUint32(at, true)) : standard;
  const fields = masks.map((mask) => {
    const shift = mask === 0 ? 0 : 31 - Math.clz32(mask & -mask);
    return { mask, shift, top: mask >>> shift || 1 };
  });
  return (row, x, into, at) => {
    const word = bits === 16 ? view.getUint16(row + x * 2, true) : view.getUint32(row + x * 4, true);
    for (let c = 0; c < 3; c++) {
      const { mask, shift, top } = fields[c]!;
      into[at + c] = Math.floor((((word & mask) >>> shift) * 255) / top);
    }
  };
}
