import type { Detector } from '../src/detector/detector.ts';
import { type Allocation, allocate } from '../src/hqs/allocate.ts';
import { layerScores } from '../src/hqs/scores.ts';
import { type RecalibrateProgress, recalibrate } from '../src/train/recalibrate.ts';
import type { lessonData } from './learning.ts';
import type { TaskControl } from './task.ts';

const PHASES: Readonly<Record<RecalibrateProgress['phase'], string>> = {
  equalize: 'Looking at channels: picture',
  ranges: 'Taking ranges: picture',
  means: 'Taking means: picture',
  statistics: 'Looking at pictures:',
  compile: 'Compiling: kernel',
  train: 'Learning on with few bits: step',
  calibrate: 'Calibrating:',
};

/**
 * Gives a float detector's layers the bits that they need, and trains it on with them (RAAD, hierarchical quantization scoring and
 * recalibration).
 * @returns a detector on packed integers, and how its bits were found
 * @throws UserError for unusable pictures
 */
export async function makeSmaller(
  detector: Detector,
  { settings, train, heldOut, penalty }: ReturnType<typeof lessonData>,
  { signal, progress }: TaskControl,
): Promise<{ readonly detector: Detector; readonly allocation: Allocation }> {
  const { seed } = settings;
  progress('Compiling for this adapter.');
  const scores = await layerScores({
    detector,
    normal: heldOut,
    reference: train,
    seed,
    signal,
    onProgress: (done, total) =>
      progress(`Scoring layers by planted defects: picture ${done} of ${total}.`, done, total),
  });
  const allocation = allocate({ networks: detector.state.networks, scores, seed });
  const smaller = await recalibrate({
    detector,
    plan: allocation.plan,
    train,
    heldOut,
    penalty,
    signal,
    onProgress: ({ phase, done, total }) => progress(`${PHASES[phase]} ${done} of ${total}.`, done, total),
  });
  return { detector: smaller, allocation };
}
