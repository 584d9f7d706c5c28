import type { DetectorState } from './detectorState.ts';

/**
 * Color range of a detector's heat maps, the same for all its images so that they can be compared: the threshold lies in
 * the middle. Without one, 0.1 is where the brightest half percent of normal pixels begins (the maps' normalization).
 */
export function heatmapRange({ threshold }: Pick<DetectorState, 'threshold'>) {
  const value = threshold && threshold.value > 0 ? threshold.value : 0.1;
  return { low: 0, high: 2 * value, threshold: threshold?.value ?? value };
}
