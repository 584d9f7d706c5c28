import { describe, expect, test } from 'vitest';
import { input } from '../src/engine/graph.ts';
import { conv2dWeightGrad } from '../src/gradients/conv2dWeightGrad.ts';
import { GRAD_BLOCKS } from '../src/gradients/gradBlock.ts';
import { conv2d } from '../src/kernels/conv2d.ts';
import { BLOCK_32x32, BLOCK_32x64, BLOCK_64x64, BLOCK_128x128 } from '../src/kernels/conv2dTile.ts';
import { packedWords, qconv2d } from '../src/kernels/qconv2d.ts';
import { BLOCKS, blockName } from '../src/kernels/winogradBlock.ts';
import { countOperations } from '../src/measure/count.ts';
import { rangeNode } from '../src/measure/kernels.ts';
import { engine } from './support/gpu.ts';

const gpu = await engine();
const [ci, co, side, k] = [16, 128, 13, 4];
const depth = ci * k * k;
const outputs = (side - k + 1) ** 2;

const layer = () =>
  conv2d(input('x', [1, ci, side, side]), input('w', [co, ci, k, k]), input('b', [co]), { relu: true });

describe('the kernels execute what their design says', () => {
  for (const { channels, pixels, columns, step } of [BLOCK_32x32, BLOCK_32x64, BLOCK_64x64, BLOCK_128x128]) {
    const variant = `tile${channels}x${pixels}`;
    test(`conv2d ${variant}: loads per multiply-add = 1 / ${channels} + 1 / ${pixels}`, async () => {
      const counts = await countOperations(gpu, layer(), { conv2d: variant });
      const { workgroups, loads, stores, multiplyAdds } = counts.find(({ shader }) => shader === 'conv2d_tile.wgsl')!;
      const steps = Math.ceil(depth / step) * step;
      expect(workgroups).toBe(Math.ceil(co / channels) * Math.ceil(outputs / pixels));
      expect(multiplyAdds).toBe(workgroups * steps * channels * pixels);
      // The bias is read once for every row of outputs of an invocation, whatever the depth.
      const bias = (workgroups * channels * pixels) / columns;
      expect(loads - bias).toBe(workgroups * steps * (channels + pixels));
      expect((loads - bias) / multiplyAdds).toBeCloseTo(1 / channels + 1 / pixels, 12);
      expect(stores).toBe(co * outputs);
    });
  }

  for (const block of BLOCKS) {
    const { rows, columns, steps: step } = block;
    test(`winograd product ${blockName(block)}: the same in every point`, async () => {
      const variants = { conv2d: 'winograd3', winogradProduct: blockName(block) };
      const counts = await countOperations(gpu, layer(), variants);
      const found = counts.find(({ shader }) => shader === 'winograd_product_block.wgsl')!;
      const { workgroups, loads, multiplyAdds } = found;
      const steps = Math.ceil(ci / step) * step;
      expect(multiplyAdds).toBe(workgroups * steps * rows * columns);
      expect(loads).toBe(workgroups * steps * (rows + columns));
    });
  }

  for (const [channels, pixels, step] of [
    [64, 64, 32],
    [32, 32, 64],
    [16, 16, 128],
    [4, 4, 256],
  ] as const) {
    const variant = `words${channels}x${pixels}`;
    test(`qconv2d ${variant}: words per packed product = 1 / ${channels} + 1 / ${pixels}`, async () => {
      const weights = [37, 72, 3, 3];
      const words = {
        x: input('x', [1, 18, 9, 10], 'u32'),
        weights: input('w', [packedWords(weights, 8)], 'u32'),
        table: input('t', [37, 1, 2]),
        bias: input('b', [37]),
        inRange: rangeNode(1, 3),
      };
      const attrs = { weights, bits: 8, groupSize: 72, stride: 1, padding: 0, relu: false, pool: false } as const;
      const y = qconv2d(words, { ...attrs, input: 'u8', output: 'f32' });
      const counts = await countOperations(gpu, y, { qconv2d: variant });
      const found = counts.find(({ shader }) => shader === 'qconv2d_words.wgsl')!;
      const { workgroups, loads, stores, packedProducts, workgroupWrites } = found;
      const steps = Math.ceil((18 * 9) / step) * step;
      expect(workgroups).toBe(Math.ceil(37 / channels) * Math.ceil(56 / pixels));
      expect(packedProducts).toBe(workgroups * steps * channels * pixels);
      // Scale, sum and bias of a channel are read once for every four pixels.
      const tables = workgroups * 3 * channels * (pixels / 4);
      expect(loads - tables).toBe(workgroups * steps * (channels + pixels));
      // What slices hand over to the first one.
      const slices = (workgroupWrites - (loads - tables)) / (workgroups * channels * pixels) + 1;
      expect(slices).toBe({ 64: 1, 32: 4, 16: 16, 4: 64 }[channels]);
      expect(stores).toBe(37 * 56);
    });
  }

  for (const { rows, columns } of GRAD_BLOCKS) {
    const block = `gradBlock${rows}x${columns}`;
    const dy = input('dy', [2, 70, 22, 21]);
    const weightGrad = conv2dWeightGrad(input('x', [2, 9, 24, 23]), dy, {
      stride: 1,
      padding: 0,
      shape: [70, 9, 3, 3],
    });
    test.each([
      ['tile', 'conv2d_weight_grad_tile.wgsl', 81, 1, 2 * 22 * 21],
      ['winogradSplits', 'winograd_grad_product.wgsl', 9, 36, 2 * 6 * 6],
    ] as const)(`weight gradient by %s, ${block}: every sum once, loads as blocks share them`, async (...of) => {
      const [variant, shader, across, points, depth] = of;
      const choice = { conv2dWeightGrad: variant, winogradGradProduct: block, conv2dWeightGradPartial: block };
      const counts = await countOperations(gpu, weightGrad, choice);
      const { loads, multiplyAdds } = counts.find((count) => count.shader === shader)!;
      const blocks = points * Math.ceil(70 / rows) * Math.ceil(across / columns);
      // Splits are whole lots of 16 but for the last one.
      expect(multiplyAdds).toBe(blocks * Math.ceil(depth / 16) * 16 * rows * columns);
      expect(loads / multiplyAdds).toBeCloseTo(1 / rows + 1 / columns, 12);
    });
  }

  for (const [name, step, rows, columns] of [
    ['block64x64x16', 16, 64, 64],
    ['block32x32x16', 16, 32, 32],
  ] as const) {
    test(`winograd product of halves ${name}: half the words`, async () => {
      const variants = { conv2d: 'winograd3Halves', winogradHalvesProduct: name };
      const counts = await countOperations(gpu, layer(), variants, 'f16');
      const found = counts.find(({ shader }) => shader === 'winograd_halves_product_block.wgsl')!;
      const { workgroups, kernel, loads, stores, multiplyAdds } = found;
      const steps = Math.ceil(ci / step) * step;
      expect(multiplyAdds).toBe(workgroups * steps * rows * columns);
      // Every invocation reads one factor.
      const factors = workgroups * Number(kernel.defines!['INVOCATIONS']);
      expect(loads - factors).toBe((workgroups * steps * (rows + columns)) / 2);
      expect(stores).toBe((36 * co * 16) / 2);
    });
  }

  test('winograd transforms to and from halves write and read half the words', async () => {
    const counts = await countOperations(gpu, layer(), { conv2d: 'winograd3Halves' }, 'f16');
    const tiles = Math.ceil((side - k + 1) / 3) ** 2;
    const at = (shader: string) => counts.find((count) => count.shader === shader)!;
    expect(at('winograd_halves_input.wgsl').loads).toBe(36 * ci * tiles);
    expect(at('winograd_halves_input.wgsl').stores).toBe((36 * ci * tiles) / 2);
    expect(at('winograd_output.wgsl').loads).toBe(co * (36 / 2 + 1) * tiles);
    expect(at('winograd_output.wgsl').stores).toBe(co * outputs);
  });

  test('winograd transforms read and write every point once', async () => {
    const counts = await countOperations(gpu, layer(), { conv2d: 'winograd3' });
    const tiles = Math.ceil((side - k + 1) / 3) ** 2;
    const at = (shader: string) => counts.find((count) => count.shader === shader)!;
    expect(at('winograd_input.wgsl').loads).toBe(36 * ci * tiles);
    expect(at('winograd_input.wgsl').stores).toBe(36 * ci * tiles);
    expect(at('winograd_output.wgsl').loads).toBe(co * (36 + 1) * tiles);
    expect(at('winograd_output.wgsl').stores).toBe(co * outputs);
  });
});
