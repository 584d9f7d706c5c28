import { describe, expect, test } from 'vitest';
import type { ImageSource } from '../src/data/image.ts';
import { renderSpecimen } from '../src/data/synthetic/generate.ts';
import { BorderFilter } from '../src/detector/borderFilter.ts';
import { calibrate, newFilter, withFilter } from '../src/detector/calibrate.ts';
import { Detector } from '../src/detector/detector.ts';
import type { DetectorState } from '../src/detector/detectorState.ts';
import { MAP_FILTERS, type MapFilter } from '../src/detector/mapFilter.ts';
import { GaussianFilter, LocationFilter } from '../src/detector/mapFilters.ts';
import { readModel, saveDetector } from '../src/detector/modelFile.ts';
import { UserError } from '../src/errors.ts';
import { choose, chooseFilter, type FilterRow } from '../src/evaluation/chooseFilter.ts';
import { sealChecksum } from '../src/formats/checksum.ts';
import { Random } from '../src/math/random.ts';
import { exactQuantile } from '../src/math/statistics.ts';
import { toBeAllclose } from './support/close.ts';
import { crop } from './support/crop.ts';
import { engine } from './support/gpu.ts';
import { sameMeaning } from './support/modelFiles.ts';
import { type JsonObject, openHeader, withHeader } from './support/mutations.ts';
import { untrainedDetector } from './support/untrained.ts';

const gpu = await engine();
const state = await untrainedDetector();
const { mapSide } = state.networks;
const picture = renderSpecimen('bracket', 'scratch', 5, 192).image;
const specimens = (first: number, count: number): ImageSource => ({
  count,
  image: async (i) => renderSpecimen('bracket', undefined, first + i, 128).image,
});

const usual = Float32Array.from({ length: 2 * mapSide * mapSide }, (_, i) => 1 + 0.5 * Math.sin(i / 7));
const FILTERS: readonly MapFilter[] = [
  new GaussianFilter(),
  new LocationFilter(usual, 8),
  new BorderFilter(usual.slice(0, 8), mapSide, 8),
];

describe.each(FILTERS.map((filter) => [filter.kind, filter] as const))('%s', (_, filter) => {
  test('the map is what the host makes of the plain one, whether images come alone or together', async () => {
    const plain = new Detector(gpu, state);
    const filtered = new Detector(gpu, { ...state, filter });
    const images = [crop(picture, 128, 128), crop(picture, 150, 60), picture];
    const together = await filtered.predictBatch(images);
    for (const [i, image] of images.entries()) {
      const before = await plain.predict(image);
      const { gridMap: map, score, branches } = await filtered.predict(image);
      const expected = filter.apply(before.gridMap);
      toBeAllclose(map, Float64Array.from(expected), { relative: 1e-5 });
      toBeAllclose(together[i]!.gridMap, Float64Array.from(expected), { relative: 1e-4 });
      expect(branches).toEqual(before.branches);
      expect(score).not.toBe(before.score);
    }
    plain.destroy();
    filtered.destroy();
  });

  test('is written and read again', async () => {
    const bytes = await saveDetector({ state: { ...state, filter } });
    const read = await readModel(bytes);
    expect(sameMeaning(read, { ...state, filter })).toBe(true);
    const map = usual.subarray(0, mapSide * mapSide);
    toBeAllclose(read.filter!.apply(map), Float64Array.from(filter.apply(map)), { relative: 0 });
    expect(Buffer.compare(await saveDetector({ state: read }), bytes)).toBe(0);
  });
});

test('a blur keeps constants and the sum of an inner peak; locations are brought to one scale', () => {
  const gaussian = new GaussianFilter();
  for (const value of gaussian.apply(new Float32Array(81).fill(2))) expect(value).toBeCloseTo(2, 5);
  const peak = new Float32Array(81);
  peak[40] = 1;
  const blurred = gaussian.apply(peak);
  expect(blurred.reduce((sum, value) => sum + value, 0)).toBeCloseTo(1, 5);
  expect(blurred[40]).toBeCloseTo(0.1592, 2);
  expect(blurred[41]).toBeCloseTo(blurred[49]!, 6);
  const maps = [
    [0, 5, 10, 10],
    [2, 5, 14, 10],
    [0, 5, 10, 10],
    [2, 5, 14, 10],
  ].map((values) => Float32Array.from(values));
  const usual = Math.sqrt((1 + 0 + 4 + 0) / 4);
  const out = LocationFilter.of(maps).filter.apply(Float32Array.of(3, 5, 12, 11));
  expect(out[0]).toBeCloseTo(2 / Math.sqrt(1 + usual ** 2), 5);
  expect(out[1]).toBe(0);
  expect(out[3]).toBeCloseTo(1 / usual, 5);
});

