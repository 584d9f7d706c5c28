import { ShapeError } from './errors.ts';
import { describe, type Node, type Op, type Signature, topologicalOrder } from './graph.ts';

/** Gradients with respect to a node's inputs (`undefined`: none), given that of its output. */
export type GradientRule<A, S extends Signature = Signature> = (
  node: Node<A, S>,
  dy: Node,
  needs: readonly boolean[],
) => readonly (Node | undefined)[];

/** Rules by op; ops that are not in it may bring their own. @see Op.gradient */
// biome-ignore lint/suspicious/noExplicitAny: a table of ops with different attributes
export type GradientRules = ReadonlyMap<Op<any>, GradientRule<any>>;

export interface Differentiation {
  /** The scalar 1. */
  readonly seed: Node;
  /** Makes the sum of two nodes of equal type. */
  readonly add: (a: Node, b: Node) => Node;
  readonly rules: GradientRules;
}

/**
 * Reverse-mode differentiation as a graph-to-graph function: the gradients of `sum(losses)` with respect to `wrt`, as
 * nodes over the same graph. Every op has one rule; contributions to one node are summed.
 *
 * @param losses scalars
 * @throws ShapeError when a loss is not a scalar or an op on the way has no gradient rule
 */
export function differentiate(
  losses: readonly Node[],
  wrt: readonly Node[],
  { seed, add, rules }: Differentiation,
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
    const rule = rules.get(node.op) ?? node.op.gradient;
    if (!rule) throw new ShapeError(`gradient: op ${node.op.name} (${node.label}) has no gradient rule.`);
    const contributions = rule(node, dy, needs);
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
