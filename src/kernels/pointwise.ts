import shader from '../../shaders/pointwise.wgsl';
import {
  expectShapes,
  f32,
  type InputTypes,
  type InputValues,
  type Op,
  size,
  type TensorType,
  u32,
} from '../engine/graph.ts';
import { foldedGrid, WORKGROUP } from './common.ts';

/** Some tensors of floats. */
type Floats = readonly ['f32', ...'f32'[]];

interface Pointwise<A, S extends Floats> {
  readonly name: string;
  readonly inputs: S['length'];
  readonly factor?: (attrs: A) => number;
  readonly value: (inputs: InputValues<S>, i: number, factor: number) => number;
  readonly infer?: (inputs: InputTypes<S>, attrs: A) => TensorType;
}

/** An op that computes every element from the elements at the same place. */
export function pointwise<A, S extends Floats>({
  name,
  inputs: count,
  factor,
  value,
  infer,
}: Pointwise<A, S>): Op<A, S> {
  return {
    name,
    infer(inputs, attrs) {
      if (infer) return infer(inputs, attrs);
      const types: InputTypes<Floats> = inputs;
      const [first] = types;
      const same = types.every((t) => t.dtype === 'f32' && t.shape.join() === first.shape.join());
      expectShapes(name, same && types.length === count, types, `${count} tensors of equal shape`);
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
