import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { resizeOnHost } from '../src/imaging/hostResize.ts';
import { Resizer, unpackPixels } from '../src/imaging/pixels.ts';
import { readImage } from '../src/node/images.ts';
import { engine } from './support/gpu.ts';

const FOLDER = fileURLToPath(new URL('golden/resize/', import.meta.url));
const pairs = readdirSync(FOLDER).flatMap((file) => {
  const match = /^(.*)-to-(\d+)\.png$/.exec(file);
  return match ? [{ source: `${match[1]}.png`, expected: file, side: Number(match[2]) }] : [];
});
const gpu = await engine();

describe("resize equals Pillow's antialiased bilinear filter byte by byte", () => {
  test.each(pairs)('$expected', async ({ source, expected, side }) => {
    const resizer = new Resizer(gpu, side);
    const words = await resizer.resize(await readImage(FOLDER + source));
    resizer.destroy();
    const golden = await readImage(FOLDER + expected);
    expect(Buffer.compare(Buffer.from(unpackPixels(words, side, side).data), Buffer.from(golden.data))).toBe(0);
  });

  test.each(pairs)('$expected on the host', async ({ source, expected, side }) => {
    const words = resizeOnHost(await readImage(FOLDER + source), side);
    const golden = await readImage(FOLDER + expected);
    expect(Buffer.compare(Buffer.from(unpackPixels(words, side, side).data), Buffer.from(golden.data))).toBe(0);
  });

  test('an image that no buffer of the device holds', async () => {
    const { limits } = gpu.caps;
    const most = Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize);
    // A strip whose first pass alone would take more than that.
    const height = Math.ceil(most / (4 * 128)) + 1;
    if (height > 2 ** 20) return;
    const data = Uint8Array.from({ length: 3 * height }, (_, i) => (i / 3 < height / 2 ? 10 : 200));
    const resizer = new Resizer(gpu, 128);
    const words = await resizer.resize({ width: 1, height, data });
    resizer.destroy();
    expect([words[0], words[127], words[128 * 128 - 1]]).toEqual([0xff0a0a0a, 0xff0a0a0a, 0xffc8c8c8]);
  });
});
