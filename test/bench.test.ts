import { describe, expect, test } from 'vitest';
import { maskCaps } from '../src/engine/adapter.ts';
import { Engine } from '../src/engine/engine.ts';
import { input, Parameter } from '../src/engine/graph.ts';
import { planRepeats, repeatsFor, sampleSize, spin, stampedTime, stopwatch, timeRuns } from '../src/engine/sample.ts';
import { conv2d } from '../src/kernels/conv2d.ts';
import { sampleQuantile } from '../src/math/statistics.ts';
import { benchKernel, type ConvShape, type KernelBenchOptions, type SkippedVariant } from '../src/measure/kernels.ts';
import { summarize } from '../src/measure/measure.ts';
import type { Peaks } from '../src/measure/peak.ts';
import { arithmeticOf, bandwidth, boundOf, workOf } from '../src/measure/roofline.ts';
import { engine } from './support/gpu.ts';

const gpu = await engine();
const odd: ConvShape = { input: [2, 7, 9, 11], kernel: [10, 3, 3], stride: 1, padding: 1 };
const options: KernelBenchOptions = {
  kernels: ['conv2d', 'qconv2d'],
  shapes: [odd],
  bits: [3],
  activations: ['u8', 'u4', 'f16', 'f32'],
  rounds: 2,
  warmUp: 0,
};

describe('variants on shapes of one’s own', () => {
  test('bytes of weights are those that the kernels read', async () => {
    const results = await benchKernel(gpu, {
      ...options,
      bits: [8, 3, 2],
      activations: ['u8'],
      variants: ['direct', 'winograd4'],
    });
    const bytes = Object.fromEntries(
      results.map(({ kernel, bits, variant, weightBytes }) => [`${kernel} ${bits} ${variant}`, weightBytes]),
    );
    // 2 x 2 blocks of 9 taps, and two floats per output channel.
    const packed = (bits: number) => 4 * (2 * 2 * 9 * bits + 2 * 10);
    expect(bytes).toEqual({
      'conv2d 32 direct': 4 * 10 * 7 * 9,
      'conv2d 32 winograd4': expect.any(Number),
      'qconv2d 8 direct': packed(8),
      'qconv2d 3 direct': packed(3),
      'qconv2d 2 direct': packed(2),
    });
    expect(bytes['conv2d 32 winograd4']).toBeGreaterThanOrEqual(4 * 10 * 7 * 36);
  });

  test('groups, strides and large shapes, of which some channels are compared', async () => {
    const large: ConvShape = { input: [1, 128, 30, 30], kernel: [72, 5, 5], stride: 1, padding: 0 };
    const strided: ConvShape = { input: [1, 16, 12, 9], kernel: [5, 4, 4], stride: 2, padding: 1 };
    const given = { ...options, kernels: ['qconv2d' as const], activations: ['f32' as const] };
    const results = await benchKernel(gpu, { ...given, shapes: [large, strided], groupSize: 8, variants: ['direct'] });
    expect(results.map(({ checkedChannels }) => checkedChannels)).toEqual([62, 5]);
    for (const { error } of results) expect(error).toBeLessThan(1e-5);
    await expect(benchKernel(gpu, { ...given, shapes: [odd], groupSize: 3 })).rejects.toThrow(/groups of 3/);
  });

  test('the ceiling is that of the instruction which a kernel uses', async () => {
    const given = { ...options, kernels: ['qconv2d' as const], variants: ['tile'] };
    for (const packedDot of gpu.caps.packedDot ? [true, false] : [false]) {
      const masked = new Engine({ device: gpu.device, caps: { ...gpu.caps, packedDot } });
      const results = await benchKernel(masked, { ...given, activations: ['u8', 'f32'] });
      expect(results.map(({ ceiling }) => ceiling)).toEqual([packedDot ? 'dot4I8Packed' : 'f32', 'f32']);
    }
  });

  test('a variant that cannot run is told, with what it lacks', async () => {
    const masked = new Engine({ device: gpu.device, caps: maskCaps(gpu.caps, { subgroups: false }) });
    const strided = { ...odd, stride: 2 };
    const skipped: SkippedVariant[] = [];
    const given = { ...options, kernels: ['qconv2d' as const], activations: ['u8' as const] };
    const onSkip = (one: SkippedVariant) => skipped.push(one);
    const results = await benchKernel(masked, {
      ...given,
      shapes: [odd, strided],
      variants: ['rows', 'direct'],
      onSkip,
    });
    expect(results.map(({ variant }) => variant)).toEqual(['direct', 'direct']);
    expect(skipped.map(({ variant, because }) => `${variant}: ${because}`)).toEqual(['rows: adapter', 'rows: shape']);
    await expect(benchKernel(masked, { ...given, variants: ['rows'] })).rejects.toThrow(/no variant .* can run here/);
  });
});

/** 1 TFLOP/s, 4 TOP/s, 100 GB/s from memory, 1 TB/s from a cache of less than 64 MiB, 10 us a dispatch. */
const peaks: Peaks = {
  f32GFlops: 1000,
  f16GFlops: 2000,
  dot4I8GOps: 4000,
  copyGBs: 100,
  readGBs: 90,
  memory: [
    { bytes: 2 ** 23, GBs: 1000 },
    { bytes: 2 ** 26, GBs: 90 },
  ],
  emptySubmitUs: 50,
  dispatchUs: 10,
};

