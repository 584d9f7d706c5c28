import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { RgbImage } from '../src/data/image.ts';
import { type DistillOptions, type DistillProgress, distill } from '../src/distill/distill.ts';
import { DISTILL_DEFAULTS } from '../src/distill/settings.ts';
import { type FeatureMaps, targetOf } from '../src/distill/targets.ts';
import { PLAIN_VIEW, renderView, viewOf } from '../src/distill/views.ts';
import { makeNode, Parameter } from '../src/engine/graph.ts';
import { UserError } from '../src/errors.ts';
import { ADAM, tickOp, trainingState } from '../src/kernels/adam.ts';
import { Random } from '../src/math/random.ts';
import { featureFolder, openBackbone } from '../src/node/backbone.ts';
import { fields, textOf } from '../src/onnx/fields.ts';
import { encodeOnnx, message, text } from '../src/onnx/protobuf.ts';
import { subgraph } from '../src/onnx/subgraph.ts';
import { readCheckpoint } from '../src/train/checkpoint.ts';
import { engine } from './support/gpu.ts';
import { temporaryFolder } from './support/temporary.ts';

const folder = temporaryFolder();
const gpu = await engine();

/** Waves of colors of the same lengths in all pictures, so that features differ from place to place. */
function picture(seed: number, width = 96, height = 80): RgbImage {
  const [shared, random] = [new Random(1), new Random(seed)];
  const waves = Array.from({ length: 6 }, () => [shared.uniform(), shared.uniform(), random.uniform()] as const);
  const data = new Uint8Array(3 * width * height);
  for (let i = 0; i < data.length; i++) {
    const [x, y, c] = [Math.floor(i / 3) % width, Math.floor(i / 3 / width), i % 3];
    const sum = waves.reduce((all, [u, v, w], k) => all + Math.sin(0.3 * (u * x + v * y) + 6 * w + c * k), 0);
    data[i] = Math.round(128 + 20 * sum);
  }
  return { width, height, data };
}

/** Two layers, a convolution of 8 x 8 patches each, of which the graph tells the second one. */
function backboneFile(): string {
  const random = new Random(5);
  const weights = (...shape: number[]) => ({
    shape,
    data: Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => (random.uniform() - 0.5) / 4),
  });
  const file = join(folder, 'backbone.onnx');
  writeFileSync(
    file,
    encodeOnnx({
      nodes: [
        { type: 'Conv', inputs: ['image', 'w1'], output: 'low', attributes: { kernel_shape: [4, 4], strides: [4, 4] } },
        { type: 'Relu', inputs: ['low'], output: 'rectified' },
        {
          type: 'Conv',
          inputs: ['rectified', 'w2'],
          output: 'high',
          attributes: { kernel_shape: [2, 2], strides: [2, 2] },
        },
      ],
      tensors: [
        { name: 'w1', ...weights(12, 3, 4, 4) },
        { name: 'w2', ...weights(20, 12, 2, 2) },
      ],
      inputs: [{ name: 'image', shape: [1, 3, 64, 64] }],
      outputs: [{ name: 'high', shape: [1, 20, 8, 8] }],
    }),
  );
  return file;
}

describe('views', () => {
  test('the plain one of a square is the square', () => {
    const { data } = picture(1, 64, 64);
    expect(renderView({ width: 64, height: 64, data }, PLAIN_VIEW, 64).data).toEqual(data);
  });

  test('are functions of photograph, number and seed, and lie inside', () => {
    for (let view = 0; view < 50; view++) {
      const look = viewOf(3, view, 7);
      expect(viewOf(3, view, 7)).toEqual(look);
      expect(look.scale).toBeGreaterThan(0.39);
      expect(look.scale).toBeLessThan(1);
    }
    expect(viewOf(3, 0, 7)).not.toEqual(viewOf(4, 0, 7));
  });

  test('turn, mirror and lose color', () => {
    const square = picture(2, 8, 8);
    const at = ({ data }: RgbImage, x: number, y: number) => data[3 * (8 * y + x)]!;
    const turned = renderView(square, { ...PLAIN_VIEW, angle: Math.PI / 2 }, 8);
    const flipped = renderView(square, { ...PLAIN_VIEW, isMirrored: true }, 8);
    for (let y = 0; y < 8; y++) {
      for (let x = 0; x < 8; x++) {
        expect(at(turned, x, y)).toBe(at(square, y, 7 - x));
        expect(at(flipped, x, y)).toBe(at(square, 7 - x, y));
      }
    }
    const gray = renderView(square, { ...PLAIN_VIEW, isGray: true, contrast: 0.5 }, 8).data;
    for (let i = 0; i < gray.length; i += 3) expect(gray[i]! === gray[i + 1] && gray[i] === gray[i + 2]).toBe(true);
  });
});

