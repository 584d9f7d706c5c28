import { existsSync, mkdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { rawFrames, readFrameSize } from '../src/cli/rawFrames.ts';
import { watchFolder } from '../src/cli/watch.ts';
import { Detector } from '../src/detector/detector.ts';
import { encodePng } from '../src/node/images.ts';
import { engine } from './support/gpu.ts';
import { savedImage } from './support/savedFiles.ts';
import { temporaryFolder } from './support/temporary.ts';
import { untrainedDetector } from './support/untrained.ts';

const gpu = await engine();
const detector = new Detector(gpu, await untrainedDetector());
const root = temporaryFolder();
const folder = join(root, 'camera');
const list = join(root, 'scores.csv');
mkdirSync(folder);

async function put(name: string, index: number): Promise<void> {
  writeFileSync(join(folder, name), await encodePng(savedImage(index)));
}

/** Watches until so many images have been scored. */
async function watchFor(count: number, onImage = (_: string) => {}): Promise<string[]> {
  const stop = new AbortController();
  const seen: string[] = [];
  await watchFolder({
    detector,
    folder,
    list,
    signal: stop.signal,
    onImage({ image }) {
      seen.push(image);
      onImage(image);
      if (seen.length === count) stop.abort();
    },
  });
  return seen;
}

const rows = () =>
  readFileSync(list, 'utf8')
    .trim()
    .split('\r\n')
    .slice(1)
    .map((line) => line.split(','));

test('images of a folder and those that come are scored once, also by the next process', async () => {
  await put('a.png', 0);
  await put('b.png', 1);
  writeFileSync(join(folder, 'broken.png'), 'no picture');
  const first = await watchFor(4, (image) => {
    if (image === 'a.png') void put('late.png', 2);
  });
  expect([...first].sort()).toEqual(['a.png', 'b.png', 'broken.png', 'late.png']);
  const scores = new Map(rows().map(([image, , score]) => [image, score]));
  for (const [i, name] of ['a.png', 'b.png', 'late.png'].entries())
    expect(Number(scores.get(name))).toBe((await detector.predict(savedImage(i))).score);
  expect(scores.get('broken.png')).toBe('');
  expect(readFileSync(list, 'utf8')).toMatch(/broken\.png,.*,,,.*broken\.png/);

  await put('new.png', 3);
  await put('a.png', 4);
  utimesSync(join(folder, 'a.png'), new Date(), new Date(Date.now() + 5000));
  expect((await watchFor(2)).sort()).toEqual(['a.png', 'new.png']);
  expect(rows()).toHaveLength(5);
  const again = rows().find(([image]) => image === 'a.png')!;
  expect(Number(again[2])).toBe((await detector.predict(savedImage(4))).score);

  writeFileSync(list, 'name,age\r\na,1\r\n');
  await expect(watchFor(1)).rejects.toThrow('is not a list of scored images');
  expect(existsSync(list)).toBe(true);
});

test('frames from a pipe, in chunks of any length', async () => {
  const { width, height } = readFrameSize('128x128');
  const bytes = Buffer.concat([0, 1, 2].map((i) => Buffer.from(savedImage(i).data)));
  const chunks = Array.from({ length: Math.ceil(bytes.length / 10_007) }, (_, i) =>
    bytes.subarray(10_007 * i, 10_007 * (i + 1)),
  );
  const scores = [];
  for await (const { score } of detector.stream(rawFrames(Readable.from(chunks), width, height))) scores.push(score);
  const expected = [];
  for (const i of [0, 1, 2]) expected.push((await detector.predict(savedImage(i))).score);
  expect(scores).toEqual(expected);
  const short = detector.stream(rawFrames(Readable.from([bytes.subarray(0, 100)]), width, height));
  await expect(short.next()).rejects.toThrow('the last frame has 100 of 49152 bytes');
  for (const text of ['128', '0x4', '4x4x3']) expect(() => readFrameSize(text)).toThrow('is not a size');
  detector.destroy();
});
