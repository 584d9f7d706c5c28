import { describe, expect, test } from 'vitest';
import { MACHINES, withMatrices } from '../src/bench/machines.ts';
import { untrainedDetector, untrainedQuantized } from '../src/bench/untrained.ts';
import { renderSpecimen } from '../src/data/synthetic/generate.ts';
import { randomValues, toHost } from '../src/doctor/values.ts';
import { maskCaps } from '../src/engine/adapter.ts';
import type { Caps } from '../src/engine/caps.ts';
import { Engine } from '../src/engine/engine.ts';
import { evaluateReference, input, isOf, type Node, Parameter, type Values } from '../src/engine/graph.ts';
import { lower, type VariantChoice } from '../src/engine/lower.ts';
import { Tuning } from '../src/engine/tuning.ts';
import { supportedVariants } from '../src/engine/variants.ts';
import { conv2d, conv2dOp } from '../src/kernels/conv2d.ts';
import { convDistance } from '../src/kernels/convDistance.ts';
import { AMPLIFICATION, halvesError } from '../src/kernels/halves.ts';
import { winogradHalvesProductOp } from '../src/kernels/winogradHalves.ts';
import { Networks } from '../src/networks/networks.ts';
import { engine } from './support/gpu.ts';

const gpu = await engine();

interface Drawn {
  readonly y: Node;
  readonly values: ReadonlyMap<Node, Values>;
}

async function run({ y, values }: Drawn, variants: VariantChoice): Promise<Float32Array> {
  const plan = await gpu.compile({ outputs: { y }, variants, precision: 'f16' });
  const data = Object.fromEntries([...values].map(([node, each]) => [node.label, toHost(each)]));
  const result = await plan.run(data, ['y']);
  plan.destroy();
  return result['y'] as Float32Array;
}

/** Largest error as a share of the largest value of the reference. */
function errorOf(actual: Float32Array, { y, values }: Drawn): number {
  const [expected] = evaluateReference([y], values);
  const largest = Math.max(...Array.from(expected!, Math.abs));
  return Math.max(...Array.from(expected!, (value, i) => Math.abs(value - actual[i]!))) / largest;
}

function draw(inputs: readonly Node[], y: Node, of = (values: Values) => values): Drawn {
  return { y, values: new Map(inputs.map((node, i) => [node, of(randomValues(node, 'normal', 80 + i))])) };
}

/** The transforms of the snippet as matrices: of inputs, weights and outputs. */
const TRANSFORMS: readonly {
  readonly m: number;
  readonly k: number;
  readonly b: number[][];
  readonly g: number[][];
  readonly a: number[][];
}[] = (
  [
    [4, 3, [0, 1, -1, 2, -2]],
    [3, 4, [0, 1, -1, 2, -2]],
    [2, 4, [0, 1, -1, 2]],
    [2, 3, [0, 1, -1]],
  ] as readonly (readonly [m: number, k: number, points: readonly number[]])[]
).map(([m, k, points]) => {
  const others = (p: number) => points.filter((q) => q !== p);
  // Signs of a point cancel between inputs and weights.
  const polynomial = (roots: readonly number[]) =>
    roots.reduce<number[]>((all, root) => [0].concat(all).map((c, i) => c - root * (all[i] ?? 0)), [1]);
  const b = [...points.map((p) => [...polynomial(others(p)), 0]), polynomial(points)];
  const scale = (p: number) => others(p).reduce((product, q) => product * (p - q), 1);
  const powers = (p: number, count: number) => Array.from({ length: count }, (_, i) => p ** i);
  const last = (count: number) => Array.from({ length: count }, (_, i) => Number(i === count - 1));
  const g = [...points.map((p) => powers(p, k).map((value) => value / scale(p))), last(k)];
  const a = [...points.map((p) => powers(p, m)), last(m)];
  return { m, k, b, g, a };
});

const squares = (row: readonly number[]) => row.reduce((sum, value) => sum + value * value, 0);

test.each(TRANSFORMS)('the amplification of F($m, $k) follows from its transforms', ({ m, k, b, g, a }) => {
  const d = Array.from({ length: m + k - 1 }, (_, i) => Math.sin(3 * i + 1));
  const taps = Array.from({ length: k }, (_, i) => Math.cos(5 * i + 2));
  const dot = (u: readonly number[], v: readonly number[]) => u.reduce((sum, value, i) => sum + value * v[i]!, 0);
  const products = b.map((row, p) => dot(row, d) * dot(g[p]!, taps));
  for (let o = 0; o < m; o++) {
    const y = products.reduce((sum, product, p) => sum + a[p]![o]! * product, 0);
    expect(y).toBeCloseTo(dot(taps, d.slice(o, o + k)), 12);
  }
  const worst = Math.max(
    ...Array.from({ length: m }, (_, o) =>
      b.reduce((sum, row, p) => sum + a[p]![o]! ** 2 * squares(g[p]!) * squares(row), 0),
    ),
  );
  expect((Math.sqrt(3) * worst) / k / AMPLIFICATION[k]![m]!).toBeCloseTo(1, 2);
});

