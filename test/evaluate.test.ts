import { expect, test } from 'vitest';
import { PLANTED_DEFECTS, plantDefect } from '../src/data/plantedDefects.ts';
import { renderSpecimen } from '../src/data/synthetic/generate.ts';
import { calibrate } from '../src/detector/calibrate.ts';
import { Detector } from '../src/detector/detector.ts';
import { readModel, saveDetector } from '../src/detector/modelFile.ts';
import { mapScore } from '../src/detector/score.ts';
import { type EvaluateOptions, evaluate, type TestSource, UnreadableImageError } from '../src/evaluation/evaluate.ts';
import { componentRegions } from '../src/metrics/overlap.ts';
import { engine } from './support/gpu.ts';
import { untrainedDetector } from './support/untrained.ts';

const gpu = await engine();
const SIDE = 128;
const GOOD = 3;

/** Three good images, one that cannot be read, three defects. */
const source: TestSource = {
  count: 7,
  overlap: 'perRegion',
  averageKinds: false,
  sample: (i) => ({ name: `${i}.png`, defect: i < GOOD ? 'good' : `kind${i % 2}` }),
  async load(i) {
    if (i === GOOD) throw new UnreadableImageError('3.png is no image.', 'Remove it.');
    const { image } = renderSpecimen('bracket', undefined, 50 + i, SIDE);
    if (i < GOOD) return { image };
    const planted = plantDefect(image, PLANTED_DEFECTS[i % PLANTED_DEFECTS.length]!, i);
    return {
      image: planted.image,
      truth: { mask: planted.mask, regions: componentRegions(planted.mask, SIDE, SIDE) },
    };
  },
};

async function evaluation(options: Partial<EvaluateOptions> = {}) {
  const detector = new Detector(gpu, await untrainedDetector());
  const order: number[] = [];
  const notices: string[] = [];
  const result = await evaluate({
    detector,
    source,
    onResult: (index) => {
      order.push(index);
    },
    onNotice: (message) => notices.push(message),
    ...options,
  });
  detector.destroy();
  return { ...result, order, notices };
}

test('in batches as one by one: order, scores, metrics, and images that cannot be read', async () => {
  const alone = await evaluation();
  const batched = await evaluation({ batch: 3 });
  for (const { order, notices, results } of [alone, batched]) {
    expect(order).toEqual([0, 1, 2, 4, 5, 6]);
    expect(notices).toEqual(['left out: 3.png is no image.', '1 of 7 images were left out.']);
    expect(results.map(({ name }) => name)).toEqual(['0.png', '1.png', '2.png', '4.png', '5.png', '6.png']);
  }
  batched.results.forEach(({ score }, i) => {
    expect(Math.abs(score / alone.results[i]!.score - 1)).toBeLessThan(1e-4);
  });
  expect(batched.metrics.auroc).toBe(alone.metrics.auroc);
  expect(batched.metrics.pixel!.auroc).toBeCloseTo(alone.metrics.pixel!.auroc, 4);
});

test('less detail leaves the other figures as they are', async () => {
  const [images, pixels, defects] = [
    await evaluation({ detail: 'images' }),
    await evaluation({ detail: 'pixels' }),
    await evaluation(),
  ];
  for (const { metrics } of [images, pixels]) {
    expect(metrics.image).toEqual(defects.metrics.image);
    expect(metrics.defects.map(({ auroc }) => auroc)).toEqual(defects.metrics.defects.map(({ auroc }) => auroc));
    expect(metrics.defects.every(({ overlap }) => overlap === undefined)).toBe(true);
  }
  expect(images.metrics.pixel).toBeUndefined();
  expect(images.metrics.overlap).toBeUndefined();
  expect(pixels.metrics.overlap).toEqual(defects.metrics.overlap);
  expect(defects.metrics.defects.every(({ overlap }) => overlap !== undefined)).toBe(true);
});

test('an image that cannot be judged is left out by name, alone and in a batch', async () => {
  const torn: TestSource = {
    ...source,
    async load(i) {
      const loaded = await source.load(i);
      return i === 1 ? { image: { ...loaded.image, data: loaded.image.data.subarray(3) } } : loaded;
    },
  };
  for (const batch of [1, 3]) {
    const { order, notices, results, leftOut, metrics } = await evaluation({ source: torn, batch, detail: 'images' });
    expect(order).toEqual([0, 2, 4, 5, 6]);
    expect([...leftOut].sort()).toEqual([expect.stringMatching(/^1.png: /), '3.png is no image.']);
    expect(notices.at(-1)).toBe('2 of 7 images were left out.');
    expect(results).toHaveLength(5);
    expect(metrics.goodImages).toBe(2);
  }
});

test('maps that overflow are no scores: predictions, calibration and evaluation refuse them', async () => {
  for (const values of [[1, Number.NaN], [Number.POSITIVE_INFINITY], [Number.NEGATIVE_INFINITY]])
    expect(() => mapScore(values)).toThrow(/the anomaly map has the value .*, so there is no score/);
  expect(mapScore([-3, -2])).toBe(-2);
  const state = await untrainedDetector();
  const { bias } = state.networks.student.convolutions.at(-1)!;
  // All weights are finite, so the file is one: only the squares overflow.
  bias.data.fill(3e38);
  const detector = new Detector(gpu, await readModel(await saveDetector({ state })));
  const { image } = await source.load(0);
  const refused = /the (student-teacher|autoencoder-student|anomaly) map has the value/;
  await expect(detector.predict(image)).rejects.toThrow(refused);
  await expect(detector.rawMaps(image)).rejects.toThrow(refused);
  const gridMap = new Float32Array(state.networks.mapSide ** 2);
  gridMap[5] = Number.NaN;
  await expect(detector.place(gridMap, 9, 9)).rejects.toThrow(/the anomaly map has the value NaN/);
  const heldOut = { count: 1, paths: ['one.png'], image: async () => image };
  await expect(calibrate(detector, heldOut)).rejects.toThrow(/^one.png: the .* map has the value/);
  const notices: string[] = [];
  const options = { detector, source, onNotice: (message: string) => notices.push(message) };
  await expect(evaluate(options)).rejects.toThrow('there are no test images that could be scored.');
  expect(notices.filter((notice) => /^left out: \d.png: the .* map has the value/.test(notice))).toHaveLength(6);
  detector.destroy();
});

test('a filter of maps that divides by nothing leaves the image out', async () => {
  let calls = 0;
  const postprocess = (map: Float32Array) => (calls++ === 1 ? map.map(() => Number.NaN) : map);
  const { results, leftOut } = await evaluation({ postprocess });
  expect(results.map(({ name }) => name)).toEqual(['0.png', '2.png', '4.png', '5.png', '6.png']);
  expect(leftOut).toEqual(['1.png: the anomaly map has the value NaN, so there is no score.', '3.png is no image.']);
});
