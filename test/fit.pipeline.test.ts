import { describe, expect, test } from 'vitest';
import type { ImageSource } from '../src/data/image.ts';
import { renderSpecimen } from '../src/data/synthetic/generate.ts';
import { calibrate } from '../src/detector/calibrate.ts';
import type { Detector } from '../src/detector/detector.ts';
import { saveDetector } from '../src/detector/modelFile.ts';
import { Engine } from '../src/engine/engine.ts';
import type { Parameter } from '../src/engine/graph.ts';
import { UserError } from '../src/errors.ts';
import { readTeacher } from '../src/node/teachers.ts';
import { readCheckpoint } from '../src/train/checkpoint.ts';
import { type FitOptions, type FitProgress, fit, PRESETS } from '../src/train/fit.ts';
import { generatedPenalty } from '../src/train/penalty.ts';
import { trainingOrder } from '../src/train/trainingLoop.ts';
import { device, engine } from './support/gpu.ts';

const gpu = await engine();
const teacher = await readTeacher('xs');

function specimens(first: number, count: number): ImageSource {
  return { count, image: async (i) => renderSpecimen('bracket', undefined, first + i, 128).image };
}

const SETTINGS = { ...PRESETS.quick, iterations: 3, batch: 1, seed: 4 };

function options(change: Partial<FitOptions> = {}): FitOptions {
  return {
    engine: gpu,
    settings: SETTINGS,
    dataset: 'generated',
    train: specimens(0, 4),
    heldOut: specimens(4, 2),
    penalty: generatedPenalty(0),
    teacher,
    ...change,
  };
}

const weights = (detector: Detector) => detector.state.networks.parameters.map(({ data }: Parameter) => data);

