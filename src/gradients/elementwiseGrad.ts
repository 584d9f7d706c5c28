import { makeNode, type Node, type Op } from '../engine/graph.ts';
import { pointwise } from '../kernels/pointwise.ts';
import { avgPool2dReluGrad, isPoolGrad } from './avgPool2dGrad.ts';

type None = Record<string, never>;
interface Factor {
  readonly factor: number;
}

const plainReluGradOp = pointwise<None, readonly ['f32', 'f32']>({
  name: 'reluGrad',
  inputs: 2,
  value: ([dy, y], i) => (y[i]! > 0 ? dy[i]! : 0),
});

export const reluGradOp: Op<None, readonly ['f32', 'f32']> = {
  ...plainReluGradOp,
  variants: [
    {
      name: 'withPool',
      supports: (_, { inputs: [dy] }) => isPoolGrad(dy),
      lower: ({ inputs: [dy, y] }) => (isPoolGrad(dy) ? avgPool2dReluGrad(dy, y) : undefined),
    },
    ...plainReluGradOp.variants,
  ],
};

/** Gradient of the rectifier, from its output `y`: dy where y > 0. */
export function reluGrad(dy: Node, y: Node): Node {
  return makeNode(reluGradOp, [dy, y], {}, `${y.label}.relu`);
}

export const squaredDifferenceGradOp = pointwise<Factor, readonly ['f32', 'f32', 'f32']>({
  name: 'squaredDifferenceGrad',
  inputs: 3,
  factor: (attrs) => attrs.factor,
  value: ([a, b, dy], i, factor) => factor * (a[i]! - b[i]!) * dy[i]!,
});
