import { describe, expect, test } from 'vitest';
import { MACHINES } from '../src/bench/machines.ts';
import { evaluateReference, input, type Node, type Values } from '../src/engine/graph.ts';
import { chooseVariant } from '../src/engine/lower.ts';
import { supportedVariants } from '../src/engine/variants.ts';
import { codeRange, type QuantizedWeights, WEIGHT_BITS, type WeightBits } from '../src/formats/weightCodes.ts';
import { type Qconv2dAttrs, type Qconv2dNode, qconv2d, qconv2dOp } from '../src/kernels/qconv2d.ts';
import { storeActivations } from '../src/kernels/storage.ts';
import { quantizedLayerNodes, rangeNode as range } from '../src/measure/kernels.ts';
import { engine } from './support/gpu.ts';

const gpu = await engine();

type Point = readonly [numerator: number, denominator: number];

interface Tile {
  readonly m: number;
  readonly k: number;
  /** Common factor of the outputs in one dimension. */
  readonly s: number;
  readonly points: readonly Point[];
}

/** Points of the tiles as fractions [numerator, denominator]; infinity is [1, 0]. */
const TILES: readonly Tile[] = [
  {
    m: 2,
    k: 3,
    s: 2,
    points: [
      [0, 1],
      [1, 1],
      [-1, 1],
      [1, 0],
    ],
  },
  {
    m: 2,
    k: 4,
    s: 6,
    points: [
      [0, 1],
      [1, 1],
      [-1, 1],
      [2, 1],
      [1, 0],
    ],
  },
  {
    m: 4,
    k: 3,
    s: 30,
    points: [
      [0, 1],
      [1, 1],
      [-1, 1],
      [2, 1],
      [-1, 2],
      [1, 0],
    ],
  },
  {
    m: 3,
    k: 4,
    s: 30,
    points: [
      [0, 1],
      [1, 1],
      [-1, 1],
      [2, 1],
      [-1, 2],
      [1, 0],
    ],
  },
];

const INT16 = 2 ** 15 - 1;

/** Coefficients of the product over all other finite points of (denominator x - numerator), lowest power first. */
function inputRow(points: readonly Point[], at: number): number[] {
  const others = points.filter(([, b], i) => i !== at && b !== 0);
  return others.reduce<number[]>(
    (all, [a, b]) => Array.from({ length: all.length + 1 }, (_, j) => b * (all[j - 1] ?? 0) - a * (all[j] ?? 0)),
    [1],
  );
}

const absolute = (row: readonly number[]) => row.reduce((sum, value) => sum + Math.abs(value), 0);
const powers = ([a, b]: Point, count: number) => Array.from({ length: count }, (_, i) => a ** i * b ** (count - 1 - i));

describe.each(TILES)('the transforms of F($m, $k)', ({ m, k, s, points }) => {
  const rows = points.map((_, p) => inputRow(points, p));
  const weights = points.map((point) => powers(point, k));
  const outputs = points.map((point) => powers(point, m));
  // What is left of s: an input row's own value at its point.
  const left = points.map(([a, b], p) =>
    points.reduce((all, [c, d], i) => (i === p ? all : all / (d === 0 ? b : d * a - c * b)), s),
  );

  test('are whole numbers, and give s times the convolution', () => {
    expect(left.every((value) => Math.abs(value - Math.round(value)) < 1e-9)).toBe(true);
    for (let o = 0; o < m; o++) {
      for (let g = 0; g < k; g++) {
        for (let d = 0; d < m + k - 1; d++) {
          const terms = points.map(
            (_, p) => Math.round(left[p]!) * outputs[p]![o]! * weights[p]![g]! * (rows[p]![d] ?? 0),
          );
          expect(terms.reduce((sum, term) => sum + term, 0)).toBe(d === o + g ? s : 0);
        }
      }
    }
  });

  test('keep operands in 16 bits, and s^2 is 4 times an odd number', () => {
    expect(128 * Math.max(...rows.map(absolute)) ** 2).toBeLessThanOrEqual(INT16);
    expect(127 * Math.max(...weights.map(absolute)) ** 2).toBeLessThanOrEqual(INT16);
    expect((s * s) % 8).toBe(4);
  });
});

