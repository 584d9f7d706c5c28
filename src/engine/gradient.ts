import { ShapeError } from './errors.ts';
import { describe, type Node, topologicalOrder } from './graph.ts';

/**
 * Reverse-mode differentiation as a graph-to-graph function: the gradients of `sum(losses)` with respect to `wrt`, as
 * nodes over the same graph. Every op brings one rule (`Op.gradient`); contributions to one node are summed by `add`.
 *
 * @param losses scalars
 * @param seed  the scalar 1
 * @param add   makes the sum of two nodes of equal type
 * @throws ShapeError when a loss is not a scalar or an op on the way has no gradient rule
 */
export function gradient(
  losses: readonly Node[],
  wrt: readonly Node[],
  seed: Node,
  add: (a: Node, b: Node) => Node,
): Node[] {
  const order = topologicalOrder(losses);
  const wanted = new Set(wrt);
  const active = new Set<Node>();
  for (const node of order) {
    if (wanted.has(node) || node.inputs.some((input) => active.has(input))) active.add(node);
  }
  const gradients = new Map<Node, Node>();
  const accumulate = (node: Node, value: Node): void => {
    const before = gradients.get(node);
    gradients.set(node, before ? add(before, value) : value);
  };
  for (const loss of losses) {
    if (loss.type.shape.length !== 0)
      throw new ShapeError(`gradient: the loss is ${describe(loss.type)}, not a scalar.`);
    if (active.has(loss)) accumulate(loss, seed);
  }
  for (let i = order.length - 1; i >= 0; i--) {
    const node = order[i]!;
    const dy = gradients.get(node);
    if (!dy || !active.has(node) || node.inputs.length === 0) continue;
    const needs = node.inputs.map((input) => active.has(input));
    if (!needs.some(Boolean)) continue;
    if (!node.op.gradient) throw new ShapeError(`gradient: op ${node.op.name} (${node.label}) has no gradient rule.`);
    const contributions = node.op.gradient(node, dy, needs);
    node.inputs.forEach((input, k) => {
      const contribution = contributions[k];
      if (needs[k] && contribution) accumulate(input, contribution);
    });
  }
  return wrt.map((node) => {
    const value = gradients.get(node);
    if (!value) throw new ShapeError(`gradient: the loss does not depend on ${node.label}.`);
    return value;
  });
}
