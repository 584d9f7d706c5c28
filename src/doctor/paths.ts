import { ShapeError } from '../engine/errors.ts';
import { isInput, type Node, parameterOf, type Signature, topologicalOrder, type Variant } from '../engine/graph.ts';
import { lower, type Target, type VariantChoice } from '../engine/lower.ts';
import { mayBeDefault, type Precision, supportedVariants } from '../engine/variants.ts';
import type { PreparedCase } from './check.ts';

/** One way to compute a node: its variant, and where that consists of ops with variants of their own, one of these. */
export interface VariantPath {
  /** `op/variant`, outermost first. */
  readonly steps: readonly string[];
  /** What forces it. */
  readonly variants: VariantChoice;
  /** `f16` where one of the variants rounds. */
  readonly precision: Precision;
  /** The largest error that rounding may make, as a share of the largest value; 0 where nothing is rounded. */
  readonly rounding: number;
}

/** How a path is written in messages. */
export function pathName({ steps }: VariantPath): string {
  return steps.join(' > ');
}

/** All ways to run a row of the table on a device. @see variantPaths */
export function rowPaths(
  { row: { absorbs }, output }: Pick<PreparedCase, 'row' | 'output'>,
  target: Target,
  isTested: (op: string) => boolean,
): VariantPath[] {
  if (!absorbs) return variantPaths(output, target, isTested);
  const { steps, variants, op, variant, plain, rounding = 0 } = absorbs;
  const precision = rounding > 0 ? 'f16' : 'f32';
  if (precision === 'f16' && target.precision !== 'f16') return [];
  const without = plain === undefined ? [] : [plain];
  const path = (name: string | undefined, choice: readonly string[]): VariantPath => ({
    steps: name === undefined ? steps : [...steps, `${op}/${name}`],
    variants: { ...variants, [op]: choice },
    precision,
    rounding,
  });
  return [path(variant, [variant, ...without]), path(plain, without)].filter((each, i) =>
    runs(output, { ...target, precision }, each.variants, i === 0 ? `${op}/${variant}` : undefined),
  );
}

/** Whether a graph can be run so, by a dispatch of that op and variant. */
function runs(output: Node, target: Target, variants: VariantChoice, step: string | undefined): boolean {
  try {
    const { kernels } = lower({ outputs: { output }, variants }, target);
    return step === undefined || [...kernels].some(([{ op }, { variant }]) => `${op.name}/${variant}` === step);
  } catch (error) {
    if (error instanceof ShapeError) return false;
    throw error;
  }
}

function pathOf<A, S extends Signature>(node: Node<A, S>, variant: Variant<A, S>): VariantPath {
  const { name } = node.op;
  return {
    steps: [`${name}/${variant.name}`],
    variants: { [name]: variant.name },
    precision: variant.rounds ? 'f16' : 'f32',
    rounding: variant.rounds?.(node) ?? variant.error?.(node) ?? 0,
  };
}

/**
 * All ways to compute a node on a device. Inner ops that the table has rows for are left to these rows.
 * @param isTested whether an op of that name has rows of its own
 */
export function variantPaths(node: Node, target: Target, isTested: (op: string) => boolean): VariantPath[] {
  return supportedVariants(node, target).flatMap((variant): VariantPath[] => {
    const own = pathOf(node, variant);
    const lowered = variant.lower?.(node, target.caps);
    if (!lowered) return [own];
    const known = new Set(topologicalOrder(node.inputs));
    const inner = topologicalOrder([lowered]).filter(
      (each) => !known.has(each) && !isInput(each) && !parameterOf(each) && each.op.name !== node.op.name,
    );
    const byOp = new Map(inner.filter(({ op }) => !isTested(op.name)).map((each) => [each.op.name, each]));
    const nested = [...byOp.values()].flatMap((each) => {
      if (supportedVariants(each, target).length < 2) return [];
      return variantPaths(each, target, isTested).map(({ steps, variants, precision, rounding }) => ({
        steps: [...own.steps, ...steps],
        variants: { ...own.variants, ...variants },
        precision: own.precision === 'f16' ? own.precision : precision,
        rounding: Math.max(own.rounding, rounding),
      }));
    });
    return nested.length > 0 ? nested : [own];
  });
}

/** How many rows of the table a variant runs on. */
export interface RowLimits {
  /** Where a device may choose it. */
  readonly likely: number;
  /** Where it would not: a variant made for other devices. */
  readonly unlikely: number;
}

/**
 * Leaves out rows until every variant has few, spread over those that it can run. Variants inside those of other ops count
 * wherever they are: Winograd's products once for all its tiles and gradients. What encloses them runs with what is chosen there.
 * @param rows outputs with their paths, which are changed
 */
export function thinOut<T extends { readonly output: Node; paths: readonly VariantPath[] }>(
  rows: readonly T[],
  target: Target,
  limits: RowLimits,
): void {
  const kept = new Map<T, VariantPath[]>();
  const inner = new Map<string, { row: T; path: VariantPath }[]>();
  const outer = new Map<string, { row: T; path: VariantPath }[]>();
  const likely = new Set<string>();
  for (const row of rows) {
    const { name: op } = row.output.op;
    for (const variant of supportedVariants(row.output, target)) {
      const step = `${op}/${variant.name}`;
      if (mayBeDefault(variant, target.caps, row.output)) likely.add(step);
      append(outer, step, { row, path: pathOf(row.output, variant) });
    }
    for (const path of row.paths) if (path.steps.length > 1) append(inner, path.steps.at(-1)!, { row, path });
  }
  for (const [step, candidates] of [...outer, ...inner]) {
    const limit = likely.has(step) ? limits.likely : limits.unlikely;
    for (const { row, path } of spread(candidates, limit)) append(kept, row, path);
  }
  for (const row of rows) row.paths = kept.get(row) ?? [];
}

function append<K, T>(lists: Map<K, T[]>, key: K, value: T): void {
  const known = lists.get(key);
  if (known) known.push(value);
  else lists.set(key, [value]);
}

/** Elements at equal distances. */
function spread<T>(all: readonly T[], count: number): T[] {
  if (all.length <= count) return [...all];
  return Array.from({ length: count }, (_, i) => all[Math.floor(((i + 0.5) * all.length) / count)]!);
}
