import { expect, test } from 'vitest';
import { Detector } from '../src/detector/detector.ts';
import { Engine } from '../src/engine/engine.ts';
import { DeviceLostError } from '../src/engine/errors.ts';
import { randomUniform } from '../src/kernels/random.ts';
import { type OpenDevice, openDevice } from '../src/node/device.ts';
import { fit } from '../src/train/fit.ts';
import { engine } from './support/gpu.ts';
import { savedImage, savedRun } from './support/savedFiles.ts';
import { untrainedDetector } from './support/untrained.ts';

const gpu = await engine();
const isFull = process.env['RAAD_TEST'] === 'full';
const LOSSES = isFull ? 10 : 1;

function values({ state }: Detector) {
  const { networks, quantiles, threshold } = state;
  return { quantiles, threshold, weights: networks.parameters.map(({ data }) => data) };
}

test('training goes on from its last snapshot on another device, and ends with the values of an undisturbed one', async () => {
  const { settings, ...run } = savedRun();
  const steps = { ...settings, iterations: isFull ? 24 : 6 };
  const undisturbed = await fit({ ...run, engine: gpu, settings: steps });
  const devices: OpenDevice[] = [];
  const lost: string[] = [];
  let reached = '';
  // An attempt ends with a submission of its first steps, which saves one snapshot at most, with a kernel that is compiled, or with
  // one of the submissions before.
  const moment = (phase: 'steps' | 'compile' | 'statistics') => {
    const [from, to] = { steps: [7, 16], compile: [1, 65], statistics: [1, 6] }[phase] as [number, number];
    return from + Math.floor((to - from + 1) * randomUniform(lost.length, 1, 2, 3));
  };
  let end: { readonly of: 'submit' | 'compile'; left: number } | undefined;
  const happens = (what: 'submit' | 'compile') => {
    if (end?.of === what && --end.left === 0) devices.at(-1)!.close();
  };
  const open = async () => {
    const opened = await openDevice();
    const { queue } = opened.device;
    const submit = queue.submit.bind(queue);
    queue.submit = (commands) => {
      submit(commands);
      happens('submit');
    };
    devices.push(opened);
    const phase = (['steps', 'compile', 'statistics'] as const)[lost.length % 3]!;
    end = lost.length < LOSSES ? { of: phase === 'compile' ? phase : 'submit', left: moment(phase) } : undefined;
    return new Engine({ device: opened.device });
  };
  const saved: number[] = [];
  const detector = await fit({
    ...run,
    engine: await open(),
    settings: steps,
    checkpoint: { every: 2, save: async ({ length }) => void saved.push(length) },
    onProgress({ phase, done }) {
      reached = `${phase} ${done}`;
      if (phase === 'compile') happens('compile');
    },
    async recover(error) {
      expect(error).toBeInstanceOf(DeviceLostError);
      lost.push(error.message);
      if (isFull) console.log(`loss ${lost.length} in training: after ${reached}`);
      return { engine: await open() };
    },
  });
  expect(saved.length).toBeGreaterThan(1);
  expect(lost).toHaveLength(LOSSES);
  expect(values(detector)).toEqual(values(undisturbed));
  for (const each of [detector, undisturbed]) each.destroy();
  for (const { close } of devices) close();
});

test('what is no loss of the device is not recovered from', async () => {
  const { settings, ...run } = savedRun();
  const recover = () => expect.fail('asked for another engine');
  await expect(fit({ ...run, engine: gpu, settings: { ...settings, batch: 0 }, recover })).rejects.toThrow('batch 0');
});

test('a detector moves to another engine and gives the same maps; late answers of the dead one change nothing', async () => {
  const state = await untrainedDetector();
  const first = await openDevice();
  const old = new Detector(new Engine({ device: first.device }), state);
  const expected = await old.predict(savedImage(0));
  const late = [old.predict(savedImage(1)), old.predict(savedImage(2)), old.warmUp(3)];
  first.close();
  const ends = Promise.allSettled(late);
  const moved = old.moveTo(gpu);
  const again = await moved.predict(savedImage(0));
  await ends;
  expect(again).toEqual(expected);
  expect(await moved.predict(savedImage(0))).toEqual(expected);
  expect(moved.state).toBe(state);
  await expect(old.predict(savedImage(0))).rejects.toThrow();
  moved.destroy();
});

test('predictions end with a typed error at any moment, and the next device gives the same map', async () => {
  const first = await openDevice();
  let { close } = first;
  let detector = new Detector(new Engine({ device: first.device }), await untrainedDetector());
  const expected = await detector.predict(savedImage(0));
  const start = () => [...[1, 2, 3].map((seed) => detector.predict(savedImage(seed))), detector.warmUp(2)];
  const from = performance.now();
  await Promise.all(start());
  const milliseconds = performance.now() - from;
  for (let i = 0; i < LOSSES; i++) {
    const ends = Promise.allSettled(start());
    await new Promise((resolve) => setTimeout(resolve, milliseconds * randomUniform(i, 4, 5, 6)));
    close();
    const reasons = (await ends).flatMap((end) => (end.status === 'rejected' ? [end.reason] : []));
    if (isFull) console.log(`loss ${i + 1} in inference: ${4 - reasons.length} of 4 were finished`);
    for (const reason of reasons) expect(reason).toBeInstanceOf(DeviceLostError);
    await expect(detector.predict(savedImage(0))).rejects.toThrow(DeviceLostError);
    const next = await openDevice();
    close = next.close;
    detector = detector.moveTo(new Engine({ device: next.device }));
    expect(await detector.predict(savedImage(0))).toEqual(expected);
  }
  detector.destroy();
  close();
});
