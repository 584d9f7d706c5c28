import privateShader from '../../shaders/quantile_histogram_private.wgsl';
import sharedShader from '../../shaders/quantile_histogram_shared.wgsl';
import interpolateShader from '../../shaders/quantile_interpolate.wgsl';
import nextShader from '../../shaders/quantile_next.wgsl';
import selectShader from '../../shaders/quantile_select.wgsl';
import { expectShapes, f32, makeNode, type Node, type Op, size, u32 } from '../engine/graph.ts';
import { foldedGrid, testedThrough, WORKGROUP } from './common.ts';

interface QuantileAttrs {
  /** In [0, 1]. */
  readonly q: number;
}

/**
 * Exact quantile of each entry of the first axis, over all its elements, with linear interpolation at position q (n - 1).
 * A fixed chain of radix-select passes over integer histograms: any size, no sampling, nothing leaves the GPU.
 * It has no gradient: thresholds are constants in the losses.
 * @param x [N, ...] without NaN
 * @returns [N]
 */
export function quantile(x: Node, q: number, label?: string): Node {
  return makeNode(quantileOp, [x], { q }, label);
}

/** Order statistic and fraction that a quantile interpolates from. */
export function quantilePosition(q: number, n: number): { readonly rank: number; readonly fraction: number } {
  const position = q * (n - 1);
  const rank = Math.min(Math.floor(position), n - 1);
  return { rank, fraction: position - rank };
}

export const quantileOp: Op<QuantileAttrs, readonly ['f32']> = {
  name: 'quantile',
  infer(inputs, { q }) {
    const [x] = inputs;
    expectShapes('quantile', x.shape.length >= 1 && q >= 0 && q <= 1, inputs, `x [N, ...] and 0 <= q <= 1, q is ${q}`);
    return { shape: [x.shape[0]!], dtype: 'f32' };
  },
  reference([x], node) {
    const n = node.type.shape[0]!;
    const length = x.length / n;
    const { rank, fraction } = quantilePosition(node.attrs.q, length);
    return Float64Array.from({ length: n }, (_, image) => {
      const sorted = x.slice(image * length, (image + 1) * length).sort();
      return sorted[rank]! + fraction * (sorted[Math.min(rank + 1, length - 1)]! - sorted[rank]!);
    });
  },
  variants: [
    { name: 'private', madeFor: 'cpu', lower: (node) => chain(node, false) },
    {
      name: 'shared',
      supports: (caps) => caps.limits.maxComputeInvocationsPerWorkgroup >= 256,
      lower: (node) => chain(node, true),
    },
  ],
};

function chain(node: Node<QuantileAttrs, readonly ['f32']>, parallel: boolean): Node {
  const [x] = node.inputs;
  const images = node.type.shape[0]!;
  const length = size(x.type) / images;
  const { rank, fraction } = quantilePosition(node.attrs.q, length);
  // A private histogram costs its 256 bins; a workgroup should have a few elements per invocation.
  const chunks = parallel
    ? Math.max(1, Math.min(64, Math.ceil(length / 4096)))
    : Math.max(1, Math.min(16, Math.ceil(length / 1024)));
  let state: Node | undefined;
  for (const shift of [24, 16, 8, 0]) {
    const attrs: PassAttrs = { images, chunks, shift, rank, parallel };
    const before: Node[] = state ? [state] : [];
    const histogram = makeNode(histogramOp, [x, ...before], attrs, `${node.label}.histogram${shift}`);
    state = makeNode(selectOp, [histogram, ...before], attrs, `${node.label}.select${shift}`);
  }
  const searchers = parallel ? chunks : Math.max(1, Math.min(256, Math.ceil(length / 64)));
  const least = makeNode(nextOp, [x, state!], { images, chunks: searchers, parallel }, `${node.label}.next`);
  return makeNode(interpolateOp, [state!, least], { images, chunks: searchers, fraction }, node.label);
}

interface PassAttrs {
  readonly images: number;
  readonly chunks: number;
  readonly shift: number;
  readonly rank: number;
  readonly parallel: boolean;
}

const histogramOp: Op<PassAttrs, readonly ['f32', ...'u32'[]]> = {
  name: 'quantileHistogram',
  infer: (_, { images, chunks }) => ({ shape: [images, chunks, 256], dtype: 'u32' }),
  reference: testedThrough('quantileHistogram', 'quantile'),
  variants: [
    {
      name: 'histogram',
      kernel(node, caps) {
        const { images, chunks, shift, parallel } = node.attrs;
        return {
          shader: parallel
            ? { name: 'quantile_histogram_shared.wgsl', source: sharedShader }
            : { name: 'quantile_histogram_private.wgsl', source: privateShader },
          defines: { SHIFT: shift, FIRST: Number(node.inputs.length === 1), ...(parallel ? {} : { WORKGROUP }) },
          params: {
            chunks: u32(chunks),
            size: u32(size(node.inputs[0].type) / images),
            ...(parallel ? {} : { images: u32(images) }),
          },
          grid: parallel ? [chunks, images] : foldedGrid(images * chunks, caps),
        };
      },
    },
  ],
};

const selectOp: Op<PassAttrs, readonly ['u32', ...'u32'[]]> = {
  name: 'quantileSelect',
  infer: (_, { images }) => ({ shape: [images, 4], dtype: 'u32' }),
  reference: testedThrough('quantileSelect', 'quantile'),
  variants: [
    {
      name: 'select',
      kernel(node) {
        const { images, chunks, shift, rank, parallel } = node.attrs;
        return {
          shader: { name: 'quantile_select.wgsl', source: selectShader },
          defines: { SHIFT: shift, FIRST: Number(node.inputs.length === 1), PARALLEL: Number(parallel) },
          params: { chunks: u32(chunks), rank: u32(rank) },
          grid: [images],
        };
      },
    },
  ],
};

const nextOp: Op<Pick<PassAttrs, 'images' | 'chunks' | 'parallel'>, readonly ['f32', 'u32']> = {
  name: 'quantileNext',
  infer: (_, { images, chunks }) => ({ shape: [images, chunks], dtype: 'u32' }),
  reference: testedThrough('quantileNext', 'quantile'),
  variants: [
    {
      name: 'next',
      kernel(node, caps) {
        const { images, chunks, parallel } = node.attrs;
        return {
          shader: { name: 'quantile_next.wgsl', source: nextShader },
          defines: { WORKGROUP, PARALLEL: Number(parallel) },
          params: { images: u32(images), chunks: u32(chunks), size: u32(size(node.inputs[0].type) / images) },
          grid: parallel ? [chunks, images] : foldedGrid(images * chunks, caps),
        };
      },
    },
  ],
};

const interpolateOp: Op<
  { readonly images: number; readonly chunks: number; readonly fraction: number },
  readonly ['u32', 'u32']
> = {
  name: 'quantileInterpolate',
  infer: (_, { images }) => ({ shape: [images], dtype: 'f32' }),
  reference: testedThrough('quantileInterpolate', 'quantile'),
  variants: [
    {
      name: 'interpolate',
      kernel: (node) => ({
        shader: { name: 'quantile_interpolate.wgsl', source: interpolateShader },
        params: { chunks: u32(node.attrs.chunks), fraction: f32(node.attrs.fraction) },
        grid: [node.attrs.images],
      }),
    },
  ],
};
