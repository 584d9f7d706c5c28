import { expect, test } from 'vitest';
import { create } from 'webgpu';
import { Detector } from '../src/detector/detector.ts';
import { requestDevice, withRequirements } from '../src/engine/adapter.ts';
import { Engine } from '../src/engine/engine.ts';
import { DeviceError } from '../src/engine/errors.ts';
import { input } from '../src/engine/graph.ts';
import { add } from '../src/kernels/elementwise.ts';
import { listAdapters } from '../src/node/device.ts';
import { device, engine } from './support/gpu.ts';
import { savedImage } from './support/savedFiles.ts';
import { untrainedDetector } from './support/untrained.ts';

// What an application does that has a device of its own.
const gpu = await engine();

test('a device that was made elsewhere needs no globals of WebGPU, and has its packed products', async () => {
  const state = await untrainedDetector();
  const own = new Detector(gpu, state);
  const expected = await own.predict(savedImage(1));
  own.destroy();
  const wanted = (await device()).adapter;
  const { backend, name } = (await listAdapters()).find((each) => each.name === wanted.name)!;
  const names = Object.keys(globalThis).filter((each) => /^GPU[A-Z]/.test(each));
  const held = Object.fromEntries(names.map((each) => [each, Reflect.get(globalThis, each)]));
  for (const each of names) Reflect.deleteProperty(globalThis, each);
  // Held to the end: Dawn's devices do not keep what they came from.
  const instance = create([`backend=${backend}`, `adapter=${name}`]);
  const adapter = await instance.requestAdapter();
  const foreign = await adapter!.requestDevice({ requiredFeatures: ['subgroups'] });
  try {
    expect(Reflect.has(globalThis, 'GPUBufferUsage')).toBe(false);
    const embedded = new Engine({ device: foreign });
    expect(embedded.caps.packedDot).toBe(true);
    const detector = new Detector(embedded, state);
    const { score } = await detector.predict(savedImage(1));
    expect(score).toBeCloseTo(expected.score, 5);
    detector.destroy();
    embedded.destroy();
  } finally {
    Object.assign(globalThis, held);
    foreign.destroy();
    await foreign.lost;
    expect(instance).toBeDefined();
  }
});

test("an application's own request keeps what it asks for and gets what kernels can use", async () => {
  const wanted = (await device()).adapter;
  const instance = create([`backend=${wanted.backend}`, `adapter=${wanted.name}`]);
  const adapter = (await instance.requestAdapter())!;
  const own: GPUDeviceDescriptor = {
    label: 'mine',
    requiredFeatures: ['texture-compression-bc'],
    requiredLimits: { maxBindGroups: adapter.limits.maxBindGroups, maxBufferSize: 1 },
  };
  const request = withRequirements(adapter, own);
  expect(request.label).toBe('mine');
  const made = await adapter.requestDevice(request);
  expect([...made.features]).toEqual(expect.arrayContaining(['texture-compression-bc', 'subgroups']));
  expect(made.limits.maxBindGroups).toBe(adapter.limits.maxBindGroups);
  expect(made.limits.maxBufferSize).toBe(adapter.limits.maxBufferSize);
  expect(own.requiredFeatures).toHaveLength(1);
  made.destroy();
  await made.lost;
  expect(instance).toBeDefined();
});

test('a software adapter without subgroups is told of once', async () => {
  const wanted = (await device()).adapter;
  const instance = create([`backend=${wanted.backend}`, `adapter=${wanted.name}`]);
  const open = async () => (await instance.requestAdapter())!;
  const warnings: string[] = [];
  const onWarning = (message: string) => warnings.push(message);
  const bare = await (await open()).requestDevice();
  new Engine({ device: bare, onWarning });
  expect(warnings).toEqual([expect.stringMatching(/without the feature 'subgroups'.*request it/)]);
  const full = await requestDevice(await open());
  new Engine({ device: full, onWarning });
  expect(warnings).toHaveLength(1);
  for (const each of [bare, full]) {
    each.destroy();
    await each.lost;
  }
  expect(instance).toBeDefined();
});

test('a scope that the application holds open gets its own errors and none of ours', async () => {
  const x = input('x', [4, 5]);
  const { device: shared } = gpu;
  shared.pushErrorScope('validation');
  shared.pushErrorScope('out-of-memory');
  const compiling = Promise.all(
    Array.from({ length: 4 }, (_, i) => gpu.compile({ outputs: { y: add(x, input(`z${i}`, [4, 5])) } })),
  );
  // The application's own mistake, while a plan is compiled.
  shared.createBuffer({ size: 4, usage: 0x1 | 0x80 });
  const plans = await compiling;
  const broken = await gpu.compile({ outputs: { y: add(x, x) } });
  broken.inputBuffer('x').destroy();
  await expect(broken.run({}, ['y'])).rejects.toThrow(DeviceError);
  expect(await shared.popErrorScope()).toBeNull();
  expect((await shared.popErrorScope())?.message).toMatch(/usage/i);
  for (const plan of [...plans, broken]) plan.destroy();
});

test('a compile that fails leaves no buffer behind', async () => {
  const made = new Set<GPUBuffer>();
  const wrapped = new Proxy(gpu.device, {
    get(target, key) {
      const value = Reflect.get(target, key);
      if (typeof value !== 'function') return value;
      if (key !== 'createBuffer') return value.bind(target);
      return (descriptor: GPUBufferDescriptor) => {
        const buffer = target.createBuffer(descriptor);
        made.add(buffer);
        const { destroy } = buffer;
        buffer.destroy = () => {
          made.delete(buffer);
          return destroy.call(buffer);
        };
        return buffer;
      };
    },
  });
  const wide = add(input('x', [64]), input('z', [64]));
  for (const shaders of [new Map([['pointwise.wgsl', 'not a shader']]), new Map([['pointwise.wgsl', '#if']])]) {
    const own = new Engine({ device: wrapped, caps: gpu.caps, shaders });
    await expect(own.compile({ outputs: { y: wide } })).rejects.toThrow(/pointwise/);
    expect(made.size).toBe(0);
    own.destroy();
  }
});
