import shader from '../../shaders/pointwise.wgsl';
import { expectShapes, f32, type Op, size, type TensorType, u32, type Values } from '../engine/graph.ts';
import { foldedGrid, WORKGROUP } from './common.ts';

interface Pointwise<A> {
  readonly name: string;
  readonly inputs: number;
  readonly factor?: (attrs: A) => number;
  readonly value: (inputs: readonly Values[], i: number, factor: number) => number;
  readonly infer?: (inputs: readonly TensorType[], attrs: A) => TensorType;
}

/** An op that computes every element from the elements at the same place. */
export function pointwise<A>({ name, inputs: count, factor, value, infer }: Pointwise<A>): Op<A> {
  return {
    name,
    infer(inputs, attrs) {
      if (infer) return infer(inputs, attrs);
      const [first] = inputs as [TensorType];
      const same = inputs.every((t) => t.dtype === 'f32' && t.shape.join() === first.shape.join());
      expectShapes(name, same && inputs.length === count, inputs, `${count} tensors of equal shape`);
      return first;
    },
    reference(inputs, node) {
      const f = factor?.(node.attrs) ?? 1;
      return Float64Array.from({ length: size(node.type) }, (_, i) => value(inputs, i, f));
    },
    cost: (node) => ({ flops: size(node.type), bytes: 4 * (count + 1) * size(node.type) }),
    variants: [
      {
        name: 'element',
        kernel: (node, caps) => ({
          shader: { name: 'pointwise.wgsl', source: shader },
          defines: { FUNCTION: name, INPUTS: count, WORKGROUP },
          params: { size: u32(size(node.type)), factor: f32(factor?.(node.attrs) ?? 1) },
          grid: foldedGrid(size(node.type), caps),
        }),
      },
    ],
  };
}
