import { describe, expect, test } from 'vitest';
import { untrainedQuantized } from '../src/bench/untrained.ts';
import { renderSpecimen } from '../src/data/synthetic/generate.ts';
import { Detector, mapQuantilesParameter } from '../src/detector/detector.ts';
import { readModel, saveDetector } from '../src/detector/modelFile.ts';
import { input, type Node } from '../src/engine/graph.ts';
import { findPdns } from '../src/interchange/networks.ts';
import { anomalyMaps, fusedAnomalyMaps } from '../src/networks/inference.ts';
import { Networks } from '../src/networks/networks.ts';
import { type Padding, Pdn } from '../src/networks/pdn.ts';
import { readTeacher } from '../src/node/teachers.ts';
import type { Setting } from '../src/torch/records.ts';
import { fit, PRESETS } from '../src/train/fit.ts';
import { generatedPenalty } from '../src/train/penalty.ts';
import { engine } from './support/gpu.ts';
import { untrainedDetector } from './support/untrained.ts';

const gpu = await engine();
const { image } = renderSpecimen('bracket', 'scratch', 3, 128);

const PADDED = ['zeros', 'reflect'] as const;

/** An untrained detector's networks, padded. */
async function paddedNetworks(padding: Padding): Promise<Networks> {
  const { networks } = await untrainedDetector();
  const padded = new Networks('xs', 128, padding);
  padded.parameters.forEach((parameter, i) => {
    parameter.data = networks.parameters[i]!.data;
  });
  return padded;
}

/** Largest difference as a share of the largest value. */
function error(ours: Float32Array, theirs: Float32Array): number {
  const largest = (values: Float32Array) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return largest(ours.map((value, i) => value - theirs[i]!)) / largest(theirs);
}

test.each([
  ['zeros', 0],
  ['reflect', 2],
] as const)('%s: fused and by definition alike, and positions from the border on', async (padding, offset) => {
  const padded = await paddedNetworks(padding);
  expect(padded.mapSide).toBe(32);
  expect(padded.teacher.geometry.at(-1)).toEqual({ offset, stride: 4 });
  const { quantiles } = await untrainedDetector();
  const q = mapQuantilesParameter(quantiles).node;
  const x = Float32Array.from({ length: 3 * 128 * 128 }, (_, i) => Math.sin(i / 3) + Math.cos(i / 500));
  const evaluate = async (y: Node) => {
    const plan = await gpu.compile({ outputs: { y } });
    const { y: values } = await plan.run({ x }, ['y']);
    plan.destroy();
    return values as Float32Array;
  };
  const maps = [anomalyMaps, fusedAnomalyMaps].map((of) => of(padded, q, input('x', [1, 3, 128, 128])).combined);
  expect(error(await evaluate(maps[1]!), await evaluate(maps[0]!))).toBeLessThan(1e-4);
  gpu.release(padded.parameters);
});

test.each(PADDED)('%s, quantized: integers agree with rounded floats', async (padding) => {
  const detector = untrainedQuantized(gpu, await paddedNetworks(padding), { weights: 8, activations: 8 });
  const simulated = new Detector(gpu, detector.state, { simulate: true });
  const [ours, theirs] = [await detector.rawMaps(image), await simulated.rawMaps(image)];
  expect(ours.studentTeacher).toHaveLength(32 * 32);
  expect(error(ours.studentTeacher, theirs.studentTeacher)).toBeLessThan(1e-2);
  expect(error(ours.autoencoder, theirs.autoencoder)).toBeLessThan(1e-2);
  detector.destroy();
  simulated.destroy();
});

test('a map lies from the first pixel on', async () => {
  const state = { ...(await untrainedDetector()), networks: await paddedNetworks('zeros') };
  const detector = new Detector(gpu, state);
  const ramp = Float32Array.from({ length: 32 * 32 }, (_, i) => 4 * (i % 32));
  const map = await detector.place(ramp, 128, 128);
  for (let x = 0; x < 128; x++) expect(Math.abs(map[64 * 128 + x]! - Math.min(x, 124))).toBeLessThan(0.51);
  detector.destroy();
});

