import { describe, expect, test } from 'vitest';
import { MACHINES, withMatrices } from '../src/bench/machines.ts';
import { maskCaps } from '../src/engine/adapter.ts';
import { type Caps, SUBGROUP_MATRIX } from '../src/engine/caps.ts';
import { input, type Node } from '../src/engine/graph.ts';
import { chooseVariant, lower } from '../src/engine/lower.ts';
import { pipelineRequest } from '../src/engine/pipelines.ts';
import { supportedVariants } from '../src/engine/variants.ts';
import { packedWords, type Qconv2dAttrs, qconv2d } from '../src/kernels/qconv2d.ts';
import { CHANNELS_PER_WORD } from '../src/kernels/storage.ts';
import { engine } from './support/gpu.ts';

const gpu = await engine();
const hopper = withMatrices(MACHINES.h100).caps;
const config = { componentType: 'i8', resultComponentType: 'i32', M: 16, N: 16, K: 32 };

function conv(given: Partial<Qconv2dAttrs> = {}, side = 64): Node {
  const weights = given.weights ?? [256, 64, 3, 3];
  const [co, ci] = weights as [number, number];
  const attrs: Qconv2dAttrs = {
    ...{ weights, bits: 8, groupSize: ci, input: 'u8', output: 'u8', stride: 1, padding: 0, relu: true, pool: false },
    ...given,
  };
  const words = Math.ceil(ci / CHANNELS_PER_WORD[attrs.input]);
  return qconv2d(
    {
      x: input('x', [1, words, side, side], attrs.input === 'f32' ? 'f32' : 'u32'),
      weights: input('w', [packedWords(weights, attrs.bits)], 'u32'),
      table: input('t', [co, ci / attrs.groupSize, 2]),
      bias: input('b', [co]),
      inRange: attrs.input === 'u8' ? input('in', [4]) : undefined,
      outRange: attrs.output === 'u8' ? input('out', [4]) : undefined,
    },
    attrs,
  );
}

const namesOf = (node: Node, caps: Caps) =>
  supportedVariants(node, { caps })
    .map(({ name }) => name)
    .filter((name) => name.startsWith('matrix'));

describe('products by matrices of bytes', () => {
  test('are there where the device has such matrices and subgroups of one size', () => {
    const all = namesOf(conv(), hopper);
    expect(all).toContain('matrix4x4');
    expect(all).toContain('matrixStored2x2');
    expect(namesOf(conv(), MACHINES.h100.caps)).toEqual([]);
    expect(namesOf(conv(), maskCaps(hopper, { subgroupMinSize: 16 }))).toEqual([]);
    const half = { ...config, componentType: 'f16', resultComponentType: 'f32', K: 16 };
    expect(namesOf(conv(), maskCaps(hopper, { subgroupMatrixConfigs: [half] }))).toEqual([]);
  });

  test('are left out where their block does not fit into workgroup memory', () => {
    const limits = { maxComputeWorkgroupStorageSize: 32768 };
    expect(namesOf(conv(), maskCaps(hopper, { limits }))).toEqual([
      'matrix4x2',
      'matrix2x2',
      'matrixStored4x4',
      'matrixStored2x2',
    ]);
    expect(namesOf(conv(), maskCaps(hopper, { limits: { maxComputeWorkgroupStorageSize: 16384 } }))).toEqual([
      'matrixStored2x2',
    ]);
  });

  test.each([[{ input: 'f16' }], [{ input: 'f32' }], [{ groupSize: 32 }], [{ pool: true, stride: 2 }]] as const)(
    'are not for %o',
    (attrs) => {
      expect(namesOf(conv(attrs), hopper)).toEqual([]);
    },
  );

  test('are the default of GPUs for enough channels, in a block that leaves work for all cores', () => {
    const chosen = (node: Node, caps = hopper) => chooseVariant(node, { caps }).name;
    expect(chosen(conv({}, 128))).toBe('matrix4x4');
    expect(chosen(conv({ weights: [64, 512, 5, 5] }, 40))).toBe('matrix2x2');
    expect(chosen(conv({ weights: [256, 3, 3, 3] }))).toBe('words64x64');
    expect(chosen(conv({}, 128), maskCaps(hopper, { isCpu: true }))).not.toMatch(/^matrix/);
  });

  test('take the largest matrices', () => {
    const narrow = { ...config, N: 8 };
    const caps = maskCaps(hopper, { subgroupMatrixConfigs: [narrow, config] });
    const { kernels } = lower({ outputs: { y: conv() }, variants: { qconv2d: 'matrix2x2' } }, { caps });
    const found = [...kernels.values()].find(({ kernel }) => kernel.shader.name === 'qconv2d_matrix.wgsl');
    expect(found!.kernel.defines).toMatchObject({ N: 16, BM: 64, BN: 64 });
  });

  test
    .runIf(gpu.device.features.has(SUBGROUP_MATRIX as GPUFeatureName))
    .each([
      [{ output: 'u8', pool: true }],
      [{ output: 'f16', padding: 1 }],
      [{ output: 'f32', weights: [70, 37, 3, 3], bits: 3 }],
    ] as const)('are valid shaders for matrices of 16 x 16 x 32 and subgroups of 32: %o', async (attrs) => {
    const node = conv(attrs);
    for (const name of namesOf(node, hopper)) {
      const { kernels } = lower({ outputs: { y: node }, variants: { qconv2d: name } }, { caps: hopper });
      for (const [inner, { kernel }] of kernels) {
        const { code } = pipelineRequest(inner, kernel, { mostWorkgroups: 65535 });
        const { messages } = await gpu.device.createShaderModule({ code }).getCompilationInfo();
        expect(messages.map(({ message }) => message)).toEqual([]);
      }
    }
  });
});
