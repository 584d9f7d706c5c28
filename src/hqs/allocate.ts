import { checkSeed } from '../checks/numbers.ts';
import { UserError } from '../errors.ts';
import { WEIGHT_BITS, type WeightBits } from '../formats/weightCodes.ts';
import { extent } from '../math/extent.ts';
import { Random } from '../math/random.ts';
import type { Networks } from '../networks/networks.ts';
import { type BitPlan, type LayerPlan, layerBytes, quantizableLayers, uniformPlan } from '../quantization/bitPlan.ts';
import { leastError, type RoundingErrors, roundingErrors, totalError } from './leastError.ts';
import {
  allowed,
  type Item,
  isTimeLimit,
  type Latencies,
  type Limit,
  leanestWidths,
  totalShare,
  unreachable,
  weightCount,
} from './limits.ts';
import type { LayerScore } from './scores.ts';

/**
 * Where the ranking of layers comes from. `hqs`: their scores; the others are controls: `reversed` turns the ranking round,
 * `random` draws it, `ompq` takes the scores of {@link ompqScores}, `uniform` knows none.
 */
export const ALLOCATIONS = ['hqs', 'uniform', 'reversed', 'ompq', 'random'] as const;
/** HQS, or one of the controls that it is compared with at equal size. */
export type AllocationMethod = (typeof ALLOCATIONS)[number];

/** How widths are chosen. */
export const ALLOCATION_MODES = ['psi', 'budget'] as const;

/** How widths are found for the layers of some networks. */
export interface AllocateOptions {
  readonly networks: Networks;
  /**
   * Scores of `conv1`, `conv2`, ..., which layers of teacher and student share, and of full layer names. Layers without one
   * are given the mean score by `budget`, and {@link otherBits} by `psi`.
   */
  readonly scores: readonly LayerScore[];
  readonly method?: AllocationMethod | undefined;
  /**
   * `psi` (the default): a piecewise constant function from the score, scaled to [0, 1], to bits. `budget`: the widths of the
   * least sum of score x relative squared rounding error under the limit.
   */
  readonly mode?: (typeof ALLOCATION_MODES)[number] | undefined;
  /** Of the scaled score, ascending; [1/3, 2/3]. */
  readonly thresholds?: readonly number[] | undefined;
  /** Widths from below the first threshold to above the last; [4, 6, 8]. `budget` chooses between 2 and 8. */
  readonly bits?: readonly LayerPlan['weights'][] | undefined;
  /** Width of layers without a score under `psi`; 8. */
  readonly otherBits?: LayerPlan['weights'] | undefined;
  /** Needed by `budget`; widths of `psi` and the controls are raised and lowered by rank to meet it. */
  readonly limit?: Limit | undefined;
  readonly activations?: LayerPlan['activations'] | undefined;
  readonly seed?: number | undefined;
  /** What `budget` weighs; computed when absent. @see roundingErrors */
  readonly errors?: RoundingErrors | undefined;
}

/** One line of an allocation: a layer, or the same layer of teacher and student. */
export interface AllocationRow extends LayerScore {
  readonly names: readonly string[];
  readonly bits: LayerPlan['weights'];
  /** Of weights and scales. */
  readonly bytes: number;
}

/** A bit plan, and how it came about. */
export interface Allocation {
  readonly plan: BitPlan;
  readonly rows: readonly AllocationRow[];
  /** Of all weights and scales. */
  readonly bytes: number;
  readonly averageBits: number;
  /** Sum of score x relative squared rounding error, of the mode `budget`. */
  readonly error?: number;
}

/** A plan that was allocated before, with the scores that it came from. */
export function allocationOf(options: Pick<AllocateOptions, 'networks' | 'scores'>, plan: BitPlan): Allocation {
  const items = itemsOf(options);
  const bits = items.map(({ names }) => plan.layers[names[0]!]?.weights ?? 32);
  return { ...result(options, items, bits), plan };
}

/** The widths of least time, whatever they do to errors. @param latencies of all layers */
export function fastestAllocation(options: Omit<AllocateOptions, 'limit'>, latencies: Latencies): Allocation {
  const items = itemsOf(options);
  const bits = leanestWidths(items, { milliseconds: Number.POSITIVE_INFINITY, latencies }, WEIGHT_BITS);
  return result(options, items, bits);
}

