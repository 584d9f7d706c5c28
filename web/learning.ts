import { splitHeldOut } from '../src/data/dataset.ts';
import type { Detector } from '../src/detector/detector.ts';
import { readSource } from '../src/detector/modelSource.ts';
import { readSafetensors } from '../src/formats/safetensors.ts';
import { type FitProgress, type FitSettings, fit, PRESETS } from '../src/train/fit.ts';
import { generatedPenalty } from '../src/train/penalty.ts';
import { engine } from './device.ts';
import { aboutTime } from './duration.ts';
import { type Picture, sourceOf } from './pictures.ts';
import type { TaskControl } from './task.ts';

/** Its file's name, without the ending. */
const TEACHER = 'teacher-pdn-xs';
const DEFAULTS: FitSettings = PRESETS.quick;

/** What can be chosen in the page. */
export type LessonSettings = Pick<FitSettings, 'resolution' | 'iterations'>;

export interface LessonOptions {
  readonly name: string;
  readonly pictures: readonly Picture[];
  readonly settings: LessonSettings;
  /** Keeps what training can go on from. */
  readonly save?: (checkpoint: Uint8Array) => Promise<void>;
  readonly resume?: Uint8Array | undefined;
  /** Mean losses since the last call. */
  readonly onLosses?: (step: number, losses: NonNullable<FitProgress['losses']>) => void;
}

/** Steps after which a closed tab has lost the rest. */
const CHECKPOINT_STEPS = 50;

/**
 * What a lesson is made of; a tenth of the pictures is held out.
 * @throws UserError for too few pictures
 */
export function lessonData({ name, pictures, settings }: Pick<LessonOptions, 'name' | 'pictures' | 'settings'>) {
  const all = { ...DEFAULTS, ...settings };
  const names = pictures.map((_, i) => String(i));
  const { train, heldOut } = splitHeldOut({ name, train: names, validation: [] }, all.seed);
  const source = (chosen: readonly string[]) => sourceOf(chosen.map((i) => pictures[Number(i)]!));
  return { settings: all, train: source(train), heldOut: source(heldOut), penalty: generatedPenalty(all.seed) };
}

/**
 * Trains a detector on pictures of good parts.
 * @throws UserError for pictures and settings that cannot be used
 */
export async function learn(
  { name, pictures, settings, save, resume, onLosses }: LessonOptions,
  { signal, progress }: TaskControl,
): Promise<Detector> {
  const remaining = remainingTime();
  progress('Loading the teacher.');
  return fit({
    ...lessonData({ name, pictures, settings }),
    engine: await engine(),
    dataset: name,
    teacher: await readTeacher(signal),
    signal,
    ...(save && { checkpoint: { every: CHECKPOINT_STEPS, save } }),
    ...(resume && { resume }),
    // A lost device is replaced: training goes on from the last checkpoint.
    recover: async () => ({ engine: await engine() }),
    onProgress(report) {
      const { phase, done, total, losses } = report;
      const time = phase === 'train' ? remaining(done, total) : '';
      progress(`${PHASES[phase]} ${done} of ${total}${time}.`, done, total);
      if (losses) onLosses?.(done, losses);
    },
  });
}

const PHASES: Readonly<Record<FitProgress['phase'], string>> = {
  compile: 'Compiling: kernel',
  statistics: 'Looking at pictures:',
  train: 'Learning: step',
  calibrate: 'Calibrating:',
};

/** Tells how long the steps that are left will take, by those since the first report. */
function remainingTime(): (done: number, total: number) => string {
  let first: { readonly done: number; readonly at: number } | undefined;
  return (done, total) => {
    const at = performance.now();
    first ??= { done, at };
    if (done === first.done || done === total) return '';
    const seconds = ((at - first.at) / (done - first.done) / 1000) * (total - done);
    return `, ${aboutTime(seconds)} left`;
  };
}

/** The teacher that lies beside the page. */
export async function readTeacher(signal: AbortSignal) {
  const file = `${TEACHER}.safetensors`;
  const { bytes } = await readSource(file, { signal });
  return { ...readSafetensors(bytes, file), name: TEACHER };
}
