import lanesShader from '../../shaders/conv2d_weight_grad_lanes.wgsl';
import tapsShader from '../../shaders/conv2d_weight_grad_taps.wgsl';
import tileShader from '../../shaders/conv2d_weight_grad_tile.wgsl';
import {
  type Kernel,
  makeNode,
  type Node,
  type Op,
  size,
  type TensorType,
  u32,
  type Variant,
} from '../engine/graph.ts';
import { lanes, nchw } from '../kernels/common.ts';
import { foldSplits } from '../kernels/foldSplits.ts';
import { pad2d } from '../kernels/pad2d.ts';
import {
  defaultGradBlock,
  GRAD_BLOCKS,
  GRAD_STEP,
  type GradBlock,
  gradBlockFits,
  gradBlockName,
  invocations,
} from './gradBlock.ts';

/* The gradient of conv2d with respect to its weights as a sum over pixels in parts, which are added in a fixed order. */

export interface WeightGradAttrs {
  readonly stride: number;
  readonly padding: number;
  /** Shape of the weights [CO, CI, KH, KW]. */
  readonly shape: readonly number[];
}

/** x and dy. */
export type WeightGradSignature = readonly ['f32', 'f32'];

export type WeightGradNode = Node<WeightGradAttrs, WeightGradSignature>;

/** Sizes of the convolution. @param shape of the weights */
export function geometry(x: TensorType, dy: TensorType, shape: readonly number[]) {
  const [batch, inChannels, height, width] = nchw(x);
  const [, outChannels, outHeight, outWidth] = nchw(dy);
  const [, , kernelHeight, kernelWidth] = shape as [number, number, number, number];
  return { batch, inChannels, height, width, outChannels, outHeight, outWidth, kernelHeight, kernelWidth };
}

/**
 * The definition: the share of some pixels of dy, which are counted through the batch.
 * @returns [CO, CI, KH, KW]
 */
export function partialGradient(
  x: Float64Array,
  dy: Float64Array,
  g: ReturnType<typeof geometry>,
  { stride, padding }: Pick<WeightGradAttrs, 'stride' | 'padding'>,
  from = 0,
  to = g.batch * g.outHeight * g.outWidth,
): Float64Array {
  const dw = new Float64Array(g.outChannels * g.inChannels * g.kernelHeight * g.kernelWidth);
  const plane = g.outHeight * g.outWidth;
  for (let co = 0; co < g.outChannels; co++) {
    for (let pixel = from; pixel < to; pixel++) {
      const n = Math.floor(pixel / plane);
      const [oy, ox] = [Math.floor((pixel % plane) / g.outWidth), pixel % g.outWidth];
      const d = dy[(n * g.outChannels + co) * plane + (pixel % plane)]!;
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
  return dw;
}

/** Work of the definition, and the bytes that are read and written. */
export function weightGradCost(node: Node<Pick<WeightGradAttrs, 'shape'>, WeightGradSignature>) {
  const [x, dy] = node.inputs;
  const [n, co, oh, ow] = nchw(dy.type);
  return {
    flops: 2 * n * co * oh * ow * tapsOf(node.attrs.shape),
    bytes: 4 * (size(x.type) + size(dy.type) + size(node.type)),
  };
}

type Algorithm = 'taps' | 'lanes' | 'tile';

export interface PartialAttrs {
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
export const MOST_TAPS = 64;
/** Workgroups that keep an adapter busy; partial sums are cut until there are about this many. */
const ENOUGH_WORKGROUPS = { taps: 64, lanes: 64, tile: 512 };

/** Taps of all input channels. @param shape of the weights [CO, CI, KH, KW] */
export function tapsOf(shape: readonly number[]): number {
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

/** The gradient by an algorithm. */
export function partialWeightGrad(node: WeightGradNode, algorithm: Algorithm): Node {
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
    weightGradPartialOp,
    [padded, dy],
    { algorithm, shape, stride, padding: isPadded ? 0 : padding, splits } satisfies PartialAttrs,
    node.label,
  );
  return foldSplits(partial, shape, 1, `${node.label}.fold`);
}

/** Output pixels of a split, counted through the batch: whole rows, or lots of them. */
function pixelsPerSplit({ algorithm, splits }: PartialAttrs, g: ReturnType<typeof geometry>): number {
  return algorithm === 'tile'
    ? Math.ceil(pixelUnits(g) / splits) * PIXELS
    : Math.ceil((g.batch * g.outHeight) / splits) * g.outWidth;
}

/** Parameters of all kernels of this gradient. */
export const sizeParams = (g: ReturnType<typeof geometry>) => ({
  batch: u32(g.batch),
  inChannels: u32(g.inChannels),
  height: u32(g.height),
  width: u32(g.width),
  outChannels: u32(g.outChannels),
  outHeight: u32(g.outHeight),
  outWidth: u32(g.outWidth),
});

/** Of the kernels whose subgroups walk over output rows. */
function subgroupParams(node: Node<PartialAttrs, WeightGradSignature>) {
  const g = geometry(node.inputs[0].type, node.inputs[1].type, node.attrs.shape);
  return { ...sizeParams(g), rowsPerSplit: u32(pixelsPerSplit(node.attrs, g) / g.outWidth) };
}

/** -> [splits, CO, CI, KH, KW] */
export const weightGradPartialOp: Op<PartialAttrs, WeightGradSignature> = {
  name: 'conv2dWeightGradPartial',
  infer: (_, { shape, splits }) => ({ shape: [splits, ...shape], dtype: 'f32' }),
  reference([x, dy], node) {
    const { shape, splits } = node.attrs;
    const g = geometry(node.inputs[0].type, node.inputs[1].type, shape);
    const each = pixelsPerSplit(node.attrs, g);
    const y = new Float64Array(size(node.type));
    for (let split = 0; split < splits; split++) {
      const to = Math.min((split + 1) * each, g.batch * g.outHeight * g.outWidth);
      y.set(partialGradient(x, dy, g, node.attrs, split * each, to), (split * y.length) / splits);
    }
    return y;
  },
  cost: weightGradCost,
  variants: [
    {
      name: 'taps',
      supports: (_, node) => node.attrs.algorithm === 'taps',
      kernel(node, caps) {
        const { shape, stride, splits } = node.attrs;
        const [, outChannels] = nchw(node.inputs[1].type);
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
        const [, inChannels] = nchw(node.inputs[0].type);
        const [, outChannels] = nchw(node.inputs[1].type);
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
      (block): Variant<PartialAttrs, WeightGradSignature> => ({
        name: gradBlockName(block),
        supports: (caps, node) => node.attrs.algorithm === 'tile' && gradBlockFits(block, caps),
        madeFor: 'gpu',
        suits: (caps, node) => defaultGradBlock(node.attrs.shape[0]!, tapsOf(node.attrs.shape), caps) === block,
        kernel: (node) => tileKernel(node, block),
      }),
    ),
  ],
};

function tileKernel(node: Node<PartialAttrs, WeightGradSignature>, block: GradBlock): Kernel {
  const { shape, stride, padding, splits } = node.attrs;
  const g = geometry(node.inputs[0].type, node.inputs[1].type, shape);
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
    params: { ...sizeParams(g), pixelsPerSplit: u32(pixelsPerSplit(node.attrs, g)) },
    grid: [Math.ceil(tapsOf(shape) / block.columns), Math.ceil(g.outChannels / block.rows), splits],
  };
}
