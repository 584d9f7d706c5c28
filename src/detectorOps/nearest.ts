import shader from '../../shaders/nearest_distance.wgsl';
import { expectShapes, makeNode, type Node, type Op, size, u32 } from '../engine/graph.ts';
import { foldedGrid, inputType, nchw, WORKGROUP } from '../kernels/common.ts';

export interface NearestAttrs {
  /** The layer that made the products: once it is quantized, `x` is taken as it reads it, so that both are of one vector. */
  readonly readsLike?: string;
}

/**
 * Mean over channels of the squared distance to the nearest of K vectors m_k.
 * @param x [N, C, H, W]
 * @param products [N, K, H, W], x m_k - |m_k|^2 / 2: a 1 x 1 convolution with the vectors as weights
 * @returns [N, 1, H, W]
 */
export function nearestDistance(x: Node, products: Node, attrs: NearestAttrs = {}, label?: string): Node {
  return makeNode(nearestDistanceOp, [x, products], attrs, label);
}

export const nearestDistanceOp: Op<NearestAttrs, readonly ['f32', 'f32']> = {
  name: 'nearestDistance',
  infer(inputs) {
    const [x, products] = inputs;
    const rest = ({ shape: [n, , ...plane] }: { readonly shape: readonly number[] }) => [n, ...plane].join();
    const ok = x.shape.length === 4 && products.shape.length === 4 && rest(x) === rest(products);
    expectShapes('nearestDistance', ok, inputs, 'x [N, C, H, W], products [N, K, H, W]');
    const [n, , h, w] = nchw(x);
    return { shape: [n, 1, h, w], dtype: 'f32' };
  },
  reference([x, products], node) {
    const plane = size(node.type) / node.type.shape[0]!;
    const [channels, vectors] = [0, 1].map((i) => inputType(node, i).shape[1]!) as [number, number];
    return Float64Array.from({ length: size(node.type) }, (_, i) => {
      const [image, place] = [Math.floor(i / plane), i % plane];
      let square = 0;
      for (let c = 0; c < channels; c++) square += x[(image * channels + c) * plane + place]! ** 2;
      let best = Number.NEGATIVE_INFINITY;
      for (let k = 0; k < vectors; k++) best = Math.max(best, products[(image * vectors + k) * plane + place]!);
      return Math.max(square - 2 * best, 0) / channels;
    });
  },
  cost(node) {
    const read = size(node.inputs[0].type) + size(node.inputs[1].type);
    return { flops: 2 * size(node.inputs[0].type) + size(node.inputs[1].type), bytes: 4 * (read + size(node.type)) };
  },
  variants: [
    {
      name: 'pixel',
      kernel(node, caps) {
        const [, channels, h, w] = nchw(node.inputs[0].type);
        return {
          shader: { name: 'nearest_distance.wgsl', source: shader },
          defines: { WORKGROUP },
          params: {
            size: u32(size(node.type)),
            plane: u32(h * w),
            channels: u32(channels),
            vectors: u32(node.inputs[1].type.shape[1]!),
          },
          grid: foldedGrid(size(node.type), caps),
        };
      },
    },
  ],
};
