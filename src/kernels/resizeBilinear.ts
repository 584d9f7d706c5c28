import shader from '../../shaders/resize_bilinear.wgsl';
import { expectShapes, f32, makeNode, type Node, type Op, size, type TensorType, u32 } from '../engine/graph.ts';
import { nchw, planeGrid } from './common.ts';

interface ResizeAttrs {
  readonly height: number;
  readonly width: number;
}

/**
 * Bilinear resize of feature maps, align_corners = false, without antialiasing.
 * @param x [N, C, H, W]
 * @returns [N, C, height, width]
 */
export function resizeBilinear(x: Node, height: number, width: number, label?: string): Node {
  return makeNode(resizeBilinearOp, [x], { height, width }, label);
}

/** Source indices and the weight of the second one, for output `o`. */
function tap(o: number, input: number, output: number): readonly [number, number, number] {
  const f = Math.max(((o + 0.5) * input) / output - 0.5, 0);
  const first = Math.min(Math.floor(f), input - 1);
  return [first, Math.min(first + 1, input - 1), f - first];
}

/** Calls `visit` with every (output, input, weight) of one plane. */
export function forEachTap(
  h: number,
  w: number,
  oh: number,
  ow: number,
  visit: (o: number, i: number, weight: number) => void,
): void {
  for (let oy = 0; oy < oh; oy++) {
    const [y0, y1, ty] = tap(oy, h, oh);
    for (let ox = 0; ox < ow; ox++) {
      const [x0, x1, tx] = tap(ox, w, ow);
      const o = oy * ow + ox;
      visit(o, y0 * w + x0, (1 - ty) * (1 - tx));
      visit(o, y0 * w + x1, (1 - ty) * tx);
      visit(o, y1 * w + x0, ty * (1 - tx));
      visit(o, y1 * w + x1, ty * tx);
    }
  }
}

/** The definition, of planes of a type. @see Op.reference */
export function resizeReference(
  x: ArrayLike<number>,
  type: TensorType,
  [oh, ow]: readonly [height: number, width: number],
): Float64Array {
  const [n, c, h, w] = nchw(type);
  const y = new Float64Array(n * c * oh * ow);
  for (let plane = 0; plane < n * c; plane++) {
    forEachTap(h, w, oh, ow, (o, i, weight) => {
      y[plane * oh * ow + o]! += weight * x[plane * h * w + i]!;
    });
  }
  return y;
}

export const resizeBilinearOp: Op<ResizeAttrs, readonly ['f32']> = {
  name: 'resizeBilinear',
  infer(inputs, { height, width }) {
    const [x] = inputs;
    expectShapes('resizeBilinear', x.shape.length === 4, inputs, 'x [N, C, H, W]');
    const [n, c] = nchw(x);
    return { shape: [n, c, height, width], dtype: 'f32' };
  },
  reference: ([x], { inputs: [from], attrs: { height, width } }) => resizeReference(x, from.type, [height, width]),
  cost: (node) => ({ flops: 8 * size(node.type), bytes: 4 * (size(node.inputs[0].type) + size(node.type)) }),
  variants: [
    {
      name: 'element',
      kernel(node) {
        const [, , height, width] = nchw(node.inputs[0].type);
        const [, , outHeight, outWidth] = nchw(node.type);
        return {
          shader: { name: 'resize_bilinear.wgsl', source: shader },

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
