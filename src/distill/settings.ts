import { checkSeed } from '../checks/numbers.ts';
import { UserError } from '../errors.ts';
import type { PdnSize } from '../networks/pdn.ts';
import { checkSteps } from '../train/fit.ts';

/** What defines a distillation: equal settings, photographs and backbone give equal weights on the same adapter. */
export interface DistillSettings {
  readonly size: PdnSize;
  /** Side in pixels at which the teacher sees what the backbone sees. */
  readonly resolution: number;
  readonly iterations: number;
  readonly batch: number;
  readonly learningRate: number;
  readonly weightDecay: number;
  /** Views of every photograph. */
  readonly views: number;
  readonly seed: number;
}

export const DISTILL_DEFAULTS: DistillSettings = {
  size: 's',
  resolution: 256,
  iterations: 10_000,
  batch: 4,
  learningRate: 1e-3,
  weightDecay: 1e-5,
  views: 4,
  seed: 0,
};

/** @throws UserError for a setting that cannot be used */
export function checkDistillSettings(settings: DistillSettings): void {
  checkSteps(settings);
  checkSeed(settings.seed);
  const { views, resolution } = settings;
  if (!Number.isSafeInteger(views) || views < 1 || views > 10_000)
    throw new UserError(`views ${views} cannot be used.`, 'Look at every photograph 1 to 10000 times.');
  if (!Number.isSafeInteger(resolution) || resolution < 64 || resolution > 1024 || resolution % 4 !== 0)
    throw new UserError(`resolution ${resolution} cannot be used.`, 'Use a multiple of 4 from 64 to 1024 pixels.');
}
