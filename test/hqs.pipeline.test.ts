import { describe, expect, test } from 'vitest';
import { PLANTED_DEFECTS, plantDefect } from '../src/data/plantedDefects.ts';
import { renderSpecimen } from '../src/data/synthetic/generate.ts';
import { Detector } from '../src/detector/detector.ts';
import { placeMap } from '../src/detectorOps/maps.ts';
import { evaluateReference, input } from '../src/engine/graph.ts';
import { WEIGHT_BITS } from '../src/formats/weightCodes.ts';
import { type AllocateOptions, allocate } from '../src/hqs/allocate.ts';
import { LayerMapReader, placeLayerMap } from '../src/hqs/layerMaps.ts';
import { roundingErrors } from '../src/hqs/leastError.ts';
import { gramMatrix, linearCka, RidgeRegression } from '../src/hqs/linear.ts';
import { autoencoderScores, type LayerScore, layerScores, ompqScores } from '../src/hqs/scores.ts';
import { widthDifferences } from '../src/hqs/stability.ts';
import { packPixels } from '../src/imaging/pixels.ts';
import { Random } from '../src/math/random.ts';
import { bootstrapInterval, meanAt } from '../src/metrics/bootstrap.ts';
import { Networks } from '../src/networks/networks.ts';
import { Pdn } from '../src/networks/pdn.ts';
import { layerBytes, parseBitPlan } from '../src/quantization/bitPlan.ts';
import { engine } from './support/gpu.ts';
import { untrainedDetector } from './support/untrained.ts';

const gpu = await engine();
const state = await untrainedDetector();
const detector = new Detector(gpu, state);
const normal = { count: 5, image: async (i: number) => renderSpecimen('bracket', undefined, i, 150).image };

describe('planted defects', () => {
  const { image } = renderSpecimen('bracket', undefined, 1, 96);
  for (const kind of PLANTED_DEFECTS) {
    test(`${kind}: repeatable, inside its mask, never empty`, () => {
      expect(plantDefect(image, kind, 5)).toEqual(plantDefect(image, kind, 5));
      for (let seed = 0; seed < 40; seed++) {
        const planted = plantDefect(image, kind, seed);
        const share = planted.mask.reduce((sum, value) => sum + value, 0) / planted.mask.length;
        expect(share).toBeGreaterThan(0);
        expect(share).toBeLessThan(0.6);
        const changed = image.data.findIndex(
          (value, i) => planted.mask[Math.floor(i / 3)] === 0 && planted.image.data[i] !== value,
        );
        expect(changed).toBe(-1);
        expect(planted.image.data.some((value, i) => value !== image.data[i])).toBe(true);
      }
    });
  }
});

test('linear CKA is 1 up to rotation and scale, and small for independent features', () => {
  const random = new Random(4);
  const n = 40;
  const rows = Array.from({ length: n }, () => Float32Array.from({ length: 6 }, () => random.uniform() - 0.5));
  const turned = rows.map((row) => Float32Array.of(...[...row].map((v, i) => 3 * (i % 2 ? v : -v))));
  const others = rows.map(() => Float32Array.from({ length: 6 }, () => random.uniform() - 0.5));
  const [a, b, c] = [rows, turned, others].map(gramMatrix) as [Float64Array, Float64Array, Float64Array];
  expect(linearCka(a, b, n)).toBeCloseTo(1, 10);
  expect(linearCka(a, c, n)).toBeLessThan(0.4);
  expect(linearCka(new Float64Array(n * n), c, n)).toBe(0);
});

test('ridge regression finds a linear relation', () => {
  const random = new Random(1);
  const positions = 50;
  const regression = new RidgeRegression(3, 2);
  for (let part = 0; part < 4; part++) {
    const x = Float32Array.from({ length: 3 * positions }, () => random.uniform());
    const y = Float32Array.from({ length: 2 * positions }, (_, i) => {
      const p = i % positions;
      return i < positions ? 2 * x[p]! - x[positions + p]! + 0.5 : x[2 * positions + p]! * -3 + 1;
    });
    regression.add(x, y);
  }
  const { weight, bias } = regression.solve();
  [2, -1, 0, 0, 0, -3].forEach((value, i) => {
    expect(weight[i]).toBeCloseTo(value, 1);
  });
  expect(bias[0]).toBeCloseTo(0.5, 1);
  expect(bias[1]).toBeCloseTo(1, 1);
});

