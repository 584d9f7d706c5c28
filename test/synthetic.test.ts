import { crc32 } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { penaltyImage, penaltyParts } from '../src/data/penalty.ts';
import { defectNames, generateInspectionSet, PART_NAMES, renderSpecimen } from '../src/data/synthetic/generate.ts';
import { UserError } from '../src/errors.ts';

describe.each(PART_NAMES)('generated %s', (part) => {
  test('has flawless specimens that differ from each other', () => {
    const a = renderSpecimen(part, undefined, 1, 96);
    const b = renderSpecimen(part, undefined, 2, 96);
    expect(a.image).toMatchObject({ width: 96, height: 96 });
    expect(a.image.data).toHaveLength(96 * 96 * 3);
    expect(a.mask).toBeUndefined();
    expect(meanDifference(a.image.data, b.image.data)).toBeGreaterThan(2);
  });

  test.each(defectNames(part))('%s: the mask is exactly what changed', (defect) => {
    for (let seed = 0; seed < 3; seed++) {
      const { image, flawless, mask } = renderSpecimen(part, defect, seed);
      expect(mask).toHaveLength(256 * 256);
      let area = 0;
      let changedInside = 0;
      let changedOutside = 0;
      mask!.forEach((value, pixel) => {
        const changed = [0, 1, 2].some((c) => image.data[3 * pixel + c] !== flawless.data[3 * pixel + c]);
        if (value === 0) changedOutside += Number(changed);
        else {
          expect(value).toBe(255);
          area++;
          changedInside += Number(changed);
        }
      });
      expect(changedOutside).toBe(0);
      // Filled pinholes aside, every pixel of the mask differs.
      expect(changedInside / area).toBeGreaterThan(0.97);
      // Visible at half the resolution, and still a local event.
      expect(area).toBeGreaterThan(30);
      expect(area).toBeLessThan(0.2 * 256 * 256);
      expect(smallestRegion(mask!, 256)).toBeGreaterThanOrEqual(8);
    }
  });
});

describe('generated data set', () => {
  const options = { part: 'bracket', seed: 3, size: 64, train: 2, testGood: 1, testPerDefect: 1 } as const;

  test('is laid out like MVTec AD', () => {
    const samples = [...generateInspectionSet(options)];
    expect(samples.slice(0, 3).map((sample) => sample.imagePath)).toEqual([
      'train/good/000.png',
      'train/good/001.png',
      'test/good/000.png',
    ]);
    expect(samples.slice(3).map((sample) => sample.defect)).toEqual([...defectNames('bracket')]);
    for (const { defect, mask, maskPath } of samples) {
      expect(maskPath).toBe(defect === 'good' ? undefined : `ground_truth/${defect}/000_mask.png`);
      expect(mask !== undefined).toBe(defect !== 'good');
    }
  });

  test('keeps its pictures when the counts change', () => {
    const few = [...generateInspectionSet({ ...options, testPerDefect: 0 })];
    const more = [...generateInspectionSet({ ...options, train: 3, testPerDefect: 0 })];
    expect(more[1]!.image.data).toEqual(few[1]!.image.data);
    expect(more[3]!.image.data).toEqual(few[2]!.image.data);
    expect(few[0]!.image.data).not.toEqual(few[2]!.image.data);
  });

  test('is the same on every machine', () => {
    const checksums = [
      renderSpecimen('bracket', 'misplaced_screw', 11, 128),
      renderSpecimen('biscuit', 'crack', 12, 128),
      renderSpecimen('denim', 'tear', 13, 128),
    ].map(({ image, mask }) => [crc32(image.data), crc32(mask!)]);
    expect(checksums).toMatchInlineSnapshot(`
      [
        [
          2227155533,
          2493630297,
        ],
        [
          380662309,
          3059412240,
        ],
        [
          30860050,
          3490421233,
        ],
      ]
    `);
  });

  test('refuses what it cannot draw', () => {
    expect(() => generateInspectionSet({ ...options, part: 'spoon' as 'bracket' })).toThrow(UserError);
    expect(() => generateInspectionSet({ ...options, train: 1.5 })).toThrow(/train is 1.5/);
    expect(() => generateInspectionSet({ ...options, size: 20 })).toThrow(/size 20/);
    expect(() => renderSpecimen('biscuit', 'scratch', 1)).toThrow(/no defect "scratch"/);
  });
});

describe('penalty images', () => {
  const SIZE = 128;

  test('are the same on every machine and differ by index and seed', () => {
    const checksum = (seed: number, index: number) => crc32(penaltyImage(seed, index, 96).data);
    expect([checksum(1, 0), checksum(1, 1), checksum(2, 0)]).toMatchInlineSnapshot(`
      [
        1672676576,
        1159695778,
        3043825543,
      ]
    `);
    expect(new Set([checksum(1, 0), checksum(1, 1), checksum(2, 0)]).size).toBe(3);
  });

  test('are made in parts, of which larger ones have more', () => {
    // Texture alone as well as things, over texture or without.
    for (let index = 0; index < 8; index++) {
      const parts = (size: number) => [...penaltyParts(1, index, size)].length;
      expect(parts(SIZE)).toBeGreaterThan(2);
      expect(parts(2 * SIZE)).toBeGreaterThan(parts(SIZE));
    }
  });

  test('have the power spectrum of natural pictures, about 1/f^2', () => {
    const slopes = Array.from({ length: 12 }, (_, index) => spectralSlope(penaltyImage(4, index, SIZE).data, SIZE));
    const mean = slopes.reduce((a, b) => a + b) / slopes.length;
    expect(mean).toBeGreaterThan(-2.7);
    expect(mean).toBeLessThan(-1.5);
  });

  test('have broad, correlated channels', () => {
    const images = Array.from({ length: 12 }, (_, index) => penaltyImage(5, index, SIZE));
    const moments = images.map(({ data }) => channelMoments(data));
    for (const { deviation, correlation } of moments) {
      for (const value of deviation) expect(value).toBeGreaterThan(12);
      expect(correlation).toBeGreaterThan(0.2);
    }
    // Neither all gray nor of one brightness.
    const means = moments.map(({ mean }) => mean);
    expect(Math.max(...means.map(([red, , blue]) => red! - blue!))).toBeGreaterThan(8);
    expect(Math.min(...means.map(([red, , blue]) => red! - blue!))).toBeLessThan(-8);
    const green = means.map((mean) => mean[1]!);
    expect(Math.max(...green) - Math.min(...green)).toBeGreaterThan(20);
  });

  test('refuse sizes that make no sense', () => {
    expect(() => penaltyImage(1, 0, 8)).toThrow(UserError);
  });
});

