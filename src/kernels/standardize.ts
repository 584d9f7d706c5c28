import shader from '../../shaders/standardize.wgsl';
import { expectShapes, makeNode, type Node, type Op, size, u32 } from '../engine/graph.ts';
import { foldedGrid, nchw, WORKGROUP } from './common.ts';

/**
 * (x - mean) / std per channel, for frozen tensors: it has no gradient.
 * @param x [N, C, H, W]
 * @param mean [C]
 * @param std [C], not zero
 */
export function standardize(x: Node, mean: Node, std: Node, label?: string): Node {
  return makeNode(standardizeOp, [x, mean, std], {}, label);
}

export const standardizeOp: Op<Record<string, never>, readonly ['f32', 'f32', 'f32']> = {
  name: 'standardize',
  infer(inputs) {
    const [x, mean, std] = inputs;
    const ok = x.shape.length === 4 && size(mean) === x.shape[1] && size(std) === x.shape[1];
    expectShapes('standardize', ok, inputs, 'x [N, C, H, W], mean [C], std [C]');
    return x;
  },
  reference(inputs, node) {
    const [x, mean, std] = inputs;
    const [, c, h, w] = nchw(node.inputs[0].type);
    return Float64Array.from({ length: size(node.type) }, (_, i) => {
      const k = Math.floor(i / (h * w)) % c;
      return (x[i]! - mean[k]!) / std[k]!;
    });
  },
  variants: [
    {
      name: 'element',
      kernel(node, caps) {
        const [, c, h, w] = nchw(node.type);
        return {
          shader: { name: 'standardize.wgsl', source: shader },
          defines: { WORKGROUP },
          params: { size: u32(size(node.type)), plane: u32(h * w), channels: u32(c) },
          grid: foldedGrid(size(node.type), caps),
        };
      },
    },
  ],
};