describe('what bounds a kernel', () => {
  const work = { flops: 0, bytes: 0, dispatches: 1, milliseconds: 2 };

  test('is the ceiling that allows the least', () => {
    expect(boundOf({ ...work, flops: 1e9, bytes: 2 ** 10 }, peaks)).toEqual({ by: 'arithmetic', share: 0.5 });
    expect(boundOf({ ...work, flops: 1e6, bytes: 1e8 }, peaks)).toEqual({ by: 'memory', share: 0.5 });
    expect(boundOf({ ...work, flops: 1e6, bytes: 1e3, dispatches: 100 }, peaks)).toEqual({
      by: 'launches',
      share: 0.5,
    });
  });

  test('counts every kind of arithmetic by its own peak', () => {
    const kinds = { flops: 5e8, halfFlops: 5e8, integerOps: 1e9 };
    expect(boundOf({ ...work, ...kinds }, peaks)).toEqual({ by: 'arithmetic', share: 0.5 });
    // What has no peak here does not bound.
    expect(boundOf({ ...work, integerOps: 1e9 }, { ...peaks, dot4I8GOps: 0 }).by).toBe('launches');
  });

  test('takes the bandwidth of what fits into a cache', () => {
    expect(bandwidth(peaks, 100)).toBe(1000);
    expect(bandwidth(peaks, 2 ** 26 - 1)).toBe(1000);
    expect(bandwidth(peaks, 2 ** 26)).toBe(100);
    expect(boundOf({ ...work, bytes: 5e7, dispatches: 10 }, peaks)).toEqual({ by: 'launches', share: 0.05 });
    expect(boundOf({ ...work, bytes: 1e8, workingSet: 2 ** 27 }, peaks).share).toBe(0.5);
  });

  test('of a plan is what its dispatches execute', async () => {
    expect(arithmeticOf('let x = dot4I8Packed(a, b);')).toBe('dot4I8Packed');
    expect(arithmeticOf('a = subgroupMatrixMultiplyAccumulate(l, r, a);')).toBe('matrix');
    const w = new Parameter('w', { shape: [8, 4, 3, 3], dtype: 'f32' });
    const y = conv2d(input('x', [1, 4, 10, 10]), w.node, undefined, {}, 'y');
    const defined = 2 * 8 * 64 * 4 * 9;
    const executed: number[] = [];
    for (const variant of ['direct', 'winograd4']) {
      const plan = await gpu.compile({ outputs: { y }, variants: { conv2d: variant } });
      const done = workOf(plan.dispatches, plan.shaders);
      expect(done.dispatches).toBe(plan.dispatches.length);
      expect(done.flops).toBe(done.executed);
      expect(done.bytes).toBeGreaterThan(0);
      executed.push(done.executed);
      plan.destroy();
    }
    // Four tiles of 36 products instead of 64 outputs of nine.
    expect(executed[0]).toBe(defined);
    expect(executed[1]).toBe(2 * 36 * 4 * 8 * 4);
  });
});

describe('samples', () => {
  test('are summarized by median and percentiles', () => {
    const samples = Array.from({ length: 200 }, (_, i) => 200 - i);
    expect(summarize('x', samples)).toEqual({ name: 'x', runs: 200, median: 101, p5: 11, p95: 191, p99: 199 });
    expect(summarize('x', [3, 1, 2])).toEqual({ name: 'x', runs: 3, median: 2, p5: 1, p95: 3 });
    expect(sampleQuantile([4], 0.99)).toBe(4);
  });

  test('repeat short runs, within bounds', () => {
    const fine = { isFine: true, emptySubmit: 1 };
    const [cpu, gpuSize] = [sampleSize({ isCpu: true }, fine), sampleSize({ isCpu: false }, fine)];
    expect(sampleSize({ isCpu: false }, { ...fine, isFine: false }).milliseconds).toBe(8);
    expect(repeatsFor(100, cpu)).toBe(1);
    expect(repeatsFor(0.001, cpu)).toBe(64);
    expect(repeatsFor(0.001, gpuSize)).toBe(1024);
    expect(repeatsFor(0.03, gpuSize)).toBe(100);
  });

  test('take timestamps where these tell the time', () => {
    expect(stampedTime(1n, 1_000_001n, 2)).toBe(1);
    expect(stampedTime(5n, 5n, 2)).toBeUndefined();
    expect(stampedTime(9n, 5n, 2)).toBeUndefined();
    // More than the host saw.
    expect(stampedTime(1n, 3_000_001n, 2)).toBeUndefined();
    // Coarse steps: few of them say little.
    expect(stampedTime(65536n, 65536n * 11n, 2)).toBeUndefined();
    expect(stampedTime(65536n, 65536n * 101n, 10)).toBeCloseTo(6.5536);
  });

  test('are taken with and without timestamps', async () => {
    const w = new Parameter('w', { shape: [8, 4, 3, 3], dtype: 'f32' });
    const y = conv2d(input('x', [1, 4, 9, 9]), w.node, undefined, {}, 'y');
    for (const timestampQuery of gpu.caps.timestampQuery ? [true, false] : [false]) {
      const masked = new Engine({ device: gpu.device, caps: { ...gpu.caps, timestampQuery } });
      const plan = await masked.compile({ outputs: { y } });
      expect(await planRepeats(masked, plan)).toBeGreaterThanOrEqual(1);
      expect(await timeRuns(masked, plan, 2)).toBeGreaterThan(0);
      expect((await stopwatch(masked)).emptySubmit).toBeGreaterThan(0);
      plan.destroy();
    }
    const asGpu = new Engine({ device: gpu.device, caps: { ...gpu.caps, isCpu: false } });
    await spin(asGpu, 0);
  });
});
