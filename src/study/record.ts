import { isRecord } from '../checks/json.ts';
import type { Threshold } from '../detector/conformal.ts';
import type { Metrics } from '../evaluation/evaluate.ts';
import type { AllocationRow } from '../hqs/allocate.ts';
import type { OverlapCurve } from '../metrics/overlap.ts';
import type { CellResult } from './cells.ts';
import type { StudySettings } from './settings.ts';

/** The paper's three steps. */
export const STEPS = ['float', 'quantized', 'recalibrated'] as const;
export type Step = (typeof STEPS)[number];

/** What earlier versions wrote for a step. */
const FORMER_STEPS: Readonly<Record<string, Step>> = { quantised: 'quantized' };

/** `run.json` as parsed, its steps by their names of today. */
export function withStepNames(value: unknown): unknown {
  if (!isRecord(value) || !Array.isArray(value['steps'])) return value;
  const steps = value['steps'].map((each: unknown) => {
    if (!isRecord(each)) return each;
    return { ...each, step: FORMER_STEPS[String(each['step'])] ?? each['step'] };
  });
  return { ...value, steps };
}

/** One step of a run: a model and how it does. */
export interface StepRecord {
  readonly step: Step;
  /** Model file, relative to the run's folder. */
  readonly model: string;
  readonly result: CellResult;
  readonly metrics: Metrics;
  /** Mean overlap against false-positive rate. */
  readonly curve?: OverlapCurve | undefined;
  readonly threshold?: Threshold | undefined;
}

/** A test image of the last step, as pictures below the run's folder. */
export interface GalleryItem {
  /** Of the image file, relative to the data set. */
  readonly name: string;
  readonly defect: string;
  readonly score: number;
  readonly isAnomalous?: boolean | undefined;
  readonly image: string;
  readonly heatmap: string;
  /** Absent for good images and those without a mask. */
  readonly mask?: string | undefined;
}

/** Everything that a run leaves for its report: `run.json`. */
export interface RunRecord {
  readonly format: 'raad-run';
  readonly version: 1;
  readonly set: string;
  readonly seed: number;
  readonly settings: StudySettings & { readonly penalty: string };
  /** ISO 8601. */
  readonly finished: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly adapter: string;
  readonly trainImages: number;
  readonly heldOutImages: number;
  /** Bit plan with the scores that it came from. */
  readonly allocation: readonly AllocationRow[];
  readonly steps: readonly StepRecord[];
  /** In the data set's order. */
  readonly gallery: readonly GalleryItem[];
}
