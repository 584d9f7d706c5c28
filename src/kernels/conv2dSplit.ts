import shader from '../../shaders/conv2d_fold.wgsl';
import { makeNode, type Node, type Op, size, u32 } from '../engine/graph.ts';
import { inputType, nchw } from './common.ts';
import type { Conv2dAttrs } from './conv2d.ts';
import { depthOf, type TileBlock, tiled, workgroupsOf } from './conv2dTile.ts';

/** Workgroups that keep a large GPU busy; the sum is cut into parts until there are about this many. */
const ENOUGH_WORKGROUPS = 256;
/** Parts that an invocation of the fold adds, and slices of its workgroup at most. */
const PARTS_PER_INVOCATION = 8;
const MOST_SLICES = 16;

/**
 * Parts of the sum, each at least one stage of the block long; the same on every device, and so is the rounding.
 * @param weights [CO, CI / groups, KH, KW] @param y of the result before pooling, [N, CO, OH, OW]
 */
export function splitsOf(block: TileBlock, weights: readonly number[], y: readonly number[]): number {
  const stages = Math.ceil(depthOf(weights) / block.step);
  const wanted = Math.ceil(ENOUGH_WORKGROUPS / workgroupsOf(block, y));
  const most = Math.min(stages, wanted, PARTS_PER_INVOCATION * MOST_SLICES);
  return Math.ceil(stages / Math.ceil(stages / most));
}

/**
 * A convolution whose sum over CI * KH * KW is computed in parts by different workgroups, which a second dispatch adds in a
 * fixed order: for few outputs with long sums, so that there are two parts at least. Without pooling.
 */
export function splitConvolution(node: Node<Conv2dAttrs>, block: TileBlock): Node {
  const parts = tiled(node, block, splitsOf(block, inputType(node, 1).shape, node.type.shape));
  const bias = node.inputs[2];
  return makeNode(foldOp, bias ? [parts, bias] : [parts], { relu: node.attrs.relu }, `${node.label}.fold`);
}

interface FoldAttrs {
  readonly relu: boolean;
}

/** [splits, N, CO, OH, OW] and bias [CO] -> [N, CO, OH, OW] */
const foldOp: Op<FoldAttrs> = {
  name: 'conv2dFold',
  infer: ([parts]) => ({ shape: parts!.shape.slice(1), dtype: 'f32' }),
  reference() {
    throw new Error('conv2dFold is tested through conv2d');
  },
  variants: [
    {
      name: 'sum',
      kernel(node) {
        const splits = inputType(node, 0).shape[0]!;
        const [, outChannels, height, width] = nchw(node.type);
        const count = size(node.type);
        let slices = 1;
        while (splits > slices * PARTS_PER_INVOCATION) slices *= 2;
        return {
          shader: { name: 'conv2d_fold.wgsl', source: shader },
          defines: {
            SPLITS: splits,
            SL: slices,
            PER: Math.ceil(splits / slices),
            BIAS: node.inputs.length - 1,
            RELU: Number(node.attrs.relu),
          },
          params: {
            size: u32(count),
            ...(node.inputs.length > 1 && { outPlane: u32(height * width), outChannels: u32(outChannels) }),
          },
          grid: [Math.ceil(count / (64 / slices))],
        };
      },
    },
  ],
};
