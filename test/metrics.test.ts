import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { readSafetensors } from '../src/formats/safetensors.ts';
import { Random } from '../src/math/random.ts';
import { connectedComponents } from '../src/metrics/components.ts';
import { componentRegions, PixelPool, pixelMetrics, type ScoredMap, saturationArea } from '../src/metrics/overlap.ts';
import { auroc, binaryMetrics } from '../src/metrics/ranking.ts';

const GOLDEN = new URL('golden/', import.meta.url);

interface GoldenCase {
  readonly image_auroc: number;
  readonly image_ap: number;
  readonly pixel_auroc: number;
  readonly pixel_ap: number;
  readonly 'aupro_0.3': number;
  readonly 'aupro_0.05': number;
  readonly images: number;
  readonly height: number;
  readonly width: number;
}

function scored(map: ArrayLike<number>, mask: ArrayLike<number>, width: number, height: number): ScoredMap {
  return { width, height, map: Float32Array.from(map), regions: componentRegions(mask, width, height) };
}

describe('against scikit-learn and the official AU-PRO', () => {
  const cases: Record<string, GoldenCase> = JSON.parse(readFileSync(new URL('metrics.json', GOLDEN), 'utf8'));
  const { tensors } = readSafetensors(readFileSync(new URL('metrics.safetensors', GOLDEN)), 'metrics.safetensors');

  test.each(Object.entries(cases))('%s', (name, expected) => {
    const { images, width, height } = expected;
    const maps = tensors.get(`${name}.maps`)!.data;
    const masks = tensors.get(`${name}.masks`)!.data;
    const plane = width * height;
    const all = Array.from({ length: images }, (_, i) => ({
      map: maps.subarray(i * plane, (i + 1) * plane),
      mask: masks.subarray(i * plane, (i + 1) * plane),
    }));
    const image = binaryMetrics(
      all.map(({ map }) => Math.max(...map)),
      all.map(({ mask }) => Array.from(mask).some(Boolean)),
    )!;
    expect(image.auroc).toBeCloseTo(expected.image_auroc, 9);
    expect(image.ap).toBeCloseTo(expected.image_ap, 9);
    const pixels = pixelMetrics(all.map(({ map, mask }) => scored(map, mask, width, height)))!;
    expect(pixels.pixel!.auroc).toBeCloseTo(expected.pixel_auroc, 9);
    expect(pixels.pixel!.ap).toBeCloseTo(expected.pixel_ap, 9);
    expect(pixels.area(0.3)).toBeCloseTo(expected['aupro_0.3'], 9);
    expect(pixels.area(0.05)).toBeCloseTo(expected['aupro_0.05'], 9);
  });
});

describe('ranking', () => {
  test('radix order equals comparison, with ties, signs and zeros', () => {
    const random = new Random(5);
    const values = Float32Array.from({ length: 4000 }, (_, i) => {
      if (i % 7 === 0) return Math.round(8 * random.uniform() - 4) / 4;
      return (random.uniform() - 0.5) * 10 ** (60 * random.uniform() - 30);
    });
    values[3] = -0;
    const labels = Array.from(values, (v) => Number(random.uniform() < 0.3 + (v > 0 ? 0.3 : 0)));
    const fast = binaryMetrics(values, labels)!;
    const slow = binaryMetrics(Array.from(values), labels)!;
    expect(fast).toEqual(slow);
    let pairs = 0;
    let wins = 0;
    for (let i = 0; i < 400; i++) {
      for (let j = 0; j < 400; j++) {
        if (!labels[i] || labels[j]) continue;
        pairs++;
        wins += values[i]! > values[j]! ? 1 : values[i] === values[j] ? 0.5 : 0;
      }
    }
    expect(auroc(values.subarray(0, 400), labels.slice(0, 400))).toBeCloseTo(wins / pairs, 12);
  });

  test('F1-max and its threshold', () => {
    expect(binaryMetrics([0.9, 0.8, 0.7, 0.1], [1, 0, 1, 0])).toMatchObject({ f1Max: 0.8, f1Threshold: 0.7 });
  });

  test('a single class has no metric', () => {
    expect(binaryMetrics([1, 2], [0, 0])).toBeUndefined();
    expect(binaryMetrics([1, 2], [1, 1])).toBeUndefined();
  });
});

test('components join over corners', () => {
  // biome-ignore format: a picture
  const mask = [
    1, 0, 0, 1,
    0, 1, 0, 1,
    0, 0, 0, 0,
  ];
  expect(connectedComponents(mask, 4, 3).map((pixels) => pixels.length)).toEqual([2, 2]);
});

