import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { decodeBmp } from '../src/data/bmp.ts';
import { readBytes } from '../src/node/files.ts';
import { readImage, readMask } from '../src/node/images.ts';
import { temporaryFolder } from './support/temporary.ts';

const folder = temporaryFolder();

function write(name: string, bytes: Uint8Array | string): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

interface BitmapOptions {
  readonly width: number;
  readonly height: number;
  readonly bits: number;
  readonly body: readonly number[];
  readonly compression?: number;
  /** RGB triples. */
  readonly palette?: readonly (readonly number[])[];
  /** 12: the first one of OS/2. */
  readonly header?: 12 | 16 | 40;
  /** Where the file says that its pixels begin. */
  readonly offset?: number;
}

/** A bitmap from the format's description. */
function bitmap({ width, height, bits, body, compression = 0, palette = [], header = 40, offset }: BitmapOptions) {
  const colors = palette.flatMap(([r, g, b]) => (header === 12 ? [b!, g!, r!] : [b!, g!, r!, 0]));
  const start = 14 + header + colors.length;
  const bytes = new Uint8Array(start + body.length);
  const view = new DataView(bytes.buffer);
  bytes.set([0x42, 0x4d]);
  view.setUint32(10, offset ?? start, true);
  view.setUint32(14, header, true);
  if (header === 12) {
    for (const [i, value] of [width, height, 1, bits].entries()) view.setUint16(18 + 2 * i, value, true);
  } else {
    view.setInt32(18, width, true);
    view.setInt32(22, height, true);
    view.setUint16(26, 1, true);
    view.setUint16(28, bits, true);
    if (header === 40) {
      view.setUint32(30, compression, true);
      view.setUint32(46, palette.length, true);
    }
  }
  bytes.set(colors, 14 + header);
  bytes.set(body, start);
  return bytes;
}

/** Gray 10, 20, 30, ...: the first channel is ten times the index and ten. */
const PALETTE = Array.from({ length: 6 }, (_, i) => [10 + 10 * i, 1, 2]);
const reds = ({ data }: { readonly data: Uint8Array }) => Array.from(data.filter((_, i) => i % 3 === 0));

describe('bitmaps', () => {
  const eight = { width: 4, height: 2, bits: 8, compression: 1, palette: PALETTE } as const;

  test('runs of 8 bits: repeated, one by one, the ends of rows, skipped pixels', () => {
    const rows = [0, 3, 1, 2, 3, 0, 1, 4, 0, 0, 2, 5, 0, 0, 0, 1];
    expect(reds(decodeBmp(bitmap({ ...eight, body: rows })))).toEqual([60, 60, 10, 10, 20, 30, 40, 50]);
    const skipping = [1, 1, 0, 2, 1, 1, 2, 2, 0, 1];
    expect(reds(decodeBmp(bitmap({ ...eight, body: skipping })))).toEqual([10, 10, 30, 30, 20, 10, 10, 10]);
  });

  test('runs of 4 bits alternate two colors', () => {
    const four = { ...eight, bits: 4, compression: 2 };
    const rows = [4, 0x12, 0, 0, 0, 3, 0x34, 0x50, 1, 0x10, 0, 1];
    expect(reds(decodeBmp(bitmap({ ...four, body: rows })))).toEqual([40, 50, 60, 20, 20, 30, 20, 30]);
  });

  test.each([
    ['that end', [4, 1, 0, 0, 2, 1], /ends in row 2 of 2/],
    ['that are cut off within single pixels', [4, 1, 0, 0, 0, 4, 1, 2], /ends in row 2 of 2/],
    ['that leave out a row', [4, 1, 0, 0, 0, 1], /leaves out what follows row 2/],
  ])('runs %s are refused', (_, body, message) => {
    expect(() => decodeBmp(bitmap({ ...eight, body }))).toThrow(message);
  });

  test('OS/2: three bytes a color, and headers that end early', () => {
    const rows = [0, 1, 2, 3, 4, 5, 0, 1];
    const plain = { width: 4, height: 2, bits: 8, body: rows } as const;
    const expected = [50, 60, 10, 20, 10, 20, 30, 40];
    expect(reds(decodeBmp(bitmap({ ...plain, header: 12, palette: PALETTE })))).toEqual(expected);
    const whole = [...PALETTE, ...Array.from({ length: 250 }, () => [0, 0, 0])];
    expect(reds(decodeBmp(bitmap({ ...plain, header: 16, palette: whole })))).toEqual(expected);
    const colors = [3, 2, 1, 6, 5, 4, 0, 0];
    expect([...decodeBmp(bitmap({ width: 2, height: 1, bits: 24, header: 12, body: colors })).data]).toEqual([
      1, 2, 3, 4, 5, 6,
    ]);
  });

  test('colors beyond the palette are black, and pixels do not begin with the palette', () => {
    const image = { width: 2, height: 1, bits: 8, palette: PALETTE, body: [5, 200, 0, 0] } as const;
    expect(reds(decodeBmp(bitmap(image)))).toEqual([60, 0]);
    expect(reds(decodeBmp(bitmap({ ...image, offset: 54 })))).toEqual([60, 0]);
  });

  test('what is too large is refused by its header', () => {
    const large = bitmap({ width: 2 ** 15, height: 2 ** 15, bits: 8, compression: 1, palette: PALETTE, body: [] });
    expect(() => decodeBmp(large)).toThrow('the bitmap claims a size of 32768x32768.');
  });

  test('compressions of others are refused', () => {
    expect(() => decodeBmp(bitmap({ width: 1, height: 1, bits: 24, compression: 4, body: [0, 0, 0, 0] }))).toThrow(
      '24 bits in compression 4',
    );
  });
});

