import { makeNode, type Node, type Op } from '../engine/graph.ts';
import { pointwise } from '../kernels/pointwise.ts';
import { avgPool2dGradOp, avgPool2dReluGrad } from './avgPool2dGrad.ts';

type None = Record<string, never>;
interface Factor {
  readonly factor: number;
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

export const squaredDifferenceGradOp: Op<Factor> = pointwise<Factor>({
  name: 'squaredDifferenceGrad',
  inputs: 3,
  factor: (attrs) => attrs.factor,
  value: ([a, b, dy], i, factor) => factor * (a![i]! - b![i]!) * dy![i]!,
});
