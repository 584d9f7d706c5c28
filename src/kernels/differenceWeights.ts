import differenceShader from '../../shaders/difference_weights.wgsl';
import { expectShapes, makeNode, type Node, type Op, size, u32 } from '../engine/graph.ts';
import { foldedGrid, nchw, WORKGROUP } from './common.ts';

/**
 * Weights of one convolution over the channels of two inputs that yields a's result less b's.
 * @param a [CO, CA, K, K] @param b [CO, CB, K, K]
 * @returns [CO, CA + CB, K, K]
 */
export function differenceWeights(a: Node, b: Node, label?: string): Node {
  return makeNode(differenceWeightsOp, [a, b], {}, label);
}

export const differenceWeightsOp: Op<Record<string, never>, readonly ['f32', 'f32']> = {
  name: 'differenceWeights',
  infer(inputs) {
    const [[co, ca, kh, kw], [other, cb, ...taps]] = [nchw(inputs[0]), nchw(inputs[1])];
    const ok = co === other && [kh, kw].join() === taps.join();
    expectShapes('differenceWeights', ok, inputs, 'a [CO, CA, K, K] and b [CO, CB, K, K]');
    return { shape: [co, ca + cb, kh, kw], dtype: 'f32' };
  },
  reference([a, b], node) {
    const [rowA, rowB] = [a.length, b.length].map((length) => length / node.type.shape[0]!) as [number, number];
    return Float64Array.from({ length: size(node.type) }, (_, i) => {
      const channel = Math.floor(i / (rowA + rowB));
      const at = i % (rowA + rowB);
      return at < rowA ? a[channel * rowA + at]! : -b[channel * rowB + at - rowA]!;
    });
  },
  variants: [
    {
      name: 'element',
      kernel: (node, caps) => ({
        shader: { name: 'difference_weights.wgsl', source: differenceShader },
        defines: { WORKGROUP },
        params: {
          size: u32(size(node.type)),
          rowA: u32(size(node.inputs[0].type) / node.type.shape[0]!),
          rowB: u32(size(node.inputs[1].type) / node.type.shape[0]!),
        },
        grid: foldedGrid(size(node.type), caps),
      }),
    },
  ],
};