function meanDifference(a: Uint8Array, b: Uint8Array): number {
  return a.reduce((sum, value, i) => sum + Math.abs(value - b[i]!), 0) / a.length;
}

/** Pixels of the smallest 8-connected region. */
function smallestRegion(mask: Uint8Array, size: number): number {
  const left = new Set<number>();
  mask.forEach((value, pixel) => {
    if (value !== 0) left.add(pixel);
  });
  let smallest = Number.POSITIVE_INFINITY;
  for (const start of left) {
    left.delete(start);
    const region = [start];
    for (const pixel of region) {
      for (const dy of [-size, 0, size]) {
        for (const dx of [-1, 0, 1]) if (left.delete(pixel + dy + dx)) region.push(pixel + dy + dx);
      }
    }
    smallest = Math.min(smallest, region.length);
  }
  return smallest;
}

function channelMoments(data: Uint8Array) {
  const pixels = data.length / 3;
  const mean = [0, 0, 0];
  const product = [0, 0, 0, 0];
  for (let i = 0; i < data.length; i++) mean[i % 3]! += data[i]! / pixels;
  for (let i = 0; i < data.length; i += 3) {
    const [red, green, blue] = [0, 1, 2].map((c) => data[i + c]! - mean[c]!) as [number, number, number];
    product[0]! += (red * red) / pixels;
    product[1]! += (green * green) / pixels;
    product[2]! += (blue * blue) / pixels;
    product[3]! += (red * green) / pixels;
  }
  return {
    mean,
    deviation: product.slice(0, 3).map(Math.sqrt),
    correlation: product[3]! / Math.sqrt(product[0]! * product[1]!),
  };
}

/** Slope of log power over log frequency of the luma, radially averaged, each octave weighing the same. */
function spectralSlope(data: Uint8Array, size: number): number {
  const window = Array.from({ length: size }, (_, i) => Math.sin((Math.PI * (i + 0.5)) / size) ** 2);
  const luma = Array.from(
    { length: size * size },
    (_, i) => 0.3 * data[3 * i]! + 0.6 * data[3 * i + 1]! + 0.1 * data[3 * i + 2]!,
  );
  const mean = luma.reduce((a, b) => a + b) / luma.length;
  const real = Float64Array.from(
    luma,
    (value, i) => (value - mean) * window[i % size]! * window[Math.floor(i / size)]!,
  );
  const imaginary = new Float64Array(size * size);
  for (let i = 0; i < size; i++) fourier(real, imaginary, i * size, 1, size);
  for (let i = 0; i < size; i++) fourier(real, imaginary, i, size, size);

  const power = new Float64Array(size);
  const count = new Float64Array(size);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const radius = Math.round(Math.hypot(Math.min(x, size - x), Math.min(y, size - y)));
      power[radius]! += real[y * size + x]! ** 2 + imaginary[y * size + x]! ** 2;
      count[radius]!++;
    }
  }
  let [w, sx, sy, sxx, sxy] = [0, 0, 0, 0, 0];
  for (let radius = 3; radius < 0.4 * size; radius++) {
    const weight = 1 / radius;
    const x = Math.log(radius);
    const y = Math.log(power[radius]! / count[radius]!);
    w += weight;
    sx += weight * x;
    sy += weight * y;
    sxx += weight * x * x;
    sxy += weight * x * y;
  }
  return (w * sxy - sx * sy) / (w * sxx - sx * sx);
}

/** Radix-2 Fourier transform in place of `length` values from `start`, `stride` apart. */
function fourier(real: Float64Array, imaginary: Float64Array, start: number, stride: number, length: number): void {
  const at = (i: number) => start + i * stride;
  for (let i = 1, j = 0; i < length; i++) {
    let bit = length >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i >= j) continue;
    for (const plane of [real, imaginary]) [plane[at(i)], plane[at(j)]] = [plane[at(j)]!, plane[at(i)]!];
  }
  for (let span = 2; span <= length; span *= 2) {
    for (let k = 0; k < span / 2; k++) {
      const cos = Math.cos((-2 * Math.PI * k) / span);
      const sin = Math.sin((-2 * Math.PI * k) / span);
      for (let i = k; i < length; i += span) {
        const a = at(i);
        const b = at(i + span / 2);
        const re = real[b]! * cos - imaginary[b]! * sin;
        const im = real[b]! * sin + imaginary[b]! * cos;
        real[b] = real[a]! - re;
        imaginary[b] = imaginary[a]! - im;
        real[a]! += re;
        imaginary[a]! += im;
      }
    }
  }
}
