import { expect, test } from 'vitest';
import { Detector } from '../src/detector/detector.ts';
import { Engine } from '../src/engine/engine.ts';
import { fit } from '../src/train/fit.ts';
import { engine } from './support/gpu.ts';
import { savedImage, shortRun } from './support/savedFiles.ts';
import { untrainedDetector } from './support/untrained.ts';

const gpu = await engine();
const state = await untrainedDetector();

/** An engine whose submissions and waits are counted. */
function counted() {
  const counts = { submissions: 0 };
  const queue = new Proxy(gpu.device.queue, {
    get(target, key) {
      const value = Reflect.get(target, key);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]) => {
        if (key === 'submit') counts.submissions++;
        return value.apply(target, args);
      };
    },
  });
  const device = new Proxy(gpu.device, {
    get(target, key) {
      if (key === 'queue') return queue;
      const value = Reflect.get(target, key);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  return { counts, engine: new Engine({ device, caps: gpu.caps, tuning: gpu.tuning }) };
}

test('a prediction in parts is the same, and takes turns with others', async () => {
  const { counts, engine: own } = counted();
  const detector = new Detector(own, state);
  const expected = await detector.predict(savedImage(0));
  const others = [];
  for (const i of [1, 2]) others.push(await detector.predict(savedImage(i)));
  const { dispatches } = await detector.compile(1);
  counts.submissions = 0;
  expect(await detector.predict(savedImage(0), { maxMilliseconds: 1e-9 })).toEqual(expected);
  // Resize, every dispatch, results; and what prepares the weights of the plan.
  expect(counts.submissions).toBeGreaterThanOrEqual(dispatches.length + 2);
  expect(counts.submissions).toBeLessThan(dispatches.length + 6);
  counts.submissions = 0;
  expect(await detector.predict(savedImage(0), { maxMilliseconds: 1e9 })).toEqual(expected);
  expect(counts.submissions).toBe(3);
  const together = [
    detector.predict(savedImage(1), { maxMilliseconds: 0.5 }),
    detector.predict(savedImage(0)),
    detector.predict(savedImage(2), { maxMilliseconds: 0.5 }),
    detector.predict(savedImage(1)),
  ];
  expect(await Promise.all(together)).toEqual([others[0], expected, others[1], others[0]]);
  const wrong = { width: 2, height: 2, data: new Uint8Array(3) };
  await expect(detector.predict(wrong, { maxMilliseconds: 1 })).rejects.toThrow('an image of 2x2');
  expect(await detector.predict(savedImage(0), { maxMilliseconds: 1 })).toEqual(expected);
  await expect(detector.predict(savedImage(0), { maxMilliseconds: 0 })).rejects.toThrow('maxMilliseconds 0');
  detector.destroy();
  await expect(detector.predict(savedImage(0), { maxMilliseconds: 1 })).rejects.toThrow('has been destroyed');
  own.destroy();
});

test('training in parts ends with the same values', async () => {
  const run = shortRun();
  const { counts, engine: own } = counted();
  const whole = await fit({ ...run, engine: own });
  const few = counts.submissions;
  counts.submissions = 0;
  const parts = await fit({ ...run, engine: own, maxMilliseconds: 2 });
  expect(counts.submissions).toBeGreaterThan(few + 50);
  expect(parts.state.networks.parameters.map(({ data }) => data)).toEqual(
    whole.state.networks.parameters.map(({ data }) => data),
  );
  expect(parts.state.threshold).toEqual(whole.state.threshold);
  for (const each of [whole, parts]) each.destroy();
  own.destroy();
});

test('a signal ends warming up, preparing and predicting with its reason, and leaves nothing behind', async () => {
  const detector = new Detector(gpu, state);
  const size = { width: 70, height: 60 };
  const begun: ((signal: AbortSignal) => Promise<unknown>)[] = [
    (signal) => detector.warmUp(2, { signal }),
    (signal) => detector.prepare(size, { signal }),
    (signal) => detector.predict(savedImage(0), { signal }),
    (signal) => detector.predictBatch([savedImage(0)], { signal }),
    (signal) => detector.predict(savedImage(0), { signal, maxMilliseconds: 1 }),
  ];
  for (const begin of begun) {
    const stop = new AbortController();
    const work = begin(stop.signal);
    stop.abort(new Error('enough'));
    await expect(work).rejects.toThrow('enough');
    await expect(begin(AbortSignal.abort(new Error('before')))).rejects.toThrow('before');
    await expect(begin(new AbortController().signal)).resolves.not.toBe(null);
  }
  const used = detector.predict(savedImage(0));
  expect((await used).score).toBeGreaterThan(0);
  detector.destroy();
});
