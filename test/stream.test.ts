import { expect, test } from 'vitest';
import type { RgbImage } from '../src/data/image.ts';
import { Detector } from '../src/detector/detector.ts';
import type { Frame } from '../src/detector/stream.ts';
import { crop } from './support/crop.ts';
import { engine } from './support/gpu.ts';
import { savedImage } from './support/savedFiles.ts';
import { untrainedDetector } from './support/untrained.ts';

const gpu = await engine();
const detector = new Detector(gpu, await untrainedDetector());
const images = Array.from({ length: 5 }, (_, i) => crop(savedImage(i), 128 - 8 * (i % 3), 128));

async function scoresOf(frames: Iterable<Frame> | AsyncIterable<Frame>, options = {}): Promise<number[]> {
  const scores: number[] = [];
  for await (const { score } of detector.stream(frames, options)) scores.push(score);
  return scores;
}

const later = <T>(value: T, milliseconds = 1) =>
  new Promise<T>((resolve) => setTimeout(() => resolve(value), milliseconds));

async function* arriving(frames: readonly Frame[]) {
  for (const frame of frames) yield later(frame);
}

const alone: number[] = [];
for (const image of images) alone.push((await detector.predict(image)).score);

test('images, promises of them, and what reads them, from lists and from what arrives: in their order', async () => {
  const mixed: Frame[] = images.map((image, i) => [image, later(image, 20 - 3 * i), () => later(image, 9 - i)][i % 3]!);
  for (const inFlight of [1, 2, 5]) {
    for (const batch of [1, 3]) {
      expect(await scoresOf(mixed, { inFlight, batch })).toEqual(alone);
    }
  }
  for (const batch of [1, 3]) expect(await scoresOf(arriving(mixed), { inFlight: 2, batch })).toEqual(alone);
  expect(await scoresOf([])).toEqual([]);
  // What is left of the last batch goes one by one: nothing is compiled for its length.
  const plans = new Set<number>();
  const own = new Detector(gpu, detector.state);
  const compile = own.compile.bind(own);
  own.compile = (batch) => {
    plans.add(batch);
    return compile(batch);
  };
  for await (const _ of own.stream(images, { batch: 3 })) plans.size;
  expect([...plans].sort()).toEqual([1, 3]);
  own.destroy();
});

test('no more is read than is under way, and reading overlaps', async () => {
  const events: string[] = [];
  const frames = images.map((image, i) => async () => {
    events.push(`read ${i}`);
    return later(image, 5);
  });
  let seen = 0;
  for await (const { score } of detector.stream(frames, { inFlight: 3, batch: 1 })) {
    expect(score).toBe(alone[seen]);
    const read = events.length;
    expect(read).toBeLessThanOrEqual(seen + 3);
    // A reader that takes its time is not overtaken.
    await later(undefined, 30);
    expect(events.length).toBe(read);
    seen++;
  }
  expect(events).toEqual(images.map((_, i) => `read ${i}`));
  expect(seen).toBe(images.length);
});

test('a result does not wait for a frame that has not come', async () => {
  let give: (image: RgbImage) => void = () => {};
  async function* camera() {
    yield images[0]!;
    yield await new Promise<RgbImage>((resolve) => {
      give = resolve;
    });
  }
  const stream = detector.stream(camera(), { inFlight: 4 });
  expect((await stream.next()).value!.score).toBe(alone[0]);
  give(images[1]!);
  expect((await stream.next()).value!.score).toBe(alone[1]);
  expect((await stream.next()).done).toBe(true);
});

test('a signal ends it with its reason, also while a camera is waited for; the source is told', async () => {
  let isClosed = false;
  async function* camera(endless: Promise<RgbImage>) {
    try {
      yield images[0]!;
      yield await endless;
    } finally {
      isClosed = true;
    }
  }
  const stop = new AbortController();
  const seen: number[] = [];
  const endless = new Promise<RgbImage>((resolve) => setTimeout(() => resolve(images[0]!), 200));
  const watching = async () => {
    for await (const { score } of detector.stream(camera(endless), { signal: stop.signal })) {
      seen.push(score);
      setTimeout(() => stop.abort(new Error('enough')), 5);
    }
  };
  await expect(watching()).rejects.toThrow('enough');
  expect(seen).toEqual([alone[0]]);
  await endless;
  await later(undefined, 5);
  expect(isClosed).toBe(true);
  const gone = AbortSignal.abort(new Error('before'));
  await expect(scoresOf(images, { signal: gone })).rejects.toThrow('before');
  // Leaving a loop is enough, too.
  for await (const { score } of detector.stream(arriving(images))) {
    expect(score).toBe(alone[0]);
    break;
  }
});

test('the first image that cannot be scored ends it; those before are there', async () => {
  const wrong = { width: 4, height: 4, data: new Uint8Array(7) };
  for (const bad of [wrong, () => Promise.reject(new Error('no file'))]) {
    const frames = [images[0]!, images[1]!, bad, images[2]!];
    for (const batch of [1, 2, 4, undefined]) {
      const seen: number[] = [];
      const failing = async () => {
        for await (const { score } of detector.stream(frames, { batch })) seen.push(score);
      };
      await expect(failing()).rejects.toThrow(/an image of 4x4|no file/);
      expect(seen).toEqual(alone.slice(0, 2));
    }
  }
  async function* breaking() {
    yield* images.slice(0, 3);
    throw new Error('the camera is gone');
  }
  for (const batch of [1, 2, undefined]) {
    const seen: number[] = [];
    const failing = async () => {
      for await (const { score } of detector.stream(breaking(), { batch })) seen.push(score);
    };
    await expect(failing()).rejects.toThrow('the camera is gone');
    expect(seen).toEqual(alone.slice(0, 3));
  }
  await expect(scoresOf(images, { batch: 1.5 })).rejects.toThrow('stream: batch 1.5 cannot be');
});
