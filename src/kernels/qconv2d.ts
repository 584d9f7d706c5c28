import directShader from '../../shaders/qconv2d_direct.wgsl';
import tileShader from '../../shaders/qconv2d_tile.wgsl';
import type { Caps } from '../engine/caps.ts';
import { deferred } from '../engine/deferred.ts';
import { expectShapes, isOf, makeNode, type Node, type Op, size } from '../engine/graph.ts';
import { avgPool2d, isPlainPool } from './avgPool2d.ts';
import { foldedGrid, lanes, nchw, WORKGROUP } from './common.ts';
import { pad2d } from './pad2d.ts';
import { matrixVariants } from './qconv2dMatrix.ts';
import { qconv2dReference } from './qconv2dReference.ts';
import {
  addsExactly,
  BLOCK_IN,
  CODE_CENTER,
  common,
  convolutionCost,
  geometry,
  largestInteger,
  outputShape,
  packedWords,
  type Qconv2dAttrs,
  type Qconv2dNode,
  type Qconv2dSignature,
  spatial,
} from './qconv2dShape.ts';
import { winogradVariants } from './qconv2dWinograd.ts';
import { largeWordVariants, smallWordVariants } from './qconv2dWords.ts';
import {
  CHANNELS_PER_WORD,
  isCodes,
  padWords,
  RANGE_LENGTH,
  storeActivations,
  storedType,
  storeOp,
} from './storage.ts';

export { packedWords, type Qconv2dAttrs, type Qconv2dNode, type Qconv2dSignature } from './qconv2dShape.ts';

export interface Qconv2dInputs {
  /** Stored activations of CI channels. @see ActivationStorage */
  readonly x: Node;
  /** u32 words in blocks. @see packBlocks */
  readonly weights: Node;
  /** [CO, CI / groupSize, 2] @see scaleTable */
  readonly table: Node;
  /** [CO] */
  readonly bias: Node;
  /** Of `x` when it is codes, four numbers. @see rangeOf */
  readonly inRange?: Node | undefined;
  /** Of the result when it is codes, four numbers. @see rangeOf */
  readonly outRange?: Node | undefined;
}

/**
 * 2-D convolution with weights of 2 to 8 bits. Activations of codes are multiplied and summed as integers, exactly; bias,
 * rectifier, 2x2 mean and the storing of the result are part of the same dispatch.
 * @returns the stored result, [N, CO, OH, OW] or with `pool` [N, CO, floor(OH / 2), floor(OW / 2)] @see ActivationStorage
 * @throws ShapeError
 */
export function qconv2d(inputs: Qconv2dInputs, attrs: Qconv2dAttrs, label?: string): Node {
  const { x, weights, table, bias, inRange, outRange } = inputs;
  const ranges = [inRange, outRange].filter((range) => range !== undefined);
  return makeNode(qconv2dOp, [x, weights, table, bias, ...ranges], attrs, label);
}

/**
 * Matrix product of quantized weights [CO, CI] with stored activations [N, CI, 1, P]: a 1 x 1 convolution.
 * @returns the stored result [N, CO, 1, P]
 */
export function qmatmul(
  inputs: Qconv2dInputs,
  attrs: Pick<Qconv2dAttrs, 'weights' | 'bits' | 'groupSize' | 'input' | 'output'>,
  label?: string,
): Node {
  return qconv2d(inputs, { ...attrs, stride: 1, padding: 0, relu: false, pool: false }, label);
}

