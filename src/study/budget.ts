import { graphCost } from '../engine/cost.ts';
import { input } from '../engine/graph.ts';
import { imageToTensor } from '../kernels/image.ts';
import { anomalyMaps } from '../networks/inference.ts';
import { Networks } from '../networks/networks.ts';
import { type FitSettings, trainingGraph } from '../train/fit.ts';
import { recalibrateSettings } from '../train/recalibrate.ts';
import { isQuantizedArm, isSimulated } from './arms.ts';
import type { StudyCell } from './cells.ts';
import type { StudySettings } from './settings.ts';

/** Images of a data set by their use. */
export interface ImageCounts {
  readonly train: number;
  readonly heldOut: number;
  readonly test: number;
}

/** Floating-point operations, multiply-adds as two, of the networks as defined. */
export interface StudyBudget {
  readonly training: number;
  readonly recalibration: number;
  /** Of statistics, calibration and evaluation. */
  readonly inference: number;
  readonly total: number;
}

/**
 * Work of a study before it is begun, without the scoring of layers, which is small beside it.
 * @param cells that are left
 * @param isTrained whether the float model of a set and seed is there already
 */
export function studyBudget(
  cells: readonly StudyCell[],
  { fit, recalibration }: StudySettings,
  countsOf: (set: string, seed: number) => ImageCounts,
  isTrained: (set: string, seed: number) => boolean,
): StudyBudget {
  const { map, teacher } = inferenceFlops(fit);
  const step = (batch: number) => stepFlops({ ...fit, batch });
  const fitting = fit.iterations * step(fit.batch);
  const { iterations, batch } = recalibrateSettings(fit, recalibration);
  const recalibrating = iterations * step(batch);
  let [training, recalibrated, inference] = [0, 0, 0];
  const opened = new Set<string>();
  for (const { set, seed, arm, recalibrated: isRecalibrated } of cells) {
    const { train, heldOut, test } = countsOf(set, seed);
    const key = `${set}/${seed}`;
    if (!opened.has(key) && !isTrained(set, seed)) {
      training += fitting;
      inference += train * teacher + heldOut * map;
    }
    opened.add(key);
    if (isRecalibrated) recalibrated += recalibrating;
    if (isQuantizedArm(arm)) inference += train * teacher;
    if (isQuantizedArm(arm) || isRecalibrated) inference += heldOut * map;
    inference += (isSimulated({ arm, recalibrated: isRecalibrated }) ? 2 : 1) * test * map;
  }
  return { training, recalibration: recalibrated, inference, total: training + recalibrated + inference };
}

function inferenceFlops({ size, resolution }: Pick<FitSettings, 'size' | 'resolution'>) {
  const networks = new Networks(size, resolution);
  const x = imageToTensor(input('image', [1, resolution, resolution], 'u32'));
  const { studentTeacher, autoencoder } = anomalyMaps(networks, input('quantiles', [4]), x);
  return {
    map: graphCost([studentTeacher, autoencoder]).flops,
    teacher: graphCost([networks.teacher.forward(x)]).flops,
  };
}

function stepFlops(settings: Omit<FitSettings, 'seed'>): number {
  const networks = new Networks(settings.size, settings.resolution);
  const { training, lossNodes } = trainingGraph(networks, { ...settings, seed: 0 });
  return graphCost([...lossNodes, ...training.effects]).flops;
}
