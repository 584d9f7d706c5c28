import gradShader from '../../shaders/resize_bilinear_grad.wgsl';
import type { Op } from '../engine/graph.ts';
import { f32, size, u32 } from '../engine/graph.ts';
import { nchw, planeGrid } from '../kernels/common.ts';
import { forEachTap } from '../kernels/resizeBilinear.ts';

export const resizeBilinearGradOp: Op<{ readonly shape: readonly number[] }, readonly ['f32']> = {
  name: 'resizeBilinearGrad',
  infer: (_, { shape }) => ({ shape, dtype: 'f32' }),
  reference([dy], node) {
    const [n, c, h, w] = nchw(node.type);
    const [, , oh, ow] = nchw(node.inputs[0].type);
    const dx = new Float64Array(size(node.type));
    for (let plane = 0; plane < n * c; plane++) {
      forEachTap(h, w, oh, ow, (o, i, weight) => {
        dx[plane * h * w + i]! += weight * dy[plane * oh * ow + o]!;
      });
    }
    return dx;
  },
  variants: [
    {
      name: 'gather',
      kernel(node) {
        const [, , height, width] = nchw(node.type);
        const [, , outHeight, outWidth] = nchw(node.inputs[0].type);
        return {
          shader: { name: 'resize_bilinear_grad.wgsl', source: gradShader },

          params: {
            height: u32(height),
            width: u32(width),
            outHeight: u32(outHeight),
            outWidth: u32(outWidth),
            scaleX: f32(width / outWidth),
            scaleY: f32(height / outHeight),
          },
          grid: planeGrid(node.type),
        };
      },
    },
  ],
};