describe('fit', () => {
  let uninterrupted: Detector;
  let bytes: Uint8Array;

  test('reports its phases, learns, and ends with statistics and a threshold', async () => {
    const seen: FitProgress[] = [];
    uninterrupted = await fit(options({ onProgress: (progress) => seen.push(progress) }));
    expect([...new Set(seen.map(({ phase }) => phase))]).toEqual(['statistics', 'compile', 'train', 'calibrate']);
    expect(seen.at(-1)).toEqual({ phase: 'calibrate', done: 1, total: 1 });
    const trained = seen.filter(({ phase }) => phase === 'train');
    expect(trained.at(-1)!.done).toBe(SETTINGS.iterations);
    for (const { losses } of trained) for (const loss of Object.values(losses!)) expect(loss).toBeGreaterThan(0);
    const { quantiles, threshold, networks, provenance } = uninterrupted.state;
    expect(quantiles.studentTeacher[1]).toBeGreaterThan(quantiles.studentTeacher[0]);
    expect(threshold).toMatchObject({ images: 2, promised: 1 / 3 });
    expect(provenance).toMatchObject({ trainImages: 4, heldOutImages: 2, penalty: 'generated', batch: 1 });
    expect(networks.teacherStd.data.every((value) => value > 0)).toBe(true);
    bytes = await saveDetector(uninterrupted);
  });

  test('equal settings give an equal file, other seeds another', async () => {
    expect(await saveDetector(await fit(options()))).toEqual(bytes);
    const other = await fit(options({ settings: { ...SETTINGS, seed: 5 } }));
    expect(weights(other)).not.toEqual(weights(uninterrupted));
  });

  test('a small cache changes nothing', async () => {
    expect(await saveDetector(await fit(options({ cacheBytes: 200_000 })))).toEqual(bytes);
  });

  test('stopping saves, and resuming ends in the same bits', async () => {
    const saved: Uint8Array[] = [];
    const save = async (checkpoint: Uint8Array) => {
      saved.push(checkpoint);
    };
    const stop = new AbortController();
    const stopped = fit(
      options({
        checkpoint: { every: 1, save },
        signal: stop.signal,
        onProgress: ({ phase, done }) => {
          if (phase === 'train' && done >= 1) stop.abort(new Error('enough'));
        },
      }),
    );
    // A fast adapter may be through before it reports: then the periodic checkpoints are what there is.
    await stopped.catch((error: Error) => expect(error.message).toBe('enough'));
    expect(saved.length).toBeGreaterThan(0);
    expect(await saveDetector(await fit(options({ resume: saved.at(-1)! })))).toEqual(bytes);
    const second = await engineOfItsOwn();
    expect(await saveDetector(await fit(options({ engine: second, resume: saved[0]! })))).toEqual(bytes);
    second.destroy();

    const otherSettings = options({ resume: saved[0]!, settings: { ...SETTINGS, learningRate: 1e-4 } });
    await expect(fit(otherSettings)).rejects.toThrow(
      /checkpoint was made with learningRate 0.001, this run has 0.0001/,
    );
    const damaged = saved[0]!.slice();
    damaged[damaged.length - 5]! ^= 1;
    await expect(fit(options({ resume: damaged }))).rejects.toThrow(/is damaged/);
    await expect(fit(options({ resume: bytes }))).rejects.toThrow(/is not a training checkpoint/);
  });

  test('a blank frame among held-out images changes nothing and is named', async () => {
    const blank = { width: 128, height: 128, data: new Uint8Array(128 * 128 * 3) };
    const [clean, heldOut] = [specimens(4, 2), specimens(4, 3)];
    const spoiled: ImageSource = {
      count: 3,
      paths: ['a.png', 'blank.png', 'b.png'],
      image: async (i) => (i === 1 ? blank : clean.image(i >> 1)),
    };
    const notices: string[] = [];
    const detector = await fit(options({ heldOut: spoiled, onNotice: (message) => notices.push(message) }));
    expect(detector.state.quantiles).toEqual(uninterrupted.state.quantiles);
    expect(detector.state.threshold).toEqual(uninterrupted.state.threshold);
    expect(notices).toEqual([expect.stringMatching(/^blank.png is left out of map quantiles and threshold/)]);
    await expect(fit(options({ heldOut: { count: 1, image: async () => blank } }))).rejects.toThrow(
      'the held-out good images are blank: held-out image 1.',
    );
    const far = calibrate(detector, { count: 1, image: async () => blank }, { train: heldOut });
    await expect(far).rejects.toThrow('unlike those that were trained on: held-out image 1.');
    const alone = calibrate(detector, { count: 1, image: async () => blank });
    await expect(alone).rejects.toThrow(/map of the held-out images is nearly constant/);
  });

  test.each([
    ['not a number', 'conv1.weight', Number.NaN, 'conv1.weight holds values that are not finite'],
    ['infinite', 'conv2.bias', Number.NEGATIVE_INFINITY, 'conv2.bias holds values that are not finite'],
    ['zero', 'conv3.weight', 0, 'conv3.weight is all zero'],
  ])('a teacher that is %s is refused before training', async (_, name, value, message) => {
    const tensors = new Map(teacher.tensors);
    const { shape, data } = tensors.get(name)!;
    tensors.set(name, { shape, data: new Float32Array(data.length).fill(value) });
    const phases: string[] = [];
    const spoiled = options({ teacher: { ...teacher, tensors }, onProgress: ({ phase }) => phases.push(phase) });
    await expect(fit(spoiled)).rejects.toThrow(message);
    expect(phases).not.toContain('train');
  });

  test.each([
    ['iterations', { iterations: 0 }],
    ['batch', { batch: 1.5 }],
    ['learning rate', { learningRate: 0 }],
    ['seed', { seed: -1 }],
    ['side', { resolution: 100 }],
  ])('unusable %s', async (name, change) => {
    const unusable = fit(options({ settings: { ...SETTINGS, ...change } }));
    await expect(unusable).rejects.toThrow(UserError);
    await expect(unusable).rejects.toThrow(name === 'side' ? '100' : name);
  });

  test('no images', async () => {
    await expect(fit(options({ train: specimens(0, 0) }))).rejects.toThrow('there are no good images to train on.');
    await expect(fit(options({ heldOut: specimens(0, 0) }))).rejects.toThrow(/held-out/);
  });

  test('a teacher of another size', async () => {
    const settings = { ...SETTINGS, size: 's' } as const;
    await expect(fit(options({ settings }))).rejects.toThrow(/teacher teacher-pdn-xs: conv1.weight has shape 32x3x4x4/);
  });

  test('divergence is an error that names the step, and no checkpoint of it is saved', async () => {
    const saved: number[] = [];
    const checkpoint = {
      every: 1,
      save: async (bytes: Uint8Array) => {
        const file = await readCheckpoint(bytes);
        saved.push(Number(file.metadata['step']));
      },
    };
    const settings = { ...SETTINGS, iterations: 4, learningRate: 1e30 };
    const error = await fit(options({ settings, checkpoint })).catch((reason) => reason);
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toMatch(/^training diverged: the loss \w+ is (NaN|Infinity) at step [2-4]\.$/);
    expect(error.fix).toMatch(/smaller learning rate/);
    // Values that a step has spoilt show in the next step's losses, or where the checkpoint is written.
    for (const step of saved) expect(step).toBeLessThan(Number(/step (\d)/.exec(error.message)![1]));
  });

  test('seeds that generators cannot tell apart are refused', async () => {
    for (const seed of [2 ** 32, -1, 0.5, Number.NaN])
      await expect(fit(options({ settings: { ...SETTINGS, seed } }))).rejects.toThrow(`seed ${seed} cannot be used.`);
  });
});

async function engineOfItsOwn(): Promise<Engine> {
  return new Engine({ device: (await device()).device });
}

test('every epoch is a permutation of the images, another one each time', () => {
  const order = trainingOrder(7, 3);
  const epochs = [0, 1].map((epoch) => Array.from({ length: 7 }, (_, i) => order(7 * epoch + i)));
  for (const epoch of epochs) expect([...epoch].sort()).toEqual([0, 1, 2, 3, 4, 5, 6]);
  expect(epochs[0]).not.toEqual(epochs[1]);
});
