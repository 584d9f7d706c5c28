import { type AllocateOptions, allocate } from '../hqs/allocate.ts';
import type { SizeLimit } from '../hqs/limits.ts';
import { checkScoring, type ScoreOptions } from '../hqs/scores.ts';
import { checkTimeBudget } from '../hqs/timeBudget.ts';
import { Networks } from '../networks/networks.ts';
import { checkFitSettings, type FitSettings } from '../train/fit.ts';
import { type RecalibrateChange, recalibrateSettings } from '../train/recalibrate.ts';

/** What defines the results: two studies with equal settings give equal metrics on one adapter. */
export interface StudySettings {
  readonly fit: Omit<FitSettings, 'seed'>;
  readonly recalibration?: RecalibrateChange | undefined;
  /** How `hqs` and its controls score layers and choose widths. */
  readonly scoring?: Pick<ScoreOptions, 'map' | 'contribution' | 'images' | 'plantings'> | undefined;
  readonly allocation?:
    | (Pick<AllocateOptions, 'mode' | 'thresholds' | 'bits' | 'otherBits'> & { readonly limit?: SizeLimit | undefined })
    | undefined;
  /** Mean width of the arm `budget`; 5 by default. */
  readonly averageBits?: number | undefined;
  /** Time of the arm `time` as a share of float's; midway between the fastest widths and float by default. */
  readonly timeShare?: number | undefined;
}

/** Mean width of the arm `budget` by default. */
export const AVERAGE_BITS = 5;

/**
 * Refuses what a cell would refuse, which may be hours later.
 * @throws UserError for settings that no study can be run with
 */
export function checkStudySettings(settings: StudySettings): void {
  const { fit, recalibration, scoring = {}, allocation, averageBits = AVERAGE_BITS, timeShare } = settings;
  checkFitSettings({ ...fit, seed: 0 });
  recalibrateSettings(fit, recalibration);
  checkScoring(scoring);
  const networks = new Networks(fit.size, fit.resolution);
  // Thresholds, widths and limits are judged by shapes alone; scores and rounding errors come with trained weights.
  allocate({ networks, scores: [], ...allocation, mode: 'psi' });
  allocate({ networks, scores: [], limit: { averageBits } });
  if (timeShare !== undefined) checkTimeBudget({ share: timeShare });
}
