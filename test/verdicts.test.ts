import { describe, expect, test } from 'vitest';
import type { ImageSource } from '../src/data/image.ts';
import { renderSpecimen } from '../src/data/synthetic/generate.ts';
import { calibrate, judge } from '../src/detector/calibrate.ts';
import { judged, KEPT_SCORES } from '../src/detector/conformal.ts';
import { Detector } from '../src/detector/detector.ts';
import { readModel, saveDetector } from '../src/detector/modelFile.ts';
import { DriftWatch } from '../src/evaluation/drift.ts';
import { wilsonInterval } from '../src/metrics/proportion.ts';
import { rankSum } from '../src/metrics/rankSum.ts';
import { copyNetworks } from '../src/quantization/layers.ts';
import { engine } from './support/gpu.ts';
import { untrainedDetector } from './support/untrained.ts';

describe('statistics', () => {
  test.each([
    [0, 18, 0, 0.1759],
    [8, 18, 0.2456, 0.6628],
    [18, 18, 0.8241, 1],
    [1, 1000, 0.0002, 0.0056],
  ])('Wilson: %d of %d', (hits, count, low, high) => {
    const interval = wilsonInterval(hits, count)!;
    expect(interval.low).toBeCloseTo(low, 4);
    expect(interval.high).toBeCloseTo(high, 4);
  });

  test('Wilson: no cases', () => {
    expect(wilsonInterval(0, 0)).toBeUndefined();
  });

  test.each([
    [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10], 1, 0.012186],
    [[1, 2, 3, 4, 5], [5, 4, 3, 2, 1], 0.5, 1],
    [[1, 1, 2, 3], [1, 2, 2, 4, 4], 0.7, 0.372702],
    [[1, 1], [1, 1], 0.5, 1],
  ])('rank sum of %j and %j', (first, second, above, p) => {
    const result = rankSum(first, second);
    expect(result.above).toBeCloseTo(above, 10);
    expect(result.p).toBeCloseTo(p, 4);
    const turned = rankSum(second, first);
    expect(turned.above).toBeCloseTo(1 - above, 10);
    expect(turned.p).toBeCloseTo(result.p, 6);
  });
});

describe('drift', () => {
  const calibration = { scores: Array.from({ length: 20 }, (_, i) => i / 20) };

  test('is none while scores are as before', () => {
    const watch = new DriftWatch(calibration);
    for (let i = 0; i < 40; i++) expect(watch.add(((i * 7) % 20) / 20 + 0.01).drifted).toBe(false);
  });

  test('is found when scores are higher, or lower, and not from a few images', () => {
    for (const offset of [0.6, -0.6]) {
      const watch = new DriftWatch(calibration);
      const told = Array.from({ length: 16 }, (_, i) => watch.add(offset + i / 20));
      expect(told.slice(0, 7).some(({ drifted }) => drifted)).toBe(false);
      expect(told.at(-1)).toMatchObject({ images: 16, drifted: true });
      expect(told.at(-1)!.above > 0.5).toBe(offset > 0);
    }
  });
});

describe('what a detector keeps of its calibration', () => {
  test('the scores in order, of many the ends and those evenly between', () => {
    const { threshold, calibration } = judged([3, 1, 2], 0.5);
    expect(calibration.scores).toEqual([1, 2, 3]);
    expect(threshold).toMatchObject({ value: 2, images: 3, promised: 0.5 });
    const many = judged(Array.from({ length: 2000 }, (_, i) => (i * 7919) % 2000)).calibration.scores;
    expect(many).toHaveLength(KEPT_SCORES);
    expect([many[0], many.at(-1)]).toEqual([0, 1999]);
    expect(many.every((score, i) => i === 0 || score - many[i - 1]! < 5)).toBe(true);
  });

  test('is in the file, and refused unless it is in order', async () => {
    const state = { ...(await untrainedDetector()), calibration: { scores: [0.1, 0.2, 0.2, 0.5] } };
    expect((await readModel(await saveDetector({ state }))).calibration).toEqual(state.calibration);
    await expect(saveDetector({ state: { ...state, calibration: { scores: [0.2, 0.1] } } })).rejects.toThrow(
      'it gives calibration.scores[1] as 0.1.',
    );
    await expect(saveDetector({ state: { ...state, calibration: { scores: [] } } })).rejects.toThrow(
      'calibration.scores as []',
    );
  });
});

describe('calibration', () => {
  const good: ImageSource = {
    count: 4,
    paths: ['a.png', 'b.png', 'c.png', 'd.png'],
    image: async (i) => renderSpecimen('bracket', undefined, i, 128).image,
  };

  test('every image is judged by a detector that has not seen it', async () => {
    const gpu = await engine();
    const state = await untrainedDetector();
    const [first, second] = [4, 5].map((seed) => {
      const networks = copyNetworks(state.networks);
      networks.initialize(seed);
      return new Detector(gpu, { ...state, networks });
    }) as [Detector, Detector];
    const judges = [
      { detector: first, images: [0, 2] },
      { detector: second, images: [1, 3] },
    ];
    const detector = new Detector(gpu, state);
    const calibrated = await calibrate(detector, good, { alpha: 0.2, judges });
    const { quantiles, threshold, calibration } = calibrated.state;
    const scores: number[] = [];
    for (const { detector: judge, images } of judges) {
      const own = judge.with({ quantiles });
      for (const i of images) scores.push((await own.predict(await good.image(i))).score);
      own.destroy();
    }
    expect(calibration!.scores).toEqual(scores.sort((a, b) => a - b));
    expect(threshold).toMatchObject({ value: Math.max(...scores), images: 4, promised: 0.2 });
    const alone = await judge(calibrated, good, { alpha: 0.2 });
    expect(alone.threshold.value).not.toBe(threshold!.value);
    expect(alone.threshold.value).toBe(Math.max(...alone.calibration.scores));
    for (const each of [first, second, detector, calibrated]) each.destroy();
  });

  test('an image that cannot be scored is named', async () => {
    const gpu = await engine();
    const detector = new Detector(gpu, await untrainedDetector());
    const broken = { ...good, image: async () => ({ width: 4, height: 4, data: new Uint8Array(1) }) };
    await expect(judge(detector, broken)).rejects.toThrow('a.png: an image of 4x4 has 1 bytes');
    detector.destroy();
  });
});
