import { expect, test } from 'vitest';
import { renderSpecimen } from '../src/data/synthetic/generate.ts';
import { Detector } from '../src/detector/detector.ts';
import { prepareQuantization, type QuantizeProgress } from '../src/detector/quantize.ts';
import { Engine } from '../src/engine/engine.ts';
import { DestroyedError } from '../src/engine/errors.ts';
import { Leases } from '../src/engine/leases.ts';
import { openDevice } from '../src/node/device.ts';
import { uniformPlan } from '../src/quantization/bitPlan.ts';
import { crop } from './support/crop.ts';
import { untrainedDetector } from './support/untrained.ts';

const state = await untrainedDetector();
const picture = renderSpecimen('bracket', 'scratch', 5, 160).image;

/** A device that counts the bytes of its buffers. */
async function countedDevice() {
  const opened = await openDevice();
  const { device } = opened;
  const live = { bytes: 0 };
  const createBuffer = device.createBuffer.bind(device);
  device.createBuffer = (descriptor) => {
    const buffer = createBuffer(descriptor);
    live.bytes += descriptor.size;
    const destroy = buffer.destroy.bind(buffer);
    let isLive = true;
    buffer.destroy = () => {
      if (isLive) live.bytes -= descriptor.size;
      isLive = false;
      return destroy();
    };
    return buffer;
  };
  const submits = { count: 0, maps: 0 };
  const submit = device.queue.submit.bind(device.queue);
  device.queue.submit = (commands) => {
    submits.count++;
    return submit(commands);
  };
  const engine = new Engine({ device });
  const map = engine.map.bind(engine);
  engine.map = (staging) => {
    submits.maps++;
    return map(staging);
  };
  return { ...opened, engine, live, submits };
}

test('a prediction is one round trip', async () => {
  const { engine, submits, close } = await countedDevice();
  const detector = new Detector(engine, state);
  await detector.predict(picture);
  Object.assign(submits, { count: 0, maps: 0 });
  await detector.predict(picture);
  // A GPU gets a long run in parts, which it begins before all are recorded.
  expect(submits).toEqual({ count: engine.caps.isCpu ? 1 : 3, maps: 1 });
  detector.destroy();
  close();
});

test('batches of many lengths at once', async () => {
  const { engine, live, close } = await countedDevice();
  const before = live.bytes;
  const detector = new Detector(engine, state);
  const alone = (await detector.predict(picture)).score;
  const batches = await Promise.all(
    [1, 2, 3, 4, 5].map((length) => detector.predictBatch(Array.from({ length }, () => picture))),
  );
  for (const [i, batch] of batches.entries()) {
    expect(batch).toHaveLength(i + 1);
    for (const { score } of batch) expect(Math.abs(score - alone)).toBeLessThan(1e-4 * Math.abs(alone));
  }
  detector.destroy();
  expect(live.bytes).toBe(before);
  close();
});

test('images of many sizes take no more memory than some', async () => {
  const { engine, live, close } = await countedDevice();
  const before = live.bytes;
  const detector = new Detector(engine, state);
  const sizes = Array.from({ length: 40 }, (_, i) => crop(picture, 100 + i, 120));
  for (const image of sizes.slice(0, 20)) await detector.predict(image);
  const some = live.bytes;
  for (const image of sizes.slice(20)) await detector.predict(image);
  // The last sizes are a little larger than those before.
  expect(live.bytes).toBeLessThan(1.2 * some);
  detector.destroy();
  expect(live.bytes).toBe(before);
  close();
});

test('what was prepared for an application: many sizes, and one size many times at once', async () => {
  const { engine, live, device, close } = await countedDevice();
  const before = live.bytes;
  const detector = new Detector(engine, state);
  await detector.warmUp();
  const networks = live.bytes - before;
  const prepared = [];
  for (let i = 0; i < 50; i++) prepared.push(await detector.prepare({ width: 64 + i, height: 60 }));
  const [first] = prepared;
  expect(live.bytes - before).toBeLessThan(networks + 50 * 300_000);
  prepared.push(...(await Promise.all(Array.from({ length: 8 }, () => detector.prepare({ width: 200, height: 50 })))));
  // It is never replaced by others while it lives.
  const usage = GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const image = device.createBuffer({ size: 64 * 60 * 4, usage });
  const map = device.createBuffer({ size: 64 * 60 * 4, usage });
  const encoder = device.createCommandEncoder();
  first!.encode(encoder, { image, map });
  device.queue.submit([encoder.finish()]);
  await device.queue.onSubmittedWorkDone();
  image.destroy();
  map.destroy();
  for (const each of prepared) each.destroy();
  expect(() => first!.encode(encoder, { image, map })).toThrow(DestroyedError);
  const idle = live.bytes;
  expect(idle - before).toBeLessThan(networks + 8 * 300_000);
  detector.destroy();
  expect(live.bytes).toBe(before);
  close();
});

