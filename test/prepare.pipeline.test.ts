import { expect, test } from 'vitest';
import type { ImageSource } from '../src/data/image.ts';
import { renderSpecimen } from '../src/data/synthetic/generate.ts';
import { Detector } from '../src/detector/detector.ts';
import { saveDetector } from '../src/detector/modelFile.ts';
import { prepareQuantization, quantize } from '../src/detector/quantize.ts';
import { type BitPlan, uniformPlan } from '../src/quantization/bitPlan.ts';
import { preparationFor } from '../src/quantization/prepare.ts';
import { engine } from './support/gpu.ts';
import { untrainedDetector } from './support/untrained.ts';

const gpu = await engine();
const state = await untrainedDetector();
const detector = new Detector(gpu, state);
const { networks } = state;

function specimens(first: number, count: number): ImageSource {
  return { count, image: async (i) => renderSpecimen('bracket', undefined, first + i, 128).image };
}
const [train, heldOut] = [specimens(0, 2), specimens(2, 2)];

const plans = [
  uniformPlan(networks, { weights: 4, activations: 8 }),
  uniformPlan(networks, { weights: 3, activations: 8, range: 'dynamic' }),
];

async function bytesOf(made: Detector): Promise<Uint8Array> {
  const bytes = await saveDetector(made);
  made.destroy();
  return bytes;
}

test('a plan gets by itself what it gets after another one, and without the detector', async () => {
  const [plan, other] = plans;
  const alone = await bytesOf(await quantize({ detector, plan: plan!, train, heldOut }));
  const own = new Detector(gpu, await untrainedDetector());
  const prepared = await prepareQuantization({ detector: own, train, activations: 'integer' });
  own.destroy();
  expect(await bytesOf(await prepared.quantize(other!, { heldOut }))).not.toEqual(alone);
  expect(await bytesOf(await prepared.quantize(plan!, { heldOut }))).toEqual(alone);
});

test('networks stay as they are for float activations, and have equal maps for integer ones', async () => {
  const float = await prepareQuantization({ detector, train, activations: 'float', layers: ['student.conv2'] });
  expect(float.networks).toBe(networks);
  const before = networks.parameters.map(({ data }) => data.slice());
  const integer = await prepareQuantization({ detector, train, activations: 'integer', layers: [] });
  expect(networks.parameters.map(({ data }) => data)).toEqual(before);
  const equal = new Detector(gpu, { ...state, networks: integer.networks });
  const image = await heldOut.image(0);
  expect((await equal.rawMaps(image)).autoencoder).toEqual((await detector.rawMaps(image)).autoencoder);
  equal.destroy();
});

test('plans tell what they have to be prepared for', () => {
  const [plan] = plans;
  const only = (names: readonly string[]): BitPlan => ({
    ...plan!,
    layers: Object.fromEntries(names.map((name) => [name, plan!.layers[name]!])),
  });
  expect(preparationFor(only(['student.conv2']), networks)).toEqual({
    activations: 'integer',
    widths: [8],
    layers: ['student.conv2'],
  });
  expect(preparationFor(uniformPlan(networks, { weights: 4, activations: 16 }), networks)).toEqual({
    activations: 'float',
    widths: [],
    layers: Object.keys(plan!.layers),
  });
});

test('plans that were not prepared for, and detectors that are quantized, are refused', async () => {
  const layers = ['student.conv2'];
  const prepared = await prepareQuantization({ detector, train, activations: 'float', layers });
  const bytes = await prepareQuantization({ detector, train, activations: 'integer', layers });
  const attempt = (name: string, activations: 4 | 8 | 16, by = prepared) => {
    const plan = uniformPlan(networks, { weights: 4, activations });
    return by.quantize({ ...plan, layers: { [name]: plan.layers[name]! } }, { heldOut });
  };
  await expect(attempt('student.conv2', 8)).rejects.toThrow('prepared for float ones');
  await expect(attempt('student.conv2', 4)).rejects.toThrow('prepared for float ones');
  await expect(attempt('student.conv2', 4, bytes)).rejects.toThrow(
    'activations of 4 bits, and quantization was prepared for 8 bits',
  );
  await expect(attempt('student.conv3', 16)).rejects.toThrow('the layer "student.conv3" was not prepared');
  const quantized = await attempt('student.conv2', 16);
  await expect(prepareQuantization({ detector: quantized, train, activations: 'float' })).rejects.toThrow(
    'the detector is quantized already',
  );
  quantized.destroy();
  const none: ImageSource = { ...train, count: 0 };
  await expect(prepareQuantization({ detector, train: none, activations: 'float' })).rejects.toThrow(
    'no good images to take ranges from',
  );
  await expect(prepareQuantization({ detector, train, activations: 'float', layers: ['conv9'] })).rejects.toThrow(
    'the layer "conv9"',
  );
});
