import { deferred } from '../engine/deferred.ts';
import type { Variant } from '../engine/graph.ts';
import { lanes } from './common.ts';
import { CODE_CENTER, largestSum, type Qconv2dAttrs, type Qconv2dNode, type Qconv2dSignature } from './qconv2dShape.ts';
import { isCodes } from './storage.ts';
import type { Between } from './winogradStored.ts';
import { WINOGRAD_TILES } from './winogradTiles.ts';

/*
 * qconv2d by Winograd's method. `winogradMIntegers` gives the bits of the direct kernels; `winogradMFloats` transforms and multiplies the
 * same integers as floats, so that results differ by float32 rounding.
 */

/** Sums of products are exact below it in absolute value: four times as much still fits a signed word. */
export const EXACT_BELOW = 2 ** 29;

/** Largest error of the floats, as a share of the largest output before it is stored. */
const FLOATS_ERROR = 5e-5;

/** Input and output channels from which on the products outweigh the transforms. */
const LEAST_CHANNELS = 32;

/** Lanes from which on a CPU adapter multiplies pairs of 16 bits in one instruction, twice as fast as floats. */
const LANES_OF_PAIRS = 8;

function isWinograd({ weights, stride, groupSize }: Qconv2dAttrs, m: number): boolean {
  const [, ci, kh, kw] = weights as [number, number, number, number];
  return stride === 1 && groupSize === ci && kh === kw && (WINOGRAD_TILES[kh]?.includes(m) ?? false);
}

function isLarge({ attrs: { weights } }: Qconv2dNode): boolean {
  const [co, ci] = weights as [number, number];
  return co >= LEAST_CHANNELS && ci >= LEAST_CHANNELS;
}

/** Whether no weights and activations can reach sums for which the integers would not be exact. */
function isExact(attrs: Qconv2dAttrs): boolean {
  return CODE_CENTER * largestSum(attrs) < EXACT_BELOW;
}

const onCpus = deferred(() => import('./cpuKernels.ts'));

function variant(between: Between, m: number): Variant<Qconv2dAttrs, Qconv2dSignature> {
  const isIntegers = between === 'integers';
  return {
    name: `winograd${m}${isIntegers ? 'Integers' : 'Floats'}`,
    supports: (_, { attrs }) => isWinograd(attrs, m) && (!isIntegers || (isCodes(attrs.input) && isExact(attrs))),
    ...(!isIntegers && { error: () => FLOATS_ERROR }),
    suits(caps, node) {
      if (!caps.isCpu || lanes(caps) < 4 || !isLarge(node)) return false;
      return isIntegers === (isCodes(node.attrs.input) && lanes(caps) >= LANES_OF_PAIRS);
    },
    lower: (node, caps) => onCpus().quantizedWinograd(node, between, m, caps),
  };
}

/** Output tiles, those with the fewest products first. */
const TILES = [4, 3, 2];
export const winogradVariants: readonly Variant<Qconv2dAttrs, Qconv2dSignature>[] = [
  ...TILES.map((m) => variant('integers', m)),
  ...TILES.map((m) => variant('floats', m)),
];
