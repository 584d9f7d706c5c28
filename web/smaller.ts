import type { ImageSource } from '../src/data/image.ts';
import type { Detector } from '../src/detector/detector.ts';
import { loadDetector, saveDetector } from '../src/detector/modelFile.ts';
import { type Allocation, allocate } from '../src/hqs/allocate.ts';
import { layerScores } from '../src/hqs/scores.ts';
import { type RecalibrateProgress, recalibrate, recalibrateSettings } from '../src/train/recalibrate.ts';
import { lessonData, lessonOptions } from './learning.ts';
import type { Begun } from './lessonStore.ts';
import type { ModelFile } from './models.ts';
import type { TaskControl } from './task.ts';
import { goOn, reporter } from './training.ts';

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
 * Gives a float model's layers the bits that they need, and trains it on with them (RAAD, hierarchical quantization scoring and
 * recalibration), from where it was left.
 * @param begun keeps what it goes on from
 * @param float what was learned
 * @returns a model of packed integers, and how its bits were found
 * @throws UserError for unusable pictures
 */
export function makeSmaller(
  begun: Begun,
  float: ModelFile,
  control: TaskControl,
): Promise<{ readonly model: ModelFile; readonly allocation: Allocation }> {
  const { lesson } = begun;
  const { signal, progress } = control;
  const { settings, train, heldOut, penalty } = lessonData(lessonOptions(lesson));
  const { iterations } = recalibrateSettings(settings);
  const onProgress = reporter(PHASES, control);
  return goOn({ iterations, kept: begun, signal }, async (engine, from) => {
    progress(`Reading ${float.name}.`);
    const detector = await loadDetector(engine, float.bytes, { name: float.name, signal });
    try {
      const allocation = begun.allocation ?? (await allocateBits(detector, train, heldOut, settings.seed, control));
      await begun.saveAllocation(allocation);
      const { plan } = allocation;
      const smaller = await recalibrate({ ...from, detector, plan, train, heldOut, penalty, signal, onProgress });
      try {
        return { model: { name: `${lesson.name}-small.safetensors`, bytes: await saveDetector(smaller) }, allocation };
      } finally {
        smaller.destroy();
      }
    } finally {
      detector.destroy();
    }
  });
}

async function allocateBits(
  detector: Detector,
  reference: ImageSource,
  normal: ImageSource,
  seed: number,
  { signal, progress }: TaskControl,
): Promise<Allocation> {
  progress('Compiling for this adapter.');
  const scores = await layerScores({
    detector,
    normal,
    reference,
    seed,
    signal,
    onProgress: (done, total) =>
      progress(`Scoring layers by planted defects: picture ${done} of ${total}.`, done, total),
  });
  return allocate({ networks: detector.state.networks, scores, seed });
}
