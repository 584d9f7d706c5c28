import { describe, expect, test } from 'vitest';
import type { ImageSource } from '../src/data/image.ts';
import { renderSpecimen } from '../src/data/synthetic/generate.ts';
import { withFilter } from '../src/detector/calibrate.ts';
import { Detector } from '../src/detector/detector.ts';
import { GaussianFilter, LocationFilter } from '../src/detector/mapFilters.ts';
import { readModel, saveDetector } from '../src/detector/modelFile.ts';
import { gridOf, seenImages } from '../src/detector/seen.ts';
import { tilingOf } from '../src/detector/tiledChain.ts';
import { UserError } from '../src/errors.ts';
import { chooseFilter } from '../src/evaluation/chooseFilter.ts';
import { evaluate } from '../src/evaluation/evaluate.ts';
import { componentRegions } from '../src/metrics/overlap.ts';
import { readTeacher } from '../src/node/teachers.ts';
import { exportDetector } from '../src/onnx/detector.ts';
import { uniformPlan } from '../src/quantization/bitPlan.ts';
import { type FitOptions, fit, PRESETS } from '../src/train/fit.ts';
import { fitNearest } from '../src/train/nearest.ts';
import { generatedPenalty } from '../src/train/penalty.ts';
import { recalibrate } from '../src/train/recalibrate.ts';
import { detectorOf, error, gpu, networksOf, stateOf } from './support/tiled.ts';

const drawn = new Map<number, Uint8Array>();

/** Six specimens side by side, [256, 384, 3]. */
function specimens(index: number): Uint8Array {
  const known = drawn.get(index);
  if (known) return known;
  const data = new Uint8Array(3 * 384 * 256);
  for (let k = 0; k < 6; k++) {
    const { image } = renderSpecimen('denim', undefined, 10 * index + k, 128);
    const [left, top] = [128 * (k % 3), 128 * Math.floor(k / 3)];
    for (let y = 0; y < 128; y++) data.set(image.data.subarray(384 * y, 384 * (y + 1)), 3 * ((top + y) * 384 + left));
  }
  drawn.set(index, data);
  return data;
}

/** Large parts, and such with a checkered spot of 4 px that is lost when they shrink. */
function parts(first: number, count: number, isDefective = false): ImageSource {
  return {
    count,
    async image(i) {
      const [width, height] = [384, 256];
      const data = specimens(first + i).slice();
      if (isDefective)
        for (let k = 0; k < 16; k++) {
          const at = 3 * ((150 + (k >> 2)) * width + 300 + (k & 3));
          data.fill(255 * ((k ^ (k >> 2)) & 1), at, at + 3);
        }
      return { width, height, data };
    },
  };
}

