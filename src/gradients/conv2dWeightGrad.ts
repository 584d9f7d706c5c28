import directShader from '../../shaders/conv2d_weight_grad_direct.wgsl';
import lanesShader from '../../shaders/conv2d_weight_grad_lanes.wgsl';
import tapsShader from '../../shaders/conv2d_weight_grad_taps.wgsl';
import tileShader from '../../shaders/conv2d_weight_grad_tile.wgsl';
import type { Caps } from '../engine/caps.ts';
import {
  expectShapes,
  type Kernel,
  makeNode,
  type Node,
  type Op,
  size,
  type TensorType,
  u32,
  type Variant,
} from '../engine/graph.ts';
import { foldedGrid, inputType, lanes, nchw, testedThrough, WORKGROUP } from '../kernels/common.ts';
import { convOutput, DIRECT_MULTIPLY_ADDS } from '../kernels/conv2dShape.ts';
import { foldSplits } from '../kernels/foldSplits.ts';
import { pad2d } from '../kernels/pad2d.ts';
import { WINOGRAD_TILES } from '../kernels/winogradTiles.ts';
import {
  defaultGradBlock,
  GRAD_BLOCKS,
  GRAD_STEP,
  type GradBlock,
  gradBlockFits,
  gradBlockName,
  invocations,
} from './gradBlock.ts';
import { weightGradFits, winogradSplitWeightGrad, winogradWeightGrad } from './winogradWeightGrad.ts';

interface WeightGradAttrs {
  readonly stride: number;
  readonly padding: number;
  /** Shape of the weights [CO, CI, KH, KW]. */
  readonly shape: readonly number[];
}

/** x and dy. */
type Operands = readonly ['f32', 'f32'];

/**
 * Gradient of conv2d with respect to its weights. Deterministic: partial sums are added in a fixed order.
 * @param x [N, CI, H, W]
 * @param dy [N, CO, OH, OW]
 * @returns [CO, CI, KH, KW]
 */
export function conv2dWeightGrad(x: Node, dy: Node, attrs: WeightGradAttrs, label?: string): Node {
  return makeNode(conv2dWeightGradOp, [x, dy], attrs, label);
}

function geometry(x: TensorType, dy: TensorType, shape: readonly number[]) {
  const [batch, inChannels, height, width] = nchw(x);
  const [, outChannels, outHeight, outWidth] = nchw(dy);
  const [, , kernelHeight, kernelWidth] = shape as [number, number, number, number];
  return { batch, inChannels, height, width, outChannels, outHeight, outWidth, kernelHeight, kernelWidth };
}

