import { describe, expect, test } from 'vitest';
import type { ImageSource } from '../src/data/image.ts';
import { renderSpecimen } from '../src/data/synthetic/generate.ts';
import { Detector } from '../src/detector/detector.ts';
import { loadDetector, saveDetector } from '../src/detector/modelFile.ts';
import { prepareQuantization, quantize } from '../src/detector/quantize.ts';
import { encodeWeights, latentWeights, quantizeWeights, WEIGHT_BITS } from '../src/formats/weightCodes.ts';
import { uniformPlan } from '../src/quantization/bitPlan.ts';
import { generatedPenalty } from '../src/train/penalty.ts';
import { type RecalibrateOptions, recalibrate, recalibrateQuantized, trainOn } from '../src/train/recalibrate.ts';
import { engine } from './support/gpu.ts';
import { untrainedDetector } from './support/untrained.ts';

const gpu = await engine();
const state = await untrainedDetector();
const detector = new Detector(gpu, { ...state, provenance: { ...state.provenance, iterations: 20, batch: 1 } });

function specimens(first: number, count: number): ImageSource {
  return { count, image: async (i) => renderSpecimen('bracket', undefined, first + i, 128).image };
}

const plan = uniformPlan(state.networks, { weights: 4, activations: 8 });

function options(change: Partial<RecalibrateOptions> = {}): RecalibrateOptions {
  return {
    detector,
    plan,
    train: specimens(0, 4),
    heldOut: specimens(4, 2),
    penalty: generatedPenalty(0),
    // Fast enough for codes to change within a few steps.
    settings: { iterations: 3, learningRate: 1e-3 },
    ...change,
  };
}

test('latent weights round to the codes that they belong to', () => {
  const weights = Float32Array.from({ length: 4 * 4 * 9 }, (_, i) => Math.sin(i * 1.7) * 0.3);
  for (const bits of WEIGHT_BITS) {
    const quantized = quantizeWeights(weights, [4, 4, 3, 3], { bits });
    const latent = latentWeights(quantized, weights);
    expect(encodeWeights(latent, quantized.shape, bits, 4, quantized.scales).codes).toEqual(quantized.codes);
    const moved = weights.filter(
      (weight, i) => Math.fround(weight) !== latent[i] && Math.abs(weight - latent[i]!) > 1e-6,
    );
    expect(moved.length).toBeLessThan(weights.length / 2);
  }
});