interface TiffOptions {
  readonly width?: number;
  readonly height?: number;
  readonly bits: number;
  readonly format: number;
  readonly body: Uint8Array;
  readonly compression?: number;
}

/** A gray TIFF file of one strip. */
function tiff({ width = 2, height = 2, bits, format, body, compression = 1 }: TiffOptions): Uint8Array {
  const entries = [
    [256, 4, width],
    [257, 4, height],
    [258, 3, bits],
    [259, 3, compression],
    [262, 3, 1],
    [273, 4, 200],
    [277, 3, 1],
    [278, 4, height],
    [279, 4, body.length],
    [339, 3, format],
  ] as const;
  const bytes = new Uint8Array(200 + body.length);
  const view = new DataView(bytes.buffer);
  bytes.set([0x49, 0x49, 42, 0, 8]);
  view.setUint16(8, entries.length, true);
  entries.forEach(([tag, type, value], i) => {
    const at = 10 + 12 * i;
    view.setUint16(at, tag, true);
    view.setUint16(at + 2, type, true);
    view.setUint32(at + 4, 1, true);
    view.setUint32(at + 8, value, true);
  });
  bytes.set(body, 200);
  return bytes;
}

describe('TIFF', () => {
  test('samples without sign of 8 and 16 bits are read', async () => {
    const eight = tiff({ bits: 8, format: 1, body: Uint8Array.of(0, 1, 128, 255) });
    expect(reds(await readImage(write('8.tif', eight)))).toEqual([0, 1, 128, 255]);
    const sixteen = tiff({ bits: 16, format: 1, body: new Uint8Array(Uint16Array.of(0, 256, 32768, 65535).buffer) });
    expect(reds(await readImage(write('16.tif', sixteen)))).toEqual([0, 1, 128, 255]);
  });

  test.each([
    ['float of 32 bits', { bits: 32, format: 3, body: new Uint8Array(16) }, '32 bits, float'],
    ['float of 16 bits', { bits: 16, format: 3, body: new Uint8Array(8) }, '16 bits, float'],
    ['whole numbers of 32 bits', { bits: 32, format: 1, body: new Uint8Array(16) }, '32 bits'],
    ['a sign, 16 bits', { bits: 16, format: 2, body: new Uint8Array(8) }, '16 bits, signed'],
    ['a sign, 8 bits', { bits: 8, format: 2, body: new Uint8Array(4) }, '8 bits, signed'],
    ['old JPEG', { bits: 8, format: 1, compression: 6, body: new Uint8Array(4) }, 'the withdrawn way'],
    ['too many pixels', { bits: 8, format: 1, width: 20000, height: 20000, body: new Uint8Array(4) }, /pixel/],
  ])('%s is refused by name', async (_, options, message) => {
    const path = write('refused.tif', tiff(options));
    await expect(readImage(path)).rejects.toThrow(message);
    await expect(readImage(path)).rejects.toThrow('refused.tif cannot be decoded');
  });

  test.each(['none', 'lzw', 'deflate', 'jpeg'] as const)('tiles that are cut off are refused, %s', async (kind) => {
    const data = Uint8Array.from({ length: 64 * 64 * 3 }, (_, i) => (i * i) % 251);
    const raw = { raw: { width: 64, height: 64, channels: 3 } } as const;
    const tiled = { compression: kind, tile: true, tileWidth: 32, tileHeight: 32 } as const;
    const whole = await sharp(data, raw).tiff(tiled).toBuffer();
    expect((await readImage(write('whole.tif', whole))).width).toBe(64);
    // The directory stands at the end: without it nothing is there. The last tiles are cut out of the middle instead.
    const directory = whole.readUInt32LE(4);
    for (const share of [0.3, 0.6, 0.9]) {
      const cut = Buffer.concat([whole.subarray(0, Math.floor(directory * share)), whole.subarray(directory)]);
      cut.writeUInt32LE(Math.floor(directory * share), 4);
      await expect(readImage(write('cut.tif', cut))).rejects.toThrow('cut.tif cannot be decoded');
    }
  });
});