function quantized(shape: readonly number[], bits: WeightBits, code: (i: number) => number): QuantizedWeights {
  const [co, ci, kh, kw] = shape as [number, number, number, number];
  const codes = Int8Array.from({ length: co * ci * kh * kw }, (_, i) => code(i));
  return { shape, bits, groupSize: ci, codes, scales: new Float32Array(co).fill(1) };
}

interface Layer extends Partial<Qconv2dAttrs> {
  readonly code?: (i: number) => number;
  /** Scale and zero point of input and output. */
  readonly affine?: readonly [number, number];
}

/** @param x [N, CI, H, W] @param w [CO, K] */
function layer(x: readonly number[], [co, k]: readonly [number, number], bits: WeightBits, given: Layer = {}): Node {
  const { code = (i) => Math.round(90 * Math.sin(i * i)) >> (8 - bits), affine = [1, 128], ...rest } = given;
  const shape = [co, x[1]!, k, k];
  const attrs: Qconv2dAttrs = {
    ...{ weights: shape, bits, groupSize: x[1]!, input: 'u8', output: 'f32', stride: 1, padding: 0, relu: false },
    pool: false,
    ...rest,
  };
  const inRange = range(...affine);
  const outRange = attrs.output === 'u8' ? range(37.1 * affine[0], 30) : undefined;
  const stored = storeActivations(input('x', x), 'u8', inRange);
  return qconv2d({ x: stored, ...quantizedLayerNodes(quantized(shape, bits, code)), inRange, outRange }, attrs);
}

function inputOf(y: Node): Node {
  const x = y.inputs[0]!;
  return x.attrs.name === 'x' ? x : inputOf(x);
}

async function run(y: Node, qconv2d: string, x: (i: number) => number, others = {}) {
  const values = Float32Array.from({ length: inputOf(y).type.shape.reduce((a, b) => a * b) }, (_, i) => x(i));
  const plan = await gpu.compile({ outputs: { y }, variants: { qconv2d, ...others } });
  const { y: actual } = await plan.run({ x: values }, ['y']);
  plan.destroy();
  const [expected] = evaluateReference([y], new Map<Node, Values>([[inputOf(y), Float64Array.from(values)]]));
  return { actual: actual!, expected: Float32Array.from(expected!) };
}

const WIDEST = 8;

