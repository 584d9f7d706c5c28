import { makeNode } from '../engine/graph.ts';
import { weightGradPartialOp } from '../gradients/weightGradPartial.ts';
import { winogradGradProductOp, winogradSplitsOutputOp } from '../gradients/winogradGradProduct.ts';
import { winogradGradOutputOp } from '../gradients/winogradWeightGrad.ts';
import { conv2dFoldOp } from '../kernels/conv2dFold.ts';
import { BLOCK_32x32, conv2dTileOp, type TileAttrs } from '../kernels/conv2dTile.ts';
import { maximumOfKeysOp, maximumPartialOp } from '../kernels/maximum.ts';
import { packWeights } from '../kernels/packWeights.ts';
import { matrixWeightsOp } from '../kernels/qconv2dMatrixWeights.ts';
import { packedWords } from '../kernels/qconv2dShape.ts';
import { qconv2dWordsOp, wordWeightsOp } from '../kernels/qconv2dWords.ts';
import { unpackWeightsOp } from '../kernels/quantizedWinograd.ts';
import { storeActivations } from '../kernels/storage.ts';
import { sumStageOp, sumWorkgroupOp } from '../kernels/sum.ts';
import { winogradProductOp } from '../kernels/winograd.ts';
import { quantizedLayerNodes, randomWeights, rangeNode } from '../measure/kernels.ts';
import { type Case, normal as f, pixels } from './cases.ts';

/* Ops that variants of others consist of, by themselves. */

const SUM = { outer: 3, keep: 5, inner: 67, factor: 0.5 } as const;

const sums: readonly Case[] = [
  {
    name: 'sumStage',
    inputs: [f(3, 5, 67)],
    build: ([x]) => makeNode(sumStageOp, [x!], { ...SUM, chunks: 8, shape: [5, 8] }),
    reduction: 27,
  },
  {
    name: 'sumWorkgroup',
    inputs: [f(2, 3, 2500)],
    build: ([x]) =>
      makeNode(sumWorkgroupOp, [x!], {
        ...{ outer: 2, keep: 3, inner: 2500, factor: 2 },
        ...{ chunks: 3, perChunk: 900, shape: [3, 3] },
      }),
    reduction: 1800,
  },
  {
    name: 'maximumPartial',
    inputs: [f(3, 1999)],
    build: ([x]) => makeNode(maximumPartialOp, [x!], { parts: 3 }),
  },
  {
    name: 'maximumOfKeys',
    inputs: [f(3, 1999)],
    build: ([x]) => makeNode(maximumOfKeysOp, [makeNode(maximumPartialOp, [x!], { parts: 3 })], {}),
  },
  {
    name: 'conv2dFold with a bias, rectified',
    inputs: [f(40, 2, 3, 7, 9), f(3)],
    build: ([parts, bias]) => makeNode(conv2dFoldOp, [parts!, bias!], { relu: true }),
    reduction: 40,
  },
  {
    name: 'conv2dFold',
    inputs: [f(5, 1, 4, 5, 3)],
    build: ([parts]) => makeNode(conv2dFoldOp, [parts!], { relu: false }),
    reduction: 5,
  },
];

const WEIGHTS = [13, 22, 3, 4] as const;

/** Packed weights in the orders of kernels. */
const decoded = ([2, 3, 5, 8] as const).flatMap((bits): Case[] => {
  const attrs = { weights: WEIGHTS, bits };
  const common = { inputs: [pixels(packedWords(WEIGHTS, bits))], bits };
  return [
    { name: `unpackWeights w${bits}`, ...common, build: ([w]) => makeNode(unpackWeightsOp, [w!], attrs) },
    {
      name: `qconv2dWordWeights w${bits}`,
      ...common,
      build: ([w]) => makeNode(wordWeightsOp, [w!], { ...attrs, channels: 4 }),
    },
    {
      name: `qconv2dMatrixWeights w${bits}`,
      ...common,
      build: ([w]) => makeNode(matrixWeightsOp, [w!], { ...attrs, channels: 16 }),
    },
  ];
});

/** Of u8 activations, whose weights were decoded to bytes. */
const words: Case = {
  name: 'qconv2dWords',
  inputs: [{ shape: [2, 10, 9, 11], fill: 'bytes' }],
  build([floats]) {
    const weights = [13, 10, 3, 3];
    const [inRange, outRange] = [rangeNode(1, 100), rangeNode(64, 30)];
    const packed = quantizedLayerNodes(randomWeights(weights, 5));
    const block = { channels: 16, pixels: 16, step: 16, slices: 1 };
    const bytes = makeNode(wordWeightsOp, [packed.weights], { weights, bits: 5, channels: block.channels });
    return makeNode(
      qconv2dWordsOp,
      [storeActivations(floats!, 'u8', inRange), bytes, packed.table, packed.bias, inRange, outRange],
      {
        weights,
        bits: 5,
        groupSize: 10,
        input: 'u8',
        output: 'u8',
        stride: 1,
        padding: 1,
        relu: true,
        pool: false,
        ...block,
      },
    );
  },
  storage: 'u8',
};

