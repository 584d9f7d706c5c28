import outputShader from '../../shaders/winograd_grad_output.wgsl';
import productShader from '../../shaders/winograd_grad_product.wgsl';
import { deferred } from '../engine/deferred.ts';
import { makeNode, type Node, type Op, size, u32, type Variant } from '../engine/graph.ts';
import { nchw, WORKGROUP } from '../kernels/common.ts';
import { pitch, type TileAttrs } from '../kernels/winogradTiles.ts';
import {
  defaultGradBlock,
  GRAD_BLOCKS,
  GRAD_STEP,
  type GradBlock,
  gradBlockFits,
  gradBlockName,
  invocations,
} from './gradBlock.ts';

/*
 * The products and the last transform of a Winograd weight gradient on GPUs. Both operands lie as [channel][point][tile], and the
 * sum runs over tiles: it is cut into splits, so that there are enough workgroups, which the last transform adds.
 */

/** Workgroups that keep a large GPU busy, several on each of its multiprocessors. */
const ENOUGH_WORKGROUPS = 1024;
/** Stages of a split at least: below, writing and adding its sums costs more than it saves. */
const FEWEST_STAGES = 8;

/** Splits of the sum over tiles; the same on every device, and so is the rounding. */
function splitsOf(rows: number, columns: number, points: number, tiles: number): number {
  const stages = Math.ceil(tiles / GRAD_STEP);
  const blocks = points * Math.ceil(rows / 64) * Math.ceil(columns / 64);
  const most = Math.max(1, Math.min(Math.ceil(ENOUGH_WORKGROUPS / blocks), Math.floor(stages / FEWEST_STAGES)));
  return Math.ceil(stages / Math.ceil(stages / most));
}

/** Only tools ask for them. */
const definitions = deferred(() => import('../kernels/winogradReferences.ts'));

interface ProductAttrs extends TileAttrs {
  readonly tiles: number;
}

/** Transformed dy and x. */
type Operands = readonly ['f32', 'f32'];

/** Transformed dy [CO, points, pitch] x transformed x [CI, points, pitch] -> [splits, CO, points, pitch(CI)] */
export const winogradGradProductOp: Op<ProductAttrs, Operands> = {
  name: 'winogradGradProduct',
  infer([u, v], { tiles }) {
    const [rows, points] = u.shape as [number, number];
    const columns = v.shape[0]!;
    return { shape: [splitsOf(rows, columns, points, tiles), rows, points, pitch(columns)], dtype: 'f32' };
  },
  reference([u, v], node) {
    const [splits, rows, points, mPitch] = nchw(node.type);
    const [pitch, columns] = [node.inputs[0].type.shape[2]!, node.inputs[1].type.shape[0]!];
    const perSplit = tilesPerSplit(node);
    const m = new Float64Array(size(node.type));
    for (let at = 0; at < splits * rows * points; at++) {
      const [split, p] = [Math.floor(at / (rows * points)), at % points];
      const row = Math.floor(at / points) % rows;
      const last = Math.min((split + 1) * perSplit, node.attrs.tiles);
      for (let column = 0; column < columns; column++)
        for (let t = split * perSplit; t < last; t++)
          m[at * mPitch + column]! += u[(row * points + p) * pitch + t]! * v[(column * points + p) * pitch + t]!;
    }
    return m;
  },
  cost(node) {
    const [rows, points] = node.inputs[0].type.shape as [number, number];
    const columns = node.inputs[1].type.shape[0]!;
    return {
      flops: 2 * points * rows * columns * node.attrs.tiles,
      bytes: 4 * (size(node.inputs[0].type) + size(node.inputs[1].type) + size(node.type)),
    };
  },
  variants: GRAD_BLOCKS.map(
    (block): Variant<ProductAttrs, Operands> => ({
      name: gradBlockName(block),
      supports: (caps) => gradBlockFits(block, caps),
      madeFor: 'gpu',
      suits: (caps, node) =>
        defaultGradBlock(node.inputs[0].type.shape[0]!, node.inputs[1].type.shape[0]!, caps) === block,
      kernel: (node) => productKernel(node, block),
    }),
  ),
};

function tilesPerSplit({ attrs: { tiles }, type }: Node<ProductAttrs, Operands>): number {
  return Math.ceil(Math.ceil(tiles / GRAD_STEP) / type.shape[0]!) * GRAD_STEP;
}

function productKernel(node: Node<ProductAttrs, Operands>, block: GradBlock) {
  const [rows, points, uPitch] = node.inputs[0].type.shape as [number, number, number];
  const columns = node.inputs[1].type.shape[0]!;
  const [splits, , , mPitch] = nchw(node.type);
  const { tiles } = node.attrs;
  return {
    shader: { name: 'winograd_grad_product.wgsl', source: productShader },
    defines: {
      MT: block.rows,
      NT: block.columns,
      TM: block.sums[0],
      TN: block.sums[1],
      INVOCATIONS: invocations(block),
    },
    params: {
      rows: u32(rows),
      columns: u32(columns),
      points: u32(points),
      tiles: u32(tiles),
      tilesPerSplit: u32(tilesPerSplit(node)),
      pitch: u32(uPitch / 4),
      mPitch: u32(mPitch),
    },
    grid: [Math.ceil(columns / block.columns), Math.ceil(rows / block.rows), points * splits] as const,
  };
}

interface OutputAttrs extends TileAttrs {
  /** Of the weights [CO, CI, k, k]. */
  readonly shape: readonly number[];
}

/** [splits, CO, points, pitch(CI)] -> dw [CO, CI, k, k] */
export const winogradSplitsOutputOp: Op<OutputAttrs, readonly ['f32']> = {
  name: 'winogradSplitsOutput',
  infer: (_, { shape }) => ({ shape, dtype: 'f32' }),
  reference: ([m], { attrs, inputs: [products] }) =>
    definitions().winogradGradOutputReference(m, attrs, products.type.shape.at(-1)!),
  variants: [
    {
      name: 'pair',
      kernel(node) {
        const { m, k } = node.attrs;
        const [splits, outChannels, , mPitch] = nchw(node.inputs[0].type);
        const [, inChannels] = nchw(node.type);
        return {
          shader: { name: 'winograd_grad_output.wgsl', source: outputShader },
          // The taps of this filter are the m x m tiles of dy, its outputs the weights.
          defines: { A: m + k - 1, K: m, M: k, WORKGROUP },
          params: {
            splits: u32(splits),
            outChannels: u32(outChannels),
            inChannels: u32(inChannels),
            pitch: u32(mPitch),
          },
          grid: [Math.ceil(inChannels / WORKGROUP), outChannels],
        };
      },
    },
  ],
};

/**
 * Products and last transform.
 * @param dy transformed, [CO, points, pitch(tiles)] @param x transformed, [CI, points, pitch(tiles)]
 * @returns dw [CO, CI, k, k]
 */
export function winogradGradProducts(
  dy: Node,
  x: Node,
  attrs: TileAttrs & { readonly tiles: number },
  label: string,
): Node {
  const { m, k } = attrs;
  const products = makeNode(winogradGradProductOp, [dy, x], attrs, label);
  const shape = [dy.type.shape[0]!, x.type.shape[0]!, k, k];
  return makeNode(winogradSplitsOutputOp, [products], { m, k, shape } satisfies OutputAttrs, `${label}.output`);
}
