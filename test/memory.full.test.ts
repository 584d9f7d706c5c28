import { expect, test } from 'vitest';
import { renderSpecimen } from '../src/data/synthetic/generate.ts';
import { Engine } from '../src/engine/engine.ts';
import { Detector } from '../src/model/detector.ts';
import { openDevice } from '../src/node/device.ts';
import { untrainedDetector } from './untrained.ts';

const PREDICTIONS = 1000;
const WARM_UP = 200;
/** Growth that the garbage collector's timing explains, bytes. */
const SLACK = 40 * 2 ** 20;

test('memory stays flat over a thousand predictions', { timeout: 1_800_000 }, async () => {
  const opened = await openDevice();
  const { device } = opened;
  const live = { buffers: 0, bytes: 0, made: 0 };
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
  const detector = new Detector(new Engine({ device }), await untrainedDetector());
  const images = [128, 150, 97].map((size) => renderSpecimen('bracket', undefined, size, size).image);
  let before = { ...live, rss: 0 };
  for (let i = 0; i < PREDICTIONS; i++) {
    await detector.predict(images[i % images.length]!);
    if (i === WARM_UP) {
      globalThis.gc?.();
      before = { ...live, rss: process.memoryUsage().rss };
    }
  }
  globalThis.gc?.();
  const growth = process.memoryUsage().rss - before.rss;
  console.log(
    `after ${PREDICTIONS} predictions: ${live.buffers} buffers, ${live.bytes} bytes; host grew by ${growth} bytes`,
  );
  expect({ buffers: live.buffers, bytes: live.bytes, made: live.made }).toEqual({
    buffers: before.buffers,
    bytes: before.bytes,
    made: before.made,
  });
  expect(growth).toBeLessThan(SLACK);
  detector.destroy();
  opened.close();
});
