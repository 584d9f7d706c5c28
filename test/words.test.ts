import { describe, expect, test } from 'vitest';
import { MACHINES, withMatrices } from '../src/bench/machines.ts';
import { maskCaps } from '../src/engine/adapter.ts';
import type { Caps } from '../src/engine/caps.ts';
import { input, type Node, size } from '../src/engine/graph.ts';
import { chooseVariant } from '../src/engine/lower.ts';
import { supportedVariants } from '../src/engine/variants.ts';
import type { WeightBits } from '../src/formats/weightCodes.ts';
import { type Qconv2dAttrs, qconv2d } from '../src/kernels/qconv2d.ts';
import { storeActivations } from '../src/kernels/storage.ts';
import { quantizedLayerNodes, randomWeights, rangeNode as range } from '../src/measure/kernels.ts';
import { engine } from './support/gpu.ts';

const gpu = await engine();
const hopper = MACHINES.h100.caps;
const matrices = withMatrices(MACHINES.h100).caps;

interface Layer extends Partial<Omit<Qconv2dAttrs, 'weights' | 'bits'>> {
  readonly bits?: WeightBits;
}

/** @param x [N, CI, H, W] @param w [CO, KH, KW] */
function layer(x: readonly number[], w: readonly [number, number, number], { bits = 8, ...given }: Layer = {}): Node {
  const weights = [w[0], x[1]!, w[1], w[2]];
  const attrs: Qconv2dAttrs = {
    ...{ weights, bits, groupSize: x[1]!, input: 'u8', output: 'u8', stride: 1, padding: 0, relu: false, pool: false },
    ...given,
  };
  // Scales that are no powers of two: a sum in another order would show.
  const inRange = range(1.23, 90);
  const stored = storeActivations(input('x', x), 'u8', inRange);
  const outRange = attrs.output === 'u8' ? range(57.1, 30) : undefined;
  return qconv2d(
    { x: stored, ...quantizedLayerNodes(randomWeights(weights, bits, attrs.groupSize)), inRange, outRange },
    attrs,
  );
}

describe('products of words', () => {
  test.each([
    ['words4x4', layer([1, 37, 11, 7], [9, 4, 4], { bits: 3, stride: 2, padding: 2 })],
    ['words16x16', layer([2, 24, 9, 10], [18, 3, 3], { bits: 6, relu: true, pool: true, output: 'f16' })],
    ['words32x32', layer([2, 5, 8, 11], [35, 5, 3], { bits: 2, padding: 1, output: 'f32' })],
    ['words64x64', layer([3, 12, 10, 9], [70, 3, 3], { bits: 8, padding: 1, pool: true })],
  ])('%s gives every bit that tile gives', async (variant, y) => {
    const length = size(y.inputs[0]!.inputs[0]!.type);
    const x = Float32Array.from({ length }, (_, i) => ((i * 37) % 256) - 100);
    const results = await Promise.all(
      [variant, 'tile'].map(async (qconv2d) => {
        const plan = await gpu.compile({ outputs: { y }, variants: { qconv2d } });
        const { y: values } = await plan.run({ x }, ['y']);
        plan.destroy();
        return values!;
      }),
    );
    expect(new Set(results[1]).size).toBeGreaterThan(10);
    expect(results[0]).toEqual(results[1]);
  });

  const chosen = (node: Node, caps: Caps = matrices) => chooseVariant(node, { caps }).name;

  test('are the default of GPUs for few outputs, in blocks that leave work for all cores', () => {
    // The autoencoder's layers at 256 px.
    expect(chosen(layer([1, 64, 8, 8], [64, 8, 8]))).toBe('words4x4');
    expect(chosen(layer([1, 64, 16, 16], [64, 4, 4], { stride: 2, padding: 1 }))).toBe('words4x4');
    expect(chosen(layer([1, 64, 32, 32], [64, 4, 4], { stride: 2, padding: 1 }))).toBe('words16x16');
    expect(chosen(layer([1, 64, 63, 63], [64, 4, 4], { padding: 2 }))).toBe('words32x32');
    expect(chosen(layer([1, 64, 127, 127], [64, 4, 4], { padding: 2 }))).toMatch(/^matrix/);
  });

  test('are the default for any number without products of matrices', () => {
    expect(chosen(layer([1, 64, 127, 127], [64, 4, 4], { padding: 2 }), hopper)).toBe('words64x64');
    expect(chosen(layer([1, 3, 256, 256], [32, 4, 4], { stride: 2, padding: 1 }), hopper)).toBe('words32x32');
    expect(chosen(layer([1, 3, 256, 256], [128, 4, 4], { pool: true }), hopper)).toBe('words64x64');
  });

  const namesOf = (node: Node, caps: Caps) =>
    supportedVariants(node, { caps })
      .map(({ name }) => name)
      .filter((name) => name.startsWith('words'));

  test('need no more than every device has', () => {
    const limits = { maxComputeInvocationsPerWorkgroup: 256, maxComputeWorkgroupStorageSize: 16384 };
    const least = { subgroups: false, packedDot: false, limits };
    expect(namesOf(layer([1, 64, 8, 8], [64, 3, 3]), maskCaps(hopper, least))).toHaveLength(4);
    const small = maskCaps(hopper, { limits: { maxComputeInvocationsPerWorkgroup: 128 } });
    expect(namesOf(layer([1, 64, 8, 8], [64, 3, 3]), small)).toEqual([]);
  });

  test.each([{ groupSize: 32 }, { pool: true, stride: 2 }] as const)('are not for %o', (attrs) => {
    expect(namesOf(layer([1, 64, 16, 16], [64, 3, 3], attrs), hopper)).toEqual([]);
  });
});