const TILE: TileAttrs = {
  ...{ stride: 1, padding: 1, relu: true, pool: false, groups: 1, firstChannel: 0, splits: 1 },
  block: { ...BLOCK_32x32, step: 16, slices: 1 },
  weights: [35, 5, 3, 3],
  shape: [2, 35, 9, 7],
};

const blocks: readonly Case[] = [
  {
    name: 'conv2dTile',
    inputs: [f(2, 5, 9, 7), f(35, 5, 3, 3), f(35)],
    build: ([x, w, bias]) => makeNode(conv2dTileOp, [x!, packWeights(w!, 32), bias!], TILE),
    reduction: 45,
  },
  {
    name: 'conv2dTile in parts',
    inputs: [f(2, 5, 9, 7), f(35, 5, 3, 3)],
    build: ([x, w]) => makeNode(conv2dTileOp, [x!, packWeights(w!, 32)], { ...TILE, splits: 2 }),
    reduction: 45,
  },
  {
    name: 'conv2dTile of parts that are resized',
    inputs: [f(3, 2, 5, 4, 6), f(35, 5, 3, 3), f(35), f(5)],
    build: ([parts, w, bias, before]) =>
      makeNode(conv2dTileOp, [parts!, packWeights(w!, 32), bias!, before!], {
        ...TILE,
        source: { shape: [2, 5, 9, 7], fold: { bias: true, relu: true } },
      }),
    reduction: 45,
  },
  {
    name: 'conv2dWeightGradPartial',
    inputs: [f(2, 5, 12, 19), f(2, 9, 9, 16)],
    build: ([x, dy]) =>
      makeNode(weightGradPartialOp, [x!, dy!], {
        ...{ algorithm: 'tile', shape: [9, 5, 4, 4], stride: 1, padding: 0, splits: 5 },
      }),
    reduction: 64,
  },
  {
    name: 'conv2dWeightGradPartial of a stride, padded',
    inputs: [f(3, 3, 21, 18), f(3, 19, 10, 9)],
    build: ([x, dy]) =>
      makeNode(weightGradPartialOp, [x!, dy!], {
        ...{ algorithm: 'tile', shape: [19, 3, 4, 4], stride: 2, padding: 1, splits: 3 },
      }),
    reduction: 128,
  },
];

const PRODUCT = { groups: 1, firstChannel: 0, from: 'weights' } as const;
const [TILES_48, TILES_80] = [
  { tiles: 48, tilesY: 3, tilesX: 8 },
  { tiles: 80, tilesY: 10, tilesX: 8 },
];

/** 48 and 80 columns fill the pitch behind which the next point's begin. */
const products: readonly Case[] = [
  {
    name: 'winogradProduct F(3, 4)',
    inputs: [f(13, 5, 4, 4), f(5, 36, 48)],
    build: ([w, v]) => makeNode(winogradProductOp, [w!, v!], { m: 3, k: 4, ...PRODUCT, ...TILES_48 }),
    reduction: 16 * 5,
  },
  {
    name: 'winogradProduct F(2, 3) in groups',
    inputs: [f(128, 3, 3, 3), f(8, 16, 80)],
    build: ([w, v]) =>
      makeNode(winogradProductOp, [w!, v!], {
        ...{ m: 2, k: 3, ...PRODUCT, ...TILES_80 },
        ...{ groups: 2, firstChannel: 1 },
      }),
    reduction: 9 * 3,
  },
  {
    name: 'winogradProduct F(2, 4) of two inputs',
    inputs: [f(9, 24, 4, 4), f(16, 25, 48), f(8, 25, 48)],
    build: ([w, v, second]) => makeNode(winogradProductOp, [w!, v!, second!], { m: 2, k: 4, ...PRODUCT, ...TILES_48 }),
    reduction: 16 * 24,
  },
  {
    name: 'winogradProduct F(4, 3) of a gradient',
    inputs: [f(2, 6, 11, 31), f(48, 36, 48)],
    build: ([dy, v]) => makeNode(winogradProductOp, [dy!, v!], { m: 4, k: 3, ...PRODUCT, ...TILES_48, from: 'dy' }),
    reduction: 16 * 48,
  },
  {
    name: 'winogradGradProduct',
    inputs: [f(34, 16, 272), f(48, 16, 272)],
    build: ([dy, x]) => makeNode(winogradGradProductOp, [dy!, x!], { m: 2, k: 3, tiles: 270 }),
    reduction: 144,
  },
  {
    name: 'winogradSplitsOutput',
    inputs: [f(3, 5, 36, 48)],
    build: ([m]) => makeNode(winogradSplitsOutputOp, [m!], { m: 3, k: 4, shape: [5, 37, 4, 4] }),
    reduction: 3 * 36,
  },
  {
    name: 'winogradGradOutput',
    inputs: [f(5, 36, 48)],
    build: ([m]) => makeNode(winogradGradOutputOp, [m!], { m: 3, k: 4, shape: [5, 37, 4, 4] }),
    reduction: 36,
  },
];

export const innerTable: readonly Case[] = [...sums, ...decoded, words, ...blocks, ...products];
