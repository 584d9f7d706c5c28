import { UserError } from '../errors.ts';
import type { Caps } from './caps.ts';
import type { Node, Op, Signature, Variant } from './graph.ts';

/**
 * Variants from outside the package, by the name of their op. They stand before the op's own: where `supports` and `suits`
 * hold, the first of them is the default.
 */
// biome-ignore lint/suspicious/noExplicitAny: variants of ops with different attributes
export type AddedVariants = Readonly<Record<string, readonly Variant<any>[]>>;

/**
 * The variants of an op in order of preference, added ones first.
 * @throws UserError when two have the same name
 */
export function variantsOf<A, S extends Signature>(op: Op<A, S>, added: AddedVariants = {}): readonly Variant<A, S>[] {
  const own = Object.hasOwn(added, op.name) ? added[op.name]! : [];
  const all: readonly Variant<A, S>[] = [...own, ...op.variants];
  for (const [i, { name }] of own.entries()) {
    if (all.findLastIndex((other) => other.name === name) !== i)
      throw new UserError(`${op.name} has a variant '${name}' already.`, 'Give the added one another name.');
  }
  return all;
}

/** Variants that were found to compute wrong results on a device, as `op/variant`. They are not used there. */
export type ExcludedVariants = ReadonlySet<string>;

/** What values may be kept in on the way: `f16` lets variants round them to halves where these have any. Sums are f32. */
export type Precision = 'f32' | 'f16';
export const PRECISIONS: readonly Precision[] = ['f32', 'f16'];

/** What decides which variants can run: an {@link Engine}, or a part of one. */
export interface VariantTarget {
  /** `f32` when absent. */
  readonly precision?: Precision | undefined;
  readonly caps: Caps;
  readonly variants?: AddedVariants | undefined;
  readonly excluded?: ExcludedVariants | undefined;
}

/** Whether a variant is for such adapters. */
export function isMadeFor({ madeFor }: Pick<Variant<unknown>, 'madeFor'>, { isCpu }: Pick<Caps, 'isCpu'>): boolean {
  return madeFor === undefined || madeFor === (isCpu ? 'cpu' : 'gpu');
}

/** Whether a variant that is supported may be the default choice for a node on a device. */
export function mayBeDefault<A, S extends Signature>(variant: Variant<A, S>, caps: Caps, node: Node<A, S>): boolean {
  return isMadeFor(variant, caps) && (variant.suits?.(caps, node) ?? true);
}

/** Those that can run a node on a device. @see variantsOf */
export function supportedVariants<A, S extends Signature>(node: Node<A, S>, target: VariantTarget): Variant<A, S>[] {
  const { caps, variants, excluded, precision } = target;
  return variantsOf(node.op, variants).filter(
    (variant) =>
      (precision === 'f16' || !variant.rounds) &&
      !excluded?.has(`${node.op.name}/${variant.name}`) &&
      (variant.supports?.(caps, node) ?? true),
  );
}

/** What a measured choice for a node is kept for: those between variants that round are apart from the others. */
export function choicePrecision(node: Node, { precision, variants }: Omit<VariantTarget, 'caps'>): Precision {
  return precision === 'f16' && variantsOf(node.op, variants).some(({ rounds }) => rounds) ? 'f16' : 'f32';
}
