import { splitHeldOut } from '../src/data/dataset.ts';
import type { Detector } from '../src/detector/detector.ts';
import { readSource } from '../src/detector/modelSource.ts';
import { readSafetensors } from '../src/formats/safetensors.ts';
import { type FitProgress, type FitSettings, fit, PRESETS } from '../src/train/fit.ts';
import { generatedPenalty } from '../src/train/penalty.ts';
import type { Lesson } from './lessonStore.ts';
import { type Picture, picturesOf, sourceOf } from './pictures.ts';
import type { TaskControl } from './task.ts';
import { goOn, type Kept, type OnLosses, reporter } from './training.ts';

/** Its file's name, without the ending. */
const TEACHER = 'teacher-pdn-xs';
const DEFAULTS: FitSettings = PRESETS.quick;

/** What can be chosen in the page. */
export type LessonSettings = Pick<FitSettings, 'resolution' | 'iterations'>;

export interface LessonOptions {
  readonly name: string;
  readonly pictures: readonly Picture[];
  readonly settings: LessonSettings;
}

/** What a kept lesson is learned from. */
export function lessonOptions({ name, files, settings }: Lesson): LessonOptions {
  return { name, pictures: picturesOf(files), settings };
}

/**
 * What a lesson is made of; a tenth of the pictures is held out.
 * @throws UserError for too few pictures
 */
export function lessonData({ name, pictures, settings }: LessonOptions) {
  const all = { ...DEFAULTS, ...settings };
  const names = pictures.map((_, i) => String(i));
  const { train, heldOut } = splitHeldOut({ name, train: names, validation: [] }, all.seed);
  const source = (chosen: readonly string[]) => sourceOf(chosen.map((i) => pictures[Number(i)]!));
  return { settings: all, train: source(train), heldOut: source(heldOut), penalty: generatedPenalty(all.seed) };
}

/**
 * Trains a detector on pictures of good parts.
 * @param kept where it goes on from, and what it will go on from
 * @throws UserError for pictures and settings that cannot be used
 */
export async function learn(
  lesson: LessonOptions,
  control: TaskControl,
  { kept, onLosses }: { readonly kept?: Kept; readonly onLosses?: OnLosses } = {},
): Promise<Detector> {
  const { signal, progress } = control;
  progress('Loading the teacher.');
  const teacher = await readTeacher(signal);
  const data = lessonData(lesson);
  const { iterations } = data.settings;
  const onProgress = reporter(PHASES, control, onLosses);
  return goOn({ iterations, signal, ...(kept && { kept }) }, (engine, from) =>
    fit({ ...data, ...from, engine, dataset: lesson.name, teacher, signal, onProgress }),
  );
}

const PHASES: Readonly<Record<FitProgress['phase'], string>> = {
  compile: 'Compiling: kernel',
  statistics: 'Looking at pictures:',
  train: 'Learning: step',
  calibrate: 'Calibrating:',
};

/** The teacher that lies beside the page. */
export async function readTeacher(signal: AbortSignal) {
  const file = `${TEACHER}.safetensors`;
  const { bytes } = await readSource(file, { signal });
  return { ...readSafetensors(bytes, file), name: TEACHER };
}
