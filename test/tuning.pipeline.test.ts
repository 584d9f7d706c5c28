import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { detectorName, timeDetectors } from '../src/bench/detectors.ts';
import { untrainedDetector, untrainedQuantized } from '../src/bench/untrained.ts';
import { maskCaps } from '../src/engine/adapter.ts';
import { deviceBytes, leastMemory } from '../src/engine/deviceBytes.ts';
import { Engine } from '../src/engine/engine.ts';
import { input, type Node, Parameter, size, topologicalOrder, type Variant } from '../src/engine/graph.ts';
import { chooseVariant, fuse } from '../src/engine/lower.ts';
import { standalone, type TuneProgress, tune } from '../src/engine/tune.ts';
import { adapterIdentity, Tuning, tuningKey } from '../src/engine/tuning.ts';
import { choicePrecision, type Precision } from '../src/engine/variants.ts';
import type { WeightBits } from '../src/formats/weightCodes.ts';
import { avgPool2d } from '../src/kernels/avgPool2d.ts';
import { conv2d } from '../src/kernels/conv2d.ts';
import { qconv2d } from '../src/kernels/qconv2d.ts';
import { type ActivationStorage, storedType } from '../src/kernels/storage.ts';
import { winogradHalvesProductOp } from '../src/kernels/winogradHalves.ts';
import { quantizedLayerNodes, randomWeights, rangeNode } from '../src/measure/kernels.ts';
import { Networks } from '../src/networks/networks.ts';
import { loadTuning, saveTuning, tuningFile } from '../src/node/tuning.ts';
import { uniformPlan } from '../src/quantization/bitPlan.ts';
import { layerInputs } from '../src/quantization/layerInputs.ts';
import { quantizeNetworks } from '../src/quantization/layers.ts';
import { engine } from './support/gpu.ts';
import { temporaryFolder } from './support/temporary.ts';

const gpu = await engine();
const layer = (label: string, side = 9) => {
  const w = new Parameter('w', { shape: [8, 4, 3, 3], dtype: 'f32' });
  return conv2d(input('x', [1, 4, side, side]), w.node, undefined, {}, label);
};

