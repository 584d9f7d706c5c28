import meanShader from '../../shaders/hard_mean.wgsl';
import gradShader from '../../shaders/hard_mean_grad.wgsl';
import partialShader from '../../shaders/hard_partial.wgsl';
import totalShader from '../../shaders/hard_total.wgsl';
import { expectShapes, makeNode, type Node, type Op, size, u32 } from '../engine/graph.ts';
import { foldedGrid, inputType, WORKGROUP } from '../kernels/common.ts';

type None = Record<string, never>;

/**
 * Mean of the elements at or above a threshold, per image, then over images: the hard loss of EfficientAD once `threshold`
 * is the 0.999 quantile of `x`. The threshold is a constant to the gradient.
 * @param x [N, ...]
 * @param threshold [N]; at least one element per image must reach it
 * @returns a scalar
 */
export function hardMean(x: Node, threshold: Node, label?: string): Node {
  const stats = makeNode(hardStatsOp, [x, threshold], {}, `${label ?? 'hardMean'}.stats`);
  return makeNode(hardMeanOp, [x, threshold, stats], {}, label);
}

function images(node: Node): number {
  return inputType(node, 0).shape[0]!;
}

/**
 * The definition: sum and number of the elements at or above the threshold in chunks of each image, [N, chunks, 2].
 * @param chunkOf the chunk of an element of an image
 */
function chunkStats(x: Float64Array, threshold: Float64Array, chunks: number, chunkOf: (i: number) => number) {
  const length = x.length / threshold.length;
  const y = new Float64Array(2 * threshold.length * chunks);
  for (let i = 0; i < x.length; i++) {
    const image = Math.floor(i / length);
    if (x[i]! < threshold[image]!) continue;
    const at = 2 * (image * chunks + chunkOf(i % length));
    y[at]! += x[i]!;
    y[at + 1]!++;
  }
  return y;
}

/** [N, 2]: sum and number of the elements at or above the threshold. */
export const hardStatsOp: Op<None, readonly ['f32', 'f32']> = {
  name: 'hardStats',
  infer(inputs) {
    const [x, threshold] = inputs;
    const [n] = x.shape;
    expectShapes('hardStats', n !== undefined && size(threshold) === n, inputs, 'x [N, ...], threshold [N]');
    return { shape: [n!, 2], dtype: 'f32' };
  },
  reference: ([x, threshold]) => chunkStats(x, threshold, 1, () => 0),
  variants: [
    {
      name: 'twoStage',
      madeFor: 'cpu',
      lower: (node) => stages(node, { elements: 64, most: 512, shared: false }),
    },
    {
      name: 'workgroups',
      supports: (caps) => caps.limits.maxComputeInvocationsPerWorkgroup >= 256,
      madeFor: 'gpu',
      lower: (node) => stages(node, { elements: 4096, most: 64, shared: true }),
    },
  ],
};

interface StageOptions {
  /** Of a chunk at least. */
  readonly elements: number;
  /** Chunks of an image, which one invocation adds. */
  readonly most: number;
  /** Whether a workgroup shares a chunk. */
  readonly shared: boolean;
}

function stages(node: Node<None, readonly ['f32', 'f32']>, { elements, most, shared }: StageOptions): Node {
  const length = size(node.inputs[0].type) / images(node);
  const chunks = Math.max(1, Math.min(most, Math.ceil(length / elements)));
  const partial = makeNode(hardStatsPartialOp, node.inputs, { chunks, shared }, `${node.label}.partial`);
  return makeNode(hardStatsTotalOp, [partial], {}, node.label);
}

interface PartialAttrs {
  readonly chunks: number;
  readonly shared: boolean;
}

/** The same of chunks [N, chunks, 2], whose elements are interleaved: one by one, or `shared` by workgroups of 256. */
export const hardStatsPartialOp: Op<PartialAttrs, readonly ['f32', 'f32']> = {
  name: 'hardStatsPartial',
  infer: ([x], { chunks }) => ({ shape: [x.shape[0]!, chunks, 2], dtype: 'f32' }),
  reference([x, threshold], { attrs: { chunks, shared } }) {
    return chunkStats(x, threshold, chunks, (i) => (shared ? Math.floor(i / 256) : i) % chunks);
  },
  variants: [
    {
      name: 'chunks',
      kernel(node, caps) {
        const n = images(node);
        const { chunks, shared } = node.attrs;
        return {
          shader: { name: 'hard_partial.wgsl', source: partialShader },
          defines: { WORKGROUP, SHARED: Number(shared) },
          params: { images: u32(n), chunks: u32(chunks), size: u32(size(node.inputs[0].type) / n) },
          grid: shared ? [chunks, n] : foldedGrid(n * chunks, caps),
        };
      },
    },
  ],
};

/** [N, chunks, 2] -> [N, 2] */
export const hardStatsTotalOp: Op<None, readonly ['f32']> = {
  name: 'hardStatsTotal',
  infer: ([partial]) => ({ shape: [partial.shape[0]!, 2], dtype: 'f32' }),
  reference([partial], node) {
    const chunks = node.inputs[0].type.shape[1]!;
    const y = new Float64Array(size(node.type));
    for (let i = 0; i < partial.length; i++) y[2 * Math.floor(i / (2 * chunks)) + (i % 2)]! += partial[i]!;
    return y;
  },
  variants: [
    {
      name: 'total',
      kernel: (node) => ({
        shader: { name: 'hard_total.wgsl', source: totalShader },
        params: { chunks: u32(node.inputs[0].type.shape[1]!) },
        grid: [images(node)],
      }),
    },
  ],
};

export const hardMeanOp: Op<None, readonly ['f32', 'f32', 'f32']> = {
  name: 'hardMean',
  infer: () => ({ shape: [], dtype: 'f32' }),
  reference([, , stats], node) {
    const n = images(node);
    let total = 0;
    for (let i = 0; i < n; i++) total += stats[2 * i]! / stats[2 * i + 1]!;
    return Float64Array.of(total / n);
  },
  variants: [
    {
      name: 'serial',
      kernel: (node) => ({
        shader: { name: 'hard_mean.wgsl', source: meanShader },
        params: { images: u32(images(node)) },
        grid: [1],
      }),
    },
  ],
};

export const hardMeanGradOp: Op<None, readonly ['f32', 'f32', 'f32', 'f32']> = {
  name: 'hardMeanGrad',
  infer: ([x]) => x,
  reference([x, threshold, stats, dy], node) {
    const n = images(node);
    const length = x.length / n;
    return Float64Array.from({ length: x.length }, (_, i) => {
      const image = Math.floor(i / length);
      return x[i]! >= threshold[image]! ? dy[0]! / (n * stats[2 * image + 1]!) : 0;
    });
  },
  variants: [
    {
      name: 'element',
      kernel(node, caps) {
        const n = images(node);
        return {
          shader: { name: 'hard_mean_grad.wgsl', source: gradShader },
          defines: { WORKGROUP },
          params: { images: u32(n), size: u32(size(node.type) / n) },
          grid: foldedGrid(size(node.type), caps),
        };
      },
    },
  ],
};