const THRESHOLDS = [1 / 3, 2 / 3];
const PSI_BITS: readonly LayerPlan['weights'][] = [4, 6, 8];

/**
 * Gives every layer its width (RAAD, hierarchical quantization scoring). Deterministic.
 * @throws UserError for unusable options, or a limit that the narrowest widths do not meet
 */
export function allocate(options: AllocateOptions): Allocation {
  const { method = 'hqs', mode = 'psi', limit, seed = 0 } = options;
  checkAllocation(options);
  checkSeed(seed);
  const unscored = options.scores.find(({ score }) => !Number.isFinite(score));
  if (unscored)
    throw new UserError(
      `the score of ${unscored.layer} is ${unscored.score}.`,
      "The networks' values overflow, or do not vary: train the model again.",
    );
  const items = itemsOf(options);
  if (method === 'uniform') return result(options, items, uniform(items, limit!));
  const scores = rankedScores(items, method, seed);
  if (mode === 'psi') return result(options, items, fitted(items, scores, psi(items, scores, options), limit));
  const { errors = roundingErrors(options.networks) } = options;
  const bits = leastError(items, scores, limit!, errors);
  return { ...result(options, items, bits), error: totalError(items, scores, bits, errors) };
}

/** What can be told before there are scores. @throws UserError for choices that no allocation can follow */
export function checkAllocation({
  networks,
  method = 'hqs',
  mode = 'psi',
  limit,
  thresholds = THRESHOLDS,
  bits = PSI_BITS,
}: Omit<AllocateOptions, 'scores'>): void {
  if (mode === 'budget' && !limit)
    throw new UserError('the mode budget needs a limit.', 'Give bytes, an average of bits, or a time.');
  const items = itemsOf({ networks, scores: [] });
  if (method === 'uniform' && isTimeLimit(limit))
    throw new UserError('uniform widths follow no time.', 'Limit bytes or the average of bits.');
  if (mode === 'psi' && isTimeLimit(limit))
    throw new UserError('the mode psi follows no time.', 'Use the mode budget.');
  if (limit) {
    const least = totalShare(items, leanestWidths(items, limit, WEIGHT_BITS), limit);
    if (least > allowed(items, limit)) throw unreachable(limit, least);
  }
  if (method === 'uniform' && !limit)
    throw new UserError('uniform widths need a limit.', 'Give bytes or an average of bits.');
  if (method === 'uniform' || mode === 'budget') return;
  if (bits.length !== thresholds.length + 1)
    throw new UserError(
      `${thresholds.length} thresholds divide scores into ${thresholds.length + 1} classes, and there are ${bits.length} widths.`,
      'Give one width more than thresholds.',
    );
  if (thresholds.some((threshold, i) => !(threshold > (thresholds[i - 1] ?? Number.NEGATIVE_INFINITY))))
    throw new UserError(`the thresholds ${thresholds.join(', ')} do not ascend.`, 'Sort them.');
}

function itemsOf({ networks, scores }: Pick<AllocateOptions, 'networks' | 'scores'>): Item[] {
  const byName = new Map(scores.map((score) => [score.layer, score]));
  const groups = new Map<string, { names: string[]; shapes: (readonly number[])[] }>();
  for (const [name, { weight }] of quantizableLayers(networks)) {
    // Teacher and student share a layer's bits, unless it has scores of its own.
    const layer = byName.has(name) ? name : name.replace(/^(teacher|student)\./, '');
    const group = groups.get(layer) ?? { names: [], shapes: [] };
    group.names.push(name);
    group.shapes.push(weight.type.shape);
    groups.set(layer, group);
  }
  const unknown = scores.find(({ layer }) => !groups.has(layer));
  if (unknown)
    throw new UserError(
      `there is a score for '${unknown.layer}', which is no layer.`,
      `Use ${[...groups.keys()].join(', ')}.`,
    );
  return [...groups].map(([layer, group]) => ({ layer, ...group, score: byName.get(layer) }));
}

