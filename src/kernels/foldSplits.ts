import shader from '../../shaders/fold_splits.wgsl';
import { f32, makeNode, type Node, type Op, size, u32 } from '../engine/graph.ts';
import { foldedGrid, inputType, WORKGROUP } from './common.ts';

interface FoldAttrs {
  readonly shape: readonly number[];
  readonly factor: number;
}

/** factor * (sum over the first axis), added in a fixed order. @param x [splits, ...shape] @returns [...shape] */
export function foldSplits(x: Node, shape: readonly number[], factor: number, label?: string): Node {
  return makeNode(foldSplitsOp, [x], { shape, factor }, label);
}

export const foldSplitsOp: Op<FoldAttrs> = {
  name: 'foldSplits',
  infer: (_, { shape }) => ({ shape, dtype: 'f32' }),
  reference([x], node) {
    const length = size(node.type);
    const y = new Float64Array(length);
    for (let i = 0; i < x!.length; i++) y[i % length]! += node.attrs.factor * x![i]!;
    return y;
  },
  variants: [
    {
      name: 'sum',
      kernel(node, caps) {
        return {
          shader: { name: 'fold_splits.wgsl', source: shader },
          defines: { WORKGROUP },
          params: {
            size: u32(size(node.type)),
            splits: u32(inputType(node, 0).shape[0]!),
            factor: f32(node.attrs.factor),
          },
          grid: foldedGrid(size(node.type), caps),
        };
      },
    },
  ],
};
