import shader from '../../shaders/winograd_fused_lanes.wgsl';
import type { Caps } from '../engine/caps.ts';
import { type DataType, makeNode, type Node, type Op, size, u32, type Variant } from '../engine/graph.ts';
import type { WeightBits } from '../formats/weightCodes.ts';
import { lanes, nchw, testedThrough } from './common.ts';
import { CODE_CENTER, resultDefines } from './qconv2dShape.ts';
import { isCodes, storedType } from './storage.ts';
import { winogradProductOp, winogradWeightsOp } from './winograd.ts';
import { valueTypes } from './winogradBlock.ts';
import { winogradIntegerProductOp, winogradIntegerWeightsOp } from './winogradIntegers.ts';
import type { Lanes } from './winogradLanes.ts';
import { type StoredOutputAttrs, winogradStoredOutputOp } from './winogradStored.ts';
import { quads } from './winogradTiles.ts';

/* What lies behind the input transform of a quantized Winograd convolution. */

export interface StoredConvAttrs extends StoredOutputAttrs {
  /** [CO, CI, k, k] */
  readonly weights: readonly number[];
  readonly bits: WeightBits;
}

/** Blocks of a subgroup. All have four vectors of tiles: those of a pooling window, where tiles are cut by one. */
const FUSED: readonly Lanes[] = [
  { rows: 16, columns: 4 },
  { rows: 8, columns: 4 },
];

/** Of the outputs' sums: beside those of a point they should stay in a first-level cache of 32 KiB. */
const MOST_SUM_BYTES = 20 * 2 ** 10;

/** Lanes from which on what never reaches memory gains more than the larger blocks of a product alone. */
const LEAST_LANES = 8;
/** Output channels up to which it does with fewer lanes, too. */
const FEW_CHANNELS = 128;

/** Whether it is the largest block that channels fill but for a quarter. */
function isFilled(block: Lanes, channels: number): boolean {
  const fits = ({ rows }: Lanes) => rows <= Math.max(8, 1.25 * channels);
  return block === FUSED.find(fits);
}

function sumBytes({ rows, columns }: Lanes, m: number, caps: Caps): number {
  return 4 * m ** 2 * rows * columns * lanes(caps);
}

/** What {@link winogradStoredConvOp} takes. */
type StoredConvSignature = readonly [DataType, DataType, 'f32', 'f32', ...DataType[]];

/**
 * Products and output transform. Inputs: packed weights, or their integers as floats [CO, CI, k, k]; the transformed input; table,
 * bias, a range for each side of codes, and, but for the first chunk, the output that earlier chunks wrote.
 * @returns the stored result @see ActivationStorage
 */
export const winogradStoredConvOp: Op<StoredConvAttrs, StoredConvSignature> = {
  name: 'winogradStoredConv',
  infer: (_, { shape, output }) => storedType(shape, output),
  continues: ({ inputs, attrs }) => continued(inputs, attrs),
  reference: testedThrough('winogradStoredConv', 'qconv2d'),
  cost: storedConvCost,
  variants: [
    ...FUSED.map(
      (block): Variant<StoredConvAttrs, StoredConvSignature> => ({
        name: `fused${block.rows}x${block.columns}`,
        madeFor: 'cpu',
        supports: (caps) => lanes(caps) >= 4,
        suits(caps, { attrs: { m, weights } }) {
          const channels = weights[0]!;
          const gains = lanes(caps) >= LEAST_LANES || channels <= FEW_CHANNELS;
          return gains && sumBytes(block, m, caps) <= MOST_SUM_BYTES && isFilled(block, channels);
        },
        lower: (node) => fused(node, block),
      }),
    ),
    { name: 'separate', lower: separate },
  ],
};

/** Inputs before what a chunk continues: weights or products with them, the transformed input, and the epilogue's. */
function continued(inputs: readonly Node[], { input, output }: StoredOutputAttrs): number | undefined {
  const operands = 4 + Number(isCodes(input)) + Number(isCodes(output));
  return inputs.length > operands ? operands : undefined;
}