describe('choices', () => {
  test('are found by op, attributes and shapes, whatever the label', () => {
    const tuning = new Tuning('a');
    tuning.set(layer('one'), 'direct');
    expect(tuning.get(layer('two'))).toBe('direct');
    expect(tuning.get(layer('two', 10))).toBeUndefined();
    expect(tuningKey(layer('one'))).toContain('conv2d 1x4x9x9,8x4x3x3!');
  });

  test('decide what a plan runs, after what is forced', async () => {
    const tuning = new Tuning('a');
    const y = layer('y');
    tuning.set(y, 'direct');
    const tuned = await gpu.compile({ outputs: { y }, tuning });
    expect(tuned.dispatches.map(({ variant }) => variant)).toEqual(['direct']);
    const forced = await gpu.compile({ outputs: { y }, tuning, variants: { conv2d: 'winograd2' } });
    expect(forced.dispatches.length).toBeGreaterThan(1);
    tuned.destroy();
    forced.destroy();
  });

  test('of plans with halves are kept apart, and one that rounds is passed over in others', async () => {
    const w = new Parameter('w', { shape: [8, 4, 3, 3], dtype: 'f32' });
    const y = conv2d(input('x', [1, 4, 9, 9]), w.node, undefined, {}, 'y');
    const choice = (tuning: Tuning, precision: Precision) =>
      chooseVariant(y, { caps: gpu.caps, tuning, precision }).name;
    const both = new Tuning('a', [
      [tuningKey(y), 'direct'],
      [tuningKey(y, 'f16'), 'winograd2Halves'],
    ]);
    expect(choice(both, 'f32')).toBe('direct');
    expect(choice(both, 'f16')).toBe('winograd2Halves');
    const wrong = new Tuning('a', [[tuningKey(y), 'winograd2Halves']]);
    expect(choice(wrong, 'f32')).toBe(choice(new Tuning('a'), 'f32'));
    // On this adapter halves are not the default: what was measured among floats holds.
    const caps = maskCaps(gpu.caps, { isCpu: true });
    const floats = new Tuning('a', [[tuningKey(y), 'direct']]);
    expect(chooseVariant(y, { caps, tuning: floats, precision: 'f16' }).name).toBe('direct');
    // What has no halves is measured once for both.
    const pool = avgPool2d(y);
    const pooled = new Tuning('a', [[tuningKey(pool), 'direct']]);
    expect(pooled.get(pool, choicePrecision(pool, { precision: 'f16' }))).toBe('direct');
  });

  test('for halves are measured among variants that round, too', async () => {
    const tuning = new Tuning(adapterIdentity(gpu.caps));
    // Two candidates, and few inside them: every kernel takes a while to compile.
    const others = [layer('y').op, winogradHalvesProductOp].flatMap(({ name: op, variants }) =>
      variants.map(({ name }) => `${op}/${name}`).filter((name) => !/winograd2Halves|direct|x32x/.test(name)),
    );
    const masked = new Engine({
      device: gpu.device,
      caps: maskCaps(gpu.caps, { isCpu: false }),
      tuning,
      excluded: new Set(others),
    });
    const times: string[] = [];
    await tune(masked, { outputs: { y: layer('y') } }, tuning, {
      precision: 'f16',
      onProgress: (progress) => times.push(...Object.keys(progress.times)),
    });
    expect(times).toContain('winograd2Halves');
    expect(Object.keys(tuning.toJSON().choices)).toContain(tuningKey(layer('y'), 'f16'));
    expect(tuning.get(layer('y'))).toBeUndefined();
  });

  test('are made for every op with variants, down into what they consist of', async () => {
    const tuning = new Tuning(adapterIdentity(gpu.caps));
    const seen: string[] = [];
    const { name: op, variants } = layer('y').op;
    const others = variants.map(({ name }) => name).filter((name) => !/^(winograd2|direct)$/.test(name));
    const { device, caps } = gpu;
    const own = new Engine({ device, caps, tuning, excluded: new Set(others.map((name) => `${op}/${name}`)) });
    await tune(own, { outputs: { y: layer('y') } }, tuning, { onProgress: ({ variant }) => seen.push(variant) });
    expect(seen).toHaveLength(1);
    expect(variants.map(({ name }) => name)).toContain(seen[0]);
    expect(Object.keys(tuning.toJSON().choices).some((key) => key.startsWith('winogradProduct '))).toBe(true);
    seen.length = 0;
    await tune(own, { outputs: { y: layer('y') } }, tuning, { onProgress: ({ variant }) => seen.push(variant) });
    expect(seen).toEqual([]);
  });
});

test('an adapter is known by its name, where it tells one', () => {
  const caps = { ...gpu.caps, vendor: 'v', architecture: '', device: 'd', description: 'x', subgroupMaxSize: 32 };
  expect(adapterIdentity(caps)).toBe('v | d | x | subgroups of 32');
  expect(tuningFile({ ...caps, device: 'e' })).not.toBe(tuningFile(caps));
});

test('candidates that take too much memory together run against the best one, and those that fail are told', async () => {
  const tuning = new Tuning('a');
  // More than 256 MiB in all.
  const w = new Parameter('w', { shape: [4, 1, 1, 1], dtype: 'f32' });
  const y = conv2d(input('x', [1, 1, 1440, 1440]), w.node, undefined, {}, 'large');
  const broken: Variant<unknown> = {
    name: 'broken',
    kernel: () => ({ shader: { name: 'broken.wgsl', source: 'fn main( {' }, grid: [1, 1, 1] }),
  };
  const rejected: Variant<unknown> = {
    name: 'rejected',
    kernel: () => ({
      shader: { name: 'rejected.wgsl', source: '@compute @workgroup_size(1) fn main() {}' },
      grid: [70000, 1, 1],
    }),
  };
  const { device, caps } = gpu;
  const own = new Engine({ device, caps, variants: { conv2d: [broken, rejected] } });
  const seen: TuneProgress[] = [];
  await tune(own, { outputs: { y } }, tuning, { onProgress: (progress) => seen.push(progress) });
  expect(seen).toHaveLength(1);
  expect(Object.keys(seen[0]!.failed).sort()).toEqual(['broken', 'rejected']);
  expect(Object.keys(seen[0]!.times)).not.toContain('rejected');
  expect(Object.keys(seen[0]!.times)).toContain(seen[0]!.variant);
  expect(tuning.get(y)).toBe(seen[0]!.variant);
});

