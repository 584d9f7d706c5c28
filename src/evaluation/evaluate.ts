import { GOOD } from '../data/dataset.ts';
import type { RgbImage } from '../data/image.ts';
import type { Detector, Prediction } from '../detector/detector.ts';
import { mapScore } from '../detector/score.ts';
import { UserError } from '../errors.ts';
import type { Interval } from '../metrics/bootstrap.ts';
import { type OverlapCurve, type PixelMetrics, PixelPool, type Region } from '../metrics/overlap.ts';
import { wilsonInterval } from '../metrics/proportion.ts';
import { auroc, type BinaryMetrics, binaryMetrics } from '../metrics/ranking.ts';

/** Limits of the false-positive rate for the overlap metrics: MVTec AD's, and LOCO's stricter one. */
export const FPR_LIMITS = [0.3, 0.05] as const;

/** Ground truth of a defective image, at the image's size. */
export interface GroundTruth {
  /** [height, width], non-zero on any defect. */
  readonly mask: Uint8Array;
  /** What the overlap metric averages over. */
  readonly regions: readonly Region[];
}

/** Test images by index. */
export interface TestSource {
  readonly count: number;
  /** `perRegion`: AU-PRO over connected components; `saturated`: AU-sPRO over LOCO's defects. */
  readonly overlap: 'perRegion' | 'saturated';
  /** Defect kinds are averaged instead of pooled: LOCO's logical and structural anomalies. */
  readonly averageKinds: boolean;
  sample(index: number): { readonly name: string; readonly defect: string };
  /** Ground truth is absent for good images and where there are image labels only. @throws UserError */
  load(index: number): Promise<{ readonly image: RgbImage; readonly truth?: GroundTruth }>;
}

/** The result of one image. */
export interface ImageResult {
  readonly name: string;
  readonly defect: string;
  readonly score: number;
  readonly isAnomalous: boolean | undefined;
  /** Maximum of each raw map. */
  readonly studentTeacher: number;
  readonly autoencoder: number;
}

/** Overlap of maps and defects: AU-PRO or AU-sPRO at each limit. */
export interface Overlap {
  readonly metric: 'AU-PRO' | 'AU-sPRO';
  /** One per limit of {@link FPR_LIMITS}, each in [0, 1]. */
  readonly areas: readonly number[];
}

/** Metrics of one kind of defect against the good images. */
export interface DefectMetrics {
  readonly defect: string;
  readonly images: number;
  /** This kind against all good images. */
  readonly auroc: number | undefined;
  readonly overlap: Overlap | undefined;
}

/** What the field reports. Everything is in [0, 1]; undefined where the labels do not allow it. */
export interface Metrics {
  readonly goodImages: number;
  readonly badImages: number;
  /** For LOCO the mean over its kinds of anomaly. */
  readonly auroc: number | undefined;
  /** Over all images pooled. */
  readonly image: BinaryMetrics | undefined;
  readonly pixel: BinaryMetrics | undefined;
  readonly overlap: Overlap | undefined;
  /** AUROC of each map alone, by its maximum. */
  readonly branches: { readonly studentTeacher: number | undefined; readonly autoencoder: number | undefined };
  /** How the detector's own threshold, which has seen no test image, does. */
  readonly verdicts: Verdicts | undefined;
  readonly defects: readonly DefectMetrics[];
}

/** How a threshold does on test images. */
export interface Verdicts {
  readonly falseAlarms: number | undefined;
  /** 95 % interval of the rate of false alarms, by the number of good images. */
  readonly falseAlarmInterval: Interval | undefined;
  /** Rate that the threshold promises. */
  readonly promised: number | undefined;
  readonly missed: number | undefined;
}

/** Metrics over a set of images, and the result of each. */
export interface Evaluation {
  readonly metrics: Metrics;
  readonly results: readonly ImageResult[];
  /** Mean overlap against false-positive rate, for drawing. */
  readonly curve: OverlapCurve | undefined;
  /** One sentence for each image that could not be read or judged. */
  readonly leftOut: readonly string[];
}

