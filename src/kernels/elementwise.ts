import shader from '../../shaders/pointwise.wgsl';
import {
  expectShapes,
  f32,
  makeNode,
  type Node,
  type Op,
  size,
  type TensorType,
  u32,
  type Values,
} from '../engine/graph.ts';
import { avgPool2dGradOp, avgPool2dReluGrad } from './avgPool2d.ts';
import { foldedGrid, WORKGROUP } from './common.ts';

interface Pointwise<A> {
  readonly name: string;
  readonly inputs: number;
  readonly factor?: (attrs: A) => number;
  readonly value: (inputs: readonly Values[], i: number, factor: number) => number;
  readonly infer?: (inputs: readonly TensorType[], attrs: A) => TensorType;
  readonly gradient?: Op<A>['gradient'];
}

/** An op that computes every element from the elements at the same place. */
function pointwise<A>({ name, inputs: count, factor, value, infer, gradient }: Pointwise<A>): Op<A> {
  return {
    name,
    infer(inputs, attrs) {
      if (infer) return infer(inputs, attrs);
      const [first] = inputs as [TensorType];
      const same = inputs.every((t) => t.dtype === 'f32' && t.shape.join() === first.shape.join());
      expectShapes(name, same && inputs.length === count, inputs, `${count} tensors of equal shape`);
      return first;
    },
    ...(gradient && { gradient }),
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

type None = Record<string, never>;
interface Factor {
  readonly factor: number;
}

export const addOp: Op<None> = pointwise<None>({
  name: 'add',
  inputs: 2,
  value: ([a, b], i) => a![i]! + b![i]!,
  gradient: (_, dy) => [dy, dy],
});

/** a + b, equal shapes. */
export function add(a: Node, b: Node, label?: string): Node {
  return makeNode(addOp, [a, b], {}, label);
}

const plainReluGradOp: Op<None> = pointwise<None>({
  name: 'reluGrad',
  inputs: 2,
  value: ([dy, y], i) => (y![i]! > 0 ? dy![i]! : 0),
});

export const reluGradOp: Op<None> = {
  ...plainReluGradOp,
  variants: [
    {
      name: 'withPool',
      supports: (_, node) => node.inputs[0]!.op === avgPool2dGradOp && node.inputs[0]!.inputs.length === 1,
      lower: (node) => avgPool2dReluGrad(node.inputs[0]!, node.inputs[1]!),
    },
    ...plainReluGradOp.variants,
  ],
};

/** Gradient of the rectifier, from its output `y`: dy where y > 0. */
export function reluGrad(dy: Node, y: Node): Node {
  return makeNode(reluGradOp, [dy, y], {}, `${y.label}.relu`);
}

export const squaredDifferenceOp: Op<None> = pointwise<None>({
  name: 'squaredDifference',
  inputs: 2,
  value: ([a, b], i) => (a![i]! - b![i]!) ** 2,
  gradient: ({ inputs: [a, b] }, dy, needs) => [
    needs[0] ? makeNode(squaredDifferenceGradOp, [a!, b!, dy], { factor: 2 }) : undefined,
    needs[1] ? makeNode(squaredDifferenceGradOp, [a!, b!, dy], { factor: -2 }) : undefined,
  ],
});

/** (a - b)^2, equal shapes. */
export function squaredDifference(a: Node, b: Node, label?: string): Node {
  return makeNode(squaredDifferenceOp, [a, b], {}, label);
}

export const squaredDifferenceGradOp: Op<Factor> = pointwise<Factor>({
  name: 'squaredDifferenceGrad',
  inputs: 3,
  factor: (attrs) => attrs.factor,
  value: ([a, b, dy], i, factor) => factor * (a![i]! - b![i]!) * dy![i]!,
});

export const scaleOp: Op<Factor> = pointwise<Factor>({
  name: 'scale',
  inputs: 1,
  factor: (attrs) => attrs.factor,
  value: ([a], i, factor) => factor * a![i]!,
  gradient: (node, dy) => [scale(dy, node.attrs.factor)],
});

/** factor * a */
export function scale(a: Node, factor: number, label?: string): Node {
  return makeNode(scaleOp, [a], { factor }, label);
}

interface Broadcast extends Factor {
  readonly shape: readonly number[];
}

export const broadcastOp: Op<Broadcast> = pointwise<Broadcast>({
  name: 'broadcast',
  inputs: 1,
  factor: (attrs) => attrs.factor,
  infer(inputs, { shape }) {
    expectShapes('broadcast', size(inputs[0]!) === 1, inputs, 'a scalar');
    return { shape, dtype: 'f32' };
  },
  value: ([a], _, factor) => factor * a![0]!,
});

/** A tensor filled with factor * (a scalar). */
export function broadcast(scalar: Node, shape: readonly number[], factor = 1, label?: string): Node {
  return makeNode(broadcastOp, [scalar], { shape, factor }, label);
}
