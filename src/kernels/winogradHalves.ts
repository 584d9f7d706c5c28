import inputShader from '../../shaders/winograd_halves_input.wgsl';
import blockShader from '../../shaders/winograd_halves_product_block.wgsl';
import weightsShader from '../../shaders/winograd_halves_weights.wgsl';
import type { Caps } from '../engine/caps.ts';
import { i32, type Kernel, makeNode, type Node, type Op, size, u32, type Variant } from '../engine/graph.ts';
import { foldedGrid, nchw, testedThrough, WORKGROUP } from './common.ts';
import type { HalvesOperands } from './halves.ts';
import { halvesScale } from './halves.ts';
import { type Block, blockFits, blockName, defaultBlock } from './winogradBlock.ts';
import { MATRIX_BLOCKS, type MatrixBlock, matrixKernel, matrixTiling, PAIRS_PER_LOT } from './winogradHalvesMatrix.ts';
import { absorbResize, resizedInputKernel } from './winogradResized.ts';
import { type InputAttrs, pitch, type TileAttrs, transformWorkgroup } from './winogradTiles.ts';

/*
 * Winograd's transformed input, transformed weights and products as halves, two channels to a word: half the memory traffic, and
 * products by units for halves where a device has them. Sums are f32. Words are made by pack2x16float, so that only the
 * products by matrices need `shader-f16`.
 */

/**
 * The transformed input is scaled by 2^-shift: it is up to 100, 36 or 4 times an input, so that inputs up to 10,000 do not
 * saturate.
 */
function inputShift({ m, k }: TileAttrs): number {
  return { 6: 4, 5: 3, 4: 0 }[m + k - 1]!;
}

/** x [N, CI, H, W] -> words of two channels [ceil(CI / 2), (m + k - 1)^2, pitch(rows * tilesX)] */
export const winogradHalvesInputOp: Op<InputAttrs, readonly ['f32']> = {
  name: 'winogradHalvesInput',
  infer([x], { m, k, rows, tilesX }) {
    return { shape: [Math.ceil(x.shape[1]! / 2), (m + k - 1) ** 2, pitch(rows * tilesX)], dtype: 'u32' };
  },
  reference: testedThrough('winogradHalvesInput', 'conv2d'),
  cost: (node) => ({ flops: 0, bytes: 4 * (size(node.inputs[0].type) + size(node.type)) }),
  absorb: absorbResize,
  variants: [
    {
      name: 'tile',
      supports: (_, { attrs }) => attrs.resized === undefined,
      kernel(node, caps) {
        const { m, k, padding, firstRow, rows, tilesY, tilesX } = node.attrs;
        const [, channels, height, width] = nchw(node.inputs[0].type);
        const workgroup = transformWorkgroup(caps);
        return {
          shader: { name: 'winograd_halves_input.wgsl', source: inputShader },
          defines: {
            A: m + k - 1,
            K: k,
            M: m,
            PADDED: Number(padding > 0),
            SCALE: 2 ** inputShift({ m, k }),
            WORKGROUP: workgroup,
          },
          params: {
            channels: u32(channels),
            height: i32(height),
            width: i32(width),
            padding: i32(padding),
            firstRow: u32(firstRow),
            rows: u32(rows),
            tilesY: u32(tilesY),
            tilesX: u32(tilesX),
            pitch: u32(pitch(rows * tilesX)),
          },
          grid: [Math.ceil((rows * tilesX) / workgroup), Math.ceil(channels / 2)],
        };
      },
    },
    {
      name: 'resized',
      supports: (_, { attrs }) => attrs.resized !== undefined,
      madeFor: 'gpu',
      kernel: (node, caps) => resizedInputKernel(node, caps, 2 ** inputShift(node.attrs)),
    },
  ],
};

interface WeightAttrs extends TileAttrs {
  /** Rows of the product that lie together. */
  readonly tile: number;
  /** Words of two input channels that lie together. */
  readonly pairs: number;
}

