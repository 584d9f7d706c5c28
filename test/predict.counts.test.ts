import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { CARDS, f32GFlops, MACHINES, measuredMachine, withMatrices } from '../src/bench/machines.ts';
import { type Bound, predictDispatch, predictDispatches, predictKernel, totalOf } from '../src/bench/predict.ts';
import { dispatchRows, predictDetector, predictionsMarkdown, withPredictions } from '../src/bench/predictTables.ts';
import { combineMaps, stackMaps } from '../src/detectorOps/maps.ts';
import { input, type Node, Parameter } from '../src/engine/graph.ts';
import type { VariantChoice } from '../src/engine/lower.ts';
import type { Precision } from '../src/engine/variants.ts';
import { conv2dWeightGrad } from '../src/gradients/conv2dWeightGrad.ts';
import { avgPool2d } from '../src/kernels/avgPool2d.ts';
import { channelDistance } from '../src/kernels/channelDistance.ts';
import { concatOuter } from '../src/kernels/concat.ts';
import { conv2d } from '../src/kernels/conv2d.ts';
import { convDifference, convDistance } from '../src/kernels/convDistance.ts';
import { foldSplits } from '../src/kernels/foldSplits.ts';
import { imageToTensor } from '../src/kernels/image.ts';
import { pad2d } from '../src/kernels/pad2d.ts';
import { packedWords, type Qconv2dAttrs, qconv2d } from '../src/kernels/qconv2d.ts';
import { resizeBilinear } from '../src/kernels/resizeBilinear.ts';
import { sliceOuter } from '../src/kernels/slice.ts';
import { standardize } from '../src/kernels/standardize.ts';
import {
  CHANNELS_PER_WORD,
  isCodes,
  loadActivations,
  padWords,
  poolWords,
  rangeOf,
  storeActivations,
} from '../src/kernels/storage.ts';
import { channelSum, mean } from '../src/kernels/sum.ts';
import { BLOCKS, blockName } from '../src/kernels/winogradBlock.ts';
import { COUNTED, countOperations, type OperationCounts } from '../src/measure/count.ts';
import { COUNTED_SHADERS, workOf } from '../src/measure/work.ts';
import { engine } from './support/gpu.ts';

const full = process.env['RAAD_TEST'] === 'full';
const gpu = await engine();

const x = (...shape: number[]) => input('x', shape);
const named = (name: string, ...shape: number[]) => input(name, shape);
const range = (name: string) => new Parameter(name, { shape: [4], dtype: 'f32' }, rangeOf(1, 3)).node;

function quantized(attrs: Partial<Qconv2dAttrs>, channels = 10): Node {
  const weights = [13, channels, 3, 3];
  const full: Qconv2dAttrs = {
    weights,
    bits: 8,
    groupSize: channels,
    input: 'u8',
    output: 'u8',
    stride: 1,
    padding: 1,
    relu: true,
    pool: false,
    ...attrs,
  };
  const per = CHANNELS_PER_WORD[full.input];
  return qconv2d(
    {
      x: input('x', [2, Math.ceil(channels / per), 9, 11], full.input === 'f32' ? 'f32' : 'u32'),
      weights: input('w', [packedWords(weights, full.bits)], 'u32'),
      table: named('t', 13, channels / full.groupSize, 2),
      bias: named('b', 13),
      inRange: isCodes(full.input) ? range('in') : undefined,
      outRange: isCodes(full.output) ? range('out') : undefined,
    },
    full,
  );
}

interface Case {
  readonly name: string;
  readonly root: Node;
  readonly variants?: VariantChoice;
  readonly precision?: Precision;
}

const conv = (attrs: Parameters<typeof conv2d>[3], co = 70, ci = 5, k = 4) =>
  conv2d(x(2, ci * (attrs?.groups ?? 1), 13, 15), named('w', co, ci, k, k), named('b', co), attrs);

/** Products of matrices run on devices with the experimental feature only. */
const hasMatrices = gpu.caps.subgroupMatrixConfigs.length > 0;
const MATRIX_CASES: readonly Case[] = [
  { name: 'qconv2d by matrices', root: quantized({ bits: 5 }, 40), variants: { qconv2d: 'matrix2x2' } },
  {
    name: 'qconv2d by matrices, pooled',
    root: quantized({ pool: true, output: 'f16', padding: 0 }, 64),
    variants: { qconv2d: 'matrix4x2' },
  },
  {
    name: 'qconv2d by matrices of stored weights',
    root: quantized({ output: 'f32', stride: 2 }),
    variants: { qconv2d: 'matrixStored2x2' },
  },
];

