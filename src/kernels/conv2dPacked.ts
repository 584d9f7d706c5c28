import lanesShader from '../../shaders/conv2d_lanes.wgsl';
import rowsShader from '../../shaders/conv2d_rows.wgsl';
import type { Caps } from '../engine/caps.ts';
import { makeNode, type Node, type Op, size, u32, type Variant } from '../engine/graph.ts';
import { lanes, nchw, testedThrough } from './common.ts';
import { type Conv2dNode, type Conv2dSignature, convOutput, geometry } from './conv2dShape.ts';
import { packWeights } from './packWeights.ts';
import { pad2d } from './pad2d.ts';

type Algorithm = 'rows' | 'lanes';
/** Groups of S pixels per lane of the `lanes` kernel. */
const LANES_GROUPS = 4;

interface Block {
  readonly algorithm: Algorithm;
  /** Output channels of a workgroup. */
  readonly tile: number;
}

interface PackedAttrs extends Block {
  readonly weights: readonly number[];
  readonly stride: number;
  readonly relu: boolean;
  readonly pool: boolean;
  readonly groups: number;
  readonly firstChannel: number;
}

/** A convolution over weights that are packed for CPU adapters. */
export function lowerPacked(node: Conv2dNode, block: Block): Node {
  const [x, w, bias] = node.inputs;
  const { stride, padding, relu, pool, groups, firstChannel = 0 } = node.attrs;
  const padded = padding > 0 ? pad2d(x, { top: padding, bottom: padding, left: padding, right: padding }) : x;
  const packed = packWeights(w, block.tile);
  const attrs: PackedAttrs = { ...block, weights: w.type.shape, stride, relu, pool, groups, firstChannel };
  return makeNode(conv2dPackedOp, bias ? [padded, packed, bias] : [padded, packed], attrs, node.label);
}

/** Rows and column groups of S lanes that one subgroup of the `rows` kernel computes. */
const ROWS_TILES: readonly (readonly [groups: number, rows: number, speed: number])[] = [
  [2, 4, 1],
  [3, 3, 0.95],
  [1, 8, 0.85],
  [1, 4, 0.7],
];

/** The tile that wastes the fewest lanes, weighted with how fast a full tile of each shape is. */
export function rowsTile(width: number, height: number, s: number, pool = false): readonly [number, number] {
  let best: readonly [number, number, number] = ROWS_TILES[0]!;
  let bestScore = 0;
  for (const tile of ROWS_TILES) {
    const [groups, rows, speed] = tile;
    // Pooling windows are not cut.
    if (pool && rows % 2 === 1) continue;
    const covered = Math.ceil(width / (groups * s)) * groups * s * Math.ceil(height / rows) * rows;
    const score = (speed * width * height) / covered;
    if (score > bestScore) {
      best = tile;
      bestScore = score;
    }
  }
  return [best[0], best[1]];
}

/** A convolution without padding over packed weights: what the variants for CPU adapters consist of. */
const conv2dPackedOp: Op<PackedAttrs, Conv2dSignature> = {
  name: 'conv2dPacked',
  infer([x], { weights, stride, pool }) {
    const [co, , kh, kw] = weights as [number, number, number, number];
    const [n, , h, w] = nchw(x);
    const [oh, ow] = [convOutput(h, kh, stride, 0), convOutput(w, kw, stride, 0)];
    return { shape: pool ? [n, co, oh >> 1, ow >> 1] : [n, co, oh, ow], dtype: 'f32' };
  },
  reference: testedThrough('conv2dPacked', 'conv2d'),
  cost(node) {
    return packedCost(node);
  },
  variants: (['rows', 'lanes'] as const).map(
    (algorithm): Variant<PackedAttrs, Conv2dSignature> => ({
      name: algorithm,
      supports: (_, node) => node.attrs.algorithm === algorithm,
      kernel: (node, caps) => packedKernel(node, caps),
    }),
  ),
};

function packedGeometry(node: Node<PackedAttrs, Conv2dSignature>) {
  return geometry(node.inputs[0].type, { shape: node.attrs.weights, dtype: 'f32' }, node.attrs.stride, 0);
}

function packedCost(node: Node<PackedAttrs, Conv2dSignature>) {
  const g = packedGeometry(node);
  const depth = g.inChannels * g.kernelHeight * g.kernelWidth;
  return {
    flops: 2 * g.batch * g.outChannels * g.outHeight * g.outWidth * depth,
    bytes: 4 * (size(node.inputs[0].type) + g.outChannels * depth + size(node.type)),
  };
}

function packedKernel(node: Node<PackedAttrs, Conv2dSignature>, caps: Caps) {
  const { algorithm, tile, stride, relu, pool, groups, firstChannel } = node.attrs;
  const g = packedGeometry(node);
  const BIAS = node.inputs.length - 2;
  const RELU = Number(relu);
  const common = {
    xChannels: u32(g.xChannels),
    inChannels: u32(g.inChannels),
    height: u32(g.height),
    width: u32(g.width),
    outChannels: u32(g.outChannels),
    outHeight: u32(node.type.shape[2]!),
    outWidth: u32(node.type.shape[3]!),
    channelsPerGroup: u32(g.outChannels / groups),
    firstChannel: u32(firstChannel),
  };
  const pixels = g.batch * g.outHeight * g.outWidth;
  const S = lanes(caps);
  if (algorithm === 'rows') {
    const [NX, RY] = rowsTile(g.outWidth, g.outHeight, S, pool);
    const columnTiles = Math.ceil(g.outWidth / (NX * S));
    return {
      shader: { name: 'conv2d_rows.wgsl', source: rowsShader },
      defines: { S, MT: tile, NX, RY, KH: g.kernelHeight, KW: g.kernelWidth, BIAS, RELU, POOL: Number(pool) },
      params: { ...common, columnTiles: u32(columnTiles) },
      grid: [columnTiles * Math.ceil(g.outHeight / RY), Math.ceil(g.outChannels / tile), g.batch] as const,
    };
  }
  return {
    shader: { name: 'conv2d_lanes.wgsl', source: lanesShader },
    defines: { S, MT: tile, NT: LANES_GROUPS, KW: g.kernelWidth, BIAS, RELU },
    params: { ...common, batch: u32(g.batch), kernelHeight: u32(g.kernelHeight), stride: u32(stride) },
    grid: [Math.ceil(pixels / (LANES_GROUPS * S)), Math.ceil(g.outChannels / tile)] as const,
  };
}