test('a bootstrap interval of a mean covers it and narrows with the sample', () => {
  const random = new Random(3);
  const width = (n: number) => {
    const values = Array.from({ length: n }, () => random.uniform());
    const { low, high } = bootstrapInterval(n, (indices) => meanAt(values, indices));
    expect(low).toBeLessThan(0.5 + 0.1);
    expect(high).toBeGreaterThan(0.5 - 0.1);
    return high - low;
  };
  expect(width(800)).toBeLessThan(width(50) / 2.5);
});

describe('layer maps', () => {
  test('the last layer lies where the detector places its map', () => {
    const { geometry } = new Pdn('xs', 'teacher', 128);
    expect(geometry).toEqual([
      { offset: 1.5, stride: 1 },
      { offset: 5, stride: 2 },
      { offset: 10, stride: 4 },
      { offset: 16, stride: 4 },
    ]);
    const { mapSide } = state.networks;
    const values = Float32Array.from({ length: mapSide * mapSide }, (_, i) => Math.sin(i));
    const x = input('x', [1, 1, mapSide, mapSide]);
    const placed = placeMap(x, {
      width: 128,
      height: 128,
      side: 128,
      placement: 'exact',
      offset: 16,
      stride: 4,
      margin: 4,
    });
    const [expected] = evaluateReference([placed], new Map([[x, Float64Array.from(values)]]));
    const ours = placeLayerMap({ values, width: mapSide, height: mapSide, geometry: geometry[3]! }, 128);
    ours.forEach((value, i) => {
      expect(value).toBeCloseTo(expected![i]!, 4);
    });
  });

  test('attention does not depend on the order of channels; ridge undoes a mixing of them', async () => {
    const pixels = packPixels(renderSpecimen('bracket', undefined, 2, 128).image);
    const same = await untrainedDetector();
    // A student whose layers are the teacher's with channels in another order.
    const { teacher, student } = same.networks;
    teacher.convolutions.forEach(({ weight, bias }, i) => {
      const target = student.convolutions[i]!;
      const [co, ci, kh, kw] = weight.type.shape as [number, number, number, number];
      const turn = (m: number, n: number) => (m + 5) % n;
      const last = i === teacher.convolutions.length - 1;
      for (let m = 0; m < co; m++) {
        const to = last ? m : turn(m, co);
        target.bias.data[to] = bias.data[m]!;
        for (let c = 0; c < ci; c++) {
          const toC = i === 0 ? c : turn(c, ci);
          for (let t = 0; t < kh * kw; t++)
            target.weight.data[(to * ci + toC) * kh * kw + t] = weight.data[(m * ci + c) * kh * kw + t]!;
        }
      }
    });
    const attention = await LayerMapReader.open(gpu, same, 'attention', []);
    for (const { values } of await attention.read(pixels)) expect(Math.max(...values)).toBeLessThan(1e-4);
    attention.destroy();
    const ridge = await LayerMapReader.open(gpu, same, 'ridge', [pixels]);
    const [first] = await ridge.read(pixels);
    const [unlike] = await readRidge();
    const total = (values: Float32Array) => values.reduce((sum, value) => sum + value, 0);
    expect(total(first!.values)).toBeLessThan(0.05 * total(unlike!.values));
    ridge.destroy();

    async function readRidge() {
      const reader = await LayerMapReader.open(gpu, state, 'ridge', [pixels]);
      const maps = await reader.read(pixels);
      reader.destroy();
      return maps;
    }
  });
});

