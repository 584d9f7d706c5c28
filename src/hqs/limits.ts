import { UserError } from '../errors.ts';
import type { WeightBits } from '../formats/weightCodes.ts';
import { type LayerPlan, layerBytes } from '../quantization/bitPlan.ts';
import type { LayerScore } from './scores.ts';

/** A bound on the weights of all layers together, without biases. */
export type SizeLimit =
  /** With scales, as stored. */
  | { readonly bytes: number }
  /** Mean width of a weight. */
  | { readonly averageBits: number };

/** Milliseconds of a layer at a width of its weights, by layer and width. */
export type Latencies = ReadonlyMap<string, ReadonlyMap<WeightBits, number>>;

/** A bound on the time of all layers together. */
export interface TimeLimit {
  readonly milliseconds: number;
  readonly latencies: Latencies;
}

/** What all layers together may take. */
export type Limit = SizeLimit | TimeLimit;

/** Layers that get one width together. */
export interface Item {
  readonly layer: string;
  readonly names: readonly string[];
  readonly shapes: readonly (readonly number[])[];
  readonly score: LayerScore | undefined;
}

export function isTimeLimit(limit: Limit | undefined): limit is TimeLimit {
  return limit !== undefined && 'milliseconds' in limit;
}

/** What an item takes at a width, in the limit's unit. @throws UserError for a width that was not measured */
export function shareOf({ names, shapes }: Item, weights: LayerPlan['weights'], limit: Limit): number {
  if (!isTimeLimit(limit)) {
    const size = (shape: readonly number[]) =>
      'bytes' in limit
        ? layerBytes(shape, { weights, activations: 8, granularity: 'channel' })
        : weights * count(shape);
    return shapes.reduce((sum, shape) => sum + size(shape), 0);
  }
  return names.reduce((sum, name) => {
    const milliseconds = limit.latencies.get(name)?.get(weights as WeightBits);
    if (milliseconds === undefined)
      throw new UserError(`there is no latency of ${name} at ${weights} bits.`, 'Measure every layer at every width.');
    return sum + milliseconds;
  }, 0);
}

/** What all items together take. */
export function totalShare(items: readonly Item[], bits: readonly LayerPlan['weights'][], limit: Limit): number {
  return items.reduce((sum, item, i) => sum + shareOf(item, bits[i]!, limit), 0);
}

/** What all items together may take. */
export function allowed(items: readonly Item[], limit: Limit): number {
  if (isTimeLimit(limit)) return limit.milliseconds;
  return 'bytes' in limit ? limit.bytes : limit.averageBits * weightCount(items);
}

/** Weights of all items. */
export function weightCount(items: readonly Item[]): number {
  return items.reduce((sum, { shapes }) => sum + shapes.reduce((all, shape) => all + count(shape), 0), 0);
}

function count(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1);
}

/** The width at which an item takes least; the widest of equals. */
function leanest(item: Item, limit: Limit, widths: readonly WeightBits[]): WeightBits {
  const at = (bits: WeightBits) => shareOf(item, bits, limit);
  return widths.reduce((best, bits) => (at(bits) <= at(best) ? bits : best));
}

/** The widths at which all items together take least. @param widths ascending */
export function leanestWidths(items: readonly Item[], limit: Limit, widths: readonly WeightBits[]): WeightBits[] {
  return items.map((item) => leanest(item, limit, widths));
}

/** The refusal of a limit that no widths meet. @param least what they take at least */
export function unreachable(limit: Limit, least: number): UserError {
  if (isTimeLimit(limit))
    return new UserError(
      `the layers cannot be brought under ${limit.milliseconds.toPrecision(3)} ms.`,
      `The fastest widths take ${least.toPrecision(3)} ms.`,
    );
  const text = 'bytes' in limit ? `${limit.bytes} bytes` : `an average of ${limit.averageBits} bits`;
  return new UserError(
    `the layers cannot be brought under ${text}.`,
    'bytes' in limit ? `2 bits for all take ${least} bytes.` : 'An average of 2 bits is the least.',
  );
}
