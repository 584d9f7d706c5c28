import outputShader from '../../shaders/winograd_output.wgsl';
import type { Caps } from '../engine/caps.ts';
import { deferred } from '../engine/deferred.ts';
import type { Node, Op, TensorType } from '../engine/graph.ts';
import { makeNode, u32 } from '../engine/graph.ts';
import { nchw } from '../kernels/common.ts';
import { winogradInputOp, winogradProductOp } from '../kernels/winograd.ts';
import { winogradDyOp } from '../kernels/winogradDy.ts';
import type { DyAttrs, InputAttrs, ProductAttrs, TileAttrs } from '../kernels/winogradTiles.ts';
import { channelsPerInvocation, tiling, transformWorkgroup } from '../kernels/winogradTiles.ts';
import { winogradGradProducts } from './winogradGradProduct.ts';

/** Only tools ask for them. */
const definitions = deferred(() => import('../kernels/winogradReferences.ts'));

interface GradOutputAttrs extends TileAttrs {
  readonly shape: readonly number[];
}

/** Transformed inputs of a weight gradient: the same as the forward convolution's. */
function gradInput(x: Node, dy: Node, { m, k, padding }: TileAttrs & { readonly padding: number }, label: string) {
  const [images] = nchw(x.type);
  const [, , outHeight, outWidth] = nchw(dy.type);
  const { tilesY, tilesX } = tiling(outHeight, outWidth, m, 1);
  const rows = images * tilesY;
  const attrs: InputAttrs = { m, k, padding, firstRow: 0, rows, tilesY, tilesX };
  return { v: makeNode(winogradInputOp, [x], attrs, `${label}.input`), tiles: rows * tilesX, tilesY, tilesX };
}

/** [CO, (m + k - 1)^2, pitch(CI)] -> dw [CO, CI, k, k]: the output transform with one k x k tile per pair of channels. */
export function winogradWeightGrad(
  x: Node,
  dy: Node,
  { m, k, padding }: TileAttrs & { readonly padding: number },
  label: string,
): Node {
  const { v, ...tiles } = gradInput(x, dy, { m, k, padding }, label);
  const attrs: ProductAttrs = { m, k, groups: 1, firstChannel: 0, from: 'dy', ...tiles };
  const products = makeNode(winogradProductOp, [dy, v], attrs, label);
  const shape = [dy.type.shape[1]!, x.type.shape[1]!, k, k];
  return makeNode(winogradGradOutputOp, [products], { m, k, shape } satisfies GradOutputAttrs, `${label}.output`);
}

/** The same on GPUs, with both operands' tiles in a row and the sum over tiles in splits. */
export function winogradSplitWeightGrad(
  x: Node,
  dy: Node,
  { m, k, padding }: TileAttrs & { readonly padding: number },
  label: string,
): Node {
  const { v, tiles, tilesY, tilesX } = gradInput(x, dy, { m, k, padding }, label);
  const u = makeNode(winogradDyOp, [dy], { m, k, tile: 0, tilesY, tilesX } satisfies DyAttrs, `${label}.dy`);
  return winogradGradProducts(u, v, { m, k, tiles }, label);
}

/** Whether the intermediate values of a Winograd weight gradient can be bound. */
export function weightGradFits(x: TensorType, dy: TensorType, { m, k }: TileAttrs, caps: Caps): boolean {
  const [images, inChannels] = nchw(x);
  const [, outChannels, outHeight, outWidth] = nchw(dy);
  const { tilesY, tilesX } = tiling(outHeight, outWidth, m, 1);
  // Channels of dy are filled up to whole blocks of at most 128.
  const widest = Math.max(inChannels, Math.ceil(outChannels / 128) * 128);
  return 4 * (m + k - 1) ** 2 * (images * tilesY * tilesX + 32) * widest <= caps.limits.maxStorageBufferBindingSize;
}

/** [CO, points, pitch(CI)] -> dw [CO, CI, k, k] */
export const winogradGradOutputOp: Op<GradOutputAttrs, readonly ['f32']> = {
  name: 'winogradGradOutput',
  infer: (_, { shape }) => ({ shape, dtype: 'f32' }),
  reference: ([m], { attrs, inputs: [products] }) =>
    definitions().winogradGradOutputReference(m, attrs, products.type.shape.at(-1)!),
  variants: [
    {
      name: 'tile',
      kernel(node, caps) {
        const { m, k } = node.attrs;
        const [outChannels, inChannels] = nchw(node.type);
        const workgroup = transformWorkgroup(caps);
        const across = Math.ceil(inChannels / workgroup);
        const each = channelsPerInvocation(caps, across, outChannels);
        return {
          shader: { name: 'winograd_output.wgsl', source: outputShader },
          // Every input channel is an image of one tile.
          defines: {
            A: m + k - 1,
            K: m,
            M: k,
            Q: 1,
            HALVES: 0,
            BIAS: 0,
            RELU: 0,
            POOL: 0,
            CHANNELS: each,
            WORKGROUP: workgroup,
          },
          params: {
            channels: u32(outChannels),
            imageStride: u32(k * k),
            channelStride: u32(inChannels * k * k),
            height: u32(k),
            width: u32(k),
            firstRow: u32(0),
            rows: u32(inChannels),
            tilesY: u32(1),
            tilesX: u32(1),
            pitch: u32(node.inputs[0].type.shape[2]!),
          },
          grid: [across, Math.ceil(outChannels / each)],
        };
      },
    },
  ],
};
