import directShader from '../../shaders/conv2d_weight_grad_direct.wgsl';
import type { Caps } from '../engine/caps.ts';
import { expectShapes, makeNode, type Node, type Op, size, u32 } from '../engine/graph.ts';
import { foldedGrid, lanes, nchw, WORKGROUP } from '../kernels/common.ts';
import { convOutput, DIRECT_MULTIPLY_ADDS } from '../kernels/conv2dShape.ts';
import { WINOGRAD_TILES } from '../kernels/winogradTiles.ts';
import { GRAD_BLOCKS, gradBlockFits } from './gradBlock.ts';
import {
  geometry,
  MOST_TAPS,
  partialGradient,
  partialWeightGrad,
  sizeParams,
  tapsOf,
  type WeightGradAttrs,
  type WeightGradNode,
  type WeightGradSignature,
  weightGradCost,
} from './weightGradPartial.ts';
import { weightGradFits, winogradSplitWeightGrad, winogradWeightGrad } from './winogradWeightGrad.ts';

/**
 * Gradient of conv2d with respect to its weights. Deterministic: partial sums are added in a fixed order.
 * @param x [N, CI, H, W]
 * @param dy [N, CO, OH, OW]
 * @returns [CO, CI, KH, KW]
 */
export function conv2dWeightGrad(x: Node, dy: Node, attrs: WeightGradAttrs, label?: string): Node {
  return makeNode(conv2dWeightGradOp, [x, dy], attrs, label);
}

export const conv2dWeightGradOp: Op<WeightGradAttrs, WeightGradSignature> = {
  name: 'conv2dWeightGrad',
  infer(inputs, { stride, padding, shape }) {
    const [n, ci, h, w] = nchw(inputs[0]);
    const [yn, co, oh, ow] = nchw(inputs[1]);
    const [wo, wi, kh, kw] = shape as [number, number, number, number];
    const ok =
      n === yn &&
      co === wo &&
      ci === wi &&
      convOutput(h, kh, stride, padding) === oh &&
      convOutput(w, kw, stride, padding) === ow;
    expectShapes('conv2dWeightGrad', ok, inputs, `x and dy of a convolution with weights [${shape.join('x')}]`);
    return { shape, dtype: 'f32' };
  },
  reference([x, dy], node) {
    const g = geometry(node.inputs[0].type, node.inputs[1].type, node.attrs.shape);
    return partialGradient(x, dy, g, node.attrs);
  },
  cost: weightGradCost,
  variants: [
    {
      // The tiles of dy are the taps: the transforms of the forward convolution with outputs and taps exchanged, and the same
      // transformed input, which is therefore computed once.
      name: 'winograd',
      supports: winogradSupports,
      madeFor: 'cpu',
      suits: (_, node) => hasManyChannels(node),
      lower: (node) => lowerWinograd(node, winogradWeightGrad),
    },
    {
      name: 'winogradSplits',
      supports: (caps, node) => GRAD_BLOCKS.some((block) => gradBlockFits(block, caps)) && winogradSupports(caps, node),
      madeFor: 'gpu',
      suits: (_, node) => hasManyChannels(node) && multiplyAdds(node) > DIRECT_MULTIPLY_ADDS,
      lower: (node) => lowerWinograd(node, winogradSplitWeightGrad),
    },
    {
      name: 'taps',
      supports: (caps, node) => lanes(caps) >= 4 && tapsOf(node.attrs.shape) <= MOST_TAPS,
      madeFor: 'cpu',
      suits: (caps, node) => node.attrs.shape[1]! <= lanes(caps) / 2,
      lower: (node) => partialWeightGrad(node, 'taps'),
    },
    {
      name: 'lanes',
      supports: (caps, node) => lanes(caps) >= 4 && node.attrs.shape[3]! <= 16,
      madeFor: 'cpu',
      lower: (node) => partialWeightGrad(node, 'lanes'),
    },
    {
      name: 'tile',
      supports: (caps) => GRAD_BLOCKS.some((block) => gradBlockFits(block, caps)),
      madeFor: 'gpu',
      lower: (node) => partialWeightGrad(node, 'tile'),
    },
    {
      name: 'direct',
      kernel(node, caps) {
        const g = geometry(node.inputs[0].type, node.inputs[1].type, node.attrs.shape);
        return {
          shader: { name: 'conv2d_weight_grad_direct.wgsl', source: directShader },
          defines: { WORKGROUP },
          params: {
            size: u32(size(node.type)),
            ...sizeParams(g),
            kernelHeight: u32(g.kernelHeight),
            kernelWidth: u32(g.kernelWidth),
            stride: u32(node.attrs.stride),
            padding: u32(node.attrs.padding),
          },
          grid: foldedGrid(size(node.type), caps),
        };
      },
    },
  ],
};

function winogradSupports(caps: Caps, node: WeightGradNode): boolean {
  const [, , kh, kw] = node.attrs.shape as [number, number, number, number];
  const m = WINOGRAD_TILES[kh]?.[0];
  if (node.attrs.stride !== 1 || kh !== kw || m === undefined) return false;
  return weightGradFits(node.inputs[0].type, node.inputs[1].type, { m, k: kh }, caps);
}

function lowerWinograd(node: WeightGradNode, by: typeof winogradWeightGrad): Node {
  const [x, dy] = node.inputs;
  const { padding, shape } = node.attrs;
  const k = shape[2]!;
  return by(x, dy, { m: WINOGRAD_TILES[k]![0]!, k, padding }, node.label);
}

/** Enough for the transforms to be cheap beside the products. */
function hasManyChannels(node: WeightGradNode): boolean {
  const [co, ci] = node.attrs.shape as [number, number];
  return ci >= 32 && co >= 32;
}

function multiplyAdds(node: WeightGradNode): number {
  const [n, , oh, ow] = nchw(node.inputs[1].type);
  return n * oh * ow * size(node.type);
}
