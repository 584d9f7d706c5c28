import { afterAll, describe, expect, test } from 'vitest';
import type { ImageSource, RgbImage } from '../src/data/image.ts';
import { renderSpecimen } from '../src/data/synthetic/generate.ts';
import { Detector } from '../src/detector/detector.ts';
import { readModel, saveDetector } from '../src/detector/modelFile.ts';
import { quantize } from '../src/detector/quantize.ts';
import { UserError } from '../src/errors.ts';
import { greedyCoreset } from '../src/math/coreset.ts';
import { readTeacher } from '../src/node/teachers.ts';
import { uniformPlan } from '../src/quantization/bitPlan.ts';
import { type FitNearestOptions, fitNearest } from '../src/train/nearest.ts';
import { recalibrate } from '../src/train/recalibrate.ts';
import { correlation } from './support/agreement.ts';
import { toBeAllclose } from './support/close.ts';
import { engine } from './support/gpu.ts';

const gpu = await engine();
const specimens = (first: number, count: number): ImageSource => ({
  count,
  image: async (i) => renderSpecimen('denim', undefined, first + i, 128).image,
});
const [train, heldOut] = [specimens(0, 6), specimens(6, 3)];
const SETTINGS = { size: 'xs', resolution: 128, vectors: 256, seed: 3 } as const;

async function bank(change: Partial<FitNearestOptions['settings']> = {}): Promise<Detector> {
  const settings = { ...SETTINGS, ...change };
  const teacher = await readTeacher('xs');
  return fitNearest({ engine: gpu, settings, dataset: 'denim', train, heldOut, teacher, alpha: 0.1 });
}

/** A specimen with a small checkered square. */
async function defective(left: number, top: number): Promise<RgbImage> {
  const image = await specimens(20, 1).image(0);
  const data = image.data.slice();
  for (let y = top; y < top + 4; y++)
    for (let x = left; x < left + 4; x++) data.fill(255 * ((x + y) % 2), 3 * (128 * y + x), 3 * (128 * y + x + 1));
  return { ...image, data };
}

describe('a coreset', () => {
  test('takes what is farthest from those that it has', () => {
    const points = Float32Array.of(0, 0, 0.1, 0, 10, 0, 10, 0.1, 0, 5);
    const three = greedyCoreset(points, 2, 3, 1);
    const groups = [...three].map((i) => [0, 0, 1, 1, 2][i]!);
    expect(groups.sort()).toEqual([0, 1, 2]);
  });

  test('has no vector twice, and as many as there are', () => {
    const points = Float32Array.from({ length: 3 * 40 }, (_, i) => Math.floor(i / 12));
    expect(greedyCoreset(points, 3, 100)).toHaveLength(10);
    expect(greedyCoreset(new Float32Array(0), 3, 4)).toHaveLength(0);
  });

  test('projects many channels, the same for equal seeds', () => {
    const points = Float32Array.from({ length: 50 * 64 }, (_, i) => Math.sin(i * i));
    const chosen = greedyCoreset(points, 64, 20, 7);
    expect(new Set(chosen).size).toBe(20);
    expect(greedyCoreset(points, 64, 20, 7)).toEqual(chosen);
    expect(greedyCoreset(points, 64, 20, 8)).not.toEqual(chosen);
  });
});

