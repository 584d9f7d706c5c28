import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { Resizer, unpackPixels } from '../src/model/pixels.ts';
import { readImage } from '../src/node/images.ts';
import { engine } from './gpu.ts';

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
});
