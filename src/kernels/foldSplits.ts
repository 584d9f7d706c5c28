import shader from '../../shaders/fold_splits.wgsl';
import type { Caps } from '../engine/caps.ts';
import { f32, makeNode, type Node, type Op, size, u32 } from '../engine/graph.ts';
import { foldedGrid, WORKGROUP } from './common.ts';

interface FoldAttrs {
  readonly shape: readonly number[];
  readonly factor: number;
}

/** factor * (sum over the first axis), added in a fixed order. @param x [splits, ...shape] @returns [...shape] */
export function foldSplits(x: Node, shape: readonly number[], factor: number, label?: string): Node {
  return makeNode(foldSplitsOp, [x], { shape, factor }, label);
}

export const foldSplitsOp: Op<FoldAttrs, readonly ['f32']> = {
  name: 'foldSplits',
  infer: (_, { shape }) => ({ shape, dtype: 'f32' }),
  reference([x], node) {
    const length = size(node.type);
    const y = new Float64Array(length);
    for (let i = 0; i < x.length; i++) y[i % length]! += node.attrs.factor * x[i]!;
    return y;
  },
  variants: [
    {
      name: 'sum',
      kernel(node, caps) {
        const splits = node.inputs[0].type.shape[0]!;
        const count = size(node.type);
        const slices = slicesOf(splits, caps);
        return {
          shader: { name: 'fold_splits.wgsl', source: shader },
          defines: { WORKGROUP, SL: slices, PER: Math.ceil(splits / slices) },
          params: { size: u32(count), splits: u32(splits), factor: f32(node.attrs.factor) },
          grid: foldedGrid(count, caps, WORKGROUP / slices),
        };
      },
    },
  ],
};

/** Splits that an invocation adds one after another, and slices of its workgroup at most. */
const SPLITS_PER_INVOCATION = 8;
const MOST_SLICES = 32;

/** On GPUs slices of a workgroup share many splits, whose loads would wait for each other; a CPU adapter has no idle lanes for them. */
function slicesOf(splits: number, caps: Caps): number {
  let slices = 1;
  while (!caps.isCpu && slices < MOST_SLICES && splits > slices * SPLITS_PER_INVOCATION) slices *= 2;
  return slices;
}
