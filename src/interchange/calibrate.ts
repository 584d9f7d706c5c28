import type { ImageSource } from '../data/image.ts';
import { type CalibrateOptions, calibrate, judge } from '../detector/calibrate.ts';
import { Detector } from '../detector/detector.ts';
import type { DetectorState } from '../detector/detectorState.ts';
import type { QuantizeProgress } from '../detector/quantize.ts';
import type { Engine } from '../engine/engine.ts';
import { UserError } from '../errors.ts';
import { quantizedStatistics } from '../quantization/prepare.ts';
import type { ImportedDetector } from './detector.ts';

/** An imported detector, and the images that supply what its files lack. */
export interface CalibrateImportedOptions extends Omit<CalibrateOptions, 'train'> {
  readonly engine: Engine;
  readonly imported: ImportedDetector;
  /** Name of the data set, for the provenance. */
  readonly dataset: string;
  /** The good images that the detector was trained on: the student learned from features that these standardize. */
  readonly train: ImageSource;
  /** Good images that it was not trained on. */
  readonly heldOut: ImageSource;
  readonly onProgress?: (progress: QuantizeProgress) => void;
}

/**
 * Completes an imported detector from images of good parts: statistics of the teacher and quantiles of the maps where its files held
 * none, and a threshold in any case.
 * @throws UserError without images, or for maps that are not finite
 */
export async function calibrateImported(options: CalibrateImportedOptions): Promise<DetectorState> {
  const { engine, imported, dataset, train, heldOut, alpha, onNotice, onProgress, signal } = options;
  const { networks } = imported.state;
  if (train.count === 0 || heldOut.count === 0)
    throw new UserError(
      'there are no good images to calibrate with.',
      'Give the images that the detector was trained on.',
    );
  if (!imported.hasStatistics) await quantizedStatistics({ engine, networks, train, onProgress, signal }, new Map());
  const provenance = {
    ...imported.state.provenance,
    dataset,
    trainImages: train.count,
    heldOutImages: heldOut.count,
  };
  const detector = new Detector(engine, { ...imported.state, provenance });
  try {
    onProgress?.({ phase: 'calibrate', done: 0, total: 1 });
    if (!imported.hasQuantiles) {
      const calibrated = await calibrate(detector, heldOut, { alpha, train, onNotice, signal });
      calibrated.destroy();
      return calibrated.state;
    }
    return { ...detector.state, ...(await judge(detector, heldOut, { alpha, signal })) };
  } finally {
    detector.destroy();
    onProgress?.({ phase: 'calibrate', done: 1, total: 1 });
  }
}