describe('AU-PRO of known cases', () => {
  const width = 100;
  const mask = Array.from({ length: width * 20 }, (_, i) => Number(i < 60));

  test.each([
    ['constant', mask.map(() => 1), 0.5, 0.15],
    ['perfect', mask, 1, 1],
    ['inverted', mask.map((v) => 1 - v), 0, 0],
  ] as const)('%s map', (_, map, area, pro) => {
    const result = pixelMetrics([scored(map, mask, width, 20)])!;
    expect(result.pixel!.auroc).toBeCloseTo(area, 12);
    expect(result.area(0.3)).toBeCloseTo(pro, 12);
  });

  test('components weigh the same, whatever their size', () => {
    const two = Array.from({ length: width * 20 }, (_, i) => Number(i < 99 || i === 1950));
    const map = two.map((_, i) => (i < 99 ? 3 : i === 1950 ? 1 : 2));
    expect(pixelMetrics([scored(map, two, width, 20)])!.area(0.3)).toBeCloseTo(0.5, 12);
  });

  test('without a defect there is none', () => {
    expect(pixelMetrics([scored([1, 2], [0, 0], 2, 1)])).toBeUndefined();
  });
});

test('groups of images of more pixels than are sorted together, with ties', () => {
  const random = new Random(3);
  const [width, height] = [96, 64];
  const image = (defect: boolean): ScoredMap & { readonly mask: Uint8Array } => {
    const mask = new Uint8Array(width * height);
    if (defect) for (let i = 0; i < 1000; i++) mask[i] = 1;
    const map = Float32Array.from(mask, (v) => Math.round(300 * (random.uniform() - 0.4 + 0.2 * v)) / 250);
    return { ...scored(map, mask, width, height), mask };
  };
  const images = { good: [image(false), image(false)], scratch: [image(true)], stain: [image(true), image(true)] };
  const pool = new PixelPool(5000);
  // Groups grow in turns.
  for (let i = 0; i < 2; i++) {
    for (const [name, group] of Object.entries(images)) if (group[i]) pool.add(name, group[i]!);
    pool.metrics();
  }
  for (const names of [
    ['good', 'scratch'],
    ['good', 'stain'],
    ['good', 'scratch', 'stain'],
  ] as const) {
    const chosen = names.flatMap((name) => images[name]);
    const scores = Float32Array.from(chosen.flatMap(({ map }) => [...map]));
    const expected = binaryMetrics(
      scores,
      chosen.flatMap(({ mask }) => [...mask]),
    )!;
    const found = pool.metrics(names)!;
    expect(found.pixel!.auroc).toBeCloseTo(expected.auroc, 12);
    expect(found.pixel!.ap).toBeCloseTo(expected.ap, 12);
    expect(found.pixel).toMatchObject({ f1Max: expected.f1Max, f1Threshold: expected.f1Threshold });
    // The area by its definition, at the scores that there are.
    const levels = [...new Set(scores)].sort((a, b) => b - a);
    const normal = chosen.flatMap(({ map, mask }) => [...map].filter((_, i) => mask[i] === 0)).sort((a, b) => b - a);
    const regions = chosen.flatMap(({ map, mask }) =>
      mask[0] ? [[...map].filter((_, i) => mask[i] === 1).sort((a, b) => b - a)] : [],
    );
    const share = (sorted: readonly number[], level: number) => {
      let [low, high] = [0, sorted.length];
      while (low < high) {
        const middle = (low + high) >> 1;
        if (sorted[middle]! >= level) low = middle + 1;
        else high = middle;
      }
      return low / sorted.length;
    };
    let area = 0;
    let [x0, y0] = [0, 0];
    for (const level of levels) {
      const x1 = share(normal, level);
      const y1 = regions.reduce((sum, region) => sum + share(region, level), 0) / regions.length;
      const end = Math.min(x1, 0.3);
      if (x0 < end) area += ((end - x0) * (2 * y0 + ((y1 - y0) * (end - x0)) / (x1 - x0))) / 2;
      [x0, y0] = [x1, y1];
    }
    expect(found.area(0.3)).toBeCloseTo(area / 0.3, 9);
  }
  expect(pool.metrics(['good'])).toBeUndefined();
  expect(pool.metrics(['unknown'])).toBeUndefined();
});

describe('saturated overlap (MVTec LOCO)', () => {
  test('saturation areas', () => {
    expect(saturationArea(101, 0.5, true)).toBe(50);
    expect(saturationArea(30, 40, false)).toBe(30);
    expect(saturationArea(100, 40, false)).toBe(40);
  });

  test('a defect counts as found from its saturation area on, and pixels may lie in two defects', () => {
    const width = 10;
    const pixels = Array.from({ length: 40 }, (_, i) => i);
    // Pixels 8 and 9 rank first, then two normal pixels, then everything else at once.
    const map = Float32Array.from(pixels, (i) => (i === 8 || i === 9 ? 3 : i >= 38 ? 2 : 1));
    const regions = [
      { pixels: Uint32Array.from(pixels.slice(0, 10)), saturation: 2 },
      { pixels: Uint32Array.from(pixels.slice(8, 12)), saturation: 4 },
    ];
    const result = pixelMetrics([{ width, height: 4, map, regions }])!;
    const normal = 28;
    // After the first group (1 + 1/2) / 2, unchanged over the normal pixels, then a line to (1, 1).
    const overlap = 0.75;
    const x = 2 / normal;
    const at = overlap + ((1 - overlap) * (0.3 - x)) / (1 - x);
    expect(result.area(0.3)).toBeCloseTo((x * overlap + ((0.3 - x) * (overlap + at)) / 2) / 0.3, 12);
    expect(result.area(0.05)).toBeCloseTo(0.75, 12);
  });
});
