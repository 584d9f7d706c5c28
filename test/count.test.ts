import { describe, expect, test } from 'vitest';
import { countOperations } from '../src/bench/count.ts';
import { input } from '../src/engine/graph.ts';
import { conv2d } from '../src/kernels/conv2d.ts';
import { BLOCK_32x32, BLOCK_32x64, BLOCK_64x64, BLOCK_128x128 } from '../src/kernels/conv2dTile.ts';
import { BLOCKS, blockName } from '../src/kernels/winogradBlock.ts';
import { engine } from './gpu.ts';

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
