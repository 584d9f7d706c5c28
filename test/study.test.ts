import { describe, expect, test } from 'vitest';
import { PLANTED_DEFECTS, plantDefect } from '../src/data/plantedDefects.ts';
import { renderSpecimen } from '../src/data/synthetic/generate.ts';
import type { Detector } from '../src/detector/detector.ts';
import { MapStatistics } from '../src/evaluation/bias.ts';
import { WEIGHT_BITS } from '../src/formats/weightCodes.ts';
import type { PlanTimer } from '../src/hqs/timeBudget.ts';
import { componentRegions } from '../src/metrics/overlap.ts';
import { readTeacher } from '../src/node/teachers.ts';
import { quantizableLayers } from '../src/quantization/bitPlan.ts';
import { ARMS, type Arm, armName, CONTROLS, isQuantizedArm, scoresOf, treatmentsOf } from '../src/study/arms.ts';
import { studyBudget } from '../src/study/budget.ts';
import { type CellResult, cellId, type StudyCell, studyCells } from '../src/study/cells.ts';
import type { StudyData, StudyOptions, StudyStore } from '../src/study/options.ts';
import { StudyRunner } from '../src/study/runner.ts';
import { PRESETS } from '../src/train/fit.ts';
import { generatedPenalty } from '../src/train/penalty.ts';
import { engine } from './support/gpu.ts';

const gpu = await engine();
const SIDE = 128;
const specimen = (i: number) => renderSpecimen('bracket', undefined, i, SIDE).image;

const data: StudyData = {
  layout: 'plain',
  train: { count: 6, image: async (i) => specimen(i) },
  heldOut: { count: 4, image: async (i) => specimen(100 + i) },
  test: {
    count: 6,
    overlap: 'perRegion',
    averageKinds: false,
    sample: (i) => ({ name: `${i}.png`, defect: i < 3 ? 'good' : 'planted' }),
    async load(i) {
      if (i < 3) return { image: specimen(200 + i) };
      const { image, mask } = plantDefect(specimen(200 + i), PLANTED_DEFECTS[i - 3]!, i);
      return { image, truth: { mask, regions: componentRegions(mask, SIDE, SIDE) } };
    },
  },
};

function memoryStore(): StudyStore & { readonly names: () => string[] } {
  const files = new Map<string, Uint8Array>();
  return {
    load: async (name) => files.get(name),
    save: async (name, bytes) => {
      files.set(name, bytes);
    },
    names: () => [...files.keys()],
  };
}

const { iterations: _, ...quick } = PRESETS.quick;
const settings = {
  fit: { ...quick, iterations: 4, batch: 1 },
  recalibration: { iterations: 2 },
  scoring: { images: 4, plantings: 1 },
};

/** A millisecond a bit in every layer. */
const timer = ({ state: { networks } }: Detector): PlanTimer => ({
  latencies: async () =>
    new Map([...quantizableLayers(networks).keys()].map((name) => [name, new Map(WEIGHT_BITS.map((b) => [b, b]))])),
  time: async ({ layers }) => {
    const milliseconds = Object.values(layers).reduce((sum, { weights }) => sum + weights, 0);
    return { milliseconds, floatMilliseconds: 8 * Object.keys(layers).length };
  },
});

async function runner(store: StudyStore, change: Partial<StudyOptions> = {}) {
  const teacher = await readTeacher('xs');
  const options = { engine: gpu, settings, open: async () => data, penalty: generatedPenalty, teacher, store, timer };
  return new StudyRunner({ ...options, ...change });
}

test('the budget of a study counts what its cells train and run', () => {
  const counts = () => ({ train: 100, heldOut: 10, test: 50 });
  const cell = (arm: Arm, recalibrated: boolean) => ({ set: 'a', seed: 0, arm, recalibrated });
  const budget = (cells: StudyCell[], size: 'xs' | 's', isTrained = false) =>
    studyBudget(cells, { fit: { ...PRESETS.quick, size } }, counts, () => isTrained);
  const float = [cell('float', false)];
  // A training step of one image takes about 5.4 GFLOP for XS and 68 for S.
  expect(budget(float, 'xs').training / (600 * 4 * 5.4e9)).toBeCloseTo(1, 1);
  expect(budget(float, 's').training / (600 * 4 * 68e9)).toBeCloseTo(1, 1);
  expect(budget(float, 'xs', true)).toMatchObject({ training: 0, recalibration: 0 });
  const more = [...float, cell('hqs', true)];
  const [one, two] = [budget(float, 'xs'), budget(more, 'xs')];
  expect(two.training).toBe(one.training);
  expect(two.recalibration / one.training).toBeCloseTo(0.1, 10);
  // 100 images of the teacher, 10 and 2 x 50 of all networks against 100 of the teacher, 10 and 50 of all networks.
  expect(two.inference).toBeGreaterThan(2 * one.inference);
  expect(two.inference).toBeLessThan(3 * one.inference);
  expect(two.total).toBe(two.training + two.recalibration + two.inference);
});

