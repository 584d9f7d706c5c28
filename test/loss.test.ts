import { expect, test } from 'vitest';
import { Detector } from '../src/detector/detector.ts';
import { Engine } from '../src/engine/engine.ts';
import { DestroyedError, DeviceLostError } from '../src/engine/errors.ts';
import { input } from '../src/engine/graph.ts';
import { add } from '../src/kernels/elementwise.ts';
import { openDevice } from '../src/node/device.ts';
import { fit } from '../src/train/fit.ts';
import { savedImage, savedRun } from './support/savedFiles.ts';
import { untrainedDetector } from './support/untrained.ts';

const DELAYS = Array.from({ length: 20 }, (_, i) => 9 * i);

test('a device that is lost in mid-run is a typed error of whatever is under way', async () => {
  const state = await untrainedDetector();
  for (const delay of DELAYS) {
    const opened = await openDevice();
    const engine = new Engine({ device: opened.device });
    const detector = new Detector(engine, state);
    const uncaptured: string[] = [];
    opened.device.addEventListener('uncapturederror', ({ error }) => void uncaptured.push(error.message));
    const compiling = detector.warmUp(1);
    const running = Array.from({ length: 3 }, (_, i) => detector.predict(savedImage(i)));
    const all = Promise.allSettled([compiling, ...running]);
    await new Promise((resolve) => setTimeout(resolve, delay));
    opened.close();
    for (const result of await all) {
      if (result.status === 'fulfilled') continue;
      expect(result.reason, `after ${delay} ms`).toBeInstanceOf(DeviceLostError);
      expect(result.reason.reason).toBe('destroyed');
    }
    expect(await engine.lost).toBeInstanceOf(DeviceLostError);
    await expect(detector.predict(savedImage(0))).rejects.toThrow(DeviceLostError);
    expect(uncaptured).toEqual([]);
    detector.destroy();
  }
});

test('so it is in training', async () => {
  for (const delay of [500, 1500, 3000]) {
    const opened = await openDevice();
    const engine = new Engine({ device: opened.device });
    const { settings, ...run } = savedRun();
    const training = fit({ ...run, engine, settings: { ...settings, iterations: 2000 } });
    setTimeout(() => opened.close(), delay);
    await expect(training).rejects.toThrow(DeviceLostError);
  }
});

test("an engine's own end is told apart from the loss of its device", async () => {
  const opened = await openDevice();
  const engine = new Engine({ device: opened.device });
  const x = input('x', [4]);
  engine.destroy();
  await expect(engine.compile({ outputs: { y: add(x, x) } })).rejects.toThrow(DestroyedError);
  const other = new Engine({ device: opened.device });
  const plan = await other.compile({ outputs: { y: add(x, x) } });
  expect(await plan.run({ x: Float32Array.of(1, 2, 3, 4) }, ['y'])).toEqual({ y: Float32Array.of(2, 4, 6, 8) });
  plan.destroy();
  await expect(plan.run()).rejects.toThrow(DestroyedError);
  opened.close();
});
