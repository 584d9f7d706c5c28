import { expectShapes, makeNode, type Node, size } from '../engine/graph.ts';
import { pointwise } from './pointwise.ts';

type None = Record<string, never>;
interface Factor {
  readonly factor: number;
}

export const addOp = pointwise<None, readonly ['f32', 'f32']>({
  name: 'add',
  inputs: 2,
  value: ([a, b], i) => a[i]! + b[i]!,
});

/** a + b, equal shapes. */
export function add(a: Node, b: Node, label?: string): Node {
  return makeNode(addOp, [a, b], {}, label);
}

export const squaredDifferenceOp = pointwise<None, readonly ['f32', 'f32']>({
  name: 'squaredDifference',
  inputs: 2,
  value: ([a, b], i) => (a[i]! - b[i]!) ** 2,
});

/** (a - b)^2, equal shapes. */
export function squaredDifference(a: Node, b: Node, label?: string): Node {
  return makeNode(squaredDifferenceOp, [a, b], {}, label);
}

export const scaleOp = pointwise<Factor, readonly ['f32']>({
  name: 'scale',
  inputs: 1,
  factor: (attrs) => attrs.factor,
  value: ([a], i, factor) => factor * a[i]!,
});

/** factor * a */
export function scale(a: Node, factor: number, label?: string): Node {
  return makeNode(scaleOp, [a], { factor }, label);
}

interface Broadcast extends Factor {
  readonly shape: readonly number[];
}

export const broadcastOp = pointwise<Broadcast, readonly ['f32']>({
  name: 'broadcast',
  inputs: 1,
  factor: (attrs) => attrs.factor,
  infer(inputs, { shape }) {
    expectShapes('broadcast', size(inputs[0]) === 1, inputs, 'a scalar');
    return { shape, dtype: 'f32' };
  },
  value: ([a], _, factor) => factor * a[0]!,
});

/** A tensor filled with factor * (a scalar). */
export function broadcast(scalar: Node, shape: readonly number[], factor = 1, label?: string): Node {
  return makeNode(broadcastOp, [scalar], { shape, factor }, label);
}