/** w [CO, CI, k, k], scale -> words of two channels [(m + k - 1)^2, ceil(CO / tile), ceil(CI / (2 pairs)), tile, pairs] */
const winogradHalvesWeightsOp: Op<WeightAttrs, readonly ['f32', 'f32']> = {
  name: 'winogradHalvesWeights',
  infer([w], { m, k, tile, pairs }) {
    const [co, ci] = nchw(w);
    return { shape: [(m + k - 1) ** 2, Math.ceil(co / tile), Math.ceil(ci / (2 * pairs)), tile, pairs], dtype: 'u32' };
  },
  reference: testedThrough('winogradHalvesWeights', 'conv2d'),
  variants: [
    {
      name: 'element',
      kernel(node, caps) {
        const { m, k, tile, pairs } = node.attrs;
        const [outChannels, inChannels] = nchw(node.inputs[0].type);
        const [points, , lots] = node.type.shape as [number, number, number];
        const count = size(node.type) / points;
        return {
          shader: { name: 'winograd_halves_weights.wgsl', source: weightsShader },
          defines: { A: m + k - 1, K: k, M: m, MT: tile, PAIRS: pairs, WORKGROUP },
          params: { size: u32(count), outChannels: u32(outChannels), inChannels: u32(inChannels), lots: u32(lots) },
          grid: foldedGrid(count, caps),
        };
      },
    },
  ],
};

interface ProductAttrs extends TileAttrs {
  readonly groups: number;
  /** The weights' first input channel among those of the transformed input. */
  readonly firstChannel: number;
  readonly tiles: number;
}

/** As floats in workgroup memory, in the order of the default. @see Block */
const FLOAT_BLOCKS: readonly Block[] = [
  { rows: 128, columns: 128, steps: 16, sums: [8, 8], fewest: 1024 },
  { rows: 128, columns: 64, steps: 16, sums: [8, 8], fewest: 512 },
  { rows: 64, columns: 128, steps: 16, sums: [8, 8], fewest: 512 },
  { rows: 64, columns: 64, steps: 16, sums: [4, 8], fewest: 256 },
  { rows: 32, columns: 32, steps: 16, sums: [4, 4], fewest: 0 },
];

/** w and the transformed input. */
type ProductSignature = readonly ['f32', 'u32'];
type ProductNode = Node<ProductAttrs, ProductSignature>;

/**
 * The products of all points: w [CO, CI, k, k], winogradHalvesInput -> words of two rows
 * [ceil(CO / 2), (m + k - 1)^2, pitch(tiles)].
 */
export const winogradHalvesProductOp: Op<ProductAttrs, ProductSignature> = {
  name: 'winogradHalvesProduct',
  infer: ([w, v], { tiles }) => ({
    shape: [Math.ceil(w.shape[0]! / 2), v.shape[1]!, pitch(tiles)],
    dtype: 'u32',
  }),
  reference: testedThrough('winogradHalvesProduct', 'conv2d'),
  cost: (node) => {
    const [rows, depth] = node.inputs[0].type.shape as [number, number];
    return {
      flops: 2 * node.type.shape[1]! * rows * depth * node.attrs.tiles,
      bytes: 4 * (size(node.inputs[1].type) + size(node.type)),
    };
  },
  variants: [
    ...MATRIX_BLOCKS.map(
      (block): Variant<ProductAttrs, ProductSignature> => ({
        name: `matrix${block.rows}x${block.columns}`,
        madeFor: 'gpu',
        supports(caps, node) {
          const tiling = matrixTiling(caps, block);
          return tiling !== undefined && wholeGroups(node, tiling.rows);
        },
        suits: (caps, node) => matrixBlockOf(node, caps) === block,
        lower: (node, caps) =>
          packed(node, { matrices: block, tile: matrixTiling(caps, block)!.rows, pairs: PAIRS_PER_LOT }),
      }),
    ),
    ...FLOAT_BLOCKS.map(
      (block): Variant<ProductAttrs, ProductSignature> => ({
        name: blockName(block),
        madeFor: 'gpu',
        supports: (caps, node) => blockFits(block, caps) && wholeGroups(node, block.rows),
        suits: (caps, node) => floatBlockOf(node, caps) === block,
        lower: (node) => packed(node, { block, tile: block.rows, pairs: 1 }),
      }),
    ),
  ],
};

function rowsOf(node: ProductNode): number {
  return node.inputs[0].type.shape[0]!;
}

/** No block of rows may hold channels of two groups. */
function wholeGroups(node: ProductNode, rows: number): boolean {
  const { groups } = node.attrs;
  return groups === 1 || (rowsOf(node) / groups) % rows === 0;
}

function floatBlockOf(node: ProductNode, caps: Caps): Block | undefined {
  const product = { rows: rowsOf(node), columns: node.attrs.tiles, points: node.type.shape[1]! };
  return defaultBlock(product, caps, (block) => wholeGroups(node, block.rows), FLOAT_BLOCKS);
}