/** Scores that decide, by item; undefined where there is none. */
function rankedScores(items: readonly Item[], method: AllocationMethod, seed: number): (number | undefined)[] {
  const scored = items.flatMap((item, i) => (item.score ? [i] : []));
  const scores = items.map((item) => item.score?.score);
  if (method === 'random') {
    const random = new Random(seed);
    for (const i of scored) scores[i] = random.uniform();
  }
  if (method === 'reversed') {
    // The values stay: the best place gets the worst one.
    const order = [...scored].sort((a, b) => scores[a]! - scores[b]! || a - b);
    const values = order.map((i) => scores[i]!);
    order.forEach((i, rank) => {
      scores[i] = values[values.length - 1 - rank];
    });
  }
  return scores;
}

function psi(
  items: readonly Item[],
  scores: readonly (number | undefined)[],
  { thresholds = THRESHOLDS, bits = PSI_BITS, otherBits = 8 }: AllocateOptions,
): LayerPlan['weights'][] {
  const { low, high } = extent(scores.filter((score) => score !== undefined));
  const spread = high - low;
  return items.map((_, i) => {
    const score = scores[i];
    if (score === undefined) return otherBits;
    const scaled = spread > 0 ? (score - low) / spread : 1;
    return bits[thresholds.filter((threshold) => scaled >= threshold).length]!;
  });
}

/** Widths b and b + 1, as many of the wider as fit, from the first layer on. */
function uniform(items: readonly Item[], limit: Limit): LayerPlan['weights'][] {
  const most = allowed(items, limit);
  const base = [...WEIGHT_BITS].reverse().find(
    (b) =>
      totalShare(
        items,
        items.map(() => b),
        limit,
      ) <= most,
  );
  if (!base) throw unreachable(limit, totalShare(items, leanestWidths(items, limit, WEIGHT_BITS), limit));
  const bits: LayerPlan['weights'][] = items.map(() => base);
  if (base === 8) return bits;
  for (let i = 0; i < items.length; i++) {
    bits[i] = (base + 1) as WeightBits;
    if (totalShare(items, bits, limit) > most) bits[i] = base;
  }
  return bits;
}

/** Lowers widths from the lowest score on until the limit is met, then raises them from the highest score on. */
function fitted(
  items: readonly Item[],
  scores: readonly (number | undefined)[],
  start: readonly LayerPlan['weights'][],
  limit: Limit | undefined,
): LayerPlan['weights'][] {
  if (!limit) return [...start];
  const most = allowed(items, limit);
  const bits = [...start];
  const value = (i: number) => scores[i] ?? Number.POSITIVE_INFINITY;
  const ascending = items.map((_, i) => i).sort((a, b) => value(a) - value(b) || a - b);
  while (totalShare(items, bits, limit) > most) {
    for (const i of ascending) {
      if (bits[i]! > 2 && totalShare(items, bits, limit) > most) bits[i] = Math.min(8, bits[i]! - 1) as WeightBits;
    }
  }
  for (const i of ascending.toReversed()) {
    while (bits[i]! < 8) {
      const before = bits[i]!;
      bits[i] = (before + 1) as WeightBits;
      if (totalShare(items, bits, limit) <= most) continue;
      bits[i] = before;
      break;
    }
  }
  return bits;
}

function result(
  { networks, activations = 8 }: Pick<AllocateOptions, 'networks' | 'activations'>,
  items: readonly Item[],
  bits: readonly LayerPlan['weights'][],
): Allocation {
  const widths = new Map(items.flatMap(({ names }, i) => names.map((name) => [name, bits[i]!] as const)));
  const everywhere = uniformPlan(networks, { weights: 8, activations });
  const layers = Object.fromEntries(
    Object.entries(everywhere.layers).map(([name, layer]) => {
      const weights = widths.get(name)!;
      // Layers of float weights compute in float.
      return [name, { ...layer, weights, activations: weights > 8 ? (weights as 16 | 32) : activations }];
    }),
  );
  const rows = items.map(({ layer, names, shapes, score }, i): AllocationRow => {
    const missing = { layer, score: Number.NaN, low: Number.NaN, high: Number.NaN };
    const bytes = shapes.reduce((sum, shape) => {
      return sum + layerBytes(shape, { weights: bits[i]!, activations: 8, granularity: 'channel' });
    }, 0);
    return { ...(score ?? missing), names, bits: bits[i]!, bytes };
  });
  return {
    plan: { ...everywhere, layers },
    rows,
    bytes: rows.reduce((sum, row) => sum + row.bytes, 0),
    averageBits: totalShare(items, bits, { averageBits: 0 }) / weightCount(items),
  };
}