describe('quantized layers', () => {
  const quantized = (bits: WeightBits, storage: ActivationStorage = 'u8') => {
    const attrs = { weights: [8, 4, 2, 2], bits, groupSize: 4, stride: 1, padding: 0, relu: false, pool: false };
    const x = input('x', storedType([1, 4, 6, 7], storage).shape, storage === 'f32' ? 'f32' : 'u32');
    const r = storage === 'u8' ? rangeNode(1, 0) : undefined;
    const nodes = { x, ...quantizedLayerNodes(randomWeights(attrs.weights, bits)), inRange: r, outRange: r };
    return qconv2d(nodes, { ...attrs, input: storage, output: storage });
  };

  test('have choices of their own for every width and storage', async () => {
    const nodes = [quantized(4), quantized(3), quantized(4, 'f32')];
    expect(new Set(nodes.map((node) => tuningKey(node))).size).toBe(3);
    const tuning = new Tuning(adapterIdentity(gpu.caps));
    const seen: string[] = [];
    const outputs = { a: quantized(4), b: quantized(3) };
    await tune(gpu, { outputs }, tuning, { onProgress: ({ variant }) => seen.push(variant) });
    expect(seen).toHaveLength(2);
    expect([tuning.get(nodes[0]!), tuning.get(nodes[1]!), tuning.get(nodes[2]!)]).toEqual([...seen, undefined]);
    const plan = await gpu.compile({ outputs: { y: nodes[0]! }, tuning });
    expect(plan.dispatches.map(({ variant }) => variant)).toEqual([seen[0]]);
    plan.destroy();
  });

  test('of the graph that is tuned are those that a quantized detector runs', () => {
    const keys = ({ combined }: { readonly combined: Node }) => {
      const nodes = topologicalOrder(fuse([combined])).filter(({ op }) => op.name === 'qconv2d');
      return [...new Set(nodes.map((node) => tuningKey(node)))].sort();
    };
    const networks = new Networks('xs', 128);
    networks.initialize(1);
    const inputs = layerInputs(networks, input('x', [1, 3, 128, 128]));
    const values = [...new Set(inputs.values())];
    const ranges = new Map([...inputs].map(([name, x]) => [name, { scale: 1, zeroPoint: values.indexOf(x) }]));
    const plan = uniformPlan(networks, { weights: 5, activations: 8 });
    const { networks: rounded, quantization } = quantizeNetworks(networks, plan, ranges);
    const real = untrainedDetector(gpu, rounded, { quantization });
    const tuned = untrainedQuantized(gpu, new Networks('xs', 128), { weights: 5, activations: 8 });
    expect(keys(tuned.fusedGraph(1))).toEqual(keys(real.fusedGraph(1)));
    expect(keys(tuned.fusedGraph(1)).length).toBeGreaterThan(10);
    for (const key of keys(tuned.fusedGraph(1))) expect(key).toContain('"bits":5');
  });
});

describe('the table', () => {
  test('survives its own text', () => {
    const tuning = new Tuning('some adapter', [['a', 'b']]);
    expect(Tuning.parse(JSON.stringify(tuning), 'some adapter').toJSON()).toEqual(tuning.toJSON());
  });

  const table = { format: 'raad-tuning', version: 1, adapter: 'x', choices: {} };
  for (const [what, text, message] of [
    ['no JSON', '{', 'is not JSON'],
    ['something else', '{"a": 1}', 'not a tuning table'],
    ['no choices', JSON.stringify({ ...table, choices: null }), 'lacks its choices'],
    [
      'a choice twice',
      JSON.stringify(table).replace('"choices":{', '"choices":{"a":"b","a":"c",'),
      'the key "a" twice',
    ],
    ['no time', JSON.stringify(table).replace('"choices"', '"times":{"a":1e999},"choices"'), 'not positive numbers'],
    ['null', 'null', 'not a tuning table'],
    ['a newer one', JSON.stringify({ ...table, version: 2 }), 'has version 2, expected 1'],
    ['numbers for names', JSON.stringify({ ...table, choices: { a: 1 } }), 'not names'],
    ["another adapter's", JSON.stringify(table), "is for 'x', not for 'y'"],
  ] as const) {
    test(`${what} is refused with a sentence`, () => {
      expect(() => Tuning.parse(text, 'y')).toThrow(message);
    });
  }
});