const halves = (name: string, root: Node, variants: VariantChoice): Case => {
  return { name: `${name} with halves`, root, variants, precision: 'f16' };
};

/** Maps of two distances, of which one has a target, and their mean. */
function bothMaps(): Node {
  const [first, second] = [undefined, named('t', 1, 37, 8, 9)].map((target, i) => {
    const operands = [named(`w${i}`, 37, 9, 4, 4), named(`b${i}`, 37), target] as const;
    return convDistance(named(`x${i}`, 1, 9, 11, 12), ...operands, { firstChannel: 0 }, `map${i}`);
  });
  return stackMaps(first!, second!, named('q', 4));
}

const HALVES_MATRIX_CASES: readonly Case[] = [
  ...['matrix2x2', 'matrix4x2'].map((winogradHalvesProduct) =>
    halves(winogradHalvesProduct, conv({}, 71, 9), { conv2d: 'winograd3Halves', winogradHalvesProduct }),
  ),
  halves('conv2d by matrices, pooled', conv({ pool: true, relu: true }, 40), { conv2d: 'matrix2x2Halves' }),
  halves('conv2d by matrices', conv({ stride: 2, padding: 1 }, 70, 5, 3), { conv2d: 'matrix2x4Halves' }),
];

const HALVES_CASES: readonly Case[] = [
  ...(hasMatrices ? HALVES_MATRIX_CASES : []),
  halves('winograd F(3, 4) pooled', conv({ padding: 1, pool: true }, 9, 11), {
    conv2d: 'winograd3Halves',
    winogradHalvesProduct: 'block32x32x16',
  }),
  halves('winograd F(2, 3)', conv({}, 70, 18, 3), {
    conv2d: 'winograd2Halves',
    winogradHalvesProduct: 'block64x64x16',
  }),
  halves(
    'distance to a target',
    convDistance(x(1, 9, 11, 12), named('w', 37, 9, 4, 4), named('b', 37), named('t', 1, 37, 8, 9)),
    { convDistance: 'winograd3Halves', winogradHalvesProduct: 'block32x32x16', winogradMap: 'splits' },
  ),
  ...[
    { height: 21, width: 17 },
    { height: 5, width: 4 },
  ].map(({ height, width }) =>
    halves(
      `resized to ${height} x ${width}`,
      conv2d(resizeBilinear(x(2, 7, 9, 8), height, width), named('w', 37, 7, 4, 4), undefined),
      {
        conv2d: 'winograd3Halves',
        winogradHalvesProduct: 'block32x32x16',
        winogradHalvesInput: ['resized', 'tile'],
      },
    ),
  ),
  halves('both maps', bothMaps(), {
    convDistance: 'winograd3Halves',
    winogradHalvesProduct: 'block32x32x16',
    winogradMap: 'workgroup',
    winogradMeanDistance: ['stacked', 'workgroup'],
  }),
  halves(
    'distance in one dispatch',
    convDistance(x(2, 9, 11, 12), named('w', 37, 7, 4, 4), named('b', 37), undefined),
    { convDistance: 'winograd3Halves', winogradHalvesProduct: 'block32x32x16', winogradMap: 'workgroup' },
  ),
];

