import type { Prediction } from '../model/detector.ts';

export function verdictOf({ isAnomalous }: Prediction): 'normal' | 'anomalous' | undefined {
  return isAnomalous === undefined ? undefined : isAnomalous ? 'anomalous' : 'normal';
}
