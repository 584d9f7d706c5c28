import shader from '../../shaders/sum_axes.wgsl';
import workgroupShader from '../../shaders/sum_workgroup.wgsl';
import { expectShapes, f32, makeNode, type Node, type Op, size, u32 } from '../engine/graph.ts';
import { foldedGrid, WORKGROUP } from './common.ts';

interface SumAttrs {
  /** x is read as [outer, keep, inner]; the sum runs over outer and inner. */
  readonly outer: number;
  readonly keep: number;
  readonly inner: number;
  readonly factor: number;
  readonly shape: readonly number[];
}

interface ChunkAttrs extends SumAttrs {
  readonly chunks: number;
}

/** Mean over all elements: a scalar. */
export function mean(x: Node, label = 'mean'): Node {
  const n = size(x.type);
  return makeNode(sumOp, [x], { outer: 1, keep: 1, inner: n, factor: 1 / n, shape: [] }, label);
}

/** Sum over all axes but the second: [N, C, H, W] -> [C]. */
export function channelSum(x: Node, label?: string): Node {
  expectShapes('channelSum', x.type.shape.length === 4, [x.type], 'x [N, C, H, W]');
  const [n, c, h, w] = x.type.shape as [number, number, number, number];
  return makeNode(sumOp, [x], { outer: n, keep: c, inner: h * w, factor: 1, shape: [c] }, label);
}

/**
 * The definition: sums of chunks of the inner axis, [keep, chunks].
 * @param chunkOf the chunk of an element of that axis
 */
function chunkSums(
  x: Float64Array,
  { outer, keep, inner, factor, chunks }: ChunkAttrs,
  chunkOf: (i: number) => number,
): Float64Array {
  const y = new Float64Array(keep * chunks);
  for (let o = 0; o < outer; o++) {
    for (let k = 0; k < keep; k++) {
      for (let i = 0; i < inner; i++) y[k * chunks + chunkOf(i)]! += factor * x[(o * keep + k) * inner + i]!;
    }
  }
  return y;
}

/** Deterministic sum over the outer and inner axes, times a factor. */
export const sumOp: Op<SumAttrs, readonly ['f32']> = {
  name: 'sum',
  infer(inputs, { outer, keep, inner, shape }) {
    expectShapes('sum', size(inputs[0]) === outer * keep * inner, inputs, `${outer} x ${keep} x ${inner} elements`);
    return { shape, dtype: 'f32' };
  },
  reference: ([x], { attrs }) => chunkSums(x, { ...attrs, chunks: 1 }, () => 0),
  cost: (node) => ({ flops: size(node.inputs[0].type), bytes: 4 * size(node.inputs[0].type) }),
  variants: [
    {
      name: 'twoStage',
      madeFor: 'cpu',
      lower(node) {
        const { outer, keep, inner, factor, shape } = node.attrs;
        if (outer * inner <= FEW_ADDENDS.cpu) return inOneDispatch(node);
        const chunks = Math.max(1, Math.min(inner, Math.ceil(CHUNKS_IN_FLIGHT / keep)));
        const partial = makeNode(
          sumStageOp,
          node.inputs,
          { ...node.attrs, factor: 1, chunks, shape: [keep, chunks] },
          node.label,
        );
        const attrs = { outer: 1, keep, inner: chunks, factor, chunks: 1, shape };
        return makeNode(sumStageOp, [partial], attrs, `${node.label}.total`);
      },
    },
    {
      name: 'workgroups',
      supports: (caps) => caps.limits.maxComputeInvocationsPerWorkgroup >= 256,
      madeFor: 'gpu',
      lower(node) {
        const { outer, keep, inner, factor, shape } = node.attrs;
        if (outer * inner <= FEW_ADDENDS.gpu) return inOneDispatch(node);
        const wanted = Math.min(Math.ceil(WORKGROUPS / keep), Math.ceil(inner / ADDENDS_PER_WORKGROUP));
        const perChunk = Math.ceil(inner / wanted);
        const chunks = Math.ceil(inner / perChunk);
        if (chunks === 1) return makeNode(sumWorkgroupOp, node.inputs, { ...node.attrs, chunks, perChunk }, node.label);
        const first = { ...node.attrs, factor: 1, shape: [keep, chunks], chunks, perChunk };
        const partial = makeNode(sumWorkgroupOp, node.inputs, first, node.label);
        const rest: SumAttrs = { outer: 1, keep, inner: chunks, factor, shape };
        const label = `${node.label}.total`;
        return chunks <= FEW_ADDENDS.gpu
          ? makeNode(sumStageOp, [partial], { ...rest, chunks: 1 }, label)
          : makeNode(sumWorkgroupOp, [partial], { ...rest, chunks: 1, perChunk: chunks }, label);
      },
    },
    {
      name: 'serial',
      lower: inOneDispatch,
    },
  ],
};

function inOneDispatch(node: Node<SumAttrs, readonly ['f32']>): Node {
  return makeNode(sumStageOp, node.inputs, { ...node.attrs, chunks: 1 }, node.label);
}

/** So many addends are added by one invocation: more dispatches or barriers would cost more. A GPU waits for memory at each. */
const FEW_ADDENDS = { cpu: 2048, gpu: 32 };
/** Partial sums per dispatch on CPU adapters: enough invocations to fill one, few enough that one invocation can add them. */
const CHUNKS_IN_FLIGHT = 2048;
/** Workgroups that keep a large GPU busy, several on each of its multiprocessors, and addends that are worth another one. */
const WORKGROUPS = 1024;
const ADDENDS_PER_WORKGROUP = 2048;

/** -> [keep, chunks], of which each takes every `chunks`-th element of the inner axis. */
export const sumStageOp: Op<ChunkAttrs, readonly ['f32']> = {
  name: 'sumStage',
  infer: (_, { shape }) => ({ shape, dtype: 'f32' }),
  reference: ([x], { attrs }) => chunkSums(x, attrs, (i) => i % attrs.chunks),
  variants: [
    {
      name: 'chunks',
      kernel(node, caps) {
        const { outer, keep, inner, factor, chunks } = node.attrs;
        return {
          shader: { name: 'sum_axes.wgsl', source: shader },
          defines: { WORKGROUP },
          params: { outer: u32(outer), keep: u32(keep), inner: u32(inner), chunks: u32(chunks), factor: f32(factor) },
          grid: foldedGrid(keep * chunks, caps),
        };
      },
    },
  ],
};

interface WorkgroupAttrs extends ChunkAttrs {
  /** Addends of a chunk out of `inner`. */
  readonly perChunk: number;
}

/** -> [keep, chunks] */
export const sumWorkgroupOp: Op<WorkgroupAttrs, readonly ['f32']> = {
  name: 'sumWorkgroup',
  infer: (_, { shape }) => ({ shape, dtype: 'f32' }),
  reference: ([x], { attrs }) => chunkSums(x, attrs, (i) => Math.floor(i / attrs.perChunk)),
  variants: [
    {
      name: 'tree',
      kernel(node) {
        const { outer, keep, inner, factor, chunks, perChunk } = node.attrs;
        return {
          shader: { name: 'sum_workgroup.wgsl', source: workgroupShader },
          params: {
            outer: u32(outer),
            keep: u32(keep),
            inner: u32(inner),
            chunks: u32(chunks),
            perChunk: u32(perChunk),
            factor: f32(factor),
          },
          grid: [chunks, keep],
        };
      },
    },
  ],
};