describe('scores', () => {
  const options = { detector, normal, images: 4, plantings: 1, seed: 2 };

  test('every map and contribution gives each layer a score within its interval, and the same again', async () => {
    for (const change of [
      {},
      { map: 'ridge' },
      { contribution: 'literal' },
      { map: 'ridge', contribution: 'literal' },
      { map: 'cka' },
    ] as const) {
      const scores = await layerScores({ ...options, ...change });
      expect(scores.map(({ layer }) => layer)).toEqual(['conv1', 'conv2', 'conv3', 'conv4']);
      for (const { score, low, high } of scores) {
        expect(low).toBeLessThanOrEqual(score + 1e-9);
        expect(high).toBeGreaterThanOrEqual(score - 1e-9);
      }
      if (!('contribution' in change)) expect(await layerScores({ ...options, ...change })).toEqual(scores);
    }
    await expect(layerScores({ ...options, map: 'cka', contribution: 'separability' })).rejects.toThrow(
      /without a map/,
    );
    await expect(layerScores({ ...options, normal: { ...normal, count: 0 } })).rejects.toThrow(/no normal images/);
  });

  test('orthogonality and the autoencoder have scores for every layer of theirs', async () => {
    const importance = await ompqScores(options);
    expect(importance.length).toBe(22);
    for (const { score } of importance) expect(score > 0 && score <= 1).toBe(true);
    const own = await autoencoderScores({ ...options, images: 1 });
    expect(own.map(({ layer }) => layer)).toEqual(
      [...state.networks.autoencoder.encoder, ...state.networks.autoencoder.decoder].map(({ weight }) =>
        weight.name.replace('.weight', ''),
      ),
    );
  });
});

