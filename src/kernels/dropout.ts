import shader from '../../shaders/dropout.wgsl';
import { expectShapes, f32, makeNode, type Node, type Op, size, u32 } from '../engine/graph.ts';
import { foldedGrid, WORKGROUP } from './common.ts';
import { randomWord } from './random.ts';

export interface DropoutAttrs {
  /** Share of elements set to zero. */
  readonly rate: number;
  readonly seed: number;
  /** Tells the dropouts of one network apart. */
  readonly node: number;
}

/**
 * Dropout with a counter-based generator: the mask is a function of element, step, node and seed, so that backward
 * recomputes it and a resumed run repeats it.
 * @param x any shape
 * @param state training state, whose first word is the step (`adam.ts`)
 */
export function dropout(x: Node, state: Node, attrs: DropoutAttrs, label?: string): Node {
  return makeNode(dropoutOp, [x, state], attrs, label);
}

function dropBelow(rate: number): number {
  return Math.min(2 ** 32 - 1, Math.round(rate * 2 ** 32));
}

export const dropoutOp: Op<DropoutAttrs, readonly ['f32', 'u32']> = {
  name: 'dropout',
  infer(inputs, { rate }) {
    expectShapes(
      'dropout',
      inputs[1].dtype === 'u32' && rate >= 0 && rate < 1,
      inputs,
      'x, state u32[4] and 0 <= rate < 1',
    );
    return inputs[0];
  },
  reference([x, state], node) {
    const { rate, seed, node: id } = node.attrs;
    const limit = dropBelow(rate);
    return Float64Array.from({ length: size(node.type) }, (_, i) =>
      randomWord(i, state[0]!, id, seed) >= limit ? x[i]! / (1 - rate) : 0,
    );
  },
  variants: [
    {
      name: 'element',
      kernel(node, caps) {
        const { rate, seed, node: id } = node.attrs;
        return {
          shader: { name: 'dropout.wgsl', source: shader },
          defines: { WORKGROUP },
          params: {
            size: u32(size(node.type)),
            node: u32(id),
            seed: u32(seed >>> 0),
            dropBelow: u32(dropBelow(rate)),
            scale: f32(1 / (1 - rate)),
          },
          grid: foldedGrid(size(node.type), caps),
        };
      },
    },
  ],
};
