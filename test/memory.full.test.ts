import { setImmediate as turn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, onTestFinished, test } from 'vitest';
import type { RgbImage } from '../src/data/image.ts';
import { renderSpecimen } from '../src/data/synthetic/generate.ts';
import { Detector } from '../src/detector/detector.ts';
import { Engine } from '../src/engine/engine.ts';
import { openDevice } from '../src/node/device.ts';
import { untrainedDetector } from './support/untrained.ts';

const PREDICTIONS = 1000;
const WARM_UP = 200;
/** Sizes of images, each of another one, and how many of them are seen before growth is measured. */
const SIZES = 700;
const SIZES_BEFORE = 200;
/** More than a detector keeps its chains for. */
const KEPT = 32;
/** Growth that allocators explain, bytes. */
const SLACK = 20 * 2 ** 20;

setFlagsFromString('--expose-gc');
const collect: () => void = runInNewContext('gc');

/** A device, a detector on it, and what lives there of what it makes. */
async function observed() {
  const opened = await openDevice();
  const { device } = opened;
  const live = { buffers: 0, bytes: 0, made: 0, pipelines: 0 };
  const createBuffer = device.createBuffer.bind(device);
  device.createBuffer = (descriptor) => {
    const buffer = createBuffer(descriptor);
    live.buffers++;
    live.made++;
    live.bytes += descriptor.size;
    const destroy = buffer.destroy.bind(buffer);
    buffer.destroy = () => {
      live.buffers--;
      live.bytes -= descriptor.size;
      return destroy();
    };
    return buffer;
  };
  const createPipeline = device.createComputePipelineAsync.bind(device);
  device.createComputePipelineAsync = (descriptor) => {
    live.pipelines++;
    return createPipeline(descriptor);
  };
  const detector = new Detector(new Engine({ device }), await untrainedDetector());
  onTestFinished(() => {
    detector.destroy();
    opened.close();
  });
  const residentBytes = async () => {
    // What wraps things of the device frees them a turn after it was collected.
    for (let i = 0; i < 3; i++) {
      collect();
      await turn();
    }
    return process.memoryUsage().rss;
  };
  return { detector, live, residentBytes };
}

test('memory stays flat over a thousand predictions', { timeout: 1_800_000 }, async () => {
  const { detector, live, residentBytes } = await observed();
  const images = [128, 150, 97].map((size) => renderSpecimen('bracket', undefined, size, size).image);
  let before = { live: { ...live }, rss: 0 };
  for (let i = 0; i < PREDICTIONS; i++) {
    await detector.predict(images[i % images.length]!);
    if (i === WARM_UP) before = { live: { ...live }, rss: await residentBytes() };
  }
  const growth = (await residentBytes()) - before.rss;
  console.log(
    `after ${PREDICTIONS} predictions: ${live.buffers} buffers, ${live.bytes} bytes; host grew by ${growth} bytes`,
  );
  expect(live).toEqual(before.live);
  expect(growth).toBeLessThan(SLACK);
});

/** Of another size for every number, up to 35 times 20; all of them are small, as a plan depends on the size, not on how large it is. */
function imageOfSize(i: number): RgbImage {
  const [width, height] = [64 + (i % 35), 64 + 3 * Math.floor(i / 35)];
  const data = new Uint8Array(3 * width * height);
  for (let k = 0; k < data.length; k++) data[k] = (7919 * k + i) % 251;
  return { width, height, data };
}

test(`memory stays flat over ${SIZES} sizes of images`, { timeout: 1_800_000 }, async () => {
  const { detector, live, residentBytes } = await observed();
  let most = 0;
  const predict = async (from: number, to: number) => {
    for (let i = from; i < to; i++) {
      await detector.predict(imageOfSize(i));
      most = Math.max(most, live.buffers);
    }
  };
  // The last sizes before each look are the same, so that what is kept is, too.
  await predict(0, SIZES_BEFORE);
  await predict(0, KEPT);
  const before = { ...live, most, rss: await residentBytes() };
  await predict(SIZES_BEFORE, SIZES);
  await predict(0, KEPT);
  const growth = (await residentBytes()) - before.rss;
  console.log(
    `after ${SIZES} sizes: ${live.buffers} buffers of ${live.made} made, ${live.bytes} bytes, ${live.pipelines} pipelines; host grew by ${growth} bytes`,
  );
  expect(live.made).toBeGreaterThan(before.made);
  expect({ buffers: live.buffers, most }).toEqual({ buffers: before.buffers, most: before.most });
  // Buffers of results are kept for a few sizes, whichever they were.
  expect(live.bytes).toBeLessThan(1.01 * before.bytes);
  // Kernels belong to kinds of sizes, not to each.
  expect(live.pipelines).toBeLessThan(before.pipelines + 8);
  expect(growth).toBeLessThan(SLACK);
});
