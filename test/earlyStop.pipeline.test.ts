import { describe, expect, test } from 'vitest';
import type { ImageSource } from '../src/data/image.ts';
import { renderSpecimen } from '../src/data/synthetic/generate.ts';
import { Detector } from '../src/detector/detector.ts';
import type { DetectorState } from '../src/detector/detectorState.ts';
import { saveDetector } from '../src/detector/modelFile.ts';
import { UserError } from '../src/errors.ts';
import { plantedFigure } from '../src/evaluation/plantedFigure.ts';
import { readTeacher } from '../src/node/teachers.ts';
import { copyNetworks } from '../src/quantization/layers.ts';
import { type FitOptions, fit, PRESETS } from '../src/train/fit.ts';
import { fitNearest } from '../src/train/nearest.ts';
import { generatedPenalty } from '../src/train/penalty.ts';
import { engine } from './support/gpu.ts';
import { untrainedDetector } from './support/untrained.ts';

const gpu = await engine();
const teacher = await readTeacher('xs');
const specimens = (first: number, count: number): ImageSource => ({
  count,
  image: async (i) => renderSpecimen('bracket', undefined, first + i, 128).image,
});

const options = (change: Partial<FitOptions> = {}): FitOptions => ({
  engine: gpu,
  settings: { ...PRESETS.quick, iterations: 6, batch: 1, seed: 4 },
  dataset: 'generated',
  train: specimens(0, 3),
  heldOut: specimens(3, 2),
  penalty: generatedPenalty(0),
  teacher,
  ...change,
});

/** A weight of the student: it stands for all of them. */
const weightOf = ({ state }: Detector) => state.networks.student.convolutions[0]!.weight.data.slice(0, 8);

describe('early stopping', () => {
  test('ends when nothing gets better, and keeps the best', async () => {
    const figures = [0.5, 0.7, 0.6, 0.7, 0.9, 1];
    const seen: ArrayLike<number>[] = [];
    const judge = async (detector: Detector) => {
      seen.push(weightOf(detector));
      return figures[seen.length - 1]!;
    };
    const detector = await fit(options({ stop: { every: 1, patience: 2, judge } }));
    expect(seen).toHaveLength(4);
    expect(weightOf(detector)).toEqual(seen[1]);
    expect(weightOf(detector)).not.toEqual(seen[3]);
    expect(detector.state.provenance.iterations).toBe(2);
    // On the device, too.
    const copy = new Detector(gpu, { ...detector.state, networks: copyNetworks(detector.state.networks) });
    const image = await specimens(9, 1).image(0);
    expect((await detector.predict(image)).score).toBe((await copy.predict(image)).score);
    detector.destroy();
    copy.destroy();
  });

  test('looks after the last step, and a resumed training ends in the same bits', async () => {
    // Falls and rises with the weights, so that the best lies somewhere on the way.
    const judge = async (detector: Detector) => Array.from(weightOf(detector)).reduce((sum, weight) => sum + weight, 0);
    const stop = { every: 2, patience: 3, judge };
    const saved: Uint8Array[] = [];
    const save = async (bytes: Uint8Array) => {
      saved.push(bytes);
    };
    const whole = await fit(options({ stop, checkpoint: { every: 1, save } }));
    expect([2, 4, 6]).toContain(whole.state.provenance.iterations);
    const bytes = await saveDetector(whole);
    for (const resume of [saved[2]!, saved.at(-1)!])
      expect(Buffer.compare(await saveDetector(await fit(options({ stop, resume }))), bytes)).toBe(0);
    await expect(fit(options({ resume: saved[2]! }))).rejects.toThrow('made with stopEvery 2');
    whole.destroy();
  });

  test.each([
    [{ every: 0, patience: 1 }, 'early stopping: every 0 cannot be used.'],
    [{ every: 1, patience: 0.5 }, 'early stopping: patience 0.5 cannot be used.'],
  ])('%j is refused', async (stop, message) => {
    await expect(fit(options({ stop: { ...stop, judge: async () => 0 } }))).rejects.toThrow(message);
  });
});

describe('the figure of planted defects', () => {
  test('is the same for the same detector, and falls when that is blind', async () => {
    const { dataset, train, heldOut } = options();
    const detector = await fitNearest({
      engine: gpu,
      dataset,
      train,
      heldOut,
      teacher,
      settings: { size: 'xs', resolution: 128, vectors: 128, seed: 0 },
    });
    const figure = plantedFigure({ heldOut, seed: 1 });
    const first = await figure(detector);
    expect(first).toBeGreaterThan(0.7);
    expect(first).toBeLessThan(1);
    expect(await figure(detector)).toBe(first);
    const networks = copyNetworks(detector.state.networks);
    const { weight } = networks.teacher.convolutions[0]!;
    weight.data = new Float32Array(weight.data.length);
    const blind = new Detector(gpu, { ...detector.state, networks });
    expect(await figure(blind)).toBeLessThan(0.6);
    detector.destroy();
    blind.destroy();
  });
});

describe('a warm start', () => {
  test('begins where the other detector ended', async () => {
    const from = await untrainedDetector();
    const seen: ArrayLike<number>[] = [];
    const judge = async (detector: Detector) => seen.push(weightOf(detector));
    const settings = { ...options().settings, iterations: 1, learningRate: 1e-20 };
    const detector = await fit(options({ from, settings, stop: { every: 1, patience: 1, judge } }));
    expect(seen[0]).toEqual(from.networks.student.convolutions[0]!.weight.data.slice(0, 8));
    detector.destroy();
  });

  test.each<[string, (state: DetectorState) => DetectorState, string]>([
    ['quantized', (state) => ({ ...state, quantization: new Map() }), 'cannot start from a quantized detector'],
    [
      'of another teacher',
      (state) => {
        const networks = copyNetworks(state.networks);
        networks.teacher.convolutions[0]!.bias.data[0]! += 1;
        return { ...state, networks };
      },
      'cannot start from a detector of another teacher',
    ],
  ])('%s is refused', async (_, change, message) => {
    const refused = fit(options({ from: change(await untrainedDetector()) }));
    await expect(refused).rejects.toThrow(message);
    await expect(refused).rejects.toThrow(UserError);
  });

  test('of another size is refused', async () => {
    const settings = { ...options().settings, resolution: 192 };
    await expect(fit(options({ from: await untrainedDetector(), settings }))).rejects.toThrow(
      'training of PDN-XS at 192 px, border none cannot start from a detector of PDN-XS at 128 px, border none.',
    );
  });
});
