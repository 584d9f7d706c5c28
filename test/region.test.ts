import { expect, test } from 'vitest';
import type { ImageSource, RgbImage } from '../src/data/image.ts';
import { Detector } from '../src/detector/detector.ts';
import type { DetectorState } from '../src/detector/detectorState.ts';
import { loadDetector, saveDetector } from '../src/detector/modelFile.ts';
import { inRegion } from '../src/detector/region.ts';
import { checkMap, mapScore } from '../src/detector/score.ts';
import { placeOnHost } from '../src/detectorOps/maps.ts';
import { evaluate } from '../src/evaluation/evaluate.ts';
import { bytesToPixels, Resizer, unpackPixels, writeBytes } from '../src/imaging/pixels.ts';
import {
  checkRegion,
  type Point,
  type RegionOfInterest,
  regionView,
  upright,
  uprightOnHost,
} from '../src/imaging/region.ts';
import { OUTSIDE } from '../src/kernels/maximum.ts';
import { componentRegions, pixelMetrics } from '../src/metrics/overlap.ts';
import { overlayHeatmap } from '../src/report/heatmap.ts';
import { fit } from '../src/train/fit.ts';
import { engine } from './support/gpu.ts';
import { savedImage, shortRun } from './support/savedFiles.ts';
import { untrainedDetector } from './support/untrained.ts';

const gpu = await engine();

/** Waves, so that neighbors differ and no two places are alike. */
function waves(width: number, height: number): RgbImage {
  const byte = (i: number) => {
    const [x, y, c] = [Math.floor(i / 3) % width, Math.floor(i / 3 / width), i % 3];
    return 128 + 80 * Math.sin(x / (7 + c)) + 40 * Math.cos(y / (5 + 2 * c));
  };
  return { width, height, data: Uint8Array.from({ length: 3 * width * height }, (_, i) => byte(i)) };
}

function cut({ width, data }: RgbImage, left: number, top: number, w: number, h: number): RgbImage {
  const rows = Array.from({ length: h }, (_, y) => {
    const at = 3 * ((top + y) * width + left);
    return [...data.subarray(at, at + 3 * w)];
  });
  return { width: w, height: h, data: Uint8Array.from(rows.flat()) };
}

const image = waves(203, 151);
const rectangle = (left: number, top: number, w: number, h: number): RegionOfInterest['corners'] => [
  [left, top],
  [left + w, top],
  [left + w, top + h],
  [left, top + h],
];
const regionOf = (corners: RegionOfInterest['corners'], { width, height } = image): RegionOfInterest => ({
  width,
  height,
  corners,
});
const TILTED: RegionOfInterest['corners'] = [
  [40, 21],
  [170.5, 8],
  [190, 130],
  [15, 111.25],
];

/** What a device makes of an image, [side, side] pixel words. */
async function seen(given: RgbImage, region: RegionOfInterest, side: number): Promise<Uint32Array> {
  const view = regionView(region, given.width, given.height);
  const plan = await bytesToPixels(gpu, given, side, (node, columns) => upright(node, view, columns));
  writeBytes(gpu.device, plan.inputBuffer('bytes'), 0, given.data);
  const { pixels } = await plan.run({}, ['pixels']);
  gpu.release(plan.parameters);
  plan.destroy();
  return pixels as Uint32Array;
}

test.each([
  [31, 17, 128, 100],
  [0, 0, 203, 151],
  [200, 3, 3, 140],
])('a region along the axes equals crop, then resize, byte by byte: %i %i %i %i', async (left, top, w, h) => {
  const region = regionOf(rectangle(left, top, w, h));
  const cropped = cut(image, left, top, w, h);
  expect(uprightOnHost(image, regionView(region, image.width, image.height))).toEqual(cropped);
  const resizer = new Resizer(gpu, 64);
  expect(await seen(image, region, 64)).toEqual(await resizer.resize(cropped));
  resizer.destroy();
});