describe('allocation', () => {
  const networks = new Networks('xs', 128);
  networks.initialize(1);
  const { teacher, student } = networks;
  teacher.convolutions.forEach(({ weight }, i) => {
    weight.data = student.convolutions[i]!.weight.data.slice(0, weight.data.length);
  });
  const scores: LayerScore[] = [0.55, 0.6, 0.8, 0.95].map((score, i) => ({
    layer: `conv${i + 1}`,
    score,
    low: score - 0.01,
    high: score + 0.01,
  }));
  const options: AllocateOptions = { networks, scores };
  const widths = (change: Partial<AllocateOptions> = {}) =>
    allocate({ ...options, ...change }).rows.map(({ bits }) => bits);

  test('psi is piecewise constant in the scaled score; teacher and student share a width', () => {
    const { plan, rows, bytes } = allocate(options);
    expect(rows.slice(0, 4).map(({ bits }) => bits)).toEqual([4, 4, 6, 8]);
    expect(rows.slice(4).every(({ bits }) => bits === 8)).toBe(true);
    expect(plan.layers['teacher.conv3']).toEqual({ weights: 6, activations: 8, granularity: 'channel' });
    expect(plan.layers['student.conv3']).toEqual(plan.layers['teacher.conv3']);
    expect(parseBitPlan(JSON.stringify(plan), networks)).toEqual(plan);
    const shape = (name: string) => networks.parameters.find((p) => p.name === `${name}.weight`)!.type.shape;
    const formula = Object.entries(plan.layers).reduce((sum, [name, layer]) => sum + layerBytes(shape(name), layer), 0);
    expect(bytes).toBe(formula);
    expect(widths({ thresholds: [0.5], bits: [3, 16] }).slice(0, 4)).toEqual([3, 3, 16, 16]);
    expect(allocate({ ...options, thresholds: [0.5], bits: [3, 16] }).plan.layers['student.conv4']!.activations).toBe(
      16,
    );
    expect(widths({ scores: scores.map((score) => ({ ...score, score: 1 })) }).slice(0, 4)).toEqual([8, 8, 8, 8]);
  });

  test('controls keep within the size of the plan that they are compared with', () => {
    const { bytes } = allocate(options);
    const limit = { bytes };
    const sizes = (['uniform', 'reversed', 'random', 'ompq'] as const).map((method) => {
      const allocation = allocate({ ...options, method, limit, seed: 3 });
      expect(allocation.bytes).toBeLessThanOrEqual(bytes);
      return allocation;
    });
    for (const { bytes: size } of sizes) expect(size).toBeGreaterThan(0.85 * bytes);
    const uniform = sizes[0]!.rows.map(({ bits }) => bits);
    expect(Math.max(...uniform) - Math.min(...uniform)).toBeLessThanOrEqual(1);
    const reversed = sizes[1]!.rows.slice(0, 4).map(({ bits }) => bits);
    expect(reversed[0]).toBeGreaterThan(reversed[3]!);
    expect(allocate({ ...options, method: 'random', limit, seed: 3 }).plan).toEqual(sizes[2]!.plan);
  });

  test('widths that differ between repetitions, and whether the scores may be equal', () => {
    const shifted = (by: number) => scores.map((each, i) => (i === 2 ? moved(each, by) : each));
    const moved = ({ layer, score, low, high }: (typeof scores)[number], by: number) => ({
      layer,
      score: score + by,
      low: low + by,
      high: high + by,
    });
    const repeat = (name: string, by: number) => ({ name, allocation: allocate({ ...options, scores: shifted(by) }) });
    expect(widthDifferences([repeat('a', 0), repeat('b', 0.001)])).toEqual([]);
    const wide = scores.map((each) => ({ ...each, low: 0, high: 1 }));
    const unsure = { name: 'c', allocation: allocate({ ...options, scores: wide, thresholds: [0.1, 0.2] }) };
    const clear = widthDifferences([repeat('a', 0), repeat('b', -0.15)]);
    expect(clear).toEqual([{ layer: 'conv3', a: 'a', b: 'b', bits: [6, 4], overlap: false }]);
    const chance = widthDifferences([repeat('a', 0), unsure]);
    expect(chance.length).toBeGreaterThan(0);
    expect(chance.every(({ overlap }) => overlap)).toBe(true);
  });

  test('budget meets its limit, and no exchange of widths between two layers is cheaper', () => {
    const three = scores.slice(0, 3);
    const limit = { averageBits: 5 };
    const errors = roundingErrors(networks);
    const { rows, averageBits } = allocate({ ...options, scores: three, mode: 'budget', limit, errors });
    expect(averageBits).toBeLessThanOrEqual(5);
    expect(averageBits).toBeGreaterThan(4.9);
    const sum = <T>(all: readonly T[], of: (each: T) => number) => all.reduce((total, each) => total + of(each), 0);
    const mean = sum(three, ({ score }) => score) / three.length;
    const choices = rows.map(({ score, names, bits }) => {
      const weight = Number.isNaN(score) ? mean : score;
      const costs = WEIGHT_BITS.map((width) => weight * sum(names, (name) => errors.get(name)!.get(width)!));
      const count = sum(names, (name) => networks.parameters.find((p) => p.name === `${name}.weight`)!.data.length);
      return { bits, count, costs, cost: costs[WEIGHT_BITS.indexOf(bits as 8)]! };
    });
    const used = sum(choices, ({ count, bits }) => count * bits);
    const total = sum(choices, ({ count }) => count);
    let least = 0;
    for (const a of choices) {
      for (const b of choices) {
        if (a === b) continue;
        for (const [i, wa] of WEIGHT_BITS.entries()) {
          for (const [j, wb] of WEIGHT_BITS.entries()) {
            const size = used + a.count * (wa - a.bits) + b.count * (wb - b.bits);
            if (size > 5 * total * (1 - 1e-3)) continue;
            least = Math.min(least, a.costs[i]! + b.costs[j]! - a.cost - b.cost);
          }
        }
      }
    }
    expect(least).toBeGreaterThan(-1e-6);
  });

  test('what cannot be is refused', () => {
    expect(() => allocate({ ...options, mode: 'budget' })).toThrow(/needs a limit/);
    expect(() => allocate({ ...options, mode: 'budget', limit: { averageBits: 1 } })).toThrow(
      /cannot be brought under/,
    );
    expect(() => allocate({ ...options, limit: { bytes: 1000 } })).toThrow(/cannot be brought under 1000 bytes/);
    expect(() => allocate({ ...options, method: 'uniform' })).toThrow(/uniform widths need a limit/);
    expect(() => allocate({ ...options, thresholds: [0.5] })).toThrow(/1 thresholds divide/);
    expect(() => allocate({ ...options, thresholds: [0.6, 0.5] })).toThrow(/do not ascend/);
    expect(() => allocate({ ...options, scores: [{ layer: 'conv9', score: 1, low: 1, high: 1 }] })).toThrow(/no layer/);
  });
});