describe('what a file is', () => {
  test('CMYK is mixed as Pillow does: black is black', async () => {
    const { width, data } = await readImage(fileURLToPath(new URL('golden/images/cmyk.jpg', import.meta.url)));
    const at = (x: number) => [...data.subarray(3 * (16 * width + x), 3 * (16 * width + x) + 3)];
    expect([at(10), at(50), at(90)]).toEqual([
      [255, 255, 255],
      [0, 0, 0],
      [200, 40, 40],
    ]);
  });

  test.each([
    ['a GIF', 'GIF89a...'],
    ['an SVG drawing', '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="99999" height="99999"/>'],
    ['an SVG drawing', '\n <svg width="9" height="9"/>'],
    ['an AVIF picture', '\0\0\0\x20ftypavif'],
    ['none of the pictures that are read', 'hello'],
    ['the file is empty', ''],
  ])('%s under another name is refused', async (name, text) => {
    const path = write('other.png', text);
    await expect(readImage(path)).rejects.toThrow(
      `other.png cannot be decoded: ${text === '' ? name : `it is ${name}`}.`,
    );
  });

  test.skipIf(process.platform === 'win32')('pipes and devices are refused', async () => {
    const pipe = join(folder, 'pipe.png');
    execFileSync('mkfifo', [pipe]);
    for (const path of [pipe, '/dev/zero']) {
      await expect(readImage(path)).rejects.toThrow(`${path} cannot be read: it is a pipe or a device, not a file.`);
      await expect(readBytes(path)).rejects.toThrow('it is a pipe or a device');
    }
  });
});

describe('masks', () => {
  const width = 40;
  const height = 30;
  const inside = (i: number) => i % width > 10 && i % width < 25 && Math.floor(i / width) > 7 && i < 20 * width;
  const truth = Array.from({ length: width * height }, (_, i) => inside(i));
  const plane = (value: number) => Uint8Array.from(truth, (is) => (is ? value : 0));
  const gray = (value: number) => sharp(plane(value), { raw: { width, height, channels: 1 } }).toColorspace('b-w');
  const spread = (alpha: boolean) => {
    const values = truth.flatMap((is) => [...Array<number>(3).fill(is ? 255 : 0), ...(alpha ? [255] : [])]);
    return sharp(Uint8Array.from(values), { raw: { width, height, channels: alpha ? 4 : 3 } });
  };
  const sixteen = (value: number) => {
    const values = Uint16Array.from(truth, (is) => (is ? value : 0));
    return sharp(values, { raw: { width, height, channels: 1 } }).toColorspace('grey16');
  };
  const indices = [...plane(1)].map((_, i, all) => all[(height - 1 - Math.floor(i / width)) * width + (i % width)]!);
  const black = [0, 0, 0];
  const palette = [black, [255, 255, 255]];
  const bits = Array.from({ length: height }, (_, y) =>
    Array.from({ length: 8 }, (_, k) =>
      Array.from({ length: 8 }, (_, b) => indices[y * width + 8 * k + b] ?? 0)
        .slice(0, Math.max(0, width - 8 * k))
        .reduce((byte, bit, b) => byte | (bit << (7 - b)), 0),
    ),
  ).flat();

  test.each([
    ['1', () => gray(1).png().toBuffer()],
    ['255', () => gray(255).png().toBuffer()],
    ['16 bits, 1', () => sixteen(1).png().toBuffer()],
    ['16 bits, 65535', () => sixteen(65535).png().toBuffer()],
    ['palette', () => spread(false).png({ palette: true, colors: 2 }).toBuffer()],
    ['RGB', () => spread(false).png().toBuffer()],
    ['RGBA', () => spread(true).png().toBuffer()],
    ['gray with alpha', () => gray(255).ensureAlpha().png().toBuffer()],
    ['WebP without losses', () => spread(false).webp({ lossless: true }).toBuffer()],
    ['WebP with losses', () => spread(false).webp({ quality: 95 }).toBuffer()],
    ['JPEG', () => spread(false).jpeg({ quality: 90 }).toBuffer()],
    ['TIFF', () => gray(255).tiff({ compression: 'lzw' }).toBuffer()],
    ['TIFF of one bit', () => gray(255).tiff({ bitdepth: 1, compression: 'none' }).toBuffer()],
    ['TIFF of JPEG', () => spread(false).tiff({ compression: 'jpeg', quality: 90 }).toBuffer()],
    ['bitmap', () => bitmap({ width, height, bits: 8, palette, body: indices })],
    ['bitmap of one bit', () => bitmap({ width, height, bits: 1, palette, body: bits })],
  ])('%s', async (_, make) => {
    const mask = await readMask(write('mask', await make()));
    expect([mask.width, mask.height]).toEqual([width, height]);
    expect(Array.from(mask.data, (value) => value !== 0)).toEqual(truth);
  });
});
