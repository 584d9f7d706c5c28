import shader from '../../shaders/slice_outer.wgsl';
import type { Caps } from '../engine/caps.ts';
import { expectShapes, makeNode, type Node, type Op, size, u32 } from '../engine/graph.ts';
import { foldedGrid, WORKGROUP } from './common.ts';

interface SliceAttrs {
  readonly start: number;
  readonly count: number;
}

/**
 * Entries `start` to `start + count` of the first axis, e.g. some output channels of convolution weights.
 * @param x [A, ...]
 * @returns [count, ...]
 */
export function sliceOuter(x: Node, start: number, count: number, label?: string): Node {
  return makeNode(sliceOuterOp, [x], { start, count }, label);
}

function row(shape: readonly number[]): number {
  return shape.slice(1).reduce((a, b) => a * b, 1);
}

function kernelOf(embed: boolean, offset: number, node: Node<unknown, readonly ['f32']>, caps: Caps) {
  return {
    shader: { name: 'slice_outer.wgsl', source: shader },
    defines: { WORKGROUP, EMBED: Number(embed) },
    params: { size: u32(size(node.type)), offset: u32(offset), length: u32(size(node.inputs[0].type)) },
    grid: foldedGrid(size(node.type), caps),
  };
}

export const sliceOuterOp: Op<SliceAttrs, readonly ['f32']> = {
  name: 'sliceOuter',
  infer(inputs, { start, count }) {
    const [x] = inputs;
    const ok = x.shape.length >= 1 && start >= 0 && start + count <= x.shape[0]!;
    expectShapes('sliceOuter', ok, inputs, `at least ${start + count} entries along the first axis`);
    return { shape: [count, ...x.shape.slice(1)], dtype: 'f32' };
  },
  reference([x], node) {
    const from = node.attrs.start * row(node.type.shape);
    return x.slice(from, from + size(node.type));
  },
  variants: [
    { name: 'copy', kernel: (node, caps) => kernelOf(false, node.attrs.start * row(node.type.shape), node, caps) },
  ],
};

/** Gradient of {@link sliceOuter}: dy between zeros. */
export const embedOuterOp: Op<{ readonly start: number; readonly shape: readonly number[] }, readonly ['f32']> = {
  name: 'embedOuter',
  infer: (_, { shape }) => ({ shape, dtype: 'f32' }),
  reference([dy], node) {
    const y = new Float64Array(size(node.type));
    y.set(dy, node.attrs.start * row(node.type.shape));
    return y;
  },
  variants: [
    { name: 'copy', kernel: (node, caps) => kernelOf(true, node.attrs.start * row(node.type.shape), node, caps) },
  ],
};
