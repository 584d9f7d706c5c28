import type { ImageSource } from '../data/image.ts';
import type { Detector } from '../detector/detector.ts';
import { prepareQuantization } from '../detector/quantize.ts';
import { type BitPlan, isCodeBits, type LayerPlan, quantizableLayers, uniformPlan } from '../quantization/bitPlan.ts';
import type { RangeMethod } from '../quantization/ranges.ts';
import { evaluate, type TestSource } from './evaluate.ts';

/** What is quantized in one measurement: a layer by its name, or every layer. */
export const EVERY_LAYER = 'every layer';

/** What a quantization does to a detector. */
export interface SensitivityMeasurement {
  /** A layer's name, {@link EVERY_LAYER}, or `none` for the float detector itself. */
  readonly layer: string;
  readonly weights: LayerPlan['weights'];
  readonly activations: LayerPlan['activations'];
  /** Image AUROC in [0, 1]; undefined where the labels do not allow it. */
  readonly auroc: number | undefined;
  /** AU-PRO (AU-sPRO for MVTec LOCO) up to a false-positive rate of 0.3, in [0, 1]. */
  readonly overlap: number | undefined;
  /** Power of the float detector's map over that of the difference to it, in decibels; undefined for the float one. */
  readonly mapSnr: number | undefined;
}

/** Which layers are quantized to which widths, and on which images that is measured. */
export interface SensitivityOptions {
  readonly detector: Detector;
  readonly train: ImageSource;
  readonly heldOut: ImageSource;
  readonly source: TestSource;
  /** Layers to quantize one at a time, {@link EVERY_LAYER} among them or not; all layers by default. */
  readonly layers?: readonly string[] | undefined;
  /** Widths of the weights; 8 down to 2. */
  readonly bits?: readonly LayerPlan['weights'][] | undefined;
  /** Width of the activations of quantized layers; 8. */
  readonly activations?: LayerPlan['activations'] | undefined;
  /** How the ranges of activations are chosen. */
  readonly method?: RangeMethod | undefined;
  /** What is measured already is not measured again. */
  readonly isDone?: ((layer: string, weights: LayerPlan['weights']) => boolean) | undefined;
  readonly onMeasurement: (measurement: SensitivityMeasurement) => void | Promise<void>;
  readonly signal?: AbortSignal | undefined;
}

const WIDTHS: readonly LayerPlan['weights'][] = [8, 7, 6, 5, 4, 3, 2];
/** Test images whose maps are compared with the float detector's. */
const MAP_IMAGES = 48;

/**
 * Quantizes one layer at a time to each width, without training, and measures what it costs. Statistics, map quantiles and
 * threshold are taken anew each time.
 * @throws UserError for unusable data
 */
export async function sensitivity(options: SensitivityOptions): Promise<void> {
  const {
    detector,
    train,
    heldOut,
    source,
    bits = WIDTHS,
    activations = 8,
    method,
    isDone,
    onMeasurement,
    signal,
  } = options;
  const { networks } = detector.state;
  const layers = options.layers ?? [...quantizableLayers(networks).keys()];
  const prepared = await prepareQuantization({
    detector,
    train,
    ...(isCodeBits(activations) ? { activations: 'integer', widths: [activations] } : { activations: 'float' }),
    method,
    signal,
  });
  const reference = await normalizedMaps(detector, source, signal);
  const measure = async (subject: Detector) => {
    const { metrics } = await evaluate({ detector: subject, source, signal });
    return { auroc: metrics.auroc, overlap: metrics.overlap?.areas[0] };
  };

  if (!isDone?.('none', 32)) {
    const figures = await measure(detector);
    await onMeasurement({ layer: 'none', weights: 32, activations: 32, ...figures, mapSnr: undefined });
  }
  for (const layer of layers) {
    for (const weights of bits) {
      if (isDone?.(layer, weights)) continue;
      const full = uniformPlan(networks, { weights, activations });
      const plan: BitPlan = layer === EVERY_LAYER ? full : { ...full, layers: { [layer]: full.layers[layer]! } };
      const quantized = await prepared.quantize(plan, { heldOut, signal });
      try {
        const figures = await measure(quantized);
        const mapSnr = decibels(reference, await normalizedMaps(quantized, source, signal));
        await onMeasurement({ layer, weights, activations, ...figures, mapSnr });
      } finally {
        quantized.destroy();
      }
    }
  }
}

/** Sums of both maps, each normalized by its quantiles, of test images evenly spread. */
async function normalizedMaps(detector: Detector, source: TestSource, signal?: AbortSignal): Promise<Float64Array[]> {
  const { studentTeacher: st, autoencoder: ae } = detector.state.quantiles;
  const count = Math.min(MAP_IMAGES, source.count);
  const maps: Float64Array[] = [];
  for (let i = 0; i < count; i++) {
    signal?.throwIfAborted();
    const { image } = await source.load(Math.floor((i * source.count) / count));
    const raw = await detector.rawMaps(image);
    maps.push(
      Float64Array.from(raw.studentTeacher, (value, k) => {
        return (value - st[0]) / (st[1] - st[0]) + (raw.autoencoder[k]! - ae[0]) / (ae[1] - ae[0]);
      }),
    );
  }
  return maps;
}

function decibels(signal: readonly Float64Array[], changed: readonly Float64Array[]): number {
  let power = 0;
  let noise = 0;
  signal.forEach((map, i) => {
    map.forEach((value, k) => {
      power += value ** 2;
      noise += (value - changed[i]![k]!) ** 2;
    });
  });
  return 10 * Math.log10(power / noise);
}
