import type { Node } from '../engine/graph.ts';
import { foldParts, MOST_PARTS } from './conv2dFold.ts';
import type { Conv2dNode } from './conv2dShape.ts';
import { depthOf, type TileBlock, tiled, workgroupsOf } from './conv2dTile.ts';

/** Workgroups that keep a large GPU busy; the sum is cut into parts until there are about this many. */
const ENOUGH_WORKGROUPS = 256;

/**
 * Parts of the sum, each at least one stage of the block long; the same on every device, and so is the rounding.
 * @param weights [CO, CI / groups, KH, KW] @param y of the result before pooling, [N, CO, OH, OW]
 */
export function splitsOf(block: TileBlock, weights: readonly number[], y: readonly number[]): number {
  const stages = Math.ceil(depthOf(weights) / block.step);
  const wanted = Math.ceil(ENOUGH_WORKGROUPS / workgroupsOf(block, y));
  const most = Math.min(stages, wanted, MOST_PARTS);
  return Math.ceil(stages / Math.ceil(stages / most));
}

/**
 * A convolution whose sum over CI * KH * KW is computed in parts by different workgroups, which a second dispatch adds in a
 * fixed order: for few outputs with long sums, so that there are two parts at least. Without pooling.
 */
export function splitConvolution(node: Conv2dNode, block: TileBlock): Node {
  const parts = tiled(node, block, splitsOf(block, node.inputs[1].type.shape, node.type.shape));
  return foldParts(parts, node.inputs[2], node.attrs.relu, `${node.label}.fold`);
}