export const qconv2dOp: Op<Qconv2dAttrs, Qconv2dSignature> = {
  name: 'qconv2d',
  infer(inputs, attrs) {
    const { weights, bits, groupSize, input, output } = attrs;
    const [x, w, table, bias, ...ranges] = inputs;
    const [co, ci] = weights as [number, number];
    const ok =
      x.shape.length === 4 &&
      x.dtype === (input === 'f32' ? 'f32' : 'u32') &&
      x.shape[1] === Math.ceil(ci / CHANNELS_PER_WORD[input]) &&
      size(w) === packedWords(weights, bits) &&
      ci % groupSize === 0 &&
      (groupSize === ci || groupSize % BLOCK_IN === 0) &&
      size(table) === (2 * co * ci) / groupSize &&
      size(bias) === co &&
      ranges.length === Number(isCodes(input)) + Number(isCodes(output)) &&
      ranges.every((range) => size(range) === RANGE_LENGTH);
    const expected = `${input} activations of ${ci} channels, ${packedWords(weights, bits)} words of weights, their table, bias [${co}], a range f32[4] for each side of codes, and groups of a multiple of 4`;
    expectShapes('qconv2d', ok, inputs, expected);
    const shape = outputShape(attrs, x);
    expectShapes('qconv2d', shape[2]! >= 1 && shape[3]! >= 1, inputs, 'an input of at least the size of the kernel');
    return storedType(shape, output);
  },
  extend(node, user) {
    const { pool, output } = node.attrs;
    if (output !== 'f32') return undefined;
    if (isPlainPool(user) && !pool) return makeNode(qconv2dOp, node.inputs, { ...node.attrs, pool: true }, node.label);
    // Kernels of float inputs compute four channels at a time, half a word of u4.
    if (isOf(user, storeOp) && (user.attrs.storage !== 'u4' || isCodes(node.attrs.input)))
      return makeNode(
        qconv2dOp,
        [...node.inputs, ...user.inputs.slice(1)],
        { ...node.attrs, output: user.attrs.storage },
        node.label,
      );
    return undefined;
  },
  reference: qconv2dReference,
  cost: convolutionCost,
  variants: [
    ...winogradVariants,
    {
      name: 'rows',
      supports(caps, node) {
        const s = lanes(caps);
        const { kernelHeight, kernelWidth } = geometry(node);
        const fits = kernelHeight <= 5 && kernelWidth <= 5 && kernelWidth < s;
        return s >= 4 && node.attrs.stride === 1 && fits;
      },
      madeFor: 'cpu',
      suits: (caps, node) => lanes(caps) >= 8 && geometry(node).convWidth >= 4,
      lower: prepadded,
      kernel: (node, caps) => onCpus().rowsKernel(node, caps),
    },
    {
      name: 'lanes',
      supports(caps, { attrs: { weights, bits } }) {
        const s = lanes(caps);
        return s >= 4 && weights[3]! <= 16 && addsExactly(weights[3]! * BLOCK_IN * largestInteger(bits));
      },
      madeFor: 'cpu',
      lower(node) {
        return unpooled(node) ?? prepadded(node);
      },
      kernel: (node, caps) => onCpus().lanesKernel(node, caps),
    },
    ...smallWordVariants,
    ...matrixVariants,
    ...largeWordVariants,
    {
      name: 'tile',
      supports(caps, node) {
        const { groupSize, weights, input, output } = node.attrs;
        const [, ci, kh, kw] = weights as [number, number, number, number];
        const whole = groupSize === ci || ((groupSize / BLOCK_IN) * kh * kw) % TILE_STEP === 0;
        // Halves of a word of codes go through the tile of codes.
        const isPacked = output !== 'u4' || isCodes(input);
        return (
          caps.limits.maxComputeInvocationsPerWorkgroup >= 256 &&
          whole &&
          isPacked &&
          !(node.attrs.pool && node.attrs.stride > 1)
        );
      },
      madeFor: 'gpu',
      kernel: tileKernel,
    },
    {
      name: 'direct',
      lower(node) {
        return node.attrs.stride > 1 ? unpooled(node) : undefined;
      },
      kernel: directKernel,
    },
  ],
};

const onCpus = deferred(() => import('./cpuKernels.ts'));

/** Steps of 4 input channels that the tile kernel stages at once. */
const TILE_STEP = 8;

/** Padding by an op of its own, for kernels that cannot do it. */
function prepadded(node: Qconv2dNode): Node | undefined {
  const { padding, input } = node.attrs;
  if (padding === 0) return undefined;
  const [x, w, table, bias, ...ranges] = node.inputs;
  const padded =
    input === 'f32'
      ? pad2d(x, { top: padding, bottom: padding, left: padding, right: padding })
      : padWords(x, padding, input, isCodes(input) ? ranges[0] : undefined, `${node.label}.pad`);
  return makeNode(qconv2dOp, [padded, w, table, bias, ...ranges], { ...node.attrs, padding: 0 }, node.label);
}

/** Pooling by an op of its own: the float result is pooled and then stored. */
function unpooled(node: Qconv2dNode): Node | undefined {
  const { pool, output } = node.attrs;
  if (!pool) return undefined;
  const [x, w, table, bias, ...ranges] = node.inputs;
  const outRange = isCodes(output) ? ranges.at(-1) : undefined;
  const inRanges = outRange ? ranges.slice(0, -1) : ranges;
  const conv = makeNode(
    qconv2dOp,
    [x, w, table, bias, ...inRanges],
    { ...node.attrs, pool: false, output: 'f32' as const },
    node.label,
  );
  const pooled = avgPool2d(conv, { padding: 0 });
  return output === 'f32' ? pooled : storeActivations(pooled, output, outRange);
}

function tileKernel(node: Qconv2dNode, caps: Caps) {
  const { bits, pool } = node.attrs;
  const { g, defines } = common(node, { center: CODE_CENTER });
  const [, , outHeight, outWidth] = nchw(node.type);
  const pixels = g.batch * outHeight * outWidth * (pool ? 4 : 1);
  return {
    shader: { name: 'qconv2d_tile.wgsl', source: tileShader },
    defines: { ...defines, BK: TILE_STEP, SHIFT: bits === 2 ? 5 : 8 - bits, PACKED_DOT: Number(caps.packedDot) },
    params: spatial(node),
    grid: [Math.ceil(pixels / 64), Math.ceil(g.outChannels / 64)] as const,
  };
}

function directKernel(node: Qconv2dNode, caps: Caps) {
  const { defines } = common(node);
  return {
    shader: { name: 'qconv2d_direct.wgsl', source: directShader },
    defines: { ...defines, WORKGROUP },
    params: spatial(node),
    grid: foldedGrid(size(node.type), caps),
  };
}
