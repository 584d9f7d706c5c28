import type { RgbImage } from '../data/image.ts';
import { conformalThreshold } from '../model/conformal.ts';
import type { Detector, MapQuantiles } from '../model/detector.ts';
import { exactQuantile } from '../model/statistics.ts';

/** Images by index, of any size. */
export interface ImageSource {
  readonly count: number;
  /** Stands for the images' contents, so that a run is not resumed with others. */
  readonly digest?: string;
  image(index: number): Promise<RgbImage>;
}

/** Quantiles of normal pixels that normalise the maps (EfficientAD, section 3.4). */
const LOW = 0.9;
const HIGH = 0.995;

/**
 * Takes map quantiles and the conformal threshold from held-out normal images, which must not have been trained on.
 * @returns the detector with both
 */
export async function calibrate(
  detector: Detector,
  heldOut: ImageSource,
  alpha?: number,
  signal?: AbortSignal,
): Promise<Detector> {
  const { cells } = detector.state.networks;
  const plane = cells * cells;
  const studentTeacher = new Float32Array(plane * heldOut.count);
  const autoencoder = new Float32Array(plane * heldOut.count);
  for (let i = 0; i < heldOut.count; i++) {
    signal?.throwIfAborted();
    const maps = await detector.rawMaps(await heldOut.image(i));
    studentTeacher.set(maps.studentTeacher, i * plane);
    autoencoder.set(maps.autoencoder, i * plane);
  }
  const range = (values: Float32Array) => [exactQuantile(values, LOW), exactQuantile(values, HIGH)] as const;
  const quantiles: MapQuantiles = { studentTeacher: range(studentTeacher), autoencoder: range(autoencoder) };
  const normalised = detector.with({ quantiles });
  const scores: number[] = [];
  try {
    for (let i = 0; i < heldOut.count; i++) {
      signal?.throwIfAborted();
      scores.push((await normalised.predict(await heldOut.image(i))).score);
    }
    return normalised.with({ threshold: conformalThreshold(scores, alpha) });
  } finally {
    normalised.destroy();
  }
}
