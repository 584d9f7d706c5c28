import unpackShader from '../../shaders/unpack_weights.wgsl';
import type { Caps } from '../engine/caps.ts';
import { makeNode, type Node, type Op, size, u32 } from '../engine/graph.ts';
import { foldedGrid, WORKGROUP } from './common.ts';
import { codeDefines, geometry, outputShape, type Qconv2dAttrs, type Qconv2dNode } from './qconv2dShape.ts';
import { isCodes } from './storage.ts';
import { unpackBlocks } from './weightBlocks.ts';
import { winogradInputOp } from './winograd.ts';
import { type StoredConvAttrs, winogradStoredConvOp } from './winogradFused.ts';
import { type Between, winogradStoredInputOp } from './winogradStored.ts';
import { quads, rowChunks, tiling } from './winogradTiles.ts';

/** qconv2d of the nodes that Winograd's variants support. @param m output tile */
export function quantizedWinograd(node: Qconv2dNode, between: Between, m: number, caps: Caps): Node {
  const { weights, bits, padding, relu, pool, input, output } = node.attrs;
  const [x, words, table, bias, ...ranges] = node.inputs;
  const g = geometry(node);
  const k = g.kernelHeight;
  const { label } = node;
  const quad = quads(pool, m);
  const { tilesY, tilesX } = tiling(g.convHeight, g.convWidth, m, quad);
  const bytesPerPoint = 4 * (m + k - 1) ** 2 * Math.max(g.inChannels, g.outChannels);
  const w = between === 'floats' ? unpackWeights(words, { weights, bits }, `${label}.codes`) : words;
  let y: Node | undefined;
  for (const chunk of rowChunks({ total: g.batch * tilesY, tilesX, quad, bytesPerPoint }, caps)) {
    const place = { m, k, ...chunk, tilesY, tilesX };
    const v =
      input === 'f32'
        ? makeNode(winogradInputOp, [x], { ...place, padding }, `${label}.input`)
        : makeNode(
            winogradStoredInputOp,
            isCodes(input) ? [x, ranges[0]!] : [x],
            { ...place, padding, between, storage: input, channels: g.inChannels },
            `${label}.input`,
          );
    const attrs: StoredConvAttrs = {
      ...place,
      ...{ between, relu, pool, input, output, weights, bits },
      shape: outputShape(node.attrs, x.type),
    };
    y = makeNode(winogradStoredConvOp, [w, v, table, bias, ...ranges, ...(y ? [y] : [])], attrs, label);
  }
  return y!;
}

type UnpackAttrs = Pick<Qconv2dAttrs, 'weights' | 'bits'>;

/** The integers of packed weights. @returns [CO, CI, KH, KW] */
function unpackWeights(words: Node, { weights, bits }: UnpackAttrs, label: string): Node {
  return makeNode(unpackWeightsOp, [words], { weights, bits }, label);
}

export const unpackWeightsOp: Op<UnpackAttrs, readonly ['u32']> = {
  name: 'unpackWeights',
  infer: (_, { weights }) => ({ shape: weights, dtype: 'f32' }),
  reference: ([words], { attrs: { weights, bits } }) => Float64Array.from(unpackBlocks(words, weights, bits)),
  variants: [
    {
      name: 'element',
      kernel(node, caps) {
        const { weights, bits } = node.attrs;
        const [, inChannels, kh, kw] = weights as [number, number, number, number];
        const count = size(node.type);
        return {
          shader: { name: 'unpack_weights.wgsl', source: unpackShader },
          defines: { ...codeDefines(bits), WORKGROUP },
          params: { size: u32(count), inChannels: u32(inChannels), taps: u32(kh * kw) },
          grid: foldedGrid(count, caps),
        };
      },
    },
  ],
};