describe('rounding errors of halves against float64', () => {
  for (const { m, k } of TRANSFORMS) {
    test(`F(${m}x${m}, ${k}x${k}) over 128 channels`, async () => {
      const [x, w, b] = [input('x', [1, 128, 13, 11]), input('w', [16, 128, k, k]), input('b', [16])];
      const drawn = draw([x, w, b], conv2d(x, w, b));
      const error = errorOf(await run(drawn, { conv2d: `winograd${m}Halves` }), drawn);
      console.log(`F(${m}x${m}, ${k}x${k}) with halves: largest error ${error.toExponential(1)} of the largest output`);
      expect(error).toBeLessThan(halvesError({ m, k }));
      // Halves are what it is about.
      expect(error).toBeGreaterThan(1e-5);
    });
  }
});

describe('every product of halves', () => {
  const [x, w, b] = [input('x', [2, 10, 12, 23]), input('w', [71, 10, 4, 4]), input('b', [71])];
  const whole = draw([x, w, b], conv2d(x, w, b, { relu: true }));
  const [grouped, weights] = [input('x', [1, 140, 9, 10]), input('w', [256, 70, 4, 4])];
  const groups = draw([grouped, weights], conv2d(grouped, weights, undefined, { groups: 2, pool: true }));
  const products = (node: Node) => {
    const { lower } = supportedVariants(node, { caps: gpu.caps, precision: 'f16' }).find(
      ({ name }) => name === 'winograd3Halves',
    )!;
    const products = lower!(node, gpu.caps)!.inputs[0]!;
    if (!isOf(products, winogradHalvesProductOp)) throw new Error(`${products.op.name} has the products`);
    return products;
  };
  for (const { name, supports } of winogradHalvesProductOp.variants) {
    for (const [what, drawn] of Object.entries({ 'one group': whole, 'two groups, pooled': groups })) {
      test.runIf(supports!(gpu.caps, products(drawn.y)))(`${name}, ${what}`, async () => {
        const actual = await run(drawn, { conv2d: 'winograd3Halves', winogradHalvesProduct: name });
        expect(errorOf(actual, drawn)).toBeLessThan(halvesError({ m: 3, k: 4 }));
      });
    }
  }
});

describe('values at the ends of the range', () => {
  const [x, w] = [input('x', [1, 6, 9, 9]), input('w', [64, 6, 4, 4])];

  // As halves, weights of 2^-18 would be zero and those of 2^18 infinite.
  test.each([
    [2 ** -18, 2 ** 11],
    [2 ** 18, 2 ** -11],
  ])('weights of about %d lose nothing', async (ofWeights, ofInputs) => {
    const one = draw([x, w], conv2d(x, w, undefined));
    const scaled = [...one.values].map(([node, each]): [Node, Values] => [
      node,
      each.map((v) => v * (node === w ? ofWeights : ofInputs)) as Values,
    ]);
    const drawn = { ...one, values: new Map(scaled) };
    expect(errorOf(await run(drawn, { conv2d: 'winograd3Halves' }), drawn)).toBeLessThan(halvesError({ m: 3, k: 4 }));
  });

  test('what is too large saturates', async () => {
    const large = draw([x, w], conv2d(x, w, undefined), (values) => values.map((v) => v * 1e6) as Values);
    const y = await run(large, { conv2d: 'winograd3Halves' });
    expect([...y].every(Number.isFinite)).toBe(true);
  });
});

test('small integers are exact with F(2x2, 3x3)', async () => {
  const [x, w] = [input('x', [1, 7, 10, 9]), input('w', [5, 7, 3, 3])];
  // Transformed weights are multiples of 1/4, so all products stay below 2048 quarters.
  const drawn = draw(
    [x, w],
    conv2d(x, w, undefined),
    (values) => values.map((v) => Math.sign(Math.round(v))) as Values,
  );
  const actual = await run(drawn, { conv2d: 'winograd2Halves' });
  const [expected] = evaluateReference([drawn.y], drawn.values);
  expect(actual).toEqual(Float32Array.from(expected!));
});

test.each(['splits', 'workgroup'])('a map by %s', async (winogradMap) => {
  for (const channels of [37, 40]) {
    const [x, w, b] = [input('x', [2, 8, 12, 11]), input('w', [channels, 6, 4, 4]), input('b', [channels])];
    const target = input('t', [2, channels, 9, 8]);
    const drawn = draw([x, w, b, target], convDistance(x, w, b, target, { firstChannel: 2 }));
    const actual = await run(drawn, { convDistance: 'winograd3Halves', winogradMap });
    expect(errorOf(actual, drawn)).toBeLessThan(2 * halvesError({ m: 3, k: 4 }));
  }
});

