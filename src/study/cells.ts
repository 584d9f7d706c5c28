import type { Dataset } from '../data/dataset.ts';
import { ARMS, type Arm, armName, type Treatment, treatmentsOf } from './arms.ts';

/** One experiment. */
export interface StudyCell extends Treatment {
  readonly set: string;
  readonly seed: number;
}

/** Name of a cell, such as `cubes/0/hqs+recalibrated`. */
export function cellId({ set, seed, ...treatment }: StudyCell): string {
  return `${set}/${seed}/${armName(treatment)}`;
}

/** All cells of a study; those of one set and seed, which share a checkpoint, follow each other. */
export function studyCells(
  sets: readonly string[],
  seeds: readonly number[],
  arms: readonly Arm[] = ARMS,
): readonly StudyCell[] {
  return seeds.flatMap((seed) =>
    sets.flatMap((set) => arms.flatMap((arm) => treatmentsOf(arm).map((treatment) => ({ set, seed, ...treatment })))),
  );
}

/** What a cell measured. Shares are in [0, 1]; undefined where the labels do not allow them. */
export interface CellResult extends StudyCell {
  readonly id: string;
  /** Of the data set: LOCO's metrics are averaged over its kinds of anomaly. */
  readonly layout: Dataset['layout'];
  readonly metrics: {
    readonly auroc?: number;
    readonly ap?: number;
    readonly pixelAuroc?: number;
    readonly pixelAp?: number;
    /** AU-PRO (AU-sPRO) up to a false-positive rate of 0.3. */
    readonly overlap?: number;
    readonly biasIndex?: number;
    /** Image AUROC of the same networks simulated in float. */
    readonly simulatedAuroc?: number;
  };
  readonly size: {
    /** Of weights and scales, without biases and statistics. */
    readonly weightBytes: number;
    readonly averageBits: number;
    /** Of the model file. */
    readonly fileBytes: number;
  };
  /** From image to map, on this adapter, in turns with the float detector. */
  readonly timing: { readonly milliseconds: number; readonly floatMilliseconds: number };
  /** Of parameters and intermediate values on the device. */
  readonly memoryBytes: number;
  /** Width of every layer's weights. */
  readonly bits: Readonly<Record<string, number>>;
  /** Every test image's defect kind and score, in the data set's order. */
  readonly images: readonly (readonly [defect: string, score: number])[];
  readonly adapter: string;
  /** Of the whole cell. */
  readonly seconds: number;
}