test('turned by right angles it is the same pixels in another order', () => {
  const [a, b, c, d] = rectangle(31, 17, 90, 60);
  const straight = uprightOnHost(image, regionView(regionOf([a, b, c, d]), image.width, image.height));
  const turned = uprightOnHost(image, regionView(regionOf([b, c, d, a]), image.width, image.height));
  expect([turned.width, turned.height]).toEqual([60, 90]);
  for (const [x, y] of [
    [0, 0],
    [59, 89],
    [13, 70],
  ] as const) {
    const at = 3 * (y * 60 + x);
    const from = 3 * (x * 90 + (89 - y));
    expect([...turned.data.subarray(at, at + 3)]).toEqual([...straight.data.subarray(from, from + 3)]);
  }
});

test('in perspective, host and device agree within one step of a byte', async () => {
  const view = regionView(regionOf(TILTED), image.width, image.height);
  const host = uprightOnHost(image, view);
  const resizer = new Resizer(gpu, 96);
  const expected = unpackPixels(await resizer.resize(host), 96, 96).data;
  resizer.destroy();
  const found = unpackPixels(await seen(image, regionOf(TILTED), 96), 96, 96).data;
  const differences = found.map((value, i) => Math.abs(value - expected[i]!));
  expect(Math.max(...differences)).toBeLessThanOrEqual(1);
  expect(differences.filter(Boolean).length).toBeLessThan(0.01 * differences.length);
});

test('its corners are those of the square, and the way back is the inverse', () => {
  const { toImage, toUnit, width, height } = regionView(regionOf(TILTED), image.width, image.height);
  const project = (m: readonly number[], [x, y]: Point): Point => {
    const w = m[6]! * x + m[7]! * y + m[8]!;
    return [(m[0]! * x + m[1]! * y + m[2]!) / w, (m[3]! * x + m[4]! * y + m[5]!) / w];
  };
  const square: Point[] = [
    [0, 0],
    [1, 0],
    [1, 1],
    [0, 1],
  ];
  for (const [i, [u, v]] of square.entries()) {
    const corner = project(toImage, [u * width, v * height]);
    corner.forEach((value, axis) => {
      expect(value).toBeCloseTo(TILTED[i]![axis]!, 9);
    });
    project(toUnit, corner).forEach((value, axis) => {
      expect(value).toBeCloseTo([u, v][axis]!, 9);
    });
  }
});

const state: DetectorState = await untrainedDetector();

test('the map lies where the region does, and is NaN outside, on the device and on the host', async () => {
  const region = regionOf(rectangle(31, 17, 128, 100));
  const detector = new Detector(gpu, { ...state, region });
  const whole = new Detector(gpu, state);
  const { map, score, width } = await detector.predict(image);
  const alone = await whole.predict(cut(image, 31, 17, 128, 100));
  const inside = (i: number) => {
    const [x, y] = [i % width, Math.floor(i / width)];
    return x >= 31 && x < 159 && y >= 17 && y < 117;
  };
  let worst = 0;
  for (const [i, value] of map.entries()) {
    expect(Number.isNaN(value)).toBe(!inside(i));
    if (inside(i)) {
      const other = alone.map[(Math.floor(i / width) - 17) * 128 + (i % width) - 31]!;
      worst = Math.max(worst, Math.abs(value - other));
    }
  }
  expect(worst).toBeLessThan(1e-4 * alone.score);
  expect(score).toBe(mapScore(map));
  const placed = await detector.place((await detector.predict(image)).gridMap, image.width, image.height);
  expect(new Uint32Array(placed.buffer)).toEqual(new Uint32Array(map.buffer));
  for (const each of [detector, whole]) each.destroy();
});

