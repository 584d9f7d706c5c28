import { describe, expect, test } from 'vitest';
import { quantizedTable } from '../src/doctor/quantizedTable.ts';
import { maskCaps, requestDevice } from '../src/engine/adapter.ts';
import { type Caps, detectCaps } from '../src/engine/caps.ts';
import { input, type Node } from '../src/engine/graph.ts';
import { chooseVariant } from '../src/engine/lower.ts';
import { supportedVariants } from '../src/engine/variants.ts';
import { conv2dWeightGrad } from '../src/gradients/conv2dWeightGrad.ts';
import { conv2d } from '../src/kernels/conv2d.ts';
import { engine } from './support/gpu.ts';

const gpu = await engine();

/** A device as far as its capabilities go. */
function pretend(info: object, features: readonly string[] = []): GPUDevice {
  const names = { vendor: '', architecture: '', device: '', description: '' };
  return { adapterInfo: { ...names, ...info }, features: new Set(features), limits: gpu.device.limits } as never;
}

describe('what an adapter is', () => {
  test.each([
    [{ vendor: 'nvidia', architecture: 'hopper', device: 'some-card', isFallbackAdapter: false }, 'gpu'],
    [{ vendor: 'amd', description: 'Radeon Software' }, 'gpu'],
    [{ vendor: 'mesa', architecture: 'software', description: 'llvmpipe (LLVM)', isFallbackAdapter: true }, 'lavapipe'],
    [{ vendor: 'google', architecture: 'swiftshader', isFallbackAdapter: true }, 'swiftshader'],
    [{ vendor: 'mesa', architecture: 'software' }, 'cpu'],
    [{ isFallbackAdapter: true }, 'cpu'],
    [{}, 'gpu'],
  ])('%o is %s', (info, kind) => {
    const caps = detectCaps(pretend(info));
    expect(caps.kind).toBe(kind);
    expect(caps.isCpu).toBe(kind !== 'gpu');
  });

  test('its name and its matrices', () => {
    const config = { componentType: 'i8', resultComponentType: 'i32', M: 16, N: 16, K: 32 };
    const info = { device: 'some-card', subgroupMatrixConfigs: [{ ...config, more: 1 }] };
    expect(detectCaps(pretend(info)).subgroupMatrixConfigs).toEqual([]);
    const caps = detectCaps(pretend(info, ['chromium-experimental-subgroup-matrix']));
    expect(caps.device).toBe('some-card');
    expect(caps.subgroupMatrixConfigs).toEqual([config]);
  });

  test('matrices that the adapter alone tells of', async () => {
    // As in Dawn: no plain object.
    const config = Object.create({ componentType: 'i8', resultComponentType: 'i32', M: 16, N: 16, K: 32 });
    const feature = 'chromium-experimental-subgroup-matrix';
    const open = (features: readonly string[]) =>
      requestDevice({
        features: new Set(features),
        limits: {},
        info: { subgroupMatrixConfigs: [config] },
        requestDevice: async () => pretend({ subgroupMatrixConfigs: [] }, features),
      } as never);
    const { subgroupMatrixConfigs } = detectCaps(await open([feature]));
    expect(subgroupMatrixConfigs).toEqual([{ componentType: 'i8', resultComponentType: 'i32', M: 16, N: 16, K: 32 }]);
    expect(detectCaps(await open([])).subgroupMatrixConfigs).toEqual([]);
  });

  test('the matrices of this device are known where it has the feature', () => {
    const has = gpu.device.features.has('chromium-experimental-subgroup-matrix' as GPUFeatureName);
    expect(gpu.caps.subgroupMatrixConfigs.length > 0).toBe(has);
  });

  test.each([true, false])('matrices are asked for only where they are offered: %s', async (offered) => {
    const asked: GPUDeviceDescriptor[] = [];
    const feature = 'chromium-experimental-subgroup-matrix';
    await requestDevice({
      features: new Set(['subgroups', 'something-else', ...(offered ? [feature] : [])]),
      limits: { maxComputeWorkgroupSizeZ: 64, maxComputeWorkgroupsPerDimension: 65535 },
      requestDevice: async (descriptor: GPUDeviceDescriptor) => {
        asked.push(descriptor);
        return pretend({});
      },
    } as never);
    expect(asked[0]!.requiredFeatures).toEqual(['subgroups', ...(offered ? [feature] : [])]);
    expect(asked[0]!.requiredLimits).toMatchObject({
      maxComputeWorkgroupSizeZ: 64,
      maxComputeWorkgroupsPerDimension: 65535,
    });
  });
});

describe('kernels in the registers of one subgroup', () => {
  const x = input('x', [2, 16, 21, 19]);
  const w = input('w', [32, 16, 4, 4]);
  const dy = input('dy', [2, 32, 18, 16]);
  const conv = conv2d(x, w, input('b', [32]));
  const row = quantizedTable.find(({ name }) => name.startsWith('qconv2d w8'))!;
  const quantized = row.build(row.inputs.map(({ shape }, i) => input(`q${i}`, shape)));
  const weightGrad = conv2dWeightGrad(x, dy, { stride: 1, padding: 0, shape: w.type.shape });
  const product = findProduct(conv);
  const nodes: readonly Node[] = [conv, quantized, weightGrad, product];
  const masked = (size: number, isCpu: boolean): Caps =>
    maskCaps(gpu.caps, { subgroups: true, subgroupMinSize: size, subgroupMaxSize: size, isCpu });
  const namesOf = (node: Node, caps: Caps) => supportedVariants(node, { caps }).map(({ name }) => name);

  test.each([
    [32, true],
    [32, false],
    [64, true],
    [64, false],
  ])('are not for subgroups of %i lanes, CPU %s', (size, isCpu) => {
    const caps = masked(size, isCpu);
    for (const node of nodes) {
      const names = namesOf(node, caps);
      expect(names.filter((name) => /^(rows|lanes|taps)/.test(name))).toEqual([]);
      expect(names.length).toBeGreaterThan(0);
      // Not a plain one for want of another.
      if (!isCpu) expect(chooseVariant(node, { caps }).name).toMatch(/^(block|tile|winograd|words)/);
    }
  });

  test('are for those of 8', () => {
    for (const node of nodes)
      expect(namesOf(node, masked(8, true)).some((name) => /^(rows|lanes)/.test(name))).toBe(true);
  });
});

function findProduct(conv: Node): Node {
  const lowered = conv.op.variants.find(({ name }) => name === 'winograd3')!.lower!(conv, gpu.caps)!;
  const seen: Node[] = [lowered];
  for (const node of seen) seen.push(...node.inputs);
  return seen.find(({ op }) => op.name === 'winogradProduct')!;
}
