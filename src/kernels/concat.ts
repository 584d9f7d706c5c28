import concatShader from '../../shaders/concat_outer.wgsl';
import { expectShapes, makeNode, type Node, type Op, size, u32 } from '../engine/graph.ts';
import { foldedGrid, WORKGROUP } from './common.ts';

/** Two tensors along their first axis. @param a [A, ...] @param b [B, ...] @returns [A + B, ...] */
export function concatOuter(a: Node, b: Node, label?: string): Node {
  return makeNode(concatOuterOp, [a, b], {}, label);
}

export const concatOuterOp: Op<Record<string, never>, readonly ['f32', 'f32']> = {
  name: 'concatOuter',
  infer(inputs) {
    const [a, b] = inputs;
    const ok = a.shape.length >= 1 && a.shape.slice(1).join() === b.shape.slice(1).join();
    expectShapes('concatOuter', ok, inputs, 'two tensors that differ in their first axis only');
    return { shape: [a.shape[0]! + b.shape[0]!, ...a.shape.slice(1)], dtype: 'f32' };
  },
  reference: ([a, b]) => Float64Array.from([...a, ...b]),
  variants: [
    {
      name: 'copy',
      kernel: (node, caps) => ({
        shader: { name: 'concat_outer.wgsl', source: concatShader },
        defines: { WORKGROUP },
        params: { size: u32(size(node.type)), split: u32(size(node.inputs[0].type)) },
        grid: foldedGrid(size(node.type), caps),
      }),
    },
  ],
};
