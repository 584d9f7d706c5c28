import { describe, expect, test } from 'vitest';
import { benchKernel, type ConvShape, type KernelBenchOptions, type SkippedVariant } from '../src/bench/kernels.ts';
import { maskCaps } from '../src/engine/adapter.ts';
import { Engine } from '../src/engine/engine.ts';
import { engine } from './gpu.ts';

const gpu = await engine();
const odd: ConvShape = { input: [2, 7, 9, 11], kernel: [10, 3, 3], stride: 1, padding: 1 };
const options: KernelBenchOptions = {
  kernels: ['conv2d', 'qconv2d'],
  shapes: [odd],
  bits: [3],
  activations: ['u8', 'f16', 'f32'],
  rounds: 2,
  warmUp: 0,
};

/** One step of a half float at most, and what Winograd's method loses. */
const TOLERANCE = { u8: 0, f16: 2 ** -10, f32: 5e-5 } as const;

describe('variants on shapes of one’s own', () => {
  test('all that are supported, each with its error against the reference', async () => {
    const results = await benchKernel(gpu, options);
    for (const { kernel, bits, activations, variant, error, isExact, ...result } of results) {
      const name = `${kernel} w${bits} ${activations} ${variant}`;
      expect(error, name).toBeLessThanOrEqual(TOLERANCE[activations]);
      expect(isExact, name).toBe(activations === 'u8' ? true : undefined);
      expect(result.checkedChannels).toBe(10);
      expect(result.flops).toBe(2 * 2 * 10 * 9 * 11 * 7 * 9);
      expect(result.runs).toBe(2);
      expect(result.median).toBeGreaterThan(0);
    }
    const rows = (kernel: string) => results.filter((result) => result.kernel === kernel);
    expect(rows('conv2d').length).toBeGreaterThan(1);
    expect(rows('qconv2d')).toHaveLength(3 * new Set(rows('qconv2d').map(({ variant }) => variant)).size);
  });

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
