import { describe, expect, test } from 'vitest';
import { farAbove, imageNames, mapLevel, mapRange } from '../src/detector/heldOut.ts';
import { extent } from '../src/math/extent.ts';

describe('held-out images far above the others', () => {
  test.each([
    ['none', [1, 2, 3, 1.5], [], []],
    ['a blank frame', [0.7, 25, 0.8, 0.6], [], [1]],
    ['of two', [25, 0.7], [], [0]],
    ['the only one, by training images', [25], [0.7, 0.8, 0.7], [0]],
    ['most of them, by training images', [25, 24, 0.7], [0.7, 0.8, 0.7, 0.6, 0.8], [0, 1]],
    ['the only one, without any', [25], [], []],
    ['maps of zeros', [0, 0, 1], [], []],
  ])('%s', (_, levels, others, far) => {
    const varied = (level: number) => ({ level, flat: false });
    expect(farAbove(levels.map(varied), others.map(varied)).far).toEqual(far);
  });

  test('maps without structure, sooner', () => {
    const blank = mapLevel(new Float32Array(100).fill(5));
    const good = mapLevel(Float32Array.from({ length: 100 }, (_, i) => i / 100));
    expect([blank.flat, good.flat]).toEqual([true, false]);
    expect(farAbove([good, blank, good]).far).toEqual([1]);
    expect(farAbove([good, { level: 5, flat: false }, good]).far).toEqual([]);
    expect(farAbove([blank, blank, blank]).far).toEqual([]);
  });

  test('quantiles that nearly coincide are refused', () => {
    const names = ['a.png'];
    const constant = Float32Array.from({ length: 1000 }, (_, i) => 25.48 + 1e-6 * i);
    expect(() => mapRange(constant, 'student-teacher', names)).toThrow(
      'the student-teacher map of the held-out images is nearly constant (25.48 .. 25.48), as that of a blank frame is: a.png.',
    );
    const speck = constant.map((value, i) => (i < 5 ? 1 : value));
    expect(() => mapRange(speck, 'student-teacher', names)).toThrow('is nearly constant');
    const rising = Float32Array.from({ length: 1001 }, (_, i) => i / 1000);
    expect(mapRange(rising, 'student-teacher', names)[0]).toBeCloseTo(0.9);
  });

  test('a plain background with the highest values: the lower quantile is of the others', () => {
    const plateau = Float32Array.from({ length: 1000 }, (_, i) => (i < 300 ? 0.001 * i : 0.5787 + 1e-7 * i));
    const [low, high] = mapRange(plateau, 'student-teacher', ['a.png']);
    expect(low).toBeCloseTo(0.9 * 0.299);
    expect(high).toBeCloseTo(0.5788);
  });

  test('a few of many names', () => {
    const image = async () => ({ width: 1, height: 1, data: new Uint8Array(3) });
    const paths = Array.from({ length: 9 }, (_, i) => `${i}.png`);
    expect(imageNames({ count: 9, paths, image })).toEqual(['0.png', '1.png', '2.png', '3.png', '4.png', '4 more']);
    expect(imageNames({ count: 9, image }, [3])).toEqual(['held-out image 4']);
  });
});

test('the ends of more values than a stack holds', () => {
  const values = Float32Array.from({ length: 300_000 }, (_, i) => i - 5);
  expect(extent(values)).toEqual({ low: -5, high: 299_994 });
});