/** Workgroups that keep a large GPU busy. */
const MANY_WORKGROUPS = 264;
/** How much a block may compute beyond the product's edges, against the smallest one, to be the default. */
const MOST_FILLED = 1.15;

/** The first that leaves enough workgroups and little that is computed for nothing, or else the smallest. */
function matrixBlockOf(node: ProductNode, caps: Caps): MatrixBlock | undefined {
  const blocks = MATRIX_BLOCKS.flatMap((block) => {
    const tiling = matrixTiling(caps, block);
    if (!tiling || !wholeGroups(node, tiling.rows)) return [];
    const workgroups = Math.ceil(rowsOf(node) / tiling.rows) * Math.ceil(node.attrs.tiles / tiling.columns);
    return [{ block, workgroups, filled: workgroups * tiling.rows * tiling.columns }];
  });
  const least = Math.min(...blocks.map(({ filled }) => filled));
  const points = node.type.shape[1]!;
  const found = blocks.find(
    ({ workgroups, filled }) => points * workgroups >= MANY_WORKGROUPS && filled <= MOST_FILLED * least,
  );
  return (found ?? blocks.at(-1))?.block;
}

interface Layout {
  readonly tile: number;
  readonly pairs: number;
}

type Algorithm = Layout & ({ readonly block: Block } | { readonly matrices: MatrixBlock });

type PackedAttrs = ProductAttrs & Algorithm & { readonly rows: number; readonly depth: number };

function packed(node: ProductNode, algorithm: Algorithm): Node {
  const [w, v] = node.inputs;
  const { m, k } = node.attrs;
  const { tile, pairs } = algorithm;
  const scale = halvesScale(w, inputShift({ m, k }), `${node.label}.scale`);
  const u = makeNode(winogradHalvesWeightsOp, [w, scale], { m, k, tile, pairs }, `${node.label}.weights`);
  const [rows, depth] = w.type.shape as [number, number];
  return makeNode(productPackedOp, [u, v, scale], { ...node.attrs, ...algorithm, rows, depth }, node.label);
}

const productPackedOp: Op<PackedAttrs, readonly ['u32', 'u32', 'f32']> = {
  name: 'winogradHalvesProductPacked',
  infer: ([, v], { rows, tiles }) => ({ shape: [Math.ceil(rows / 2), v.shape[1]!, pitch(tiles)], dtype: 'u32' }),
  reference: testedThrough('winogradHalvesProductPacked', 'conv2d'),
  cost: (node) => ({
    flops: 2 * node.attrs.rows * node.type.shape[1]! * node.attrs.tiles * node.attrs.depth,
    bytes: 4 * (size(node.inputs[0].type) + size(node.inputs[1].type) + size(node.type)),
  }),
  variants: [
    {
      name: 'block',
      kernel(node, caps) {
        const { attrs } = node;
        const [, points, vPitch] = node.inputs[1].type.shape as [number, number, number];
        const operands: HalvesOperands = {
          rows: attrs.rows,
          columns: attrs.tiles,
          points,
          pairs: Math.ceil(attrs.depth / 2),
          groups: attrs.groups,
          vPitch,
          firstOffset: (attrs.firstChannel / 2) * points * vPitch,
          mPitch: node.type.shape[2]!,
        };
        return 'block' in attrs ? floatKernel(attrs.block, operands) : matrixKernel(attrs.matrices, operands, caps);
      },
    },
  ],
};

function floatKernel(block: Block, operands: HalvesOperands): Kernel {
  const { rows: MT, columns: NT, steps: BK, sums } = block;
  const { rows, columns, points, pairs, groups, vPitch, firstOffset, mPitch } = operands;
  const rowTiles = Math.ceil(rows / MT);
  return {
    shader: { name: 'winograd_halves_product_block.wgsl', source: blockShader },
    defines: {
      MT,
      NT,
      BK,
      TM: sums[0],
      TN: sums[1],
      INVOCATIONS: (MT / sums[0]) * (NT / sums[1]),
      RAGGED: Number(pairs % (BK / 2) > 0),
    },
    params: {
      pairs: u32(pairs),
      rows: u32(rows),
      rowTiles: u32(rowTiles),
      tilesPerGroup: u32(rowTiles / groups),
      points: u32(points),
      vPitch: u32(vPitch / 4),
      firstOffset: u32(firstOffset / 4),
      pairStride: u32((points * vPitch) / 4),
      mPitch: u32(mPitch / 4),
    },
    grid: [Math.ceil(columns / NT), rowTiles, points],
  };
}
