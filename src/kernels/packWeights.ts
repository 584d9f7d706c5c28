import shader from '../../shaders/pack_weights.wgsl';
import { makeNode, type Node, type Op, size, u32 } from '../engine/graph.ts';
import { foldedGrid, nchw, WORKGROUP } from './common.ts';

interface PackAttrs {
  /** Output channels that lie together. */
  readonly tile: number;
}

/**
 * Convolution weights in a kernel's own order.
 * @param w [CO, CI, KH, KW]
 * @returns [ceil(CO / tile), CI, KH * KW, tile], missing channels filled with zeros
 */
export function packWeights(w: Node, tile: number): Node {
  return makeNode(packWeightsOp, [w], { tile }, `${w.label}.packed`);
}

/** The reverse of {@link packWeights}, on the host. @param shape [CO, CI, KH, KW] @returns values of that shape */
export function unpackWeights(packed: ArrayLike<number>, shape: readonly number[], tile: number): Float64Array {
  const depth = shape.slice(1).reduce((product, n) => product * n, 1);
  return Float64Array.from({ length: shape[0]! * depth }, (_, i) => {
    const [m, k] = [Math.floor(i / depth), i % depth];
    return packed[(Math.floor(m / tile) * depth + k) * tile + (m % tile)]!;
  });
}

export const packWeightsOp: Op<PackAttrs, readonly ['f32']> = {
  name: 'packWeights',
  infer([w], { tile }) {
    const [co, ci, kh, kw] = nchw(w);
    return { shape: [Math.ceil(co / tile), ci, kh * kw, tile], dtype: 'f32' };
  },
  reference(inputs, node) {
    const { tile } = node.attrs;
    const [co, ci, kh, kw] = nchw(node.inputs[0].type);
    const y = new Float64Array(size(node.type));
    for (let m = 0; m < co; m++) {
      for (let k = 0; k < ci * kh * kw; k++) {
        y[(Math.floor(m / tile) * ci * kh * kw + k) * tile + (m % tile)] = inputs[0][m * ci * kh * kw + k]!;
      }
    }
    return y;
  },
  variants: [
    {
      name: 'copy',
      kernel(node, caps) {
        const [outChannels, inChannels, kh, kw] = nchw(node.inputs[0].type);
        return {
          shader: { name: 'pack_weights.wgsl', source: shader },
          defines: { WORKGROUP },
          params: {
            size: u32(size(node.type)),
            outChannels: u32(outChannels),
            inChannels: u32(inChannels),
            taps: u32(kh * kw),
            tile: u32(node.attrs.tile),
          },
          grid: foldedGrid(size(node.type), caps),
        };
      },
    },
  ],
};
