import type { Prediction } from '../detector/detector.ts';
import type { DetectorState } from '../detector/detectorState.ts';
import { exactQuantile } from '../math/statistics.ts';

export function verdictOf({ isAnomalous }: Prediction): 'normal' | 'anomalous' | undefined {
  return isAnomalous === undefined ? undefined : isAnomalous ? 'anomalous' : 'normal';
}

/** The threshold, what it promises, and the spread of the scores that it comes from. */
export function thresholdText({ threshold, calibration }: Pick<DetectorState, 'threshold' | 'calibration'>): string {
  if (!threshold) return 'no threshold';
  const { value, promised, images } = threshold;
  const text = `threshold ${value.toFixed(4)}: at most ${(promised * 100).toFixed(1)} % false alarms, from ${images} held-out images`;
  if (!calibration) return text;
  const scores = Float32Array.from(calibration.scores);
  const [low, middle, high] = [0, 0.5, 1].map((q) => exactQuantile(scores, q).toFixed(4));
  return `${text} that score ${low} to ${high}, half of them up to ${middle}`;
}