describe('recalibration', () => {
  let bytes: Uint8Array;

  test('trains student, autoencoder and scales, leaves the teacher, and keeps its widths', async () => {
    const before = await quantize({ detector, plan, train: specimens(0, 4), heldOut: specimens(4, 2) });
    const losses: number[] = [];
    const after = await recalibrate(
      options({
        onProgress: ({ phase, losses: seen }) => {
          if (phase === 'train') losses.push(Object.values(seen!).reduce((a, b) => a + b, 0));
        },
      }),
    );
    expect(losses.every(Number.isFinite)).toBe(true);
    let moved = 0;
    for (const [name, { plan: layer, weights, input }] of after.state.quantization!) {
      const start = before.state.quantization!.get(name)!;
      expect(layer).toEqual(plan.layers[name]);
      expect(input!.zeroPoint).toBe(start.input!.zeroPoint);
      const same = weights!.codes.every((code, i) => code === start.weights!.codes[i]);
      expect(same, name).toBe(name.startsWith('teacher.'));
      if (input!.scale !== start.input!.scale) moved++;
      const readsImage = name === 'student.conv1' || name === 'autoencoder.enc1';
      if (name.startsWith('teacher.') || readsImage) expect(input!.scale).toBe(start.input!.scale);
    }
    // A scale whose gradient vanishes, behind dead units, may stay.
    expect(moved).toBeGreaterThan(10);
    expect(after.state.threshold).toMatchObject({ images: 2 });
    expect(after.state.provenance['recalibrationIterations']).toBe(3);
    bytes = await saveDetector(after);
    const loaded = await loadDetector(gpu, bytes);
    const image = renderSpecimen('bracket', 'scratch', 9, 128).image;
    expect((await loaded.predict(image)).map).toEqual((await after.predict(image)).map);
    for (const each of [before, after, loaded]) each.destroy();
  });

  test('gives the same bits from what several plans share, and resumes to them', async () => {
    let saved: Uint8Array | undefined;
    const save = async (checkpoint: Uint8Array) => {
      saved = checkpoint;
    };
    const [train, heldOut] = [specimens(0, 4), specimens(4, 2)];
    const prepared = await prepareQuantization({ detector, train, activations: 'integer' });
    const quantized = await prepared.quantize(plan, { heldOut });
    const before = await saveDetector(quantized);
    const whole = await recalibrateQuantized({ ...options({ checkpoint: { every: 2, save } }), prepared, quantized });
    expect(await saveDetector(quantized)).toEqual(before);
    quantized.destroy();
    const resumed = await recalibrate(options({ resume: saved! }));
    expect(await saveDetector(whole)).toEqual(bytes);
    expect(await saveDetector(resumed)).toEqual(bytes);
    const other = options({ resume: saved!, settings: { iterations: 3, learningRate: 1e-4 } });
    await expect(recalibrate(other)).rejects.toThrow(/checkpoint was made with learningRate/);
    whole.destroy();
    resumed.destroy();
  });

  test('a plan without layers trains the float networks on', async () => {
    const settings = { iterations: 1, learningRate: 1e-3 };
    const result = await recalibrate(options({ plan: { ...plan, layers: {} }, settings }));
    expect(result.state.quantization).toBeUndefined();
    const [first] = result.state.networks.student.parameters;
    expect(first!.data).not.toEqual(state.networks.student.parameters[0]!.data);
    const { detector: float, plan: _, ...rest } = options({ settings });
    const trainedOn = await trainOn(float, rest);
    expect(await saveDetector(trainedOn)).toEqual(await saveDetector(result));
    const quantized = new Detector(gpu, { ...state, quantization: new Map() });
    await expect(trainOn(quantized, rest)).rejects.toThrow('quantized already');
    for (const each of [result, trainedOn, quantized]) each.destroy();
  });

  test('divergence is an error that names the step', async () => {
    const settings = { iterations: 4, learningRate: 1e30 };
    await expect(recalibrate(options({ settings }))).rejects.toThrow(/^training diverged: .* (at|after) step [2-4]\.$/);
  });

  test('a plan of layers that are not there, or without widths, is refused', async () => {
    const layer = { weights: 4, activations: 8, granularity: 'channel' } as const;
    const of = (layers: typeof plan.layers) => recalibrate(options({ plan: { ...plan, layers } }));
    await expect(of({ 'teacher.conv9': layer })).rejects.toThrow('names the layer "teacher.conv9"');
    await expect(of({ 'teacher.conv1': { ...layer, weights: 9 as 8 } })).rejects.toThrow('weights of 9');
  });

  test('a network whose values overflow has no ranges', async () => {
    const spoilt = await untrainedDetector();
    spoilt.networks.teacher.convolutions[0]!.bias.data.fill(3e38);
    const overflowing = new Detector(detector.engine, spoilt);
    await expect(recalibrate(options({ detector: overflowing }))).rejects.toThrow(
      /the input of \S+ is (Infinity|-Infinity|NaN) on a training image/,
    );
    overflowing.destroy();
  });

  test('unusable settings are refused', async () => {
    for (const learningRate of [1e-60, 1e60, Number.NaN])
      await expect(recalibrate(options({ settings: { learningRate } }))).rejects.toThrow('learning rate');
    await expect(recalibrate(options({ settings: { iterations: 2 ** 40 } }))).rejects.toThrow(
      'iterations 1099511627776 cannot',
    );
    await expect(recalibrate(options({ settings: { iterations: 0 } }))).rejects.toThrow('iterations 0 cannot be used');
    await expect(recalibrate(options({ settings: { learningRate: -1 } }))).rejects.toThrow('learning rate -1');
  });
});
