import { expect, test } from 'vitest';
import type { ImageSource } from '../src/data/image.ts';
import { renderSpecimen } from '../src/data/synthetic/generate.ts';
import { Detector } from '../src/detector/detector.ts';
import { quantize } from '../src/detector/quantize.ts';
import { randomValues } from '../src/doctor/values.ts';
import { input } from '../src/engine/graph.ts';
import { Resizer } from '../src/imaging/pixels.ts';
import { conv2d } from '../src/kernels/conv2d.ts';
import { conv2dReference } from '../src/kernels/conv2dReference.ts';
import type { Conv2dNode } from '../src/kernels/conv2dShape.ts';
import { imageToTensor } from '../src/kernels/image.ts';
import { TapObserver } from '../src/quantization/biases.ts';
import { quantizableLayers, uniformPlan } from '../src/quantization/bitPlan.ts';
import { inputMeans, layerInputs } from '../src/quantization/layerInputs.ts';
import type { ActivationQuantizer } from '../src/quantization/layers.ts';
import { quantizeNetworks } from '../src/quantization/layers.ts';
import { prepareNetworks, quantizePrepared } from '../src/quantization/prepare.ts';
import { engine } from './support/gpu.ts';
import { untrainedDetector } from './support/untrained.ts';

const gpu = await engine();

type Shape = readonly [number, number, number, number];

/** Means over images and places of a convolution's output channels, before its rectifier. */
function outputMeans(
  images: readonly Float32Array[],
  shape: Shape,
  weights: { readonly data: ArrayLike<number>; readonly shape: readonly number[] },
  bias: ArrayLike<number>,
  attrs: { readonly stride: number; readonly padding: number },
): number[] {
  const w = input('w', weights.shape);
  const node = conv2d(input('x', shape), w, input('b', [bias.length]), attrs) as Conv2dNode;
  const outputs = weights.shape[0]!;
  const sums = new Array<number>(outputs).fill(0);
  let places = 0;
  for (const values of images) {
    const y = conv2dReference([values, weights.data, bias], node);
    const plane = y.length / outputs;
    y.forEach((value, i) => {
      sums[Math.floor(i / plane)]! += value;
    });
    places += plane;
  }
  return sums.map((sum) => sum / places);
}

function rounded(values: Float32Array, { scale, zeroPoint }: ActivationQuantizer): Float32Array {
  return values.map((value) => scale * Math.min(Math.max(Math.round(value / scale), -zeroPoint), 255 - zeroPoint));
}

test.each<{ shape: Shape; weights: Shape; stride: number; padding: number }>([
  { shape: [1, 3, 9, 11], weights: [2, 3, 4, 4], stride: 1, padding: 0 },
  { shape: [1, 5, 8, 7], weights: [3, 5, 4, 3], stride: 2, padding: 1 },
  { shape: [1, 1, 2, 2], weights: [1, 1, 4, 4], stride: 1, padding: 2 },
])('means of taps give the mean of the output: $shape, stride $stride, padding $padding', (config) => {
  const { shape, weights, ...attrs } = config;
  const draw = (of: Shape, seed: number) => Float32Array.from(randomValues(input('', of), 'normal', seed));
  const images = [draw(shape, 1), draw(shape, 2)];
  const w = draw(weights, 3);
  const observer = new TapObserver({ weights, ...attrs }, new Map([[8, { scale: 0.1, zeroPoint: 128 }]]));
  for (const values of images) observer.add(values, shape[2], shape[3]);
  const { float, quantized } = observer.means();
  const expected = outputMeans(images, shape, { data: w, shape: weights }, new Float32Array(weights[0]), attrs);
  const codes = images.map((values) => rounded(values, { scale: 0.1, zeroPoint: 128 }));
  const after = outputMeans(codes, shape, { data: w, shape: weights }, new Float32Array(weights[0]), attrs);
  const row = w.length / weights[0];
  for (let o = 0; o < weights[0]; o++) {
    const sum = (means: Float64Array) => means.reduce((total, mean, k) => total + mean * w[o * row + k]!, 0);
    expect(sum(float)).toBeCloseTo(expected[o]!, 6);
    expect(sum(quantized.get(8)!)).toBeCloseTo(after[o]!, 6);
  }
});