function storedConvCost(node: Node<StoredConvAttrs, StoredConvSignature>) {
  const { weights, rows, tilesX } = node.attrs;
  const [outChannels, inChannels] = weights as [number, number];
  return {
    flops: 2 * outChannels * inChannels * node.inputs[1].type.shape[1]! * rows * tilesX,
    bytes: 4 * (size(node.inputs[0].type) + size(node.inputs[1].type) + size(node.type)),
  };
}

function separate(node: Node<StoredConvAttrs, StoredConvSignature>): Node {
  const [w, v, ...rest] = node.inputs;
  const { weights, bits, ...attrs } = node.attrs;
  const { m, k, between, rows, tilesY, tilesX } = attrs;
  const tiles = rows * tilesX;
  const products =
    between === 'integers'
      ? makeNode(winogradIntegerProductOp, [w, v], { m, k, weights, bits, tiles }, node.label)
      : makeNode(
          winogradProductOp,
          [w, v],
          { m, k, groups: 1, firstChannel: 0, from: 'weights', tiles, tilesY, tilesX },
          node.label,
        );
  return makeNode(winogradStoredOutputOp, [products, ...rest], attrs, `${node.label}.output`);
}

interface FusedAttrs extends StoredConvAttrs {
  readonly block: Lanes;
}

function fused(node: Node<StoredConvAttrs, StoredConvSignature>, block: Lanes): Node {
  const [w, ...rest] = node.inputs;
  const { m, k, weights, bits, between } = node.attrs;
  const label = `${node.label}.weights`;
  const u =
    between === 'integers'
      ? makeNode(winogradIntegerWeightsOp, [w], { m, k, weights, bits, tile: block.rows }, label)
      : makeNode(winogradWeightsOp, [w], { m, k, tile: block.rows }, label);
  return makeNode(fusedOp, [u, ...rest], { ...node.attrs, block }, node.label);
}

const fusedOp: Op<FusedAttrs, StoredConvSignature> = {
  name: 'winogradFused',
  infer: (_, { shape, output }) => storedType(shape, output),
  continues: ({ inputs, attrs }) => continued(inputs, attrs),
  reference: testedThrough('winogradFused', 'qconv2d'),
  cost: storedConvCost,
  variants: [{ name: 'lanes', kernel: fusedKernel }],
};

function fusedKernel(node: Node<FusedAttrs, StoredConvSignature>, caps: Caps) {
  const { m, k, relu, pool, input, output, firstRow, rows, tilesY, tilesX, shape, between } = node.attrs;
  const { rows: MT, columns: NT } = node.attrs.block;
  const [, channels, height, width] = shape as [number, number, number, number];
  const [, rowTiles, depth] = nchw(node.inputs[0].type);
  const [, points, vPitch] = node.inputs[1].type.shape as [number, number, number];
  const S = lanes(caps);
  const Q = quads(pool, m);
  return {
    shader: { name: 'winograd_fused_lanes.wgsl', source: shader },
    defines: {
      A: m + k - 1,
      K: k,
      M: m,
      Q,
      SIDE: pool ? (Q * m) / 2 : m,
      S,
      MT,
      NT,
      ...resultDefines({ input, output, relu }, between === 'integers', CODE_CENTER),
      POOL: Number(pool),
      ...valueTypes(between === 'integers'),
    },
    params: {
      depth: u32(depth),
      rowTiles: u32(rowTiles),
      outChannels: u32(channels),
      outHeight: u32(height),
      outWidth: u32(width),
      firstRow: u32(firstRow),
      rows: u32(rows),
      tilesY: u32(tilesY),
      tilesX: u32(tilesX),
      vPitch: u32(vPitch),
      stepStride: u32(points * vPitch),
    },
    grid: [rowTiles, Math.ceil((rows * tilesX) / (NT * S))] as const,
  };
}
