import shader from '../../shaders/avg_pool2d.wgsl';
import { expectShapes, isOf, makeNode, type Node, type Op, size, type TensorType, u32 } from '../engine/graph.ts';
import { nchw, planeGrid } from './common.ts';

export interface AvgPool2dAttrs {
  /** Zeros on all four sides; they are counted in the mean. */
  readonly padding: number;
}

/**
 * Mean over 2x2 windows with stride 2.
 * @param x [N, C, H, W]
 * @returns [N, C, floor((H + 2 padding) / 2), floor((W + 2 padding) / 2)]
 */
export function avgPool2d(x: Node, attrs: AvgPool2dAttrs = { padding: 0 }, label?: string): Node {
  return makeNode(avgPool2dOp, [x], attrs, label);
}

/** Whether a node takes the plain means of 2x2 windows, which convolutions can do themselves. */
export function isPlainPool(node: Node): boolean {
  return isOf(node, avgPool2dOp) && node.attrs.padding === 0;
}

function pooledShape(x: TensorType, { padding }: AvgPool2dAttrs) {
  const [n, c, h, w] = nchw(x);
  return [n, c, Math.floor((h + 2 * padding) / 2), Math.floor((w + 2 * padding) / 2)] as const;
}

/** The definition, over values of a type. @see Op.reference */
export function avgPool2dReference(
  x: ArrayLike<number>,
  type: TensorType,
  attrs: AvgPool2dAttrs = { padding: 0 },
): Float64Array {
  const { padding } = attrs;
  const [n, c, h, w] = nchw(type);
  const [, , oh, ow] = pooledShape(type, attrs);
  const y = new Float64Array(n * c * oh * ow);
  for (let plane = 0; plane < n * c; plane++) {
    for (let iy = 0; iy < h; iy++) {
      for (let ix = 0; ix < w; ix++) {
        const oy = (iy + padding) >> 1;
        const ox = (ix + padding) >> 1;
        if (oy < oh && ox < ow) y[(plane * oh + oy) * ow + ox]! += 0.25 * x[(plane * h + iy) * w + ix]!;
      }
    }
  }
  return y;
}

export const avgPool2dOp: Op<AvgPool2dAttrs, readonly ['f32']> = {
  name: 'avgPool2d',
  infer(inputs, attrs) {
    const [x] = inputs;
    expectShapes('avgPool2d', x.shape.length === 4, inputs, 'x [N, C, H, W]');
    return { shape: pooledShape(x, attrs), dtype: 'f32' };
  },
  reference: ([x], node) => avgPool2dReference(x, node.inputs[0].type, node.attrs),
  cost: (node) => ({ flops: 4 * size(node.type), bytes: 4 * (size(node.inputs[0].type) + size(node.type)) }),
  variants: [
    {
      name: 'element',
      kernel(node) {
        const [, , height, width] = nchw(node.inputs[0].type);
        const [, , outHeight, outWidth] = nchw(node.type);
        return {
          shader: { name: 'avg_pool2d.wgsl', source: shader },
          defines: { PADDING: node.attrs.padding },
          params: {
            height: u32(height),
            width: u32(width),
            outHeight: u32(outHeight),
            outWidth: u32(outWidth),
          },
          grid: planeGrid(node.type),
        };
      },
    },
  ],
};