describe('targets', () => {
  const grid = { side: 64, mapSide: 8, channels: 2, offset: 16, stride: 4 };

  test('lie where the positions of a PDN are centered: at pixel 4 i + 16', () => {
    for (const [height, width] of [
      [64, 64],
      [32, 16],
      [19, 23],
    ] as const) {
      const pixelOf = (index: number, length: number) => ((index + 0.5) / length) * 64 - 0.5;
      const data = new Float32Array(2 * height * width);
      for (let i = 0; i < height * width; i++) {
        data[i] = pixelOf(i % width, width);
        data[height * width + i] = pixelOf(Math.floor(i / width), height);
      }
      const target = targetOf([{ data, channels: 2, height, width }], grid);
      for (let i = 0; i < 64; i++) {
        expect(target[i]).toBeCloseTo(4 * (i % 8) + 16, 4);
        expect(target[64 + i]).toBeCloseTo(4 * Math.floor(i / 8) + 16, 4);
      }
    }
  });

  test('average channels down, or repeat them', () => {
    const flat = (value: number): FeatureMaps => ({
      data: new Float32Array(9).fill(value),
      channels: 1,
      height: 3,
      width: 3,
    });
    const first = (values: readonly number[], channels: number) => {
      const target = targetOf(values.map(flat), { ...grid, channels });
      return Array.from({ length: channels }, (_, c) => target[64 * c]!);
    };
    expect(first([1, 2, 3, 4, 5, 6], 3)).toEqual([1.5, 3.5, 5.5]);
    expect(first([1, 2, 3, 4, 5], 2)).toEqual([2, 4]);
    expect(first([1, 2], 4)).toEqual([1, 1, 2, 2]);
  });
});

test('the learning rate warms up and follows half a cosine down', async () => {
  const attrs = { learningRate: 0.5, decayAt: 100, decay: 0.1, cosine: { warmUp: 3, until: 12 }, ...ADAM };
  const state = trainingState();
  const expected = new Parameter('expected', state.type, Uint32Array.from(state.data));
  const node = makeNode(tickOp, [state.node], attrs);
  const plan = await gpu.compile({ outputs: {}, effects: [node] });
  const rates: number[] = [];
  for (let step = 0; step < 13; step++) {
    await plan.run({});
    await gpu.download([state]);
    expected.data = tickOp.reference([expected.data as Uint32Array], node) as Uint32Array;
    const [, rate] = new Float32Array(Uint32Array.from(state.data).buffer);
    rates.push(rate!);
    expect(rate).toBeCloseTo(new Float32Array(Uint32Array.from(expected.data).buffer)[1]!, 5);
  }
  plan.destroy();
  gpu.release([state]);
  expect(rates[0]).toBeCloseTo(0.5 / 3);
  expect(Math.max(...rates)).toBeCloseTo(0.5, 2);
  expect(rates.at(-1)).toBeCloseTo(0, 5);
});