describe('variants that round', () => {
  const conv = conv2d(input('x', [1, 64, 64, 64]), input('w', [64, 64, 4, 4]), undefined);
  const names = (node: Node, precision: 'f32' | 'f16') =>
    supportedVariants(node, { caps: gpu.caps, precision }).map(({ name }) => name);

  test('are there for plans of that precision alone', () => {
    expect(names(conv, 'f16')).toContain('winograd3Halves');
    expect(names(conv, 'f32')).not.toContain('winograd3Halves');
  });

  test('need channels of one group in a word', () => {
    const odd = conv2d(input('x', [1, 6, 9, 9]), input('w', [128, 3, 4, 4]), undefined, { groups: 2 });
    expect(names(odd, 'f16')).not.toContain('winograd3Halves');
    const shifted = conv2d(input('x', [1, 9, 9, 9]), input('w', [128, 3, 4, 4]), undefined, { firstChannel: 3 });
    expect(names(shifted, 'f16')).not.toContain('winograd3Halves');
  });
});

describe('a detector of precision f16', () => {
  const caps = maskCaps(gpu.caps, { isCpu: false });
  // Each of their blocks takes seconds to compile, and has rows of its own in ops.test.ts.
  const blocks = conv2dOp.variants.flatMap(({ name }) => (/^(tile|split)/.test(name) ? [`conv2d/${name}`] : []));
  const gpuLike = new Engine({ device: gpu.device, caps, tuning: new Tuning('none'), excluded: new Set(blocks) });
  const networks = new Networks('xs', 128);
  networks.initialize(3);
  const { image } = renderSpecimen('bracket', undefined, 1, 128);

  test('runs its large convolutions with halves, and its maps stay within their rounding', async () => {
    const float = untrainedDetector(gpu, networks);
    // What is made of a detector keeps its precision.
    const halves = untrainedDetector(gpuLike, networks, { precision: 'f16' }).with({ placement: 'exact' });
    const plan = await halves.compile(1);
    const names = plan.dispatches.map(({ kernel }) => kernel.split(' ')[0]);
    plan.destroy();
    expect(names).toContain('winograd_halves_input.wgsl');
    expect(names).not.toContain('winograd_input.wgsl');
    const [expected, actual] = [await float.rawMaps(image), await halves.rawMaps(image)];
    for (const map of ['studentTeacher', 'autoencoder'] as const) {
      const range = Math.max(...expected[map]) - Math.min(...expected[map]);
      const differences = expected[map].map((value, i) => Math.abs(value - actual[map][i]!));
      expect(Math.max(...differences)).toBeGreaterThan(0);
      expect(Math.max(...differences)).toBeLessThan(0.01 * range);
    }
    float.destroy();
    halves.destroy();
  });

  test('is no other where it is quantized, or on CPU adapters by default', async () => {
    const shaders = (of: Node, precision: 'f32' | 'f16', target = caps) =>
      [...lower({ outputs: { of }, precision }, { caps: target }).kernels.values()].map(
        ({ kernel }) => kernel.shader.name,
      );
    const graph = untrainedDetector(gpuLike, networks).fusedGraph(1).combined;
    const cpu = maskCaps(gpu.caps, { isCpu: true });
    expect(shaders(graph, 'f16', cpu)).toEqual(shaders(graph, 'f32', cpu));
    const quantized = untrainedQuantized(gpuLike, networks, { weights: 4, activations: 8 }).fusedGraph(1).combined;
    expect(shaders(quantized, 'f16')).toEqual(shaders(quantized, 'f32'));
  });
});

describe('products by matrices of halves', () => {
  const hopper = withMatrices(MACHINES.h100).caps;
  const conv = (channels: number, side: number) =>
    conv2d(
      input('x', [1, 64, side, side]),
      new Parameter('w', { shape: [channels, 64, 4, 4], dtype: 'f32' }).node,
      undefined,
    );
  const product = (node: Node, caps: Caps) => {
    const { kernels } = lower({ outputs: { node }, precision: 'f16' }, { caps });
    return [...kernels.values()].find(({ kernel }) => /winograd_halves_product/.test(kernel.shader.name))!.kernel;
  };

  test('are the default where a device has them, in a block that leaves work for all cores', () => {
    expect(product(conv(256, 129), hopper).defines).toMatchObject({ M: 16, N: 16, K: 16, BM: 128, BN: 128 });
    expect(product(conv(64, 32), hopper).defines).toMatchObject({ BM: 64, BN: 64 });
    expect(product(conv(256, 129), MACHINES.h100.caps).shader.name).toBe('winograd_halves_product_block.wgsl');
  });

  test('need sums in f32, shader-f16 and workgroup memory', () => {
    const half = { componentType: 'f16', resultComponentType: 'f16', M: 16, N: 16, K: 16 };
    for (const caps of [
      maskCaps(hopper, { subgroupMatrixConfigs: [half] }),
      maskCaps(hopper, { f16: false }),
      maskCaps(hopper, { limits: { maxComputeWorkgroupStorageSize: 16384 } }),
    ]) {
      expect(product(conv(256, 129), caps).shader.name).toBe('winograd_halves_product_block.wgsl');
    }
  });
});