describe('a memory bank', async () => {
  const detector = await bank();
  afterAll(() => detector.destroy());

  test('knows what it has seen, finds what it has not, and promises by all good images', async () => {
    const { networks, threshold, provenance } = detector.state;
    expect(networks.bank!.size).toBe(256);
    expect(threshold).toMatchObject({ images: 9, promised: 0.1 });
    expect(provenance).toMatchObject({ method: 'nearest', vectors: 256, trainImages: 6, heldOutImages: 3 });
    const seen = await detector.predict(await train.image(0));
    const good = await detector.predict(await specimens(20, 1).image(0));
    const bad = await detector.predict(await defective(60, 60));
    expect(seen.score).toBeLessThan(threshold!.value);
    expect(good.isAnomalous).toBe(false);
    expect(bad.isAnomalous).toBe(true);
    const at = bad.map.indexOf(bad.score);
    expect(Math.abs((at % 128) - 62)).toBeLessThan(8);
    expect(Math.abs(Math.floor(at / 128) - 62)).toBeLessThan(8);

    const bytes = await saveDetector(detector);
    const read = await readModel(bytes, 'bank');
    expect(Buffer.compare(await saveDetector({ state: read }), bytes)).toBe(0);
    const again = await bank();
    expect(Buffer.compare(await saveDetector(again), bytes)).toBe(0);
    const loaded = new Detector(gpu, read);
    expect((await loaded.predict(await defective(60, 60))).score).toBe(bad.score);
    for (const each of [again, loaded]) each.destroy();
  });

  test('of all features there are gives distance 0 to its images', async () => {
    const detector = await fitNearest({
      engine: gpu,
      settings: { ...SETTINGS, vectors: 2048 },
      dataset: 'two',
      train: specimens(0, 2),
      heldOut: specimens(0, 0),
      teacher: await readTeacher('xs'),
    });
    expect(detector.state.networks.bank!.size).toBe(2 * 24 * 24);
    const known = await detector.rawMaps(await specimens(0, 1).image(0));
    const other = await detector.rawMaps(await specimens(9, 1).image(0));
    expect(Math.max(...known.studentTeacher)).toBeLessThan(1e-4);
    expect(Math.min(...other.studentTeacher)).toBeGreaterThan(1e-3);
    detector.destroy();
  });

  test('scores the outer 16 px with a mirrored border, and misses a defect there without', async () => {
    const mirrored = await bank({ padding: 'reflect' });
    for (const [left, top] of [
      [0, 60],
      [124, 60],
      [60, 0],
      [60, 124],
    ] as const) {
      const image = await defective(left, top);
      expect((await detector.predict(image)).isAnomalous).toBe(false);
      const { isAnomalous, map, score } = await mirrored.predict(image);
      expect(isAnomalous).toBe(true);
      const at = map.indexOf(score);
      expect(Math.abs((at % 128) - left - 2)).toBeLessThan(8);
      expect(Math.abs(Math.floor(at / 128) - top - 2)).toBeLessThan(8);
    }
    expect((await mirrored.predict(await specimens(20, 1).image(0))).isAnomalous).toBe(false);
    mirrored.destroy();
  });

  test('runs on integers, with distances to the vectors as they are rounded', async () => {
    const image = await specimens(20, 1).image(0);
    const float = await detector.rawMaps(image);
    for (const weights of [8, 5] as const) {
      const plan = uniformPlan(detector.state.networks, { weights, activations: 8 });
      expect(Object.keys(plan.layers)).toEqual([
        'teacher.conv1',
        'teacher.conv2',
        'teacher.conv3',
        'teacher.conv4',
        'memory',
      ]);
      const quantized = await quantize({ detector, plan, train, heldOut });
      const maps = await quantized.rawMaps(image);
      expect(correlation(maps.studentTeacher, float.studentTeacher)).toBeGreaterThan(weights === 8 ? 0.99 : 0.9);
      expect((await quantized.predict(await defective(60, 60))).isAnomalous).toBe(true);
      const { weight, bias } = quantized.state.networks.bank!.convolution;
      const squares = Float64Array.from(bias.data, (_, k) =>
        (weight.data as Float32Array).subarray(128 * k, 128 * (k + 1)).reduce((sum, value) => sum - value ** 2 / 2, 0),
      );
      toBeAllclose(bias.data, squares, { relative: 1e-5 });
      const simulated = new Detector(gpu, quantized.state, { simulate: true });
      const rounded = await simulated.rawMaps(image);
      expect(correlation(maps.studentTeacher, rounded.studentTeacher)).toBeGreaterThan(0.999);
      simulated.destroy();
      const read = await readModel(await saveDetector(quantized));
      expect(read.quantization!.get('memory')!.weights!.bits).toBe(weights);
      quantized.destroy();
    }
  });

  test('what needs a student is refused', async () => {
    const options = { detector, plan: uniformPlan(detector.state.networks, { weights: 8, activations: 8 }) };
    const penalty = { name: 'none', count: 1, pixels: async () => new Uint32Array(128 * 128) };
    const refused = recalibrate({ ...options, train, heldOut, penalty, settings: { iterations: 1, batch: 1 } });
    await expect(refused).rejects.toThrow('the detector is a memory bank, which has no student.');
    await expect(refused).rejects.toThrow(UserError);
  });

  test.each<[Partial<FitNearestOptions['settings']>, string]>([
    [{ vectors: 0 }, 'a bank of 0 vectors cannot be used.'],
    [{ vectors: 1e6 }, 'a bank of 1000000 vectors cannot be used.'],
    [{ resolution: 100 }, 'resolution 100 cannot be used.'],
  ])('%j is refused', async (settings, message) => {
    await expect(bank(settings)).rejects.toThrow(message);
  });
});
