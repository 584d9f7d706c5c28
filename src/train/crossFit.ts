import { joinedImages, someImages } from '../data/imageSets.ts';
import { calibrate } from '../detector/calibrate.ts';
import { Detector } from '../detector/detector.ts';
import type { DetectorState } from '../detector/detectorState.ts';
import { UserError } from '../errors.ts';
import { type FitOptions, type FitProgress, fit } from './fit.ts';

/** How the threshold of a trained detector is taken from all good images. */
export interface CrossFitOptions extends Omit<FitOptions, 'checkpoint' | 'resume' | 'onProgress'> {
  /** Parts that the training images are divided into, each judged by a detector of the others; from 2 on. */
  readonly folds: number;
  /** @param fold from 0 on */
  readonly onProgress?: (fold: number, progress: FitProgress) => void;
}

/**
 * Cross-fitting, for few images: map quantiles and threshold of a detector that {@link fit} made of the same options come from all
 * good images. Held-out ones are judged by the detector itself, each part of the training images by one that the same training
 * makes of the others. It takes `folds` further trainings.
 * @returns the detector, on the engine of the last training; the one that was given stays
 * @throws UserError for a number of folds that cannot be, and as {@link fit}
 */
export async function crossFit({ state }: Pick<Detector, 'state'>, options: CrossFitOptions): Promise<Detector> {
  const { folds, train, heldOut, alpha, onProgress, onNotice, recover, signal } = options;
  checkFolds(folds, train.count);
  let { engine, penalty } = options;
  const judges: { readonly state: DetectorState; readonly images: readonly number[] }[] = [
    // Behind the training images come those that it has not seen.
    { state, images: Array.from({ length: heldOut.count }, (_, i) => train.count + i) },
  ];
  for (let fold = 0; fold < folds; fold++) {
    const indices = Array.from({ length: train.count }, (_, i) => i);
    const own = indices.filter((i) => i % folds === fold);
    const others = indices.filter((i) => i % folds !== fold);
    const fitted = await fit({
      ...options,
      engine,
      penalty,
      train: someImages(train, others),
      heldOut: someImages(train, own),
      // What is odd about images has been said, or is said at the end.
      onNotice: () => {},
      onProgress: (progress) => onProgress?.(fold, progress),
      ...(recover && {
        async recover(lost) {
          const next = await recover(lost);
          ({ engine, penalty = penalty } = next);
          return next;
        },
      }),
    });
    const { filter: _, ...made } = fitted.state;
    judges.push({ state: { ...made, ...(state.filter && { filter: state.filter }) }, images: own });
    fitted.destroy();
  }
  const detectors = judges.map(({ state, images }) => ({ detector: new Detector(engine, state), images }));
  try {
    const all = joinedImages(train, heldOut);
    return await calibrate(detectors[0]!.detector, all, { alpha, judges: detectors, onNotice, signal });
  } finally {
    for (const { detector } of detectors) detector.destroy();
  }
}

/** @throws UserError for a number of parts that so many training images cannot be divided into */
export function checkFolds(folds: number, images: number): void {
  if (!Number.isSafeInteger(folds) || folds < 2 || folds > images)
    throw new UserError(
      `${images} training images cannot be judged in ${folds} parts.`,
      'Give a whole number from 2 to the number of images, such as 5.',
    );
}