test('use after destroy is a typed error and allocates nothing; runs under way end', async () => {
  const { engine, live, close } = await countedDevice();
  const before = live.bytes;
  const detector = new Detector(engine, state);
  const alone = (await detector.predict(picture)).score;
  const prepared = await detector.prepare({ width: 64, height: 64 });
  // One that has been submitted, and two that still wait for their plans.
  const submitted = detector.predict(picture);
  for (let i = 0; i < 20; i++) await Promise.resolve();
  const waiting = [detector.predict(picture), detector.predict(crop(picture, 90, 91))];
  detector.destroy();
  const [ended, ...others] = await Promise.allSettled([submitted, ...waiting]);
  expect(ended!.status === 'fulfilled' && ended!.value.score).toBe(alone);
  for (const each of others) expect(each.status === 'rejected' && each.reason).toBeInstanceOf(DestroyedError);
  const uses = {
    predict: () => detector.predict(picture),
    predictBatch: () => detector.predictBatch([picture, picture]),
    'predictBatch of nothing': () => detector.predictBatch([]),
    stream: () => detector.stream([picture]).next(),
    rawMaps: () => detector.rawMaps(picture),
    place: () => detector.place(new Float32Array(state.networks.mapSide ** 2), 9, 9),
    prepare: () => detector.prepare({ width: 9, height: 9 }),
    warmUp: () => detector.warmUp(),
    compile: async () => detector.compile(1),
    deviceBytes: () => detector.deviceBytes(),
  };
  for (const [name, use] of Object.entries(uses)) {
    await expect(use(), name).rejects.toThrow(DestroyedError);
  }
  prepared.destroy();
  detector.destroy();
  expect(live.bytes).toBe(before);
  close();
});

test('leases: a value stays while somebody uses it, and a few that nobody uses', async () => {
  const disposed: number[] = [];
  const leases = new Leases<number>('test', 2, (value) => disposed.push(value));
  const make = (value: number) => async () => value;
  const first = await leases.lease('1', make(1));
  const again = await leases.lease('1', make(9));
  expect(again.value).toBe(1);
  for (const key of [2, 3, 4]) (await leases.lease(String(key), make(key))).release();
  expect(disposed).toEqual([2]);
  first.release();
  first.release();
  expect(disposed).toEqual([2]);
  again.release();
  expect(disposed).toEqual([2, 3]);
  await expect(leases.lease('bad', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  const retried = await leases.lease('bad', make(5));
  const pending = leases.lease('6', () => new Promise((done) => setTimeout(done, 5, 6)));
  leases.destroy();
  await expect(pending).rejects.toThrow('this test has been destroyed.');
  expect(disposed.sort()).toEqual([1, 2, 3, 4, 6]);
  retried.release();
  expect(disposed.at(-1)).toBe(5);
});

test('what quantization prepares leaves nothing on the device, even when it is stopped', async () => {
  const { engine, live, close } = await countedDevice();
  const before = live.bytes;
  const source = { count: 2, image: async (i: number) => renderSpecimen('bracket', undefined, i, 128).image };
  const options = { train: source, activations: 'integer' } as const;
  const detector = new Detector(engine, state);
  const prepared = await prepareQuantization({ detector, ...options });
  const stop = new AbortController();
  const onProgress = ({ phase }: QuantizeProgress) => phase === 'means' && stop.abort(new Error('stopped'));
  const stopped = prepareQuantization({ detector, ...options, onProgress, signal: stop.signal });
  await expect(stopped).rejects.toThrow('stopped');
  detector.destroy();
  expect(live.bytes).toBe(before);
  const plan = uniformPlan(state.networks, { weights: 4, activations: 8 });
  const quantized = await prepared.quantize(plan, { heldOut: source });
  expect(live.bytes).toBeGreaterThan(before);
  quantized.destroy();
  expect(live.bytes).toBe(before);
  close();
});
