import gradShader from '../../shaders/avg_pool2d_grad.wgsl';
import type { Node, Op } from '../engine/graph.ts';
import { isOf, makeNode, size, u32 } from '../engine/graph.ts';
import type { AvgPool2dAttrs } from '../kernels/avgPool2d.ts';
import { nchw } from '../kernels/common.ts';

type GradNode = Node<GradAttrs, readonly ['f32', ...'f32'[]]>;

/** Whether a node is the gradient of avgPool2d alone. */
export function isPoolGrad(node: Node): node is GradNode {
  return isOf(node, avgPool2dGradOp) && node.inputs.length === 1;
}

/** Gradient of avgPool2d and of a rectifier before it, whose output is `activation`. */
export function avgPool2dReluGrad(poolGrad: GradNode, activation: Node): Node {
  return makeNode(avgPool2dGradOp, [poolGrad.inputs[0], activation], poolGrad.attrs, poolGrad.label);
}

interface GradAttrs extends AvgPool2dAttrs {
  readonly shape: readonly number[];
}

export const avgPool2dGradOp: Op<GradAttrs, readonly ['f32', ...'f32'[]]> = {
  name: 'avgPool2dGrad',
  infer: (_, { shape }) => ({ shape, dtype: 'f32' }),
  reference([dy, activation], node) {
    const { padding } = node.attrs;
    const [n, c, h, w] = nchw(node.type);
    const [, , oh, ow] = nchw(node.inputs[0].type);
    const dx = new Float64Array(size(node.type));
    for (let plane = 0; plane < n * c; plane++) {
      for (let iy = 0; iy < h; iy++) {
        for (let ix = 0; ix < w; ix++) {
          const oy = (iy + padding) >> 1;
          const ox = (ix + padding) >> 1;
          if (activation && activation[(plane * h + iy) * w + ix]! <= 0) continue;
          if (oy < oh && ox < ow) dx[(plane * h + iy) * w + ix] = 0.25 * dy[(plane * oh + oy) * ow + ox]!;
        }
      }
    }
    return dx;
  },
  variants: [
    {
      name: 'window',
      kernel(node) {
        const [images, channels, height, width] = nchw(node.type);
        const [, , outHeight, outWidth] = nchw(node.inputs[0].type);
        const { padding } = node.attrs;
        const windows = (side: number) => Math.floor((side - 1 + padding) / 2) + 1;
        return {
          shader: { name: 'avg_pool2d_grad.wgsl', source: gradShader },
          defines: { RELU: node.inputs.length - 1 },
          params: {
            height: u32(height),
            width: u32(width),
            outHeight: u32(outHeight),
            outWidth: u32(outWidth),
            padding: u32(padding),
          },
          grid: [Math.ceil(windows(width) / 8), Math.ceil(windows(height) / 8), images * channels],
        };
      },
    },
  ],
};