test('quantized layers keep the means of their channels at 3 bits', async () => {
  const { networks } = await untrainedDetector();
  const train: ImageSource = { count: 2, image: async (i) => renderSpecimen('bracket', undefined, i, 128).image };
  const plan = uniformPlan(networks, { weights: 3, activations: 8 });
  const prepared = await prepareNetworks({ engine: gpu, networks, train }, { activations: 'integer' });
  const corrected = quantizePrepared(prepared, plan).networks;
  const plain = quantizeNetworks(prepared.networks, plan, prepared.ranges.get(8)!).networks;

  const image = input('image', [1, 128, 128], 'u32');
  const nodes = layerInputs(prepared.networks, imageToTensor(image));
  const layers = { 'teacher.conv1': [1, 0], 'autoencoder.enc2': [2, 1], 'autoencoder.dec3': [1, 2] } as const;
  const names = Object.keys(layers) as (keyof typeof layers)[];
  const run = await gpu.compile({ outputs: Object.fromEntries(names.map((name) => [name, nodes.get(name)!])) });
  const resizer = new Resizer(gpu, 128);
  const values = new Map<string, Float32Array[]>(names.map((name) => [name, []]));
  for (let i = 0; i < train.count; i++) {
    const result = await run.run({ image: await resizer.resize(await train.image(i)) }, names);
    for (const name of names) values.get(name)!.push(result[name] as Float32Array);
  }
  for (const name of names) {
    const [stride, padding] = layers[name];
    const shape = nodes.get(name)!.type.shape as unknown as Shape;
    const means = (networks: typeof plain, images: readonly Float32Array[]) => {
      const { weight, bias } = quantizableLayers(networks).get(name)!;
      return outputMeans(images, shape, { data: weight.data, shape: weight.type.shape }, bias.data, {
        stride,
        padding,
      });
    };
    const before = means(prepared.networks, values.get(name)!);
    const codes = values.get(name)!.map((each) => rounded(each, prepared.ranges.get(8)!.get(name)!));
    const distance = (after: number[]) => Math.max(...after.map((mean, o) => Math.abs(mean - before[o]!)));
    const largest = Math.max(...before.map(Math.abs));
    const left = distance(means(corrected, codes));
    expect(left, name).toBeLessThan(1e-5 * largest);
    expect(distance(means(plain, codes)), name).toBeGreaterThan(100 * left);
  }
  run.destroy();
  resizer.destroy();
  gpu.release([...prepared.networks.parameters, ...networks.parameters]);
});

test('float layers of a plan and layers without means keep their biases', async () => {
  const detector = new Detector(gpu, await untrainedDetector());
  const { networks } = detector.state;
  const train: ImageSource = { count: 1, image: async (i) => renderSpecimen('bracket', undefined, i, 128).image };
  const { layers, ...format } = uniformPlan(networks, { weights: 4, activations: 32 });
  const plan = { ...format, layers: { 'student.conv2': layers['student.conv2']! } };
  const means = await inputMeans({ engine: gpu, networks, train }, Object.keys(plan.layers), new Map());
  expect([...means.keys()]).toEqual(['student.conv2']);
  expect(means.get('student.conv2')!.quantized.size).toBe(0);
  const result = await quantize({ detector, plan, train, heldOut: train });
  const changed = [...quantizableLayers(result.state.networks)]
    .filter(([name, { bias }]) => {
      return bias.data.some((value, o) => value !== quantizableLayers(networks).get(name)!.bias.data[o]);
    })
    .map(([name]) => name);
  expect(changed).toEqual(['student.conv2']);
  result.destroy();
});