test('a map is placed on the host as on the device, and a value that overflows is told from what lies outside', async () => {
  const detector = new Detector(gpu, { ...state, region: regionOf(TILTED) });
  const { gridMap, map } = await detector.predict(image);
  const { side, mapSide, mapGeometry } = state.networks;
  const size = { width: image.width, height: image.height };
  const region = regionView(regionOf(TILTED), image.width, image.height).toUnit;
  const host = new Float32Array(map.length);
  placeOnHost(gridMap, mapSide, { ...size, side, placement: 'exact', ...mapGeometry, region }, host);
  const bits = [host, map].map(({ buffer }) => new Uint32Array(buffer));
  const isOutside = (i: number, k: number) => bits[k]![i] === OUTSIDE;
  const edges = map.filter((_, i) => isOutside(i, 0) !== isOutside(i, 1)).length;
  expect(edges).toBeLessThan(4);
  const errors = [...map].map((value, i) => (isOutside(i, 0) || isOutside(i, 1) ? 0 : Math.abs(value - host[i]!)));
  expect(Math.max(...errors)).toBeLessThan(1e-4 * mapScore(map));
  expect(host.filter(Number.isNaN).length).toBeGreaterThan(map.length / 10);
  expect(() => checkMap(map)).not.toThrow();
  const broken = map.slice();
  broken[bits[1]!.findIndex((value) => value !== OUTSIDE)] = Number.NaN;
  expect(() => mapScore(broken)).toThrow('the anomaly map has the value NaN');
  await expect(detector.predict(waves(203, 100))).rejects.toThrow(/images of 203x151; this one of 203x100/);
  const half = await detector.predict(waves(406, 302));
  expect(half.map.filter(Number.isNaN).length / half.map.length).toBeCloseTo(
    map.filter(Number.isNaN).length / map.length,
    2,
  );
  detector.destroy();
});

test('is kept in the model file, which a reader without it refuses, and is checked when it is read', async () => {
  const region = regionOf(TILTED);
  const detector = new Detector(gpu, { ...state, region });
  const bytes = await saveDetector(detector);
  const again = await loadDetector(gpu, bytes);
  expect(again.state.region).toEqual(region);
  expect(await again.predict(image)).toEqual(await detector.predict(image));
  const text = new TextDecoder().decode(bytes.subarray(0, 4096));
  expect(text).toContain('\\"region\\":{\\"version\\":1,\\"required\\":true');
  for (const each of [detector, again]) each.destroy();
  const [a, b, c, d] = TILTED;
  for (const [wrong, message] of [
    [null, 'is null'],
    [{ ...region, depth: 1 }, 'unknown field "depth"'],
    [{ ...region, width: 0 }, 'one of images of 0x151'],
    [{ ...region, corners: [a, b, c] }, 'has the corners'],
    [{ ...region, corners: [a, b, c, [1, 152]] }, 'has the corners'],
    [{ ...region, corners: [a, b, c, [Number.NaN, 1]] }, 'has the corners'],
    [{ ...region, corners: [a, d, c, b] }, 'do not go clockwise'],
    [{ ...region, corners: [a, c, b, d] }, 'do not go clockwise'],
    [{ ...region, corners: [a, b, c, [100, 60]] }, 'do not go clockwise'],
    [{ ...region, corners: [a, a, c, d] }, 'nearly coincide'],
  ] as const) {
    expect(() => checkRegion(wrong), message).toThrow(message);
    const bad = { state: { ...state, region: wrong as unknown as RegionOfInterest } };
    if (wrong) await expect(saveDetector(bad)).rejects.toThrow('the model cannot be saved: the region of it');
  }
});

test('what lies outside takes no part in pixel metrics', () => {
  const map = Float32Array.of(0.1, 0.9, 0.2, 0.8, Number.NaN, Number.NaN);
  const mask = [0, 1, 0, 1, 1, 0];
  const whole = { width: 6, height: 1, map, regions: componentRegions(mask, 6, 1) };
  const inside = {
    width: 4,
    height: 1,
    map: map.subarray(0, 4),
    regions: componentRegions(mask.slice(0, 4), 4, 1),
  };
  const [found, expected] = [pixelMetrics([whole])!, pixelMetrics([inside])!];
  expect(found.pixel).toEqual(expected.pixel);
  expect(found.curve).toEqual(expected.curve);
  expect(found.area(0.3)).toBe(1);
  expect(pixelMetrics([{ ...whole, regions: componentRegions([0, 0, 0, 0, 0, 1], 6, 1) }])).toBeUndefined();
});

