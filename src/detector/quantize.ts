import type { ImageSource } from '../data/image.ts';
import { UserError } from '../errors.ts';
import type { Networks } from '../networks/networks.ts';
import type { BitPlan } from '../quantization/bitPlan.ts';
import type { CalibrationProgress } from '../quantization/layerInputs.ts';
import {
  type PreparationSettings,
  type PreparedNetworks,
  preparationFor,
  prepareNetworks,
  quantizedStatistics,
  quantizePrepared,
} from '../quantization/prepare.ts';
import { calibrate } from './calibrate.ts';
import { checkAlpha } from './conformal.ts';
import { Detector } from './detector.ts';
import { seenImages } from './seen.ts';

/** How far a quantization is. */
export interface QuantizeProgress extends Omit<CalibrationProgress, 'phase'> {
  readonly phase: CalibrationProgress['phase'] | 'calibrate';
}

/** What quantizing takes besides a plan. */
export interface ApplyPlanOptions {
  /** Normal images that the detector was not trained on: for map quantiles and threshold. */
  readonly heldOut: ImageSource;
  /** Wanted false-alarm rate of the threshold; that of the detector by default. */
  readonly alpha?: number | undefined;
  readonly onProgress?: ((progress: QuantizeProgress) => void) | undefined;
  /** Called with one sentence for everything that is left out. */
  readonly onNotice?: ((message: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A float detector, and the images that ranges are taken from. */
export interface PrepareQuantizationOptions extends PreparationSettings {
  /** A float detector. */
  readonly detector: Detector;
  /** Normal images that the detector was trained on: for the ranges of activations and the teacher's statistics. */
  readonly train: ImageSource;
  /** Images that ranges are taken from, evenly spread over `train`; 32. */
  readonly rangeImages?: number | undefined;
  readonly onProgress?: ((progress: QuantizeProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface QuantizeOptions
  extends ApplyPlanOptions,
    Omit<PrepareQuantizationOptions, keyof ApplyPlanOptions | 'activations' | 'widths' | 'layers'> {
  /** Width of every layer. @see uniformPlan, parseBitPlan */
  readonly plan: BitPlan;
}

/**
 * A float detector made ready to be quantized by one plan after the other: equalized channels, ranges and means of what its layers
 * read. It holds values of the host alone, so it needs no `destroy()`, and outlives the detector that it was made of; the
 * engine and the training images are used again by every quantization.
 */
export class PreparedQuantization {
  readonly #source: Pick<Detector, 'engine' | 'state'>;
  readonly #train: ImageSource;
  readonly #prepared: PreparedNetworks;

  /** Made by {@link prepareQuantization}. */
  constructor({ engine, state }: Detector, train: ImageSource, prepared: PreparedNetworks) {
    this.#source = { engine, state };
    this.#train = train;
    this.#prepared = prepared;
  }

  /** The float networks that codes are made from: those of the detector, with more equal channels for integer activations. */
  get networks(): Networks {
    return this.#prepared.networks;
  }

  /**
   * A detector that runs on packed integer weights (RAAD, decomposition). Biases make up for what rounding does to the means of
   * channels. Teacher statistics, map quantiles and threshold are taken anew with the quantized networks. No weight is trained.
   * @returns the caller's to destroy
   * @throws UserError for a plan that was not prepared for
   */
  async quantize(plan: BitPlan, { heldOut, alpha, onProgress, onNotice, signal }: ApplyPlanOptions): Promise<Detector> {
    checkAlpha(alpha);
    const { engine, state } = this.#source;
    const train = this.#train;
    const { networks, quantization } = quantizePrepared(this.#prepared, plan);
    const { images } = await seenImages(state, train);
    await quantizedStatistics({ engine, networks, train: images, onProgress, signal }, quantization);
    onProgress?.({ phase: 'calibrate', done: 0, total: 1 });
    const quantized = new Detector(engine, {
      ...state,
      networks,
      quantization: quantization.size > 0 ? quantization : undefined,
    });
    try {
      const wanted = alpha ?? state.threshold?.alpha;
      const result = await calibrate(quantized, heldOut, { alpha: wanted, train, onNotice, signal });
      onProgress?.({ phase: 'calibrate', done: 1, total: 1 });
      return result;
    } finally {
      quantized.destroy();
    }
  }
}

/**
 * The first of two steps of quantizing: reads calibration images once, for any number of plans.
 * @throws UserError without images, for a detector that is quantized already or whose values overflow
 */
export async function prepareQuantization(options: PrepareQuantizationOptions): Promise<PreparedQuantization> {
  const { detector, train, rangeImages, onProgress, signal } = options;
  assertFloat(detector);
  const { engine, state } = detector;
  const { images, wholes } = await seenImages(state, train);
  const run = { engine, networks: state.networks, train: images, wholes, rangeImages, onProgress, signal };
  return new PreparedQuantization(detector, train, await prepareNetworks(run, options));
}

/**
 * Turns a float detector into one that runs on packed integer weights, in one step.
 * @see PreparedQuantization for several plans
 * @throws UserError without images, or for a detector that is quantized already
 */
export async function quantize(options: QuantizeOptions): Promise<Detector> {
  const { detector, plan } = options;
  checkAlpha(options.alpha);
  assertFloat(detector);
  const prepared = await prepareQuantization({ ...options, ...preparationFor(plan, detector.state.networks) });
  return prepared.quantize(plan, options);
}

function assertFloat({ state }: Detector): void {
  if (state.quantization)
    throw new UserError('the detector is quantized already.', 'Quantize the float model that it was made from.');
}
