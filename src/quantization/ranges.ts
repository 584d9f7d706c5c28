import { roundHalfEven } from '../formats/half.ts';
import { SMALLEST_SPAN } from '../kernels/storage.ts';
import type { CodeBits } from './bitPlan.ts';
import type { ActivationQuantizer } from './layers.ts';

/** How the range of an activation quantizer is chosen. */
export type RangeMethod = 'mse' | 'minmax' | 'quantile';
export const RANGE_METHODS: readonly RangeMethod[] = ['mse', 'minmax', 'quantile'];

/** Values per image that are kept for the search. */
const SAMPLES_PER_IMAGE = 8192;
/** Share of values that the quantile method clips at either end. */
const CLIPPED = 0.0001;
const SHRINK_STEPS = 64;
const SHRINK_TO = 0.3;

/** Gathers what a layer's input looks like over calibration images, in bounded memory. */
export class RangeObserver {
  #low = 0;
  #high = 0;
  readonly #samples: Float32Array[] = [];

  /** @param values all values of one image's input */
  add(values: Float32Array): void {
    for (let i = 0; i < values.length; i++) {
      this.#low = Math.min(this.#low, values[i]!);
      this.#high = Math.max(this.#high, values[i]!);
    }
    // A stride without common factors with the rows, so that the sample covers channels and places evenly.
    const stride = Math.max(1, Math.floor(values.length / SAMPLES_PER_IMAGE)) | 1;
    this.#samples.push(Float32Array.from({ length: Math.ceil(values.length / stride) }, (_, i) => values[i * stride]!));
  }

  /**
   * @param bits width of the codes
   * @param method what is rare decides about anomalies, so 8 bits clip nothing by default; fewer have to (`mse`)
   */
  quantizer(bits: CodeBits, method: RangeMethod = bits === 8 ? 'minmax' : 'mse'): ActivationQuantizer {
    const widest = affine(this.#low, this.#high, bits);
    if (method === 'minmax') return widest;
    const all = new Float32Array(this.#samples.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of this.#samples) {
      all.set(part, at);
      at += part.length;
    }
    if (method === 'quantile') {
      const sorted = all.sort();
      const low = Math.min(0, sorted[Math.floor(CLIPPED * (sorted.length - 1))]!);
      return affine(low, Math.max(0, sorted[Math.ceil((1 - CLIPPED) * (sorted.length - 1))]!), bits);
    }
    let best = widest;
    let least = Number.POSITIVE_INFINITY;
    for (let step = 0; step < SHRINK_STEPS; step++) {
      const share = 1 - ((1 - SHRINK_TO) * step) / SHRINK_STEPS;
      const candidate = affine(this.#low * share, this.#high * share, bits);
      const error = squaredError(all, candidate, bits);
      if (error < least) {
        least = error;
        best = candidate;
      }
    }
    return best;
  }
}

/** The quantizer whose codes cover [low, high], which includes zero exactly. */
function affine(low: number, high: number, bits: CodeBits): ActivationQuantizer {
  const most = 2 ** bits - 1;
  if (!(high - low >= SMALLEST_SPAN)) return { scale: 1, zeroPoint: 0 };
  const scale = Math.fround((high - low) / most);
  return { scale, zeroPoint: Math.min(Math.max(roundHalfEven(-low / scale), 0), most) };
}

function squaredError(values: Float32Array, { scale, zeroPoint }: ActivationQuantizer, bits: CodeBits): number {
  const low = -zeroPoint;
  const high = 2 ** bits - 1 - zeroPoint;
  let sum = 0;
  for (let i = 0; i < values.length; i++) {
    const code = Math.min(Math.max(Math.round(values[i]! / scale), low), high);
    sum += (values[i]! - scale * code) ** 2;
  }
  return sum;
}
