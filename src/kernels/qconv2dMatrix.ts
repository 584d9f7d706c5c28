import { deferred } from '../engine/deferred.ts';
import type { Variant } from '../engine/graph.ts';
import { type Block, STEP, tilingOf } from './qconv2dMatrixTiling.ts';
import { blockPixels, geometry, type Qconv2dAttrs, type Qconv2dSignature } from './qconv2dShape.ts';

/*
 * qconv2d of u8 activations by the products of small integer matrices that a subgroup computes together. Weights are decoded
 * to a byte each when they are uploaded: on the device a layer takes 8 bits a weight more than its packed codes.
 */

/** Large blocks load the least; many small ones keep all cores busy. */
const BLOCKS: readonly Block[] = [
  { rows: 4, columns: 4, staged: true },
  { rows: 4, columns: 2, staged: true },
  { rows: 2, columns: 4, staged: true },
  { rows: 2, columns: 2, staged: true },
  { rows: 4, columns: 4, staged: false },
  { rows: 2, columns: 2, staged: false },
];

const byMatrices = deferred(() => import('./matrixKernels.ts'));

/** Variants of qconv2d, a block each. */
export const matrixVariants: readonly Variant<Qconv2dAttrs, Qconv2dSignature>[] = BLOCKS.map((block) => ({
  name: `matrix${block.staged ? '' : 'Stored'}${block.rows}x${block.columns}`,
  supports(caps, { attrs: { input, output, weights, groupSize, pool, stride } }) {
    const isWhole = groupSize === weights[1];
    return input === 'u8' && output !== 'u4' && isWhole && !(pool && stride > 1) && tilingOf(caps, block) !== undefined;
  },
  madeFor: 'gpu',
  suits(caps, node) {
    const { inChannels, outChannels } = geometry(node);
    const { channels, pixels } = tilingOf(caps, block)!;
    const workgroups = Math.ceil(outChannels / channels) * Math.ceil(blockPixels(node) / pixels);
    const isSmallest = block.rows * block.columns === 4;
    return inChannels >= STEP && (isSmallest || workgroups >= MANY_WORKGROUPS);
  },
  lower: (node, caps) => byMatrices().quantizedMatrixConvolution(node, block, caps),
}));

/** Workgroups that keep a large GPU busy. */
const MANY_WORKGROUPS = 128;
