import { expect, test } from 'vitest';
import type { ImageSource } from '../src/data/image.ts';
import { renderSpecimen } from '../src/data/synthetic/generate.ts';
import { Detector } from '../src/detector/detector.ts';
import { equalizableLayers, equalizeNetworks } from '../src/quantization/equalize.ts';
import { equalize } from '../src/quantization/prepare.ts';
import { engine } from './support/gpu.ts';
import { untrainedDetector } from './support/untrained.ts';

const gpu = await engine();
const state = await untrainedDetector();
const detector = new Detector(gpu, state);
const train: ImageSource = { count: 3, image: async (i) => renderSpecimen('bracket', undefined, i, 128).image };

test('equalized networks compute the same maps bit for bit', async () => {
  const networks = await equalize({ engine: gpu, networks: state.networks, train });
  const equal = new Detector(gpu, { ...state, networks });
  const weights = (of: Detector) => of.state.networks.parameters.map(({ data }) => data);
  expect(weights(equal)).not.toEqual(weights(detector));
  const { image } = renderSpecimen('bracket', 'scratch', 9, 128);
  const [before, after] = [await detector.rawMaps(image), await equal.rawMaps(image)];
  expect(after.studentTeacher).toEqual(before.studentTeacher);
  expect(after.autoencoder).toEqual(before.autoencoder);
  equal.destroy();
});

test('channels of very different size come closer; unknown and dead ones are left alone', () => {
  const { networks } = state;
  const names = equalizableLayers(networks);
  expect(names).toHaveLength(3 + 3 + 13);
  expect(names).not.toContain('teacher.conv1');
  const channels = 32;
  const largest = Float32Array.from({ length: channels }, (_, c) => (c === 5 ? 0 : 2 ** (c % 8)));
  const copy = equalizeNetworks(networks, new Map([['teacher.conv2', largest]]));
  const [before, after] = [networks, copy].map(({ teacher }) => teacher.convolutions[0]!.bias.data);
  const scales = Array.from({ length: channels }, (_, c) => before![c]! / after![c]!);
  for (const scale of scales) expect(Number.isInteger(Math.log2(scale))).toBe(true);
  const spread = (values: readonly number[]) => Math.max(...values) / Math.min(...values);
  const alive = scales.map((scale, c) => largest[c]! / scale).filter((_, c) => c !== 5);
  expect(spread(alive)).toBeLessThan(spread([...largest].filter((_, c) => c !== 5)) / 4);
  // The student's layers were not named.
  expect(copy.student.convolutions[0]!.weight.data).toEqual(networks.student.convolutions[0]!.weight.data);

  const dead = equalizeNetworks(networks, new Map([['teacher.conv2', new Float32Array(channels)]]));
  expect(dead.teacher.convolutions[0]!.weight.data).toEqual(networks.teacher.convolutions[0]!.weight.data);
});
