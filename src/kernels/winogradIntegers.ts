import weightsShader from '../../shaders/winograd_integer_weights.wgsl';
import { makeNode, type Node, type Op, size, u32, type Variant } from '../engine/graph.ts';
import type { WeightBits } from '../formats/weightCodes.ts';
import { foldedGrid, lanes, testedThrough, WORKGROUP } from './common.ts';
import { BLOCK_IN, codeDefines } from './qconv2dShape.ts';
import { BLOCKS, type Block, blockFits, blockKernel, blockName, defaultBlock } from './winogradBlock.ts';
import { LANES, type Lanes, lanesKernel, lanesName, lanesSuit } from './winogradLanes.ts';
import { pitch, type TileAttrs } from './winogradTiles.ts';

/*
 * Winograd convolution in integers, exactly: transforms scaled to integers keep both operands of the products in 16 bits, and
 * everything behind them may wrap modulo 2^32, since the outputs are known to be small. docs/kernels.md has the proof.
 */

export interface IntegerProductAttrs extends TileAttrs {
  /** [CO, CI, k, k] */
  readonly weights: readonly number[];
  readonly bits: WeightBits;
  readonly tiles: number;
}

/** Weights and the transformed input. */
type ProductSignature = readonly ['u32', 'u32'];
type ProductNode = Node<IntegerProductAttrs, ProductSignature>;

/** Packed weights x winogradStoredInput of pairs -> sums modulo 2^32 [CO, (m + k - 1)^2, pitch(tiles)]. */
export const winogradIntegerProductOp: Op<IntegerProductAttrs, ProductSignature> = {
  name: 'winogradIntegerProduct',
  infer: ([, v], { weights, tiles }) => ({ shape: [weights[0]!, v.shape[1]!, pitch(tiles)], dtype: 'u32' }),
  reference: testedThrough('winogradIntegerProduct', 'qconv2d'),
  cost: productCost,
  variants: [
    ...LANES.map(
      (block): Variant<IntegerProductAttrs, ProductSignature> => ({
        name: lanesName(block),
        madeFor: 'cpu',
        supports: (caps) => lanes(caps) >= 4,
        suits: (caps, { attrs: { weights, tiles } }) => lanesSuit(block, { rows: weights[0]!, columns: tiles }, caps),
        lower: (node) => packed(node, { algorithm: 'lanes', ...block }),
      }),
    ),
    ...BLOCKS.map(
      (block): Variant<IntegerProductAttrs, ProductSignature> => ({
        name: blockName(block),
        madeFor: 'gpu',
        supports: (caps) => blockFits(block, caps),
        suits: (caps, node) => {
          const { weights, tiles } = node.attrs;
          return defaultBlock({ rows: weights[0]!, columns: tiles, points: node.type.shape[1]! }, caps) === block;
        },
        lower: (node) => packed(node, { algorithm: 'block', ...block }),
      }),
    ),
  ],
};

function productCost(node: ProductNode) {
  const { weights, tiles } = node.attrs;
  const [rows, channels] = weights as [number, number];
  return {
    flops: 2 * rows * channels * node.type.shape[1]! * tiles,
    bytes: 4 * (size(node.inputs[0].type) + size(node.inputs[1].type) + size(node.type)),
  };
}

/** Steps of the products: words of two input channels. */
function stepsOf(weights: readonly number[]): number {
  return 2 * Math.ceil(weights[1]! / BLOCK_IN);
}

interface WeightAttrs extends Omit<IntegerProductAttrs, 'tiles'> {
  /** Rows of the product that lie together. */
  readonly tile: number;
}

/** Packed weights -> words of two 16-bit numbers [(m + k - 1)^2, ceil(CO / tile), 2 ceil(CI / 4), tile] */
export const winogradIntegerWeightsOp: Op<WeightAttrs, readonly ['u32']> = {
  name: 'winogradIntegerWeights',
  infer: (_, { weights, m, k, tile }) => ({
    shape: [(m + k - 1) ** 2, Math.ceil(weights[0]! / tile), stepsOf(weights), tile],
    dtype: 'u32',
  }),
  reference: testedThrough('winogradIntegerWeights', 'qconv2d'),
  variants: [
    {
      name: 'element',
      kernel(node, caps) {
        const { weights, bits, m, k, tile } = node.attrs;
        const count = size(node.type) / (m + k - 1) ** 2;
        return {
          shader: { name: 'winograd_integer_weights.wgsl', source: weightsShader },
          defines: { A: m + k - 1, K: k, M: m, ...codeDefines(bits), WORKGROUP },
          params: { size: u32(count), outChannels: u32(weights[0]!), steps: u32(stepsOf(weights)), tile: u32(tile) },
          grid: foldedGrid(count, caps),
        };
      },
    },
  ],
};

type Algorithm = (Lanes & { readonly algorithm: 'lanes' }) | (Block & { readonly algorithm: 'block' });
type PackedAttrs = IntegerProductAttrs & Algorithm;

function packed(node: ProductNode, algorithm: Algorithm): Node {
  const [w, v] = node.inputs;
  const { m, k, weights, bits } = node.attrs;
  const u = makeNode(
    winogradIntegerWeightsOp,
    [w],
    { m, k, weights, bits, tile: algorithm.rows },
    `${node.label}.weights`,
  );
  return makeNode(productPackedOp, [u, v], { ...node.attrs, ...algorithm }, node.label);
}

const productPackedOp: Op<PackedAttrs, ProductSignature> = {
  name: 'winogradIntegerProductPacked',
  infer: winogradIntegerProductOp.infer,
  reference: testedThrough('winogradIntegerProductPacked', 'qconv2d'),
  cost: productCost,
  variants: [
    {
      name: 'block',
      kernel(node, caps) {
        const { attrs } = node;
        const [, points, vPitch] = node.inputs[1].type.shape as [number, number, number];
        const operands = {
          rows: attrs.weights[0]!,
          columns: attrs.tiles,
          points,
          depth: stepsOf(attrs.weights),
          groups: 1,
          gathered: false,
          vPitch,
          firstOffset: 0,
          mPitch: node.type.shape[2]!,
          pairs: true,
        };
        return attrs.algorithm === 'block' ? blockKernel(attrs, operands) : lanesKernel(attrs, caps, operands);
      },
    },
  ],
};
