import shader from '../../shaders/record_losses.wgsl';
import { expectShapes, makeNode, type Node, type Op, size, u32 } from '../engine/graph.ts';

/**
 * Writes four scalars into row `step mod rows` of a ring that lives on the GPU.
 * @param ring parameter [rows, 4]
 * @param losses four scalars
 * @param state training state (first word: step); recorded before it advances
 */
export function recordLosses(ring: Node, losses: readonly Node[], state: Node): Node {
  return makeNode(recordLossesOp, [ring, ...losses, state], {});
}

export const recordLossesOp: Op<Record<string, never>, readonly ['f32', ...'f32'[], 'u32']> = {
  name: 'recordLosses',
  updates: [0],
  infer(inputs) {
    const [ring, ...rest] = inputs;
    const ok = rest.length === 5 && ring.shape[1] === 4 && rest.slice(0, 4).every((t) => size(t) === 1);
    expectShapes('recordLosses', ok, inputs, 'ring [rows, 4], four scalars, state');
    return ring;
  },
  reference(inputs, node) {
    const ring = Float64Array.from(inputs[0]);
    const row = inputs[5]![0]! % node.inputs[0].type.shape[0]!;
    for (let i = 0; i < 4; i++) ring[4 * row + i] = inputs[1 + i]![0]!;
    return ring;
  },
  variants: [
    {
      name: 'serial',
      kernel: (node) => ({
        shader: { name: 'record_losses.wgsl', source: shader },
        params: { rows: u32(node.inputs[0].type.shape[0]!) },
        grid: [1],
      }),
    },
  ],
};