const CASES: readonly Case[] = [
  ...(['tile32x32', 'tile32x64', 'split32x32', 'split16x4'] as const).map(
    (variant): Case => ({
      name: `conv2d ${variant}`,
      root: conv({ stride: 2, padding: 1, relu: true }, 70, 37),
      variants: { conv2d: variant },
    }),
  ),
  {
    name: 'conv2d of one image in many parts',
    root: conv2d(x(1, 70, 4, 4), named('w', 20, 70, 4, 4), undefined, {}),
    variants: { conv2d: 'split16x4' },
  },
  { name: 'conv2d pooled', root: conv({ pool: true, relu: true }, 40), variants: { conv2d: 'tile64x64' } },
  ...['tile64x64', 'tile128x128'].map(
    (tile): Case => ({ name: `conv2d ${tile}`, root: conv({ stride: 2, padding: 1 }), variants: { conv2d: tile } }),
  ),
  { name: 'conv2d in groups', root: conv({ groups: 2, relu: true }, 256), variants: { conv2d: 'tile64x64' } },
  {
    name: 'conv2d without bias',
    root: conv2d(x(1, 3, 9, 9), named('w', 8, 3, 4, 4), undefined, {}),
    variants: { conv2d: 'tile64x64' },
  },
  ...(
    [
      [2, 4],
      [2, 3],
      [3, 4],
      [4, 3],
    ] as const
  ).flatMap(([m, k]) =>
    [false, true].map(
      (pool): Case => ({
        name: `winograd F(${m}, ${k})${pool ? ' pooled' : ''}`,
        root: conv({ padding: 1, pool }, 9, 11, k),
        variants: { conv2d: `winograd${m}`, winogradProduct: 'block32x32x16' },
      }),
    ),
  ),
  ...BLOCKS.filter(({ rows }) => rows < 128).map((block): Case => {
    const winogradProduct = blockName(block);
    return {
      name: `winograd ${winogradProduct}`,
      root: conv({}, 70, 18),
      variants: { conv2d: 'winograd3', winogradProduct },
    };
  }),
  {
    name: 'winograd weight gradient',
    root: conv2dWeightGrad(x(2, 37, 13, 15), named('dy', 2, 11, 10, 12), {
      stride: 1,
      padding: 0,
      shape: [11, 37, 4, 4],
    }),
    variants: { conv2dWeightGrad: 'winograd', winogradProduct: 'block32x32x16' },
  },
  ...['gradBlock128x64', 'gradBlock64x64', 'gradBlock32x32'].flatMap((block) =>
    [0, 1].map(
      (padding): Case => ({
        name: `weight gradient, ${block}, padding ${padding}`,
        root: conv2dWeightGrad(x(2, 9, 23, 21), named('dy', 2, 37, 10 + padding, 9 + padding), {
          stride: 2,
          padding,
          shape: [37, 9, 4, 4],
        }),
        variants: { conv2dWeightGrad: 'tile', conv2dWeightGradPartial: block },
      }),
    ),
  ),
  ...(['gradBlock128x64', 'gradBlock64x64', 'gradBlock32x32'] as const).map(
    (winogradGradProduct): Case => ({
      name: `winograd weight gradient in splits, ${winogradGradProduct}`,
      root: conv2dWeightGrad(x(2, 37, 52, 53), named('dy', 2, 11, 49, 50), {
        stride: 1,
        padding: 0,
        shape: [11, 37, 4, 4],
      }),
      variants: { conv2dWeightGrad: 'winogradSplits', winogradGradProduct },
    }),
  ),
  {
    name: 'distance without a target',
    root: convDistance(x(2, 9, 11, 12), named('w', 37, 7, 4, 4), named('b', 37), undefined),
    variants: { convDistance: 'winograd3', winogradProduct: 'block32x32x16', winogradMap: 'splits' },
  },
  {
    name: 'distance to a target',
    root: convDistance(x(1, 9, 11, 12), named('w', 37, 9, 4, 4), named('b', 37), named('t', 1, 37, 8, 9)),
    variants: { convDistance: 'winograd2', winogradProduct: 'block32x32x16', winogradMap: 'splits' },
  },
  {
    name: 'distance without a target in one dispatch',
    root: convDistance(x(2, 9, 11, 12), named('w', 37, 7, 4, 4), named('b', 37), undefined),
    variants: { convDistance: 'winograd3', winogradProduct: 'block32x32x16', winogradMap: 'workgroup' },
  },
  {
    name: 'distance to a target in one dispatch',
    root: convDistance(x(1, 9, 11, 12), named('w', 37, 9, 3, 3), named('b', 37), named('t', 1, 37, 9, 10)),
    variants: { convDistance: 'winograd4', winogradProduct: 'block32x32x16', winogradMap: 'workgroup' },
  },
  ...(
    [
      [13, 17, 4],
      [5, 4, 3],
      [10, 9, 4],
    ] as const
  ).map(
    ([height, width, k]): Case => ({
      name: `winograd of a plane resized to ${height} x ${width}`,
      root: conv2d(resizeBilinear(x(2, 5, 7, 9), height, width), named('w', 9, 5, k, k), named('b', 9), { padding: 2 }),
      variants: {
        conv2d: k === 4 ? 'winograd3' : 'winograd4',
        winogradInput: ['resized', 'tile'],
        winogradProduct: 'block32x32x16',
      },
    }),
  ),
  ...(['split16x4', 'tile32x32'] as const).map((variant): Case => {
    const y = conv2d(x(2, 37, 4, 5), named('v', 19, 37, 3, 3), named('a', 19), { padding: 1, relu: true }, 'first');
    return {
      name: `conv2d ${variant} of what is in parts and resized`,
      root: conv2d(resizeBilinear(y, 7, 6), named('w', 20, 19, 4, 4), named('b', 20), { padding: 2 }, 'second'),
      variants: { 'conv2d/first': 'split16x4', 'conv2d/second': variant, conv2dTile: ['staged', 'tile'] },
    };
  }),
  {
    name: 'conv2d of what is in parts',
    root: conv2d(
      conv2d(x(1, 70, 4, 4), named('v', 20, 70, 3, 3), undefined, { padding: 1 }, 'first'),
      named('w', 40, 20, 3, 3),
      named('b', 40),
      { stride: 2 },
      'second',
    ),
    variants: { 'conv2d/first': 'split16x4', 'conv2d/second': 'split32x32', conv2dTile: ['staged', 'tile'] },
  },
  ...(['winograd3', 'winograd2'] as const).map((other): Case => {
    return {
      name: `both maps by ${other} and winograd3`,
      root: bothMaps(),
      variants: {
        'convDistance/map0': other,
        'convDistance/map1': 'winograd3',
        winogradProduct: 'block32x32x16',
        winogradMap: 'workgroup',
        winogradMeanDistance: ['stacked', 'workgroup'],
      },
    };
  }),
  {
    name: 'distance between convolutions',
    root: convDifference(
      ...([x(1, 16, 11, 12), named('w', 37, 16, 4, 4), named('b', 37)] as const),
      conv2d(named('y', 1, 9, 8, 9), named('v', 37, 9, 3, 3), named('c', 37), { padding: 1 }),
    ),
    variants: { convDifference: 'winograd3', winogradProduct: 'block64x64x16', winogradMap: 'workgroup' },
  },
  ...([2, 3, 8] as const).map((bits) => ({ name: `qconv2d of ${bits} bits`, root: quantized({ bits }) })),
  ...(
    [
      ['words64x64', { pool: true, output: 'f16', stride: 1 }],
      ['words32x32', { bits: 3, stride: 2 }],
      ['words16x16', { output: 'f32', padding: 0 }],
      ['words4x4', {}],
    ] as const
  ).map(
    ([variant, attrs]): Case => ({
      name: `qconv2d ${variant}`,
      root: quantized(attrs, 70),
      variants: { qconv2d: variant },
    }),
  ),
  { name: 'qconv2d pooled', root: quantized({ pool: true }) },
  { name: 'qconv2d f16', root: quantized({ input: 'f16', output: 'f16' }) },
  { name: 'qconv2d f32', root: quantized({ input: 'f32', output: 'f32', stride: 2 }) },
  { name: 'qconv2d in groups of channels', root: quantized({ groupSize: 32, output: 'f32' }, 64) },
  ...(hasMatrices ? MATRIX_CASES : []),
].map((each: Case) => ({ ...each, variants: each.variants ?? { qconv2d: 'tile' } }));

