/** Kinds of defects that a table lists. */
export const LISTED_KINDS = 200;

/** Those with the most images, in the order that they have, and how many are left out. */
export function listedKinds<T extends { readonly images: number }>(
  kinds: readonly T[],
): { readonly listed: readonly T[]; readonly others: number } {
  if (kinds.length <= LISTED_KINDS) return { listed: kinds, others: 0 };
  const largest = [...kinds.entries()].sort(([, a], [, b]) => b.images - a.images).slice(0, LISTED_KINDS);
  const listed = largest.sort(([a], [b]) => a - b).map(([, kind]) => kind);
  return { listed, others: kinds.length - listed.length };
}