test('an evaluation judges the region alone', async () => {
  const detector = new Detector(gpu, { ...state, region: regionOf(rectangle(31, 17, 128, 100)) });
  const source = (images: readonly RgbImage[], mask: (i: number) => number) => ({
    count: 2,
    overlap: 'perRegion' as const,
    averageKinds: false,
    sample: (i: number) => ({ name: `${i}`, defect: i === 0 ? 'good' : 'dent' }),
    async load(i: number) {
      const { width, height } = images[i]!;
      const pixels = Uint8Array.from({ length: width * height }, (_, k) => mask(k));
      return {
        image: images[i]!,
        ...(i && { truth: { mask: pixels, regions: componentRegions(pixels, width, height) } }),
      };
    },
  });
  const images = [image, waves(203, 151)];
  const inMask = (x: number, y: number) => Number(x > 60 && x < 90 && y > 50 && y < 80);
  const { metrics } = await evaluate({
    detector,
    // A defect that reaches far out of the region is judged inside.
    source: source(images, (i) => Number(inMask(i % 203, Math.floor(i / 203)) || i % 203 < 20)),
  });
  const cropped = new Detector(gpu, state);
  const expected = await evaluate({
    detector: cropped,
    source: source(
      images.map((each) => cut(each, 31, 17, 128, 100)),
      (i) => inMask((i % 128) + 31, Math.floor(i / 128) + 17),
    ),
  });
  expect(metrics.pixel!.auroc).toBeCloseTo(expected.metrics.pixel!.auroc, 5);
  expect(metrics.overlap!.areas[0]).toBeCloseTo(expected.metrics.overlap!.areas[0]!, 4);
  for (const each of [detector, cropped]) each.destroy();
});

test('a heat map shows what lies outside dim, gray and hatched', () => {
  const picture = { width: 24, height: 1, data: new Uint8Array(72).fill(200) };
  const map = Float32Array.from({ length: 24 }, (_, x) => (x < 12 ? 0.5 : Number.NaN));
  const { data } = overlayHeatmap({ image: picture, map, threshold: 0.4, low: 0, high: 1 });
  expect([...data.subarray(36, 45)]).toEqual([90, 90, 90, 90, 90, 90, 60, 60, 60]);
  expect(data[0]).not.toBe(data[1]);
  // No contour where the map ends.
  expect([...data.subarray(30, 36)]).toEqual([...data.subarray(0, 6)]);
});

test('training sees the region alone: as from images of it', async () => {
  const run = shortRun();
  const region = { width: 128, height: 128, corners: rectangle(10, 20, 100, 90) };
  const whole = await fit({ ...run, engine: gpu, region });
  const cropped = (source: ImageSource): ImageSource => ({
    ...source,
    image: async (i) => cut(await source.image(i), 10, 20, 100, 90),
  });
  const apart = await fit({ ...run, engine: gpu, train: cropped(run.train), heldOut: cropped(run.heldOut) });
  expect(whole.state.region).toEqual(region);
  expect(whole.state.networks.parameters.map(({ data }) => data)).toEqual(
    apart.state.networks.parameters.map(({ data }) => data),
  );
  expect(whole.state.quantiles).toEqual(apart.state.quantiles);
  expect(whole.state.threshold!.value).toBeCloseTo(apart.state.threshold!.value, 4);
  const seen = await inRegion(region, { count: 1, digest: 'a', image: async () => savedImage(1) });
  expect(seen.digest).not.toBe('a');
  expect(await seen.image(0)).toEqual(cut(savedImage(1), 10, 20, 100, 90));
  for (const each of [whole, apart]) each.destroy();
});
