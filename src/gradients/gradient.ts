import { differentiate, type GradientRules } from '../engine/gradient.ts';
import { type Node, Parameter } from '../engine/graph.ts';
import { add } from '../kernels/elementwise.ts';
import { GRADIENT_RULES } from './rules.ts';

/**
 * Gradients of the sum of the losses with respect to some nodes, as nodes over the same graph.
 * @param losses scalars
 * @param rules by op; those of the package's own general ops by default. Ops may also bring their own: {@link Op.gradient}
 * @throws ShapeError when a loss is not a scalar or does not depend on a node, or an op on the way has no rule
 */
export function gradient(losses: readonly Node[], wrt: readonly Node[], rules: GradientRules = GRADIENT_RULES): Node[] {
  const one = new Parameter('one', { shape: [], dtype: 'f32' }, Float32Array.of(1));
  return differentiate(losses, wrt, {
    seed: one.node,
    add: (a, b) => add(a, b, 'gradient.add'),
    rules,
  });
}
