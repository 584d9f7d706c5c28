import { expect, test } from 'vitest';
import { renderSpecimen } from '../src/data/synthetic/generate.ts';
import { Detector } from '../src/detector/detector.ts';
import { Engine } from '../src/engine/engine.ts';
import { packPixels } from '../src/imaging/pixels.ts';
import { openDevice } from '../src/node/device.ts';
import { untrainedDetector } from './support/untrained.ts';

/** What a replay may not do. */
const MAKERS = [
  'createBuffer',
  'createBindGroup',
  'createBindGroupLayout',
  'createPipelineLayout',
  'createShaderModule',
  'createComputePipeline',
  'createComputePipelineAsync',
  'createQuerySet',
  'createTexture',
] as const;

test('a warm plan replays without making anything on the device', async () => {
  const opened = await openDevice();
  const { device } = opened;
  const made: string[] = [];
  for (const name of MAKERS) {
    const original = (device[name] as (...args: unknown[]) => unknown).bind(device);
    Object.assign(device, {
      [name]: (...args: unknown[]) => {
        made.push(name);
        return original(...args);
      },
    });
  }
  const detector = new Detector(new Engine({ device }), await untrainedDetector());
  const { image } = renderSpecimen('bracket', undefined, 1, 128);
  const plan = await detector.compile(1);
  const pixels = packPixels(image);
  const twice = () => Promise.all([1, 2].map(() => plan.run({ image: pixels }, ['combined'])));
  await twice();
  await detector.predict(image);
  expect(made).toContain('createBuffer');
  made.length = 0;
  for (let i = 0; i < 10; i++) {
    // Two at once: readback is double-buffered.
    const [a, b] = await twice();
    expect(a!['combined']).toEqual(b!['combined']);
    await detector.predict(image);
  }
  expect(made).toEqual([]);
  plan.destroy();
  detector.destroy();
  opened.close();
});