describe('a backbone in ONNX', () => {
  test('gives inner values that its graph does not tell', async () => {
    const backbone = await openBackbone(backboneFile(), { layers: ['low', 'high'], side: 64, normalization: 'unit' });
    const [low, high] = await backbone.features(picture(3, 64, 64));
    expect([low!.channels, low!.height, low!.width]).toEqual([12, 16, 16]);
    expect([high!.channels, high!.height, high!.width]).toEqual([20, 8, 8]);
  });

  test('computes only what its layers take', () => {
    const damaged = () => new UserError('damaged');
    const names = (model: Uint8Array, field: number, name: number) =>
      fields(model, damaged)
        .filter((part) => part.field === 7)
        .flatMap(({ bytes }) => fields(bytes, damaged))
        .filter((part) => part.field === field)
        .map(({ bytes }) => textOf(fields(bytes, damaged).find((part) => part.field === name)));
    const parts = (model: Uint8Array) => ({
      nodes: names(model, 1, 2),
      constants: names(model, 5, 8),
      inputs: names(model, 11, 1),
      outputs: names(model, 12, 1),
    });
    const whole = readFileSync(backboneFile());
    const both = { nodes: ['low', 'rectified', 'high'], constants: ['w1', 'w2'], inputs: ['image'] };
    expect(parts(subgraph(whole, ['low'], ''))).toEqual({
      nodes: ['low'],
      constants: ['w1'],
      inputs: ['image'],
      outputs: ['low'],
    });
    expect(parts(subgraph(whole, ['low', 'high'], ''))).toEqual({ ...both, outputs: ['low', 'high'] });
    // Protobuf's messages may come in pieces, constants may be listed as inputs, and branches read what is outside of them.
    const node = (type: string, from: string, to: string, ...more: Uint8Array[]) =>
      message(1, [text(1, from), text(2, to), text(4, type), ...more]);
    const branch = message(6, [node('Neg', 'a', 'negative'), message(12, [text(1, 'negative')])]);
    const pieces = [
      message(7, [node('Relu', 'x', 'a'), node('Add', 'b', 'unused'), message(5, [text(8, 'b')])]),
      message(7, [
        node('If', 'x', 'y', message(5, [text(1, 'then_branch'), branch])),
        ...['x', 'b'].map((input) => message(11, [text(1, input)])),
        message(12, [text(1, 'unused')]),
      ]),
    ];
    expect(parts(subgraph(Buffer.concat(pieces), ['y'], ''))).toEqual({
      nodes: ['a', 'y'],
      constants: [],
      inputs: ['x'],
      outputs: ['y'],
    });
  });

  test('refuses what cannot be used in one sentence', async () => {
    const open = (layers: string[], file = backboneFile()) =>
      openBackbone(file, { layers, side: 64, normalization: 'unit' });
    await expect(open(['nothing'])).rejects.toThrow(/cannot be opened with the layers nothing/);
    const broken = join(folder, 'broken.onnx');
    writeFileSync(broken, 'no model');
    await expect(open(['low'], broken)).rejects.toThrow(/not a usable ONNX file/);
    const backbone = await open(['low']);
    await expect(backbone.features(picture(3, 40, 40))).rejects.toThrow(/does not take an image of 40x40/);
  });
});

describe('distillation', { timeout: 240_000 }, () => {
  const photographs = Array.from({ length: 12 }, (_, i) => picture(20 + i));
  const options = async (): Promise<DistillOptions> => ({
    engine: gpu,
    settings: { ...DISTILL_DEFAULTS, size: 'xs', resolution: 64, iterations: 40, batch: 2, views: 2 },
    backbone: await openBackbone(backboneFile(), { layers: ['low', 'high'], side: 64, normalization: 'imagenet' }),
    photographs: { count: photographs.length, digest: 'pictures', image: async (i) => photographs[i]! },
    store: await featureFolder(join(folder, 'features')),
  });

  test('teaches, and goes on from a checkpoint to equal weights', async () => {
    const seen: DistillProgress[] = [];
    const whole = await distill({ ...(await options()), onProgress: (progress) => seen.push(progress) });
    const [first] = seen.filter(({ phase }) => phase === 'train');
    expect(whole.explained).toBeGreaterThan(first!.explained! + 0.1);
    expect(whole.explained).toBeLessThan(1);
    expect(whole.tensors.get('conv4.weight')!.shape).toEqual([128, 64, 4, 4]);
    expect(readdirSync(join(folder, 'features')).length).toBeGreaterThan(20);

    const stop = new AbortController();
    let saved: Uint8Array | undefined;
    const begun = distill({
      ...(await options()),
      checkpoint: {
        every: 1000,
        save: async (bytes) => {
          saved = bytes;
        },
      },
      onProgress: ({ phase, done }) => phase === 'train' && done === 15 && stop.abort(),
      signal: stop.signal,
    });
    await expect(begun).rejects.toThrow(/abort/i);
    const resumed = await distill({ ...(await options()), resume: await readCheckpoint(saved!) });
    for (const [name, { data }] of whole.tensors) expect(resumed.tensors.get(name)!.data, name).toEqual(data);
    expect(existsSync(join(folder, 'features'))).toBe(true);
  });

  test('refuses settings and too few photographs', async () => {
    const given = await options();
    const settings = { ...given.settings, views: 0 };
    await expect(distill({ ...given, settings })).rejects.toThrow(/views 0 cannot be used/);
    const few = { ...given.photographs, count: 1 };
    await expect(distill({ ...given, photographs: few })).rejects.toThrow(/1 photographs are too few/);
  });
});