describe('what a file says of it', () => {
  const { convolutions } = new Pdn('s', 'teacher', 384);
  const shapes = new Map(
    convolutions.flatMap(({ weight, bias }, i) => [
      [`model.teacher.conv${i + 1}.weight`, weight.type.shape] as const,
      [`model.teacher.conv${i + 1}.bias`, bias.type.shape] as const,
    ]),
  );
  test.each<[Record<string, Setting>, string | undefined]>([
    [{}, undefined],
    [{ 'hyper_parameters.padding': true }, 'zeros'],
    [{ 'hyper_parameters.padding': false }, 'none'],
    [{ 'model.teacher.conv1.padding.0': 3 }, 'zeros'],
    [{ 'model.teacher.conv1.padding.0': 0, 'hyper_parameters.padding': true }, 'none'],
  ])('%j: %s', (settings, padding) => {
    const source = {
      name: 'm',
      shapes,
      settings: new Map(Object.entries(settings)),
      read: () => Promise.reject(new Error('nothing is read')),
    };
    expect(findPdns(source)).toMatchObject([{ size: 's', role: 'teacher', prefix: 'model.teacher.', padding }]);
  });
});

test.each<['xs' | 's' | 'm', number]>([
  ['xs', 128],
  ['s', 384],
  ['m', 384],
])('PDN-%s keeps a position for every 4 pixels when it is padded', (size, channels) => {
  for (const padding of PADDED) {
    const pdn = new Pdn(size, 'teacher', channels, padding);
    for (const side of [128, 256, 320])
      expect(pdn.forward(input('x', [1, 3, side, side])).type.shape).toEqual([1, channels, side / 4, side / 4]);
  }
});

test('with a mirrored border positions inside are those without one, and a change at the border is seen where it is', async () => {
  const { networks } = await untrainedDetector();
  const mirrored = await paddedNetworks('reflect');
  const pixels = { ...image, data: image.data.slice() };
  for (let y = 60; y < 68; y++) pixels.data.fill(255, 3 * 128 * y, 3 * (128 * y + 6));
  const changes = [];
  for (const of of [networks, mirrored]) {
    const detector = new Detector(gpu, { ...(await untrainedDetector()), networks: of });
    const [before, after] = [await detector.predict(image), await detector.predict(pixels)];
    const change = after.map.map((value, i) => Math.abs(value - before.map[i]!));
    const at = change.indexOf(Math.max(...change));
    changes.push({ column: at % 128, row: Math.floor(at / 128), gridMap: before.gridMap });
    detector.destroy();
  }
  const [plain, padded] = changes as [(typeof changes)[0], (typeof changes)[0]];
  expect(padded.column).toBeLessThan(8);
  expect(Math.abs(padded.row - 64)).toBeLessThan(8);
  // Without one the outermost position is centered 16 px inside.
  expect(plain.gridMap).toHaveLength(24 * 24);
  expect(padded.gridMap).toHaveLength(32 * 32);
});

test('fit with a mirrored border leaves a file that says so', async () => {
  const specimens = (first: number, count: number) => ({
    count,
    image: async (i: number) => renderSpecimen('bracket', undefined, first + i, 128).image,
  });
  const detector = await fit({
    engine: gpu,
    settings: { ...PRESETS.quick, iterations: 2, batch: 1, padding: 'reflect' },
    dataset: 'generated',
    train: specimens(0, 3),
    heldOut: specimens(3, 2),
    penalty: generatedPenalty(0),
    teacher: await readTeacher('xs'),
  });
  const read = await readModel(await saveDetector(detector));
  expect(read.networks).toMatchObject({ padding: 'reflect', mapSide: 32 });
  expect(read.networks.mapGeometry).toMatchObject({ offset: 2, stride: 4 });
  detector.destroy();
});