describe("the user's cache", () => {
  const before = process.env['RAAD_CACHE'];
  beforeAll(() => {
    process.env['RAAD_CACHE'] = temporaryFolder();
  });
  afterAll(() => {
    if (before === undefined) delete process.env['RAAD_CACHE'];
    else process.env['RAAD_CACHE'] = before;
  });

  test('keeps choices per adapter, over the shipped ones', async () => {
    const tuning = new Tuning(adapterIdentity(gpu.caps));
    tuning.set(layer('y'), 'direct');
    await saveTuning(gpu.caps, tuning);
    const loaded = await loadTuning(gpu.caps, (message) => expect.fail(message));
    expect(loaded.get(layer('y'))).toBe('direct');
    expect(loaded.size).toBeGreaterThanOrEqual(1);
    expect(tuningFile({ ...gpu.caps, description: 'another driver' })).not.toBe(tuningFile(gpu.caps));
  });

  test('a damaged one is ignored with a notice', async () => {
    const file = tuningFile(gpu.caps);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, '{"format":');
    const notices: string[] = [];
    const loaded = await loadTuning(gpu.caps, (message) => notices.push(message));
    expect(notices).toEqual([`${file} is ignored: the tuning table is not JSON.`]);
    expect(loaded.get(layer('y'))).toBeUndefined();
  });
});

test('whole detectors are timed in turns, and the times are kept with the choices', async () => {
  const networks = new Networks('xs', 128);
  const tuning = new Tuning(adapterIdentity(gpu.caps));
  const detectors = [
    { name: detectorName(networks, 1, 'float'), detector: untrainedDetector(gpu, networks) },
    {
      name: detectorName(networks, 1, 'w4a8'),
      detector: untrainedQuantized(gpu, networks, { weights: 4, activations: 8 }),
    },
  ];
  const timings = await timeDetectors(gpu, detectors, 1, tuning, { rounds: 2, warmUp: 0 });
  expect(timings.map(({ name }) => name)).toEqual(['detector xs 128 px x 1 float', 'detector xs 128 px x 1 w4a8']);
  const kept = Tuning.parse(JSON.stringify(tuning));
  for (const { name, median } of timings) expect(kept.time(name)).toBe(median);
  const merged = new Tuning(adapterIdentity(gpu.caps));
  merged.addMissing(kept);
  expect(merged.toJSON()).toEqual(tuning.toJSON());
  expect(() => Tuning.parse(JSON.stringify({ ...tuning.toJSON(), times: { a: -1 } }))).toThrow('not positive numbers');
});

describe('choices by memory', () => {
  const weights = [40, 36, 4, 4];
  const y = qconv2d(
    {
      x: input('x', storedType([1, 36, 20, 20], 'u8').shape, 'u32'),
      ...quantizedLayerNodes(randomWeights(weights, 8)),
      inRange: rangeNode(1, 3),
    },
    {
      ...{
        weights,
        bits: 8,
        groupSize: 36,
        input: 'u8',
        output: 'f32',
        stride: 1,
        padding: 0,
        relu: false,
        pool: false,
      },
    },
  );

  test('take no more bytes than others, and count transformed weights', async () => {
    const bytes = (variant: string) => deviceBytes({ outputs: { y }, variants: { qconv2d: variant } }, gpu);
    const packed = 4 * (size(y.inputs[1]!.type) + size(y.inputs[2]!.type) + size(y.inputs[3]!.type) + 4);
    // Values of a run lie at multiples of 256 bytes.
    expect(bytes('direct')).toBe(packed + 256 * Math.ceil((4 * size(y.type)) / 256));
    // Two 16-bit numbers at 36 points for every pair of channels.
    expect(bytes('winograd3Integers')).toBeGreaterThan(packed + 36 * 18 * 40 * 4);
    const least = leastMemory(gpu, { outputs: { y } }, 'f32', standalone).get(y)!;
    expect(bytes(least)).toBe(bytes('direct'));
    const tuning = new Tuning('none');
    let told: TuneProgress | undefined;
    await tune(gpu, { outputs: { y } }, tuning, { optimize: 'memory', onProgress: (progress) => (told = progress) });
    expect(bytes(tuning.get(y)!)).toBe(bytes('direct'));
    expect(told!.bytes['winograd3Integers']).toBeGreaterThan(told!.bytes['direct']!);
    expect(Object.keys(told!.times)).not.toContain('winograd3Integers');
  });
});
