import { descendingKeys, scoreOfKey, sortKeys } from './keys.ts';

/** What a score stands for: a class (0: normal), or a number of the caller's. */
export type Labels = ArrayLike<number | boolean>;

/** Scores in descending order with their labels. Float32 scores are radix sorted, in linear time. */
export class Ranking {
  /** Highest first. */
  readonly scores: ArrayLike<number>;
  /** Of each score. */
  readonly labels: Labels;

  private constructor({ scores, labels }: { readonly scores: ArrayLike<number>; readonly labels: Labels }) {
    this.scores = scores;
    this.labels = labels;
  }

  /** @param scores finite numbers @param labels one per score */
  static of(scores: ArrayLike<number>, labels: Labels): Ranking {
    if (scores instanceof Float32Array) {
      const sorted = sortKeys(descendingKeys(scores), Uint32Array.from(labels, Number));
      return new Ranking({ scores: Float32Array.from(sorted.keys, scoreOfKey), labels: sorted.labels });
    }
    const order = Array.from({ length: scores.length }, (_, i) => i).sort((a, b) => scores[b]! - scores[a]!);
    return new Ranking({ scores: order.map((i) => scores[i]!), labels: order.map((i) => labels[i]!) });
  }

  /**
   * Visits groups of equal scores, highest first.
   * @param visit gets the places from `start` to below `end`
   */
  forEachTie(visit: (start: number, end: number, score: number) => void): void {
    const { scores } = this;
    for (let start = 0; start < scores.length; ) {
      const score = scores[start]!;
      let end = start + 1;
      while (end < scores.length && scores[end] === score) end++;
      visit(start, end, score);
      start = end;
    }
  }
}

/** Metrics of a two-class ranking; undefined ones need both classes. */
export interface BinaryMetrics {
  /** Area under the ROC curve: the rank statistic, ties count one half. */
  readonly auroc: number;
  /** Average precision: area under the precision-recall steps, as scikit-learn defines it. */
  readonly ap: number;
  /** Largest F1 over all thresholds. */
  readonly f1Max: number;
  /** The threshold of that F1: scores from it on are called positive. */
  readonly f1Threshold: number;
}

/**
 * AUROC, average precision and F1-max of scores.
 * @param labels non-zero: positive (anomalous)
 * @returns undefined unless both classes are there
 */
export function binaryMetrics(scores: ArrayLike<number>, labels: Labels): BinaryMetrics | undefined {
  return rankedMetrics(Ranking.of(scores, labels));
}

/** {@link binaryMetrics} of a ranking that is there already. */
function rankedMetrics(ranking: Ranking): BinaryMetrics | undefined {
  const { labels } = ranking;
  let positives = 0;
  for (let i = 0; i < labels.length; i++) if (labels[i]) positives++;
  const negatives = labels.length - positives;
  if (positives === 0 || negatives === 0) return undefined;
  let truePositives = 0;
  let seen = 0;
  let area = 0;
  let ap = 0;
  let f1Max = 0;
  let f1Threshold = Number.POSITIVE_INFINITY;
  ranking.forEachTie((start, end, score) => {
    let hits = 0;
    for (let i = start; i < end; i++) if (labels[i]) hits++;
    // A trapezoid: half of the tied positives rank above each tied negative.
    area += (end - start - hits) * (truePositives + hits / 2);
    truePositives += hits;
    seen = end;
    ap += (hits / positives) * (truePositives / seen);
    const f1 = (2 * truePositives) / (seen + positives);
    if (f1 > f1Max) {
      f1Max = f1;
      f1Threshold = score;
    }
  });
  return { auroc: area / (positives * negatives), ap, f1Max, f1Threshold };
}

/** {@link BinaryMetrics.auroc} of scores. */
export function auroc(scores: ArrayLike<number>, labels: Labels): number | undefined {
  return binaryMetrics(scores, labels)?.auroc;
}

/** True-positive against false-positive rate, from (0, 0) to (1, 1). */
export interface RocCurve {
  readonly fpr: readonly number[];
  readonly tpr: readonly number[];
}

/**
 * ROC curve of scores: a point per group of equal scores, without those on a straight line between their neighbors.
 * @param given non-zero: positive (anomalous)
 * @returns undefined unless both classes are there
 */
export function rocCurve(scores: ArrayLike<number>, given: Labels): RocCurve | undefined {
  const ranking = Ranking.of(scores, given);
  const { labels } = ranking;
  const positives = Array.from(labels).filter(Boolean).length;
  const negatives = labels.length - positives;
  if (positives === 0 || negatives === 0) return undefined;
  // Counts, for collinearity to be exact.
  const points: [falsePositives: number, truePositives: number][] = [[0, 0]];
  ranking.forEachTie((start, end) => {
    let hits = 0;
    for (let i = start; i < end; i++) if (labels[i]) hits++;
    const [x, y] = points.at(-1)!;
    const [dx, dy] = [end - start - hits, hits];
    const before = points.at(-2);
    if (before && (x - before[0]) * dy === (y - before[1]) * dx) points.pop();
    points.push([x + dx, y + dy]);
  });
  return { fpr: points.map(([x]) => x / negatives), tpr: points.map(([, y]) => y / positives) };
}
