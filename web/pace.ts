import { fit } from '../src/train/fit.ts';
import { engine } from './device.ts';
import { type LessonOptions, lessonData, readTeacher } from './learning.ts';
import type { TaskControl } from './task.ts';

/** How fast this adapter learns, in milliseconds. */
export interface Pace {
  readonly perStep: number;
  readonly perPicture: number;
}

/** Pictures that are enough to measure on. */
const PICTURES = 8;
/** More steps than are taken: it ends when there is a measurement. */
const STEPS = 1_000_000;

/**
 * Takes a few steps of a lesson, and throws away what they learned. What is compiled for them is compiled once.
 * @throws UserError for pictures and settings that cannot be used
 */
export async function measurePace(
  { name, pictures, settings }: LessonOptions,
  { signal, progress }: TaskControl,
): Promise<Pace> {
  const measured = new AbortController();
  const pictureTimes: number[] = [];
  const steps: { readonly done: number; readonly at: number }[] = [];
  const data = lessonData({ name, pictures: pictures.slice(0, PICTURES), settings });
  progress('Loading the teacher.');
  try {
    await fit({
      ...data,
      engine: await engine(),
      settings: { ...data.settings, iterations: STEPS },
      dataset: name,
      teacher: await readTeacher(signal),
      signal: AbortSignal.any([signal, measured.signal]),
      onProgress({ phase, done, total }) {
        const at = performance.now();
        if (phase === 'compile') progress(`Compiling for this adapter: kernel ${done} of ${total}.`, done, total);
        else progress('Measuring how long a step takes here.');
        if (phase === 'statistics') pictureTimes.push(at);
        // From the first report to the second: what comes before is compiled or uploaded once.
        if (phase === 'train' && steps.push({ done, at }) === 2) measured.abort();
      },
    });
  } catch (error) {
    if (!measured.signal.aborted) throw error;
  }
  const [first, second] = steps as [(typeof steps)[0], (typeof steps)[0]];
  return {
    perStep: (second.at - first.at) / (second.done - first.done),
    perPicture: (pictureTimes.at(-1)! - pictureTimes[0]!) / Math.max(1, pictureTimes.length - 1),
  };
}