test('arms say what they go by', () => {
  expect(CONTROLS).toEqual(['uniform', 'reversed', 'random', 'ompq']);
  expect(ARMS.filter((arm) => !isQuantizedArm(arm))).toEqual(['float', 'blur', 'locations']);
  expect(scoresOf(['float', 'blur'])).toEqual([]);
  expect(scoresOf(['budget', 'random'])).toEqual(['hqs']);
  // As small as the plan of hqs, whose scores that takes.
  expect(scoresOf(['ompq'])).toEqual(['hqs', 'ompq']);
  expect(treatmentsOf('hqs').map(armName)).toEqual(['hqs', 'hqs+recalibrated']);
  expect(treatmentsOf('locations').map(armName)).toEqual(['locations']);
});

test('cells of one set and seed follow each other and have names of their own', () => {
  const cells = studyCells(['a', 'b'], [0, 1]);
  const ids = cells.map(cellId);
  expect(new Set(ids).size).toBe(ids.length);
  expect(cells.length).toBe(4 * (ARMS.length + 8));
  const groups = cells.map(({ set, seed }) => `${set}${seed}`);
  expect(groups.filter((group, i) => group !== groups[i - 1]).length).toBe(4);
});

describe('a study', () => {
  const chosen = studyCells(['parts'], [3]).filter(({ arm, recalibrated }) =>
    (recalibrated
      ? ['float', 'hqs']
      : ['float', 'uniform', 'hqs', 'ompq', 'budget', 'time', 'blur', 'locations']
    ).includes(arm),
  );
  const results: CellResult[] = [];
  const store = memoryStore();

  test('measures every arm from one checkpoint', async () => {
    const study = await runner(store);
    for (const cell of chosen) results.push(await study.run(cell));
    study.destroy();
    const by = (id: string) => results.find((result) => result.id === `parts/3/${id}`)!;
    for (const { id, metrics, images, size, memoryBytes } of results) {
      for (const [name, value] of Object.entries(metrics))
        expect(value! >= 0 && value! <= 1, `${id} ${name}`).toBe(true);
      expect(metrics.overlap, id).toBeDefined();
      expect(metrics.biasIndex, id).toBeDefined();
      expect(images.length).toBe(6);
      expect(size.weightBytes).toBeGreaterThan(0);
      expect(memoryBytes).toBeGreaterThan(size.weightBytes);
    }
    expect(by('float').size.averageBits).toBe(32);
    expect(by('budget').size.averageBits).toBeLessThanOrEqual(5);
    expect(by('budget').size.averageBits).toBeGreaterThan(4.9);
    // Midway between 2 bits, a quarter of float's time, and float.
    expect(by('time').size.averageBits).toBeGreaterThan(3);
    const time = Object.values(by('time').bits);
    expect(time.reduce((sum, bits) => sum + bits, 0) / (8 * time.length)).toBeCloseTo(0.625, 1);
    const { weightBytes } = by('hqs').size;
    for (const control of ['uniform', 'ompq'])
      expect(by(control).size.weightBytes, control).toBeLessThanOrEqual(weightBytes);
    expect(by('float+recalibrated').images).not.toEqual(by('float').images);
    expect(by('blur').images).not.toEqual(by('float').images);
    const { simulatedAuroc, auroc } = by('hqs+recalibrated').metrics;
    expect(simulatedAuroc).toBeCloseTo(auroc!, 3);
    expect(by('hqs+recalibrated').bits).toEqual(by('hqs').bits);
  });

  test('another runner with the same store gives the same metrics', async () => {
    expect(store.names()).toContain('parts-3.safetensors');
    // Plans that were timed are not timed again.
    const study = await runner(store, { timer: () => expect.unreachable() });
    for (const id of ['parts/3/time', 'parts/3/hqs+recalibrated']) {
      const known = results.find((result) => result.id === id)!;
      const again = await study.run(known);
      expect(again.metrics).toEqual(known.metrics);
      expect(again.images).toEqual(known.images);
    }
    study.destroy();
  });
});

describe('attention bias', () => {
  test('is 1 for equal maps, 0 where the mean is flat, between for both', () => {
    const equal = new MapStatistics();
    for (let i = 0; i < 3; i++) equal.add(Float32Array.of(1, 2, 3, 4));
    expect(equal.biasIndex).toBeCloseTo(1, 12);
    const flat = new MapStatistics();
    flat.add(Float32Array.of(1, -1, 1, -1));
    flat.add(Float32Array.of(-1, 1, -1, 1));
    expect(flat.biasIndex).toBe(0);
    const both = new MapStatistics();
    both.add(Float32Array.of(2, 0));
    both.add(Float32Array.of(0, 0));
    // Means 1 and 0: variance 1/4. All values 2, 0, 0, 0: variance 3/4.
    expect(both.biasIndex).toBeCloseTo(1 / 3, 12);
    expect(new MapStatistics().biasIndex).toBeUndefined();
  });
});
