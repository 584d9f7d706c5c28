import weightsShader from '../../shaders/siamese_weights.wgsl';
import { expectShapes, makeNode, type Node, type Op, size, u32 } from '../engine/graph.ts';
import { foldedGrid, WORKGROUP } from '../kernels/common.ts';

/*
 * What joins two networks that see the same image into one, at inference: their weights. All of it depends on parameters
 * alone, so a plan computes it once.
 */

type None = Record<string, never>;

/**
 * Weights of one convolution over [teacher trunk, student trunk] that yields (T - mean) / std - S.
 * @param wt [C, CI, K, K] @param ws [>= C, CI, K, K], of which the first C are taken @param std [C]
 * @returns [C, 2 CI, K, K]
 */
export function siameseWeights(wt: Node, ws: Node, std: Node, label?: string): Node {
  return makeNode(siameseWeightsOp, [wt, ws, std], {}, label);
}

export const siameseWeightsOp: Op<None, readonly ['f32', 'f32', 'f32']> = {
  name: 'siameseWeights',
  infer(inputs) {
    const [wt, ws, std] = inputs;
    const ok =
      wt.shape.length === 4 &&
      wt.shape.slice(1).join() === ws.shape.slice(1).join() &&
      ws.shape[0]! >= wt.shape[0]! &&
      size(std) === wt.shape[0];
    expectShapes('siameseWeights', ok, inputs, 'wt [C, CI, K, K], ws [C or more, CI, K, K], std [C]');
    const [co, ci, kh, kw] = wt.shape as [number, number, number, number];
    return { shape: [co, 2 * ci, kh, kw], dtype: 'f32' };
  },
  reference([wt, ws, std], node) {
    const row = size(node.inputs[0].type) / node.type.shape[0]!;
    return Float64Array.from({ length: size(node.type) }, (_, i) => {
      const channel = Math.floor(i / (2 * row));
      const at = i % (2 * row);
      return at < row ? wt[channel * row + at]! / std[channel]! : -ws[channel * row + at - row]!;
    });
  },
  variants: [
    {
      name: 'element',
      kernel: (node, caps) => ({
        shader: { name: 'siamese_weights.wgsl', source: weightsShader },
        defines: { WORKGROUP, BIAS: 0 },
        params: { size: u32(size(node.type)), row: u32(size(node.inputs[0].type) / node.type.shape[0]!) },
        grid: foldedGrid(size(node.type), caps),
      }),
    },
  ],
};

/** The bias that belongs to {@link siameseWeights}. @param bt, mean, std [C] @param bs [>= C] @returns [C] */
export function siameseBias(bt: Node, bs: Node, mean: Node, std: Node, label?: string): Node {
  return makeNode(siameseBiasOp, [bt, bs, mean, std], {}, label);
}

export const siameseBiasOp: Op<None, readonly ['f32', 'f32', 'f32', 'f32']> = {
  name: 'siameseBias',
  infer(inputs) {
    const [bt, bs, mean, std] = inputs;
    const ok = size(bs) >= size(bt) && size(mean) === size(bt) && size(std) === size(bt);
    expectShapes('siameseBias', ok, inputs, 'bt [C], bs [C or more], mean [C], std [C]');
    return bt;
  },
  reference: ([bt, bs, mean, std]) => Float64Array.from(bt, (b, i) => (b - mean[i]!) / std[i]! - bs[i]!),
  variants: [
    {
      name: 'element',
      kernel: (node, caps) => ({
        shader: { name: 'siamese_weights.wgsl', source: weightsShader },
        defines: { WORKGROUP, BIAS: 1 },
        params: { size: u32(size(node.type)) },
        grid: foldedGrid(size(node.type), caps),
      }),
    },
  ],
};
