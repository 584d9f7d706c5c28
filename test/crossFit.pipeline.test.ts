import { describe, expect, test } from 'vitest';
import type { ImageSource } from '../src/data/image.ts';
import { joinedImages, someImages } from '../src/data/imageSets.ts';
import { renderSpecimen } from '../src/data/synthetic/generate.ts';
import { withFilter } from '../src/detector/calibrate.ts';
import { Detector } from '../src/detector/detector.ts';
import { GaussianFilter } from '../src/detector/mapFilters.ts';
import { readTeacher } from '../src/node/teachers.ts';
import { crossFit } from '../src/train/crossFit.ts';
import { type FitOptions, fit, PRESETS } from '../src/train/fit.ts';
import { generatedPenalty } from '../src/train/penalty.ts';
import { engine } from './support/gpu.ts';

const gpu = await engine();
const specimens = (first: number, count: number): ImageSource => ({
  count,
  image: async (i) => renderSpecimen('bracket', undefined, first + i, 128).image,
});
const options: Omit<FitOptions, 'onProgress'> = {
  engine: gpu,
  settings: { ...PRESETS.quick, iterations: 2, batch: 1, seed: 4 },
  dataset: 'generated',
  train: specimens(0, 4),
  heldOut: specimens(4, 1),
  penalty: generatedPenalty(0),
  teacher: await readTeacher('xs'),
  alpha: 0.2,
};

describe('cross-fitting', () => {
  test('every good image is judged by a detector that has not seen it, with the filter of the map', async () => {
    const plain = await fit(options);
    const detector = await withFilter(plain, new GaussianFilter(), options.heldOut);
    const phases = new Set<string>();
    const judged = await crossFit(detector, {
      ...options,
      folds: 2,
      onProgress: (fold, { phase }) => phases.add(`${fold} ${phase}`),
    });
    expect(phases).toContain('0 train');
    expect(phases).toContain('1 train');
    expect(phases).not.toContain('2 train');
    const { threshold, calibration, networks, quantiles, filter } = judged.state;
    expect(networks).toBe(detector.state.networks);
    expect(filter!.kind).toBe('gaussian');
    expect(threshold).toMatchObject({ images: 5, promised: 0.2 });

    const scores = [(await judged.predict(await options.heldOut.image(0))).score];
    for (const fold of [0, 1]) {
      const own = [fold, fold + 2];
      const others = [1 - fold, 3 - fold];
      const made = await fit({
        ...options,
        train: someImages(options.train, others),
        heldOut: someImages(options.train, own),
      });
      const judge = new Detector(gpu, { ...made.state, quantiles, filter: new GaussianFilter() });
      for (const i of own) scores.push((await judge.predict(await options.train.image(i))).score);
      for (const each of [made, judge]) each.destroy();
    }
    expect(calibration!.scores).toEqual(scores.sort((a, b) => a - b));
    expect(threshold!.value).toBe(Math.max(...scores));
    for (const each of [plain, detector, judged]) each.destroy();
  });

  test.each([0, 1, 2.5, 5])('in %f parts cannot be', async (folds) => {
    const state = { state: {} as Detector['state'] };
    await expect(crossFit(state, { ...options, folds })).rejects.toThrow(
      `4 training images cannot be judged in ${folds}`,
    );
  });
});

describe('sets of images', () => {
  const named = (names: string): ImageSource => ({
    count: names.length,
    digest: names,
    paths: [...names],
    image: async (i) => ({ width: 1, height: 1, data: new Uint8Array(3).fill(names.charCodeAt(i)) }),
  });

  test('some of them, under a name of their own', async () => {
    const some = someImages(named('abcd'), [2, 0]);
    expect([some.count, some.paths]).toEqual([2, ['c', 'a']]);
    expect((await some.image(0)).data[0]).toBe(99);
    expect(some.digest).not.toBe(someImages(named('abcd'), [0, 2]).digest);
  });

  test('one behind the other', async () => {
    const all = joinedImages(named('ab'), { count: 1, image: named('c').image });
    expect([all.count, all.paths]).toEqual([3, ['a', 'b', 'held-out image 1']]);
    expect((await all.image(2)).data[0]).toBe(99);
  });
});