describe.each(TILES)('F($m, $k) in integers', ({ m, k }) => {
  const variant = `winograd${m}Integers`;
  const separate = { winogradStoredConv: 'separate' };

  test.each(WEIGHT_BITS)('gives the direct sums of %i bits', async (bits) => {
    const [least, most] = codeRange(bits);
    const y = layer([1, 6, 9, 12], [9, k], bits, {
      code: (i) => least + ((i * 7919) % (most - least + 1)),
      padding: 1,
    });
    const { actual, expected } = await run(y, variant, (i) => ((i * 37) % 256) - 128);
    expect(actual).toEqual(expected);
    // The width ends with the transform of the weights, which both have in common.
    if (bits !== WIDEST) return;
    expect((await run(y, variant, (i) => ((i * 37) % 256) - 128, separate)).actual).toEqual(expected);
  });

  // Signs that add up at every point of the transforms, one after the other.
  test.each([
    ['all of one sign', () => 1],
    ['alternating', (i: number) => (i % 2) * 2 - 1],
    ['alternating in pairs', (i: number) => (Math.floor(i / 2) % 2) * 2 - 1],
  ])('gives the direct sums of extreme codes, %s', async (_, sign) => {
    const y = layer([1, 8, 8, 8], [8, k], WIDEST, { code: (i) => 127 * sign(i) });
    const { actual, expected } = await run(y, variant, (i) => (sign(i) > 0 ? 127 : -128));
    expect(actual).toEqual(expected);
  });

  const most = Math.floor((2 ** 29 - 1) / (128 * 127 * k * k) / 4) * 4;

  test('is exact up to its bound', async () => {
    const y = layer([1, most, k + 1, k + 1], [1, k], WIDEST, { code: () => -127 });
    const { actual, expected } = await run(y, variant, () => -128);
    expect(expected[0]).toBe(Math.fround(most * k * k * 127 * 128));
    expect(actual).toEqual(expected);
  });

  test('is refused one step beyond', () => {
    const names = (channels: number) =>
      supportedVariants(layer([1, channels, k, k], [1, k], WIDEST), { caps: gpu.caps }).map(({ name }) => name);
    expect(names(most)).toContain(variant);
    expect(names(most + 1)).not.toContain(variant);
    expect(names(most + 1)).toContain('direct');
  });

  test.each([{ pool: true, relu: true }, { padding: 2 }])(
    'gives every bit that the direct kernel gives, %o',
    async (attrs) => {
      // Scales that are no powers of two: a sum in another order would show.
      const y = layer([2, 20, 13, 11], [10, k], 6, { affine: [1.23, 90], output: 'u8', ...attrs });
      const x = (i: number) => ((i * 53) % 311) - 100;
      const [a, b, c] = [await run(y, variant, x), await run(y, variant, x, separate), await run(y, 'direct', x)];
      expect(new Set(c.actual).size).toBeGreaterThan(10);
      expect(a.actual).toEqual(c.actual);
      expect(b.actual).toEqual(c.actual);
    },
  );
});

test.each(['winograd3Integers', 'winograd3Floats'])(
  '%s: work above the binding limit is cut into runs of tile rows',
  async (name) => {
    const y = layer([2, 16, 31, 29], [10, 4], 5, { pool: true, relu: true, output: 'u8' });
    const limits = { ...gpu.caps.limits, maxStorageBufferBindingSize: 300_000 };
    const { lower } = qconv2dOp.variants.find((variant) => variant.name === name)!;
    const cut = lower!(y as Qconv2dNode, { ...gpu.caps, limits })!;
    const plan = await gpu.compile({ outputs: { y: cut } });
    expect(plan.dispatches.filter(({ label }) => label === 'qconv2d.input').length).toBeGreaterThan(2);
    const x = Float32Array.from({ length: 2 * 16 * 31 * 29 }, (_, i) => ((i * 37) % 256) - 128);
    const { y: actual } = await plan.run({ x }, ['y']);
    plan.destroy();
    expect(actual).toEqual((await run(y, name, (i) => ((i * 37) % 256) - 128)).actual);
  },
);

describe('the default', () => {
  const chosen = (y: Node, caps = gpu.caps) => chooseVariant(y, { caps }).name;

  test.each([
    [8, 'Integers'],
    [4, 'Floats'],
  ])('of CPU adapters is Winograd from 32 channels on, in subgroups of %i by %s', (size, numbers) => {
    const caps = { ...gpu.caps, isCpu: true, subgroups: true, subgroupMinSize: size, subgroupMaxSize: size };
    expect(chosen(layer([1, 64, 16, 16], [64, 4], 8), caps)).toBe(`winograd3${numbers}`);
    expect(chosen(layer([1, 64, 16, 16], [64, 3], 4), caps)).toBe(`winograd4${numbers}`);
    expect(chosen(layer([1, 3, 16, 16], [64, 4], 8), caps)).not.toMatch(/^winograd/);
  });

  test('of scale groups and strides, and of GPUs, is not', () => {
    expect(chosen(layer([1, 64, 16, 16], [64, 4], 8, { stride: 2 }))).not.toMatch(/^winograd/);
    expect(chosen(layer([1, 64, 16, 16], [64, 4], 8), MACHINES.h100.caps)).not.toMatch(/^winograd/);
  });
});