test('a border is brought to the levels of the inside, ring by ring', () => {
  const side = 32;
  const ring = (place: number) =>
    Math.min(place % side, Math.floor(place / side), side - 1 - (place % side), side - 1 - Math.floor(place / side));
  const random = new Random(3);
  // Outer rings are louder, by a scale and an offset of their own.
  const maps = Array.from({ length: 8 }, () =>
    Float32Array.from({ length: side * side }, (_, place) => {
      const outside = Math.max(4 - ring(place), 0);
      return random.uniform() ** 2 * (1 + outside) + 0.3 * outside;
    }),
  );
  const { filter, unseen } = BorderFilter.of(maps);
  const high = (from: readonly Float32Array[], isOf: (ring: number) => boolean) =>
    exactQuantile(Float32Array.from(from.flatMap((map) => [...map].filter((_, place) => isOf(ring(place))))), 0.995);
  const inside = high(maps, (each) => each >= 4);
  expect(high(maps, (each) => each === 0)).toBeGreaterThan(4 * inside);
  const learned = maps.map((map) => filter.apply(map));
  for (const distance of [0, 1, 2, 3]) {
    expect(high(learned, (each) => each === distance)).toBeCloseTo(inside, 4);
    expect(Math.abs(high(unseen, (each) => each === distance) / inside - 1)).toBeLessThan(0.1);
  }
  const middle = 16 * side + 16;
  expect(learned.map((map) => map[middle])).toEqual(maps.map((map) => map[middle]));
});

describe('a file with a filter', () => {
  const refused = async (filter: MapFilter, change: (section: JsonObject, header: JsonObject) => void) => {
    const { header, body } = openHeader(await saveDetector({ state: { ...state, filter } }), 'sections');
    const sections = (header['__metadata__'] as JsonObject)['sections'] as JsonObject;
    change((sections['filter'] as JsonObject)['value'] as JsonObject, header);
    const bytes = withHeader(header, body);
    await sealChecksum(bytes);
    const error = await readModel(bytes, 'm').catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(UserError);
    return (error as UserError).message;
  };
  const [gaussian, location, border] = FILTERS as [MapFilter, MapFilter, MapFilter];

  test.each<[string, MapFilter, (section: JsonObject, header: JsonObject) => void, string]>([
    ['of an unknown kind', gaussian, (value) => (value['kind'] = 'median'), 'm gives filter.kind as "median".'],
    ['of no width', gaussian, (value) => (value['sigma'] = 0), 'm gives filter.sigma as 0.'],
    ['with another field', gaussian, (value) => (value['radius'] = 3), 'm has the unknown field "radius" in filter.'],
    ['from no images', location, (value) => (value['images'] = 0.5), 'm gives filter.images as 0.5.'],
    [
      'of another shape',
      location,
      (_, header) => ((header['filter/usual'] as JsonObject)['shape'] = [2, mapSide * mapSide]),
      `m holds filter/usual as [2,${mapSide * mapSide}].`,
    ],
    [
      'of other rings',
      border,
      (_, header) => ((header['filter/rings'] as JsonObject)['shape'] = [4, 2]),
      'm holds filter/rings as [4,2].',
    ],
    [
      'whose tensor belongs to no filter',
      gaussian,
      (_, header) => {
        header['filter/more'] = header['teacher.mean']!;
        delete header['teacher.mean'];
      },
      'm lacks the tensor teacher.mean.',
    ],
  ])('%s is refused', async (_, filter, change, message) => {
    expect(await refused(filter, change)).toBe(message);
  });

  test('that divides by nothing is not written', async () => {
    const broken = new LocationFilter(new Float32Array(2 * mapSide * mapSide), 8);
    await expect(saveDetector({ state: { ...state, filter: broken } })).rejects.toThrow('filter/usual');
  });
});

