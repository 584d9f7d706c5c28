import type { Prediction } from '../detector/detector.ts';

export function verdictOf({ isAnomalous }: Prediction): 'normal' | 'anomalous' | undefined {
  return isAnomalous === undefined ? undefined : isAnomalous ? 'anomalous' : 'normal';
}
