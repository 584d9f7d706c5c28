import unpackShader from '../../shaders/unpack_weights.wgsl';
import type { Caps } from '../engine/caps.ts';
import { makeNode, type Node, type Op, size, u32, type Variant } from '../engine/graph.ts';
import { foldedGrid, lanes, testedThrough, WORKGROUP } from './common.ts';
import { geometry, largestSum, outputShape, type Qconv2dAttrs } from './qconv2dShape.ts';
import { WINOGRAD_TILES, winogradInputOp } from './winograd.ts';
import { type StoredConvAttrs, winogradStoredConvOp } from './winogradFused.ts';
import { EXACT_BELOW, LARGEST_SHIFTED_CODE } from './winogradIntegers.ts';
import { type Between, winogradStoredInputOp } from './winogradStored.ts';
import { quads, rowChunks, tiling } from './winogradTiles.ts';

/*
 * qconv2d by Winograd's method. `winogradMIntegers` gives the bits of the direct kernels; `winogradMFloats` transforms and multiplies the
 * same integers as floats, so that results differ by float32 rounding.
 */

/** Largest error of the floats, as a share of the largest output before it is stored. */
const FLOATS_ERROR = 5e-5;

/** Input and output channels from which on the products outweigh the transforms. */
const LEAST_CHANNELS = 32;

function isWinograd({ weights, stride, groupSize }: Qconv2dAttrs, m: number): boolean {
  const [, ci, kh, kw] = weights as [number, number, number, number];
  return stride === 1 && groupSize === ci && kh === kw && (WINOGRAD_TILES[kh]?.includes(m) ?? false);
}

function isLarge({ attrs: { weights } }: Node<Qconv2dAttrs>): boolean {
  const [co, ci] = weights as [number, number];
  return co >= LEAST_CHANNELS && ci >= LEAST_CHANNELS;
}

/** Whether no weights and activations can reach sums for which the integers would not be exact. */
function isExact(attrs: Qconv2dAttrs): boolean {
  return LARGEST_SHIFTED_CODE * largestSum(attrs) < EXACT_BELOW;
}

function variant(between: Between, m: number): Variant<Qconv2dAttrs> {
  const isIntegers = between === 'integers';
  return {
    name: `winograd${m}${isIntegers ? 'Integers' : 'Floats'}`,
    supports: (_, { attrs }) => isWinograd(attrs, m) && (!isIntegers || (attrs.input === 'u8' && isExact(attrs))),
    ...(!isIntegers && { error: () => FLOATS_ERROR }),
    suits: (caps, node) => caps.isCpu && lanes(caps) >= 4 && isLarge(node) && (isIntegers || node.attrs.input !== 'u8'),
    lower: (node, caps) => winograd(node, between, m, caps),
  };
}

/** Output tiles, those with the fewest products first. */
const TILES = [4, 3, 2];
export const winogradVariants: readonly Variant<Qconv2dAttrs>[] = [
  ...TILES.map((m) => variant('integers', m)),
  ...TILES.map((m) => variant('floats', m)),
];

function winograd(node: Node<Qconv2dAttrs>, between: Between, m: number, caps: Caps): Node {
  const { weights, bits, padding, relu, pool, input, output } = node.attrs;
  const [x, words, table, bias, ...ranges] = node.inputs as [Node, Node, Node, Node, ...Node[]];
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
            input === 'u8' ? [x, ranges[0]!] : [x],
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

const unpackWeightsOp: Op<UnpackAttrs> = {
  name: 'unpackWeights',
  infer: (_, { weights }) => ({ shape: weights, dtype: 'f32' }),
  reference: testedThrough('unpackWeights', 'qconv2d'),
  variants: [
    {
      name: 'element',
      kernel(node, caps) {
        const { weights, bits } = node.attrs;
        const [, inChannels, kh, kw] = weights as [number, number, number, number];
        const count = size(node.type);
        return {
          shader: { name: 'unpack_weights.wgsl', source: unpackShader },
          defines: { BITS: bits, JUSTIFIED: (0xff << (8 - bits)) & 0xff, WORKGROUP },
          params: { size: u32(count), inChannels: u32(inChannels), taps: u32(kh * kw) },
          grid: foldedGrid(count, caps),
        };
      },
    },
  ],
};