describe('a detector that looks at tiles', () => {
  const size = { width: 384, height: 256 };
  const bank = { size: 'xs', resolution: 128, vectors: 256, seed: 3 } as const;
  const few = async (tiles?: typeof size) =>
    fitNearest({
      engine: gpu,
      settings: bank,
      dataset: 'parts',
      ...(tiles && { tiles }),
      train: parts(0, 4),
      heldOut: parts(4, 2),
      teacher: await readTeacher('xs'),
      alpha: 0.2,
    });

  test('finds what is lost when images shrink, by one threshold for all tiles', async () => {
    const [tiled, shrunk] = [await few(size), await few()];
    const bad = await parts(20, 1, true).image(0);
    expect((await shrunk.predict(bad)).isAnomalous).toBe(false);
    const { isAnomalous, map, score } = await tiled.predict(bad);
    expect(isAnomalous).toBe(true);
    const at = map.indexOf(score);
    expect(Math.hypot((at % 384) - 302, Math.floor(at / 384) - 152)).toBeLessThan(12);
    expect(tiled.state.threshold).toMatchObject({ images: 6 });

    const bytes = await saveDetector(tiled);
    const read = detectorOf(await readModel(bytes, 'tiled'));
    expect(read.state.tiling!.value).toEqual(size);
    expect((await read.predict(bad)).score).toBe(score);
    expect(Buffer.compare(await saveDetector(read), bytes)).toBe(0);

    const mask = new Uint8Array(384 * 256);
    for (let k = 0; k < 16; k++) mask[(150 + (k >> 2)) * 384 + 300 + (k & 3)] = 1;
    const truth = { mask, regions: componentRegions(mask, 384, 256) };
    const { metrics } = await evaluate({
      detector: tiled,
      source: {
        count: 2,
        overlap: 'perRegion',
        averageKinds: false,
        sample: (i) => ({ name: String(i), defect: i === 0 ? 'good' : 'spot' }),
        load: async (i) => (i === 0 ? { image: await parts(21, 1).image(0) } : { image: bad, truth }),
      },
    });
    expect(metrics.auroc).toBe(1);
    expect(metrics.overlap!.areas[0]).toBeGreaterThan(0.9);
    for (const each of [tiled, shrunk]) each.destroy();
  });

  const [train, heldOut, penalty] = [parts(0, 3), parts(4, 2), generatedPenalty(0)];

  const trained = async (change: Partial<FitOptions> = {}) =>
    fit({
      engine: gpu,
      settings: { ...PRESETS.quick, iterations: 3, batch: 2 },
      dataset: 'parts',
      tiles: size,
      train,
      heldOut,
      penalty,
      teacher: await readTeacher('xs'),
      ...change,
    });

  test('is trained on tiles and wholes; stopping and going on changes nothing', async () => {
    const saved: Uint8Array[] = [];
    const checkpoint = { every: 2, save: async (bytes: Uint8Array) => void saved.push(bytes) };
    const detector = await trained({ checkpoint });
    const resumed = await trained({ checkpoint, resume: saved[0]! });
    expect(await saveDetector(resumed)).toEqual(await saveDetector(detector));
    for (const each of [detector, resumed]) each.destroy();
  });

  test('is quantized and trained on', async () => {
    const detector = await trained();
    const plan = uniformPlan(detector.state.networks, { weights: 8, activations: 8 });
    const settings = { iterations: 1, learningRate: 1e-9 };
    const quantized = await recalibrate({ detector, plan, train, heldOut, penalty, settings });
    expect(quantized.state.tiling!.value).toEqual(size);
    const image = await heldOut.image(0);
    const [ours, theirs] = [await quantized.rawMaps(image), await detector.rawMaps(image)];
    expect(error(ours.studentTeacher, theirs.studentTeacher)).toBeLessThan(0.2);
    expect(error(ours.autoencoder, theirs.autoencoder)).toBeLessThan(0.2);
    for (const each of [detector, quantized]) each.destroy();
  });

  test('learns of its own tiles, and for the autoencoder of whole images', async () => {
    const state = stateOf(networksOf('none'), size);
    const { images, wholes } = await seenImages(state, parts(0, 2), 6);
    expect([images.count, wholes!.count]).toEqual([6, 2]);
    const { width, height } = await images.image(3);
    expect([width, height]).toEqual([128, 128]);
  });

  test('blurs the map of the whole, and refuses what it cannot do', async () => {
    const detector = detectorOf(stateOf(networksOf('none'), size));
    const blurred = await withFilter(detector, new GaussianFilter(), parts(0, 2));
    const image = await parts(7, 1).image(0);
    const plain = new Detector(gpu, { ...detector.state, quantiles: blurred.state.quantiles });
    const { columns } = gridOf(detector.state);
    const expected = new GaussianFilter().apply((await plain.predict(image)).gridMap, columns);
    expect(error((await blurred.predict(image)).gridMap, expected)).toBeLessThan(1e-6);
    for (const each of [blurred, plain]) each.destroy();

    const location = new LocationFilter(new Float32Array(2 * 24 * 24).fill(1), 4);
    await expect(withFilter(detector, location, parts(0, 4))).rejects.toThrow(
      /whose maps do not pass the filter location/,
    );
    await expect(saveDetector({ state: { ...detector.state, filter: location } })).rejects.toThrow(/filter location/);
    await expect(chooseFilter({ detector, heldOut: parts(0, 2) })).rejects.toThrow(/no map filter is chosen/);
    await expect(detector.prepare({ width: 384, height: 256 })).rejects.toThrow(/not recorded/);
    expect(() => exportDetector(detector.state)).toThrow(/looks at tiles/);
    const region = {
      ...size,
      corners: [
        [0, 0],
        [99, 0],
        [99, 99],
        [0, 99],
      ] as const,
    };
    await expect(saveDetector({ state: { ...detector.state, region } })).rejects.toThrow(/together with a region/);
  });

  test.each([
    [{ width: 127, height: 300 }, /is \{"width":127,"height":300\}. It has/],
    [{ width: 300 }, /a width and a height of at least 128 px/],
    [{ width: 300.5, height: 300 }, /is \{"width":300.5/],
    [{ width: 2 ** 16, height: 2 ** 16 }, /at most 134217728 pixels/],
    [[300, 300], /is \[300,300\]/],
  ])('of no size: %j', (given, message) => {
    const refusal = () => tilingOf(given, networksOf('none'));
    expect(refusal).toThrow(UserError);
    try {
      refusal();
    } catch (error) {
      expect(`${(error as UserError).message} ${(error as UserError).fix}`).toMatch(message);
    }
  });
});
