import shader from '../../shaders/pad2d.wgsl';
import { expectShapes, i32, makeNode, type Node, type Op, size, u32 } from '../engine/graph.ts';
import { nchw, planeGrid } from './common.ts';

export interface Pad2dAttrs {
  readonly top: number;
  readonly bottom: number;
  readonly left: number;
  readonly right: number;
  /** Distance between neighboring input values in the output; 1 = contiguous. */
  readonly dilation: number;
  /** The plane mirrored at its border, which is not repeated, instead of zeros; without a gradient, and for dilation 1. */
  readonly mirrored: boolean;
}

/**
 * Zeros, or the mirrored plane itself, around every plane (negative amounts crop) and, for `dilation` > 1, zeros between neighbors.
 * @param x [N, C, H, W]
 */
export function pad2d(x: Node, attrs: Partial<Pad2dAttrs>, label?: string): Node {
  return makeNode(
    pad2dOp,
    [x],
    { top: 0, bottom: 0, left: 0, right: 0, dilation: 1, mirrored: false, ...attrs },
    label,
  );
}

export const pad2dOp: Op<Pad2dAttrs, readonly ['f32']> = {
  name: 'pad2d',
  infer(inputs, { top, bottom, left, right, dilation, mirrored }) {
    expectShapes('pad2d', inputs[0].shape.length === 4, inputs, 'x [N, C, H, W]');
    const [n, c, h, w] = nchw(inputs[0]);
    const fits = h > Math.max(top, bottom) && w > Math.max(left, right) && dilation === 1;
    expectShapes('pad2d', !mirrored || fits, inputs, 'planes larger than what is mirrored around them');
    return {
      shape: [n, c, (h - 1) * dilation + 1 + top + bottom, (w - 1) * dilation + 1 + left + right],
      dtype: 'f32',
    };
  },
  reference(inputs, node) {
    const { top, left, dilation, mirrored } = node.attrs;
    const [n, c, h, w] = nchw(node.inputs[0].type);
    const [, , oh, ow] = nchw(node.type);
    if (mirrored) {
      const at = (i: number, before: number, length: number) => {
        const distance = Math.abs(i - before);
        return Math.min(distance, 2 * (length - 1) - distance);
      };
      return Float64Array.from({ length: size(node.type) }, (_, i) => {
        const row = Math.floor(i / ow);
        return inputs[0][(Math.floor(row / oh) * h + at(row % oh, top, h)) * w + at(i % ow, left, w)]!;
      });
    }
    const y = new Float64Array(size(node.type));
    for (let plane = 0; plane < n * c; plane++) {
      for (let iy = 0; iy < h; iy++) {
        for (let ix = 0; ix < w; ix++) {
          const oy = iy * dilation + top;
          const ox = ix * dilation + left;
          if (oy >= 0 && oy < oh && ox >= 0 && ox < ow)
            y[(plane * oh + oy) * ow + ox] = inputs[0][(plane * h + iy) * w + ix]!;
        }
      }
    }
    return y;
  },
  variants: [
    {
      name: 'copy',
      kernel(node) {
        const { top, left, dilation, mirrored } = node.attrs;
        const [, , height, width] = nchw(node.inputs[0].type);
        const [, , outHeight, outWidth] = nchw(node.type);
        return {
          shader: { name: 'pad2d.wgsl', source: shader },
          defines: { DILATION: dilation, MIRRORED: Number(mirrored) },
          params: {
            height: u32(height),
            width: u32(width),
            outHeight: u32(outHeight),
            outWidth: u32(outWidth),
            top: i32(top),
            left: i32(left),
          },
          grid: planeGrid(node.type),
        };
      },
    },
  ],
};