const ELEMENTS: readonly Case[] = [
  { name: 'pad2d', root: pad2d(x(2, 3, 7, 9), { top: 2, bottom: 1, left: -1, right: 3 }) },
  { name: 'pad2d dilated', root: pad2d(x(1, 3, 7, 9), { top: 2, left: 1, dilation: 2 }) },
  { name: 'avgPool2d', root: avgPool2d(x(2, 3, 7, 11)) },
  { name: 'avgPool2d padded', root: avgPool2d(x(1, 3, 7, 11), { padding: 1 }) },
  { name: 'resizeBilinear', root: resizeBilinear(x(1, 3, 5, 7), 11, 9) },
  ...['workgroups', 'serial'].flatMap((variant): Case[] => [
    { name: `sum of channels ${variant}`, root: channelSum(x(3, 5, 41, 61)), variants: { sum: variant } },
    { name: `mean ${variant}`, root: mean(x(7, 2000)), variants: { sum: variant } },
  ]),
  { name: 'foldSplits', root: foldSplits(x(7, 100), [100], 0.5) },
  { name: 'stackMaps', root: stackMaps(x(1, 1, 9, 11), named('y', 1, 1, 9, 11), named('q', 4)) },
  { name: 'combineMaps', root: combineMaps(x(1, 1, 9, 11), named('y', 1, 1, 9, 11), named('q', 4)) },
  ...['shared', 'pixel'].flatMap((variant): Case[] => {
    const variants = { channelDistance: variant };
    return [
      {
        name: `channelDistance ${variant}`,
        root: channelDistance(x(2, 21, 5, 9), named('y', 2, 21, 5, 9)),
        variants,
      },
      { name: `channelDistance ${variant} alone`, root: channelDistance(x(2, 7, 5, 9)), variants },
    ];
  }),
  ...(['map', 'features'] as const).map((other): Case => {
    const distance = channelDistance(
      standardize(x(2, 21, 5, 9), named('m', 21), named('s', 21)),
      named('y', 2, 21, 5, 9),
    );
    const a = other === 'map' ? named('other', 2, 1, 5, 9) : distance;
    const b = other === 'map' ? distance : channelDistance(named('z', 2, 21, 5, 9));
    return {
      name: `channelDistance stacked with ${other}`,
      root: stackMaps(a, b, named('q', 4)),
      variants: { channelDistance: 'shared', sharedDistance: 'shared' },
    };
  }),
  ...(['u8', 'f16'] as const).map(
    (storage): Case => ({
      name: `storeActivations ${storage} resized`,
      root: storeActivations(resizeBilinear(x(2, 5, 9, 7), 5, 17), storage, storage === 'u8' ? range('r') : undefined),
      variants: { storeActivations: ['resized', 'element'] },
    }),
  ),
  { name: 'imageToTensor', root: imageToTensor(input('image', [2, 9, 11], 'u32')) },
  { name: 'standardize', root: standardize(x(2, 5, 7, 3), named('m', 5), named('s', 5)) },
  { name: 'sliceOuter', root: sliceOuter(x(5, 3, 7), 1, 3) },
  { name: 'concatOuter', root: concatOuter(x(5, 3, 7), named('y', 2, 3, 7)) },
  { name: 'storeActivations u8', root: storeActivations(x(2, 5, 9, 7), 'u8', range('r')) },
  { name: 'storeActivations f16', root: storeActivations(x(2, 5, 9, 7), 'f16') },
  { name: 'loadActivations', root: loadActivations(input('x', [1, 2, 9, 7], 'u32'), 5, 'u8', range('r')) },
  { name: 'padWords', root: padWords(input('x', [1, 2, 9, 7], 'u32'), 1, 'u8', range('r')) },
  { name: 'poolWords', root: poolWords(input('x', [1, 2, 9, 7], 'u32'), range('r'), range('s')) },
];