/** A detector and the images that it is measured on. */
export interface EvaluateOptions {
  readonly detector: Detector;
  readonly source: TestSource;
  /** Changes the map on the network's grid [mapSide, mapSide] before it is placed and scored. */
  readonly postprocess?: ((gridMap: Float32Array) => Float32Array) | undefined;
  /** How far to go: image metrics only, with pixel metrics over all defects, or also those of each kind; `defects`. */
  readonly detail?: 'images' | 'pixels' | 'defects' | undefined;
  /** Images that go through the networks at once; 1. */
  readonly batch?: number | undefined;
  /** Called after each image, in order. */
  readonly onResult?: ((index: number, result: EvaluatedImage) => void | Promise<void>) | undefined;
  /** Called with one sentence for everything that is left out. */
  readonly onNotice?: ((message: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** An image with its prediction and its truth. */
export interface EvaluatedImage {
  readonly name: string;
  readonly defect: string;
  readonly image: RgbImage;
  readonly truth: GroundTruth | undefined;
  readonly prediction: Prediction;
}

/**
 * Scores all test images and computes the field's metrics at original resolution.
 * @throws UserError when no image is left
 */
export async function evaluate(options: EvaluateOptions): Promise<Evaluation> {
  const { detector, source, detail = 'defects', batch = 1, onResult, onNotice, signal } = options;
  const results: ImageResult[] = [];
  const pool = new PixelPool();
  const leftOut: string[] = [];
  const leave = (error: UserError) => {
    leftOut.push(error.message);
    onNotice?.(`left out: ${error.message}`);
  };
  // The next images are decoded while these run.
  let next = loadSome(source, 0, batch);
  for (let at = 0; at < source.count; at += batch) {
    signal?.throwIfAborted();
    const loaded = await next;
    if (at + batch < source.count) {
      next = loadSome(source, at + batch, batch);
      next.catch(() => {});
    }
    const readable = loaded.filter((each): each is LoadedImage => !(each instanceof UnreadableImageError));
    for (const each of loaded) {
      if (each instanceof UnreadableImageError) leave(each);
    }
    const predictions = await predictSome(detector, readable, batch, options.postprocess);
    for (const [k, { index, name, defect, image, truth }] of readable.entries()) {
      const prediction = predictions[k]!;
      if (prediction instanceof UserError) {
        leave(prediction);
        continue;
      }
      const { score, isAnomalous, map, width, height, branches } = prediction;
      results.push({ name, defect, score, isAnomalous, ...branches });
      if (truth && truth.regions.length === 0)
        onNotice?.(`${name}: its mask is empty, so it is left out of pixel metrics.`);
      else if (detail !== 'images' && (truth || defect === GOOD))
        pool.add(defect, { width, height, map, regions: truth?.regions ?? [] });
      await onResult?.(index, { name, defect, image, truth, prediction });
    }
  }
  if (results.length === 0) {
    throw new UserError('there are no test images that could be scored.', 'Give a data set with a test folder.');
  }
  if (leftOut.length > 0) onNotice?.(`${leftOut.length} of ${source.count} images were left out.`);
  const promised = detector.state.threshold?.promised;
  return { ...summarize(results, pool, source, detail !== 'pixels' || source.averageKinds, promised), leftOut };
}

type LoadedImage = Omit<EvaluatedImage, 'prediction'> & { readonly index: number };

async function loadSome(
  source: TestSource,
  from: number,
  count: number,
): Promise<(LoadedImage | UnreadableImageError)[]> {
  const all: (LoadedImage | UnreadableImageError)[] = [];
  for (let index = from; index < Math.min(from + count, source.count); index++) {
    try {
      const { image, truth } = await source.load(index);
      all.push({ index, ...source.sample(index), image, truth });
    } catch (error) {
      if (!(error instanceof UnreadableImageError)) throw error;
      all.push(error);
    }
  }
  return all;
}

/**
 * Fewer images than a batch, as at the end, go one by one: a plan for every number would take longer to compile. So does a
 * batch in which one image cannot be judged, such as one that is too large for the device.
 * @returns an error in place of an image's prediction
 */
async function predictSome(
  detector: Detector,
  images: readonly LoadedImage[],
  batch: number,
  postprocess: EvaluateOptions['postprocess'],
): Promise<(Prediction | UserError)[]> {
  const attempt = async <T>(work: () => Promise<T>): Promise<T | UserError> => {
    try {
      return await work();
    } catch (error) {
      if (error instanceof UserError) return error;
      throw error;
    }
  };
  const together =
    images.length === batch && batch > 1
      ? await attempt(() => detector.predictBatch(images.map(({ image }) => image)))
      : undefined;
  const predictions: (Prediction | UserError)[] = [];
  for (const [k, { name, image }] of images.entries()) {
    const prediction =
      together && !(together instanceof UserError) ? together[k]! : await attempt(() => detector.predict(image));
    if (prediction instanceof UserError) {
      predictions.push(new UserError(`${name}: ${prediction.message}`, prediction.fix));
    } else if (!postprocess) predictions.push(prediction);
    else {
      const processed = await attempt(async () => {
        const gridMap = postprocess(prediction.gridMap);
        const map = await detector.place(gridMap, prediction.width, prediction.height);
        // The threshold is one of unprocessed maps.
        return { ...prediction, gridMap, map, score: mapScore(map), isAnomalous: undefined };
      });
      predictions.push(
        processed instanceof UserError ? new UserError(`${name}: ${processed.message}`, processed.fix) : processed,
      );
    }
  }
  return predictions;
}

/** A test image that cannot be decoded, or whose mask cannot; evaluation goes on without it. */
export class UnreadableImageError extends UserError {
  override readonly name: string = 'UnreadableImageError';
}

function summarize(
  results: readonly ImageResult[],
  pool: PixelPool,
  source: TestSource,
  byDefect: boolean,
  promised: number | undefined,
): Omit<Evaluation, 'leftOut'> {
  const isBad = ({ defect }: { defect: string }) => defect !== GOOD;
  const labels = results.map(isBad);
  const image = binaryMetrics(
    results.map(({ score }) => score),
    labels,
  );
  const branch = (name: 'studentTeacher' | 'autoencoder') =>
    auroc(
      results.map((result) => result[name]),
      labels,
    );
  const kinds = [...new Set(results.filter(isBad).map(({ defect }) => defect))].sort();
  const pixels = pool.metrics();
  const metric = source.overlap === 'saturated' ? 'AU-sPRO' : 'AU-PRO';
  const overlapOf = (all: PixelMetrics | undefined): Overlap | undefined =>
    all && { metric, areas: FPR_LIMITS.map((limit) => all.area(limit)) };
  const defects = kinds.map((kind): DefectMetrics => {
    const belongs = ({ defect }: { defect: string }) => defect === kind || defect === GOOD;
    const chosen = results.filter(belongs);
    return {
      defect: kind,
      images: chosen.filter(isBad).length,
      auroc: auroc(
        chosen.map(({ score }) => score),
        chosen.map(isBad),
      ),
      overlap: byDefect ? overlapOf(kinds.length === 1 ? pixels : pool.metrics([kind, GOOD])) : undefined,
    };
  });
  const overlaps = defects.flatMap(({ overlap }) => (overlap ? [overlap] : []));
  const averaged: Overlap | undefined =
    source.averageKinds && overlaps.length > 0
      ? { metric, areas: FPR_LIMITS.map((_, k) => mean(overlaps.map(({ areas }) => areas[k]!))) }
      : overlapOf(pixels);
  const aurocs = defects.flatMap((defect) => defect.auroc ?? []);
  const judged = results.every(({ isAnomalous }) => isAnomalous !== undefined);
  const rate = (of: readonly ImageResult[], wrong: boolean) =>
    of.length === 0 ? undefined : of.filter(({ isAnomalous }) => isAnomalous === wrong).length / of.length;
  const good = results.filter((result) => !isBad(result));
  const bad = results.filter(isBad);
  return {
    results,
    curve: pixels?.curve,
    metrics: {
      goodImages: good.length,
      badImages: bad.length,
      auroc: source.averageKinds && aurocs.length > 0 ? mean(aurocs) : image?.auroc,
      image,
      pixel: pixels?.pixel,
      overlap: averaged,
      branches: { studentTeacher: branch('studentTeacher'), autoencoder: branch('autoencoder') },
      verdicts: judged
        ? {
            falseAlarms: rate(good, true),
            falseAlarmInterval: wilsonInterval(good.filter(({ isAnomalous }) => isAnomalous).length, good.length),
            promised,
            missed: rate(bad, false),
          }
        : undefined,
      defects,
    },
  };
}

function mean(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}
