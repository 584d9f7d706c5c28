import { deferred } from '../engine/deferred.ts';
import type { Variant } from '../engine/graph.ts';
import { type Block, blockPixels, tilingOf } from './conv2dMatrixTiling.ts';
import type { Conv2dAttrs, Conv2dSignature } from './conv2dShape.ts';
import { HALF_ROUNDOFF } from './halves.ts';

/*
 * conv2d by the products of small matrices of halves that a subgroup computes together, for layers that Winograd's method is not
 * for: few channels, strides. Weights are rounded when they are uploaded, values when they are staged.
 */

/** Large blocks load the least; many small ones keep all cores busy. */
const BLOCKS: readonly Block[] = [
  { rows: 4, columns: 4 },
  { rows: 2, columns: 4 },
  { rows: 2, columns: 2 },
];

/** Workgroups with which a large GPU is busy, and without which small blocks of other kernels are better. */
const MANY_WORKGROUPS = 264;
/** Output channels from which on little of a block is computed for nothing. */
const LEAST_CHANNELS = 32;

const byMatrices = deferred(() => import('./matrixKernels.ts'));

/** Variants of conv2d, a block each. */
export const matrixVariants: readonly Variant<Conv2dAttrs, Conv2dSignature>[] = BLOCKS.map((block) => ({
  name: `matrix${block.rows}x${block.columns}Halves`,
  supports(caps, node) {
    const tiling = tilingOf(caps, block);
    const { groups } = node.attrs;
    const [co] = node.inputs[1].type.shape as [number];
    return tiling !== undefined && (groups === 1 || (co / groups) % tiling.channels === 0);
  },
  madeFor: 'gpu',
  // Both operands are rounded; the errors of a sum's products are independent.
  rounds: () => 2 * HALF_ROUNDOFF,
  suits(caps, node) {
    const { channels, pixels } = tilingOf(caps, block)!;
    const [co] = node.inputs[1].type.shape as [number];
    const workgroups = Math.ceil(co / channels) * Math.ceil(blockPixels(node) / pixels);
    return co >= LEAST_CHANNELS && workgroups >= MANY_WORKGROUPS;
  },
  lower: (node, caps) => byMatrices().matrixConvolution(node, block, caps),
}));