const NAMES = ['workgroups', ...COUNTED] as const;
const only = (counts: Pick<OperationCounts, (typeof NAMES)[number]>) =>
  Object.fromEntries(NAMES.map((name) => [name, counts[name]]));

describe('formulas give what instrumented kernels count', () => {
  const seen = new Set<string>();
  // Instrumented kernels take seconds to compile.
  const cases = [...[...CASES, ...ELEMENTS].filter((_, i) => full || i % 3 === 0), ...HALVES_CASES];
  for (const { name, root, variants, precision } of cases) {
    test(name, async () => {
      for (const counts of await countOperations(gpu, root, variants, precision)) {
        const work = workOf(counts.node, counts.kernel);
        if (work.from === 'definition') continue;
        seen.add(counts.shader);
        expect(only(work), counts.shader).toEqual(only(counts));
      }
    });
  }

  test.runIf(full)('for every shader that has one', () => {
    const missing = hasMatrices
      ? []
      : ['qconv2d_matrix.wgsl', 'winograd_halves_product_matrix.wgsl', 'conv2d_matrix.wgsl'];
    expect([...seen, ...missing].sort()).toEqual([...COUNTED_SHADERS].sort());
  });
});

describe('predicted times', () => {
  const h100 = MACHINES.h100;
  const layer = (side: number) =>
    conv2d(x(1, 128, side, side), new Parameter('w', { shape: [256, 128, 4, 4], dtype: 'f32' }).node, undefined, {});
  const tile = (side: number, machine = h100) =>
    predictDispatches({ outputs: { y: layer(side) }, variants: { conv2d: 'tile64x64' } }, machine)[0]!;

  test('the term that takes longest is the bound, and the launch gap is added', () => {
    for (const dispatch of predictDetector({ size: 'xs', side: 128 }, [h100])[0]!.dispatches) {
      const { terms, bound, milliseconds, workMilliseconds } = dispatch;
      expect(terms[bound]).toBe(Math.max(...Object.values(terms)));
      const { launches, ...busy } = terms;
      expect(workMilliseconds).toBe(Math.max(...Object.values(busy)));
      expect(milliseconds).toBe(launches + workMilliseconds);
    }
  });

  test('a large product is held up by arithmetic, a lone workgroup by latency, a copy by memory', () => {
    const bounds: Bound[] = ['arithmetic', 'cache'];
    expect(bounds).toContain(tile(126).bound);
    expect(tile(5).work.workgroups).toBe(4);
    expect(tile(5).bound).toBe('latency');
    const padded = pad2d(x(64, 64, 128, 128), { top: 1, bottom: 1 });
    expect(predictDispatches({ outputs: { padded } }, h100)[0]!.bound).toBe('memory');
  });

  test('no prediction beats the peak', () => {
    for (const card of CARDS) {
      const { work, milliseconds } = tile(126, MACHINES[card]);
      expect((2 * work.multiplyAdds) / milliseconds / 1e6).toBeLessThan(f32GFlops(MACHINES[card]));
    }
  });

  test('what depends on parameters alone is left out, and every dispatch of the detector has a formula', () => {
    for (const [bits, machine, precision] of [
      [undefined, h100, 'f32'],
      [4, h100, 'f32'],
      [undefined, h100, 'f16'],
      [undefined, withMatrices(h100), 'f16'],
    ] as const) {
      for (const { work, label } of predictDetector({ size: 'xs', side: 128, bits }, [machine], 1, precision)[0]!
        .dispatches) {
        expect(work.from, label).toBe('formula');
        expect(label).not.toMatch(/weights|packed|scale/);
      }
    }
  });

  test('the S detector takes few dispatches on a large GPU', () => {
    for (const batch of [1, 16]) {
      const of = (bits?: 8) => predictDetector({ size: 's', side: 256, bits }, [h100], batch)[0]!.dispatches.length;
      expect(of()).toBeLessThanOrEqual(40);
      expect(of(8)).toBeLessThanOrEqual(33);
    }
  });

  test('a kernel without a formula gets the cost of its definition', () => {
    const node = layer(20);
    const kernel = { shader: { name: 'other.wgsl', source: '' }, grid: [7, 2] } as const;
    const { work } = predictKernel(node, kernel, h100);
    expect(work).toMatchObject({ from: 'definition', workgroups: 14 });
    expect(2 * work.multiplyAdds).toBe(node.op.cost!(node).flops);
  });

  test('a measured machine has the measured ceilings', () => {
    const machine = measuredMachine(h100.caps, { f32GFlops: 50000, dot4I8GOps: 100000, copyGBs: 2500 }, 2);
    expect(f32GFlops(machine)).toBeCloseTo(50000, 6);
    expect(machine.dotSlots).toBeCloseTo(2, 9);
    expect(machine).toMatchObject({ cores: 132, dramGBs: 2500, launchMicroseconds: 2 });
    expect(tile(126, machine).milliseconds).toBeGreaterThan(tile(126).milliseconds);
  });

  test('dispatches of a compiled plan are predicted like those of the graph', async () => {
    const machine = { ...h100, caps: gpu.caps };
    const outputs = { y: conv({ stride: 2, padding: 1 }) };
    const plan = await gpu.compile({ outputs });
    const ofPlan = plan.dispatches.map((dispatch) => predictDispatch(dispatch, machine));
    const ofGraph = predictDispatches({ outputs, tuning: gpu.tuning }, machine);
    expect(totalOf(ofPlan).dispatches).toBe(plan.dispatches.length);
    expect(ofPlan.map(({ shader, grid }) => [shader, grid])).toEqual(ofGraph.map(({ shader, grid }) => [shader, grid]));
    const measured = [{ name: ofPlan[0]!.label, median: 2 * ofPlan[0]!.workMilliseconds }];
    expect(dispatchRows(ofPlan, measured)[0]!['measured / predicted']).toBeCloseTo(2, 12);
    plan.destroy();
  });

  test('the tables of docs/kernels.md are those that the code computes', () => {
    const text = readFileSync(new URL('../docs/kernels.md', import.meta.url), 'utf8');
    // Otherwise run `raad estimate --into docs/kernels.md`.
    expect(withPredictions(text, predictionsMarkdown())).toBe(text);
  });
});
