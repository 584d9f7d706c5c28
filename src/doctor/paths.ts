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

/** Rows that a variant is run on where it would not be chosen, unless all are wanted. */
const FEW_ROWS = 2;

/**
 * Leaves out most of what would not be chosen on a device: a variant made for other devices keeps a few rows there, spread over
 * those that it can run. What may be chosen keeps all rows.
 * @param rows outputs with their paths, which are changed
 */
export function leaveOutUnlikely<T extends { readonly output: Node; paths: readonly VariantPath[] }>(
  rows: readonly T[],
  target: Target,
): void {
  const unlikely = new Map<string, T[]>();
  const isLikely = ({ output }: T, { steps }: VariantPath) => {
    const [first] = steps as [string];
    const variant = supportedVariants(output, target).find(({ name }) => first === `${output.op.name}/${name}`)!;
    return steps.length === 1 && (variant.suits?.(target.caps, output) ?? true);
  };
  for (const row of rows) {
    for (const path of row.paths) {
      if (isLikely(row, path)) continue;
      const name = pathName(path);
      unlikely.set(name, [...(unlikely.get(name) ?? []), row]);
    }
  }
  const dropped = new Map<T, Set<string>>();
  for (const [name, all] of unlikely) {
    const kept = new Set(Array.from({ length: FEW_ROWS }, (_, i) => all[Math.floor((i * all.length) / FEW_ROWS)]));
    for (const row of all) if (!kept.has(row)) dropped.set(row, (dropped.get(row) ?? new Set()).add(name));
  }
  for (const [row, names] of dropped) row.paths = row.paths.filter((path) => !names.has(pathName(path)));
}
