import { isInput, type Node, parameterOf, topologicalOrder } from '../engine/graph.ts';
import type { Target, VariantChoice } from '../engine/plan.ts';
import { supportedVariants } from '../engine/variants.ts';

/** One way to compute a node: its variant, and where that consists of ops with variants of their own, one of these. */
export interface VariantPath {
  /** `op/variant`, outermost first. */
  readonly steps: readonly string[];
  /** What forces it. */
  readonly variants: VariantChoice;
}

/** How a path is written in messages. */
export function pathName({ steps }: VariantPath): string {
  return steps.join(' > ');
}

/**
 * All ways to compute a node on a device. Inner ops that the table has rows for are left to these rows.
 * @param isTested whether an op of that name has rows of its own
 */
export function variantPaths(node: Node, target: Target, isTested: (op: string) => boolean): VariantPath[] {
  return supportedVariants(node, target).flatMap((variant): VariantPath[] => {
    const step = `${node.op.name}/${variant.name}`;
    const own: VariantPath = { steps: [step], variants: { [node.op.name]: variant.name } };
    const lowered = variant.lower?.(node, target.caps);
    if (!lowered) return [own];
    const known = new Set(topologicalOrder(node.inputs));
    const inner = topologicalOrder([lowered]).filter(
      (each) => !known.has(each) && !isInput(each) && !parameterOf(each) && each.op.name !== node.op.name,
    );
    const byOp = new Map(inner.filter(({ op }) => !isTested(op.name)).map((each) => [each.op.name, each]));
    const nested = [...byOp.values()].flatMap((each) => {
      if (supportedVariants(each, target).length < 2) return [];
      return variantPaths(each, target, isTested).map(({ steps, variants }) => ({
        steps: [step, ...steps],
        variants: { ...own.variants, ...variants },
      }));
    });
    return nested.length > 0 ? nested : [own];
  });
}