describe('calibration', () => {
  test('learns what is usual, and takes the threshold from maps that others judge', async () => {
    const plain = await calibrate(new Detector(gpu, state), specimens(0, 5));
    const filtered = await withFilter(plain, await newFilter('location', mapSide), specimens(0, 5));
    expect(filtered.state.quantiles).toEqual(plain.state.quantiles);
    const scores: number[] = [];
    const own: number[] = [];
    for (let i = 0; i < 5; i++) {
      const image = await specimens(0, 5).image(i);
      own.push((await filtered.predict(image)).score);
      const maps: Float32Array[] = [];
      for (let k = 0; k < 5; k++) if (k !== i) maps.push((await plain.predict(await specimens(0, 5).image(k))).gridMap);
      const judge = new LocationFilter(LocationFilter.of(maps).filter.tensors.get('usual')!.data as Float32Array, 4);
      const map = await plain.place(judge.apply((await plain.predict(image)).gridMap), 128, 128);
      scores.push(Math.max(...map));
    }
    const { threshold, filter } = filtered.state;
    expect(filter!.value).toEqual({ kind: 'location', images: 5 });
    toBeAllclose(Float32Array.of(threshold!.value), Float64Array.of(Math.max(...scores)), { relative: 1e-4 });
    // By its own images alone a filter would promise too much.
    expect(threshold!.value).toBeGreaterThan(Math.max(...own));
    for (const detector of [plain, filtered]) detector.destroy();
  });

  test.each<[string, DetectorState, number, string, MapFilter['kind']?]>([
    ['too few images', state, 3, 'a map filter cannot learn from 3 held-out images.'],
    ['values around the maps', { ...state, placement: 'anomalib' }, 5, 'where values are placed around them'],
    ['networks without a border', state, 5, 'is for networks that see beyond the border of images', 'border'],
  ])('%s are refused', async (_, of, count, message, kind = 'location') => {
    const detector = new Detector(gpu, of);
    const filtered = withFilter(detector, await newFilter(kind, mapSide), specimens(0, count));
    await expect(filtered).rejects.toThrow(message);
    await expect(filtered).rejects.toThrow(UserError);
    detector.destroy();
  });
});

describe('the choice', () => {
  const row = (
    kind: FilterRow['kind'],
    [auroc, low]: readonly [number, number],
    [overlap, overlapLow]: readonly [number, number],
  ): FilterRow => ({
    kind,
    auroc,
    overlap,
    gain: { auroc: { low, high: low + 0.1 }, overlap: { low: overlapLow, high: overlapLow + 0.1 } },
  });
  const none = row('none', [0.9, 0], [0.7, 0]);

  test.each<[string, FilterRow[], FilterRow['kind']]>([
    ['nothing that is sure', [row('gaussian', [0.95, -0.01], [0.8, -0.01])], 'none'],
    [
      'what tells images apart',
      [row('gaussian', [0.95, 0.01], [0.6, -0.2]), row('location', [0.94, 0.02], [0.9, 0.1])],
      'gaussian',
    ],
    [
      'what outlines defects, else',
      [row('gaussian', [0.9, -0.1], [0.72, 0.01]), row('location', [0.897, -0.1], [0.9, 0.1])],
      'location',
    ],
    ['not at the cost of images', [row('location', [0.89, -0.1], [0.95, 0.2])], 'none'],
  ])('%s', (_, others, kind) => {
    expect(choose([none, ...others])).toBe(kind);
  });

  test('is made from held-out images and planted defects, the same for equal seeds', async () => {
    const detector = new Detector(gpu, state);
    const options = { detector, heldOut: specimens(0, 6), plantings: 1, seed: 2 };
    const { rows, chosen, images } = await chooseFilter(options);
    expect(images).toBe(6);
    expect(rows.map(({ kind }) => kind)).toEqual(['none', 'gaussian', 'location']);
    for (const { auroc, overlap } of rows) {
      expect(auroc).toBeGreaterThan(0.3);
      expect(overlap).toBeGreaterThan(0.1);
    }
    expect(choose(rows)).toBe(chosen);
    expect(await chooseFilter(options)).toEqual({ rows, chosen, images });
    const mirrored = new Detector(gpu, await untrainedDetector('reflect'));
    const all = await chooseFilter({ ...options, detector: mirrored, images: 4 });
    expect(all.rows.map(({ kind }) => kind)).toEqual(MAP_FILTERS);
    mirrored.destroy();
    const few = await chooseFilter({ ...options, images: 3 });
    expect(few.rows).toHaveLength(2);
    detector.destroy();
  });
});
