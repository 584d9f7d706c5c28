/** How two samples compare by rank. */
export interface RankSum {
  /** Share of pairs in which the second sample's value is larger, ties count one half: 0.5 where both are alike. */
  readonly above: number;
  /** Probability of a share as far from 0.5 where both samples come from one distribution: two-sided, by the normal approximation. */
  readonly p: number;
}

/**
 * The rank-sum test of Wilcoxon, Mann and Whitney, corrected for ties.
 * @param first @param second samples, neither of them empty
 */
export function rankSum(first: readonly number[], second: readonly number[]): RankSum {
  const all = [...first.map((value) => ({ value, second: 0 })), ...second.map((value) => ({ value, second: 1 }))].sort(
    (a, b) => a.value - b.value,
  );
  let pairs = 0;
  let below = 0;
  let ties = 0;
  for (let start = 0; start < all.length; ) {
    let end = start;
    let hits = 0;
    while (end < all.length && all[end]!.value === all[start]!.value) hits += all[end++]!.second;
    const others = end - start - hits;
    pairs += hits * (below + others / 2);
    below += others;
    ties += (end - start) ** 3 - (end - start);
    start = end;
  }
  const [m, n, total] = [first.length, second.length, all.length];
  const variance = ((m * n) / 12) * (total + 1 - ties / (total * (total - 1)));
  // Half a pair less: counts are compared with a continuous distribution.
  const distance = Math.max(0, Math.abs(pairs - (m * n) / 2) - 0.5);
  return { above: pairs / (m * n), p: variance > 0 ? 2 * upperTail(distance / Math.sqrt(variance)) : 1 };
}

/** Probability of a standard normal value above z >= 0 (Abramowitz and Stegun, 26.2.17; error below 1e-7). */
function upperTail(z: number): number {
  const t = 1 / (1 + 0.2316419 * z);
  const [a, b, c, d, e] = [0.31938153, -0.356563782, 1.781477937, -1.821255978, 1.330274429];
  const density = Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI);
  return density * t * (a + t * (b + t * (c + t * (d + t * e))));
}
