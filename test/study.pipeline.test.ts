import { describe, expect, test } from 'vitest';
import { PLANTED_DEFECTS, plantDefect } from '../src/data/plantedDefects.ts';
import { renderSpecimen } from '../src/data/synthetic/generate.ts';
import type { Detector } from '../src/detector/detector.ts';
import { WEIGHT_BITS } from '../src/formats/weightCodes.ts';
import type { PlanTimer } from '../src/hqs/timeBudget.ts';
import { componentRegions } from '../src/metrics/overlap.ts';
import { readTeacher } from '../src/node/teachers.ts';
import { quantizableLayers } from '../src/quantization/bitPlan.ts';
import { type CellResult, studyCells } from '../src/study/cells.ts';
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
