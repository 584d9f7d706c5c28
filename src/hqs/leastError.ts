import { dequantizeWeights, quantizeWeights, WEIGHT_BITS, type WeightBits } from '../formats/weightCodes.ts';
import type { Networks } from '../networks/networks.ts';
import { type LayerPlan, quantizableLayers } from '../quantization/bitPlan.ts';
import { allowed, type Item, type Limit, leanestWidths, shareOf, totalShare, unreachable } from './limits.ts';

/** Squared error of a layer's weights at a width, as a share of their squares, by layer and width. */
export type RoundingErrors = ReadonlyMap<string, ReadonlyMap<WeightBits, number>>;

/** Rounding errors of all layers at all widths. */
export function roundingErrors(networks: Networks): RoundingErrors {
  const errors = new Map<string, Map<WeightBits, number>>();
  for (const [name, { weight }] of quantizableLayers(networks)) {
    const values = weight.data as Float32Array;
    const power = values.reduce((sum, value) => sum + value * value, 0) || 1;
    const widths = new Map<WeightBits, number>();
    for (const bits of WEIGHT_BITS) {
      const rounded = dequantizeWeights(quantizeWeights(values, weight.type.shape, { bits, rounding: 'nearest' }));
      widths.set(bits, rounded.reduce((sum, value, i) => sum + (value - values[i]!) ** 2, 0) / power);
    }
    errors.set(name, widths);
  }
  return errors;
}

/** Score x relative squared error of an item at a width; one without a score counts as the mean. */
function weightedError(item: Item, score: number, bits: WeightBits, errors: RoundingErrors): number {
  return Math.max(score, 0) * item.names.reduce((sum, name) => sum + errors.get(name)!.get(bits)!, 0);
}

function filled(scores: readonly (number | undefined)[]): number[] {
  const given = scores.filter((score) => score !== undefined);
  const mean = given.length > 0 ? given.reduce((a, b) => a + b, 0) / given.length : 1;
  return scores.map((score) => score ?? mean);
}

/** Sum of score x relative squared error over all items; what {@link leastError} minimizes. */
export function totalError(
  items: readonly Item[],
  scores: readonly (number | undefined)[],
  bits: readonly LayerPlan['weights'][],
  errors: RoundingErrors,
): number {
  const weights = filled(scores);
  return items.reduce((sum, item, i) => sum + weightedError(item, weights[i]!, bits[i] as WeightBits, errors), 0);
}

/** Steps that a limit is divided into: shares are rounded up to them, so that it holds. */
const STEPS = 20_000;

/**
 * The widths of the least sum of score x relative squared error under a limit, by dynamic programming over its steps.
 * @throws UserError for a limit that no widths meet
 */
export function leastError(
  items: readonly Item[],
  scores: readonly (number | undefined)[],
  limit: Limit,
  errors: RoundingErrors,
): WeightBits[] {
  const weights = filled(scores);
  const unit = allowed(items, limit) / STEPS;
  const steps = (item: Item, bits: WeightBits) => Math.ceil(shareOf(item, bits, limit) / unit);
  let costs = new Float64Array(STEPS + 1);
  const choices: Uint8Array[] = [];
  items.forEach((item, i) => {
    const next = new Float64Array(STEPS + 1).fill(Number.POSITIVE_INFINITY);
    const choice = new Uint8Array(STEPS + 1);
    for (const bits of WEIGHT_BITS) {
      const own = steps(item, bits);
      const cost = weightedError(item, weights[i]!, bits, errors);
      for (let used = own; used <= STEPS; used++) {
        const total = costs[used - own]! + cost;
        if (total < next[used]!) {
          next[used] = total;
          choice[used] = bits;
        }
      }
    }
    costs = next;
    choices.push(choice);
  });
  let left = STEPS;
  if (costs[left] === Number.POSITIVE_INFINITY)
    throw unreachable(limit, totalShare(items, leanestWidths(items, limit, WEIGHT_BITS), limit));
  const bits: WeightBits[] = [];
  for (let i = items.length - 1; i >= 0; i--) {
    const chosen = choices[i]![left]! as WeightBits;
    bits[i] = chosen;
    left -= steps(items[i]!, chosen);
  }
  return bits;
}
