import { describe, expect, test } from 'vitest';
import { input } from '../src/engine/graph.ts';
import { activationCode, activationRange, rangeOf } from '../src/kernels/storage.ts';
import { engine } from './support/gpu.ts';

const gpu = await engine();

/** A unit in the last place of a float32. */
function unit(value: number): number {
  return 2 ** (Math.floor(Math.log2(Math.abs(value))) - 23);
}

describe('ranges of codes', () => {
  test('hold the reciprocal that codes are computed with', () => {
    for (const scale of [0.0371, 0.123, 3, 2 ** -126]) {
      const [stored, zeroPoint, reciprocal, last] = rangeOf(scale, 17);
      expect([stored, zeroPoint, last]).toEqual([Math.fround(scale), 17, 255]);
      expect(reciprocal).toBe(Math.fround(1 / Math.fround(scale)));
    }
  });

  test('codes are those of float32 arithmetic, and half steps go to even', () => {
    const range = rangeOf(0.1, 3);
    // 0.05 / 0.1 is half a step in float32, to even.
    expect(activationCode(0.05, range)).toBe(3);
    expect(activationCode(0.15, range)).toBe(5);
    expect(activationCode(-100, range)).toBe(0);
    expect(activationCode(100, range)).toBe(255);
    expect(activationCode(100, rangeOf(0.1, 3, 15))).toBe(15);
  });

  test.each([
    ['both signs', [-0.731, 0.2, 1.377]],
    ['of 4 bits', [-0.731, 0.2, 1.377], 15],
    ['positives', [0.5, 3.1]],
    ['negatives', [-7.3, -0.1]],
    ['zeros', [0, 0, 0]],
    ['a span without a reciprocal', [0, 1e-38]],
  ])('are found on the device: %s', async (_, values, most = 255) => {
    const data = Float32Array.from(values);
    const x = input('x', [values.length]);
    const plan = await gpu.compile({ outputs: { y: activationRange(x, most) } });
    const { y } = await plan.run({ x: data }, ['y']);
    plan.destroy();
    const [low, high] = [Math.min(0, ...data), Math.max(0, ...data)];
    const scale = high - low > 1e-30 ? (high - low) / most : 1;
    const [found, zeroPoint, reciprocal, last] = y! as Float32Array;
    // A quotient may be off by 2.5 units, the difference by half a one.
    expect(Math.abs(found! - scale)).toBeLessThanOrEqual(3 * unit(scale));
    expect(Math.abs(reciprocal! - 1 / scale)).toBeLessThanOrEqual(3 * unit(1 / scale));
    expect(zeroPoint).toBe(scale === 1 ? 0 : Math.round(Math.abs(low) / scale));
    expect(last).toBe(most);
  });
});