export const conv2dWeightGradOp: Op<WeightGradAttrs, Operands> = {
  name: 'conv2dWeightGrad',
  infer(inputs, { stride, padding, shape }) {
    const [n, ci, h, w] = nchw(inputs[0]!);
    const [yn, co, oh, ow] = nchw(inputs[1]!);
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
    const { stride, padding } = node.attrs;
    const g = geometry(inputType(node, 0), inputType(node, 1), node.attrs.shape);
    const dw = new Float64Array(size(node.type));
    for (let n = 0; n < g.batch; n++) {
      for (let co = 0; co < g.outChannels; co++) {
        for (let oy = 0; oy < g.outHeight; oy++) {
          for (let ox = 0; ox < g.outWidth; ox++) {
            const d = dy[((n * g.outChannels + co) * g.outHeight + oy) * g.outWidth + ox]!;
            for (let ci = 0; ci < g.inChannels; ci++) {
              for (let ky = 0; ky < g.kernelHeight; ky++) {
                const iy = oy * stride - padding + ky;
                if (iy < 0 || iy >= g.height) continue;
                for (let kx = 0; kx < g.kernelWidth; kx++) {
                  const ix = ox * stride - padding + kx;
                  if (ix < 0 || ix >= g.width) continue;
                  dw[((co * g.inChannels + ci) * g.kernelHeight + ky) * g.kernelWidth + kx]! +=
                    d * x[((n * g.inChannels + ci) * g.height + iy) * g.width + ix]!;
                }
              }
            }
          }
        }
      }
    }
    return dw;
  },
  cost(node) {
    const [n, co, oh, ow] = nchw(inputType(node, 1));
    const [, ci, kh, kw] = node.attrs.shape as [number, number, number, number];
    return {
      flops: 2 * n * co * oh * ow * ci * kh * kw,
      bytes: 4 * (size(inputType(node, 0)) + size(inputType(node, 1)) + size(node.type)),
    };
  },
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
      lower: (node) => lowerPartial(node, 'taps'),
    },
    {
      name: 'lanes',
      supports: (caps, node) => lanes(caps) >= 4 && node.attrs.shape[3]! <= 16,
      madeFor: 'cpu',
      lower: (node) => lowerPartial(node, 'lanes'),
    },
    {
      name: 'tile',
      supports: (caps) => GRAD_BLOCKS.some((block) => gradBlockFits(block, caps)),
      madeFor: 'gpu',
      lower: (node) => lowerPartial(node, 'tile'),
    },
    {
      name: 'direct',
      kernel(node, caps) {
        const g = geometry(inputType(node, 0), inputType(node, 1), node.attrs.shape);
        return {
          shader: { name: 'conv2d_weight_grad_direct.wgsl', source: directShader },
          defines: { WORKGROUP },
          params: {
            size: u32(size(node.type)),
            batch: u32(g.batch),
            inChannels: u32(g.inChannels),
            height: u32(g.height),
            width: u32(g.width),
            outChannels: u32(g.outChannels),
            outHeight: u32(g.outHeight),
            outWidth: u32(g.outWidth),
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

function winogradSupports(caps: Caps, node: Node<WeightGradAttrs, Operands>): boolean {
  const [, , kh, kw] = node.attrs.shape as [number, number, number, number];
  const m = WINOGRAD_TILES[kh]?.[0];
  if (node.attrs.stride !== 1 || kh !== kw || m === undefined) return false;
  return weightGradFits(inputType(node, 0), inputType(node, 1), { m, k: kh }, caps);
}

function lowerWinograd(node: Node<WeightGradAttrs, Operands>, by: typeof winogradWeightGrad): Node {
  const [x, dy] = node.inputs;
  const { padding, shape } = node.attrs;
  const k = shape[2]!;
  return by(x, dy, { m: WINOGRAD_TILES[k]![0]!, k, padding }, node.label);
}

/** Enough for the transforms to be cheap beside the products. */
function hasManyChannels(node: Node<WeightGradAttrs, Operands>): boolean {
  const [co, ci] = node.attrs.shape as [number, number];
  return ci >= 32 && co >= 32;
}

function multiplyAdds(node: Node<WeightGradAttrs, Operands>): number {
  const [n, , oh, ow] = nchw(inputType(node, 1));
  return n * oh * ow * size(node.type);
}

type Algorithm = 'taps' | 'lanes' | 'tile';

interface PartialAttrs {
  readonly algorithm: Algorithm;
  readonly shape: readonly number[];
  readonly stride: number;
  /** Of the input; the kernels for CPU adapters get it padded. */
  readonly padding: number;
  readonly splits: number;
}

/** Output channels per subgroup of the `lanes` kernel, and pixels per step. */
const LANES_CHANNELS = 8;
const LANES_PIXELS = 8;
/** Output channels per subgroup of the `taps` kernel, and taps of all input channels that it keeps at most. */
const TAPS_CHANNELS = 16;
const MOST_TAPS = 64;
/** Workgroups that keep an adapter busy; partial sums are cut until there are about this many. */
const ENOUGH_WORKGROUPS = { taps: 64, lanes: 64, tile: 512 };

/** Taps of all input channels. @param shape of the weights [CO, CI, KH, KW] */
function tapsOf(shape: readonly number[]): number {
  return shape.slice(1).reduce((product, n) => product * n, 1);
}

/** Blocks of partial sums that cover the weights. */
function blocks(algorithm: Algorithm, g: ReturnType<typeof geometry>): number {
  switch (algorithm) {
    case 'taps':
      return Math.ceil(g.outChannels / TAPS_CHANNELS);
    // 16 lanes stand in for all subgroup sizes, so that the split, and with it the rounding, depends on the shape only.
    case 'lanes':
      return Math.ceil(g.inChannels / 16) * Math.ceil(g.outChannels / LANES_CHANNELS);
    case 'tile':
      return Math.ceil((g.inChannels * g.kernelHeight * g.kernelWidth) / 64) * Math.ceil(g.outChannels / 64);
  }
}

/** Pixels that a split of the `tile` kernel takes at least, four lots. */
const PIXELS = 4 * GRAD_STEP;

function pixelUnits(g: ReturnType<typeof geometry>): number {
  return Math.ceil((g.batch * g.outHeight * g.outWidth) / PIXELS);
}

function lowerPartial(node: Node<WeightGradAttrs, Operands>, algorithm: Algorithm): Node {
  const [x, dy] = node.inputs;
  const { stride, padding, shape } = node.attrs;
  const isPadded = padding > 0 && algorithm !== 'tile';
  const padded = isPadded ? pad2d(x, { top: padding, bottom: padding, left: padding, right: padding }) : x;
  const g = geometry(x.type, dy.type, shape);
  const tiles = blocks(algorithm, g);
  const units = algorithm === 'tile' ? pixelUnits(g) : g.batch * g.outHeight;
  const wanted = Math.max(1, Math.min(units, Math.ceil(ENOUGH_WORKGROUPS[algorithm] / tiles)));
  const splits = Math.ceil(units / Math.ceil(units / wanted));
  const partial = makeNode(
    partialOp,
    [padded, dy],
    { algorithm, shape, stride, padding: isPadded ? 0 : padding, splits } satisfies PartialAttrs,
    node.label,
  );
  return foldSplits(partial, shape, 1, `${node.label}.fold`);
}

/** Of the kernels whose subgroups walk over output rows. */
function subgroupParams(node: Node<PartialAttrs, Operands>) {
  const g = geometry(inputType(node, 0), inputType(node, 1), node.attrs.shape);
  return {
    batch: u32(g.batch),
    inChannels: u32(g.inChannels),
    height: u32(g.height),
    width: u32(g.width),
    outChannels: u32(g.outChannels),
    outHeight: u32(g.outHeight),
    outWidth: u32(g.outWidth),
    rowsPerSplit: u32(Math.ceil((g.batch * g.outHeight) / node.attrs.splits)),
  };
}

const partialOp: Op<PartialAttrs, Operands> = {
  name: 'conv2dWeightGradPartial',
  infer: (_, { shape, splits }) => ({ shape: [splits, ...shape], dtype: 'f32' }),
  reference: testedThrough('conv2dWeightGradPartial', 'conv2dWeightGrad'),
  cost(node) {
    const [n, co, oh, ow] = nchw(inputType(node, 1));
    const [, ci, kh, kw] = node.attrs.shape as [number, number, number, number];
    return {
      flops: 2 * n * co * oh * ow * ci * kh * kw,
      bytes: 4 * (size(inputType(node, 0)) + size(inputType(node, 1)) + size(node.type)),
    };
  },
  variants: [
    {
      name: 'taps',
      supports: (_, node) => node.attrs.algorithm === 'taps',
      kernel(node, caps) {
        const { shape, stride, splits } = node.attrs;
        const [, outChannels] = nchw(inputType(node, 1));
        const [, , KH, KW] = shape as [number, number, number, number];
        const S = lanes(caps);
        return {
          shader: { name: 'conv2d_weight_grad_taps.wgsl', source: tapsShader },
          defines: { S, MT: TAPS_CHANNELS, NT: Math.ceil(tapsOf(shape) / S), KH, KW, ST: stride },
          params: subgroupParams(node),
          grid: [Math.ceil(outChannels / TAPS_CHANNELS), splits],
        };
      },
    },
    {
      name: 'lanes',
      supports: (_, node) => node.attrs.algorithm === 'lanes',
      kernel(node, caps) {
        const { shape, stride, splits } = node.attrs;
        const [, inChannels] = nchw(inputType(node, 0));
        const [, outChannels] = nchw(inputType(node, 1));
        const [, , KH, KW] = shape as [number, number, number, number];
        const S = lanes(caps);
        const KR = KH * KW <= 25 ? KH : 1;
        return {
          shader: { name: 'conv2d_weight_grad_lanes.wgsl', source: lanesShader },
          defines: { S, MT: LANES_CHANNELS, P: LANES_PIXELS, KH, KW, KR, ST: stride },
          params: subgroupParams(node),
          grid: [Math.ceil(inChannels / S), Math.ceil(outChannels / LANES_CHANNELS), splits * (KH / KR)],
        };
      },
    },
    ...GRAD_BLOCKS.map(
      (block): Variant<PartialAttrs, Operands> => ({
        name: gradBlockName(block),
        supports: (caps, node) => node.attrs.algorithm === 'tile' && gradBlockFits(block, caps),
        madeFor: 'gpu',
        suits: (caps, node) => defaultGradBlock(node.attrs.shape[0]!, tapsOf(node.attrs.shape), caps) === block,
        kernel: (node) => tileKernel(node, block),
      }),
    ),
  ],
};

function tileKernel(node: Node<PartialAttrs, Operands>, block: GradBlock): Kernel {
  const { shape, stride, padding, splits } = node.attrs;
  const g = geometry(inputType(node, 0), inputType(node, 1), shape);
  return {
    shader: { name: 'conv2d_weight_grad_tile.wgsl', source: tileShader },
    defines: {
      MT: block.rows,
      NT: block.columns,
      TM: block.sums[0],
      TN: block.sums[1],
      INVOCATIONS: invocations(block),
      KH: g.kernelHeight,
      KW: g.kernelWidth,
      STRIDE: stride,
      PADDING: padding,
      PADDED: Number(padding > 0),
    },
    params: {
      batch: u32(g.batch),
      inChannels: u32(g.inChannels),
      height: u32(g.height),
      width: u32(g.width),
      outChannels: u32(g.outChannels),
      outHeight: u32(g.outHeight),
      outWidth: u32(g.outWidth),
      pixelsPerSplit: u32(Math.ceil(pixelUnits(g) / splits) * PIXELS),
    },
    grid: [Math.ceil(tapsOf(shape) / block.columns), Math.ceil(g.outChannels / block.rows), splits],
  };
}
