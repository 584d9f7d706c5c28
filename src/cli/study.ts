import { basename, resolve } from 'node:path';
import type { Engine } from '../engine/engine.ts';
import { loadImages } from '../node/datasets.ts';
import { imagesBelow } from '../node/files.ts';
import { openStudyData, type StudySet } from '../node/study.ts';
import { readTeacher } from '../node/teachers.ts';
import type { CellResult } from '../study/cells.ts';
import type { StudyOptions, StudyStore } from '../study/options.ts';
import { StudyRunner } from '../study/runner.ts';
import type { StudySettings } from '../study/settings.ts';
import { generatedPenalty, type PenaltySource, photographPenalty } from '../train/penalty.ts';
import type { Arguments } from './arguments.ts';
import { say } from './print.ts';
import { notice } from './session.ts';

/** Photographs for the penalty loss, called like their folder. */
export interface Photographs {
  readonly name: string;
  readonly paths: readonly string[];
}

/** The photographs of `--penalty`, undefined without it. @throws UserError when there are none */
export async function findPhotographs(args: Arguments): Promise<Photographs | undefined> {
  const folder = args.text('penalty');
  if (folder === undefined) return undefined;
  return { name: basename(resolve(folder)), paths: await imagesBelow(folder, notice) };
}

/** Decodes photographs. @param memory bytes of decoded images that may be kept */
export async function loadPhotographs(photographs: Photographs | undefined, memory?: number) {
  if (!photographs) return undefined;
  return { ...(await loadImages(photographs.paths, notice, memory)), name: photographs.name };
}

/** Photographs on a device, or generated pictures. */
export async function openPenalty(
  photographs: Photographs | undefined,
  engine: Engine,
  seed: number,
): Promise<PenaltySource & { destroy?(): void }> {
  const loaded = await loadPhotographs(photographs);
  return loaded ? photographPenalty(engine, loaded, loaded.name) : generatedPenalty(seed);
}

/** Opens data sets by name. */
export function studyOpener(sets: readonly StudySet[]): StudyOptions['open'] {
  return (name, seed) => openStudyData(sets.find((set) => set.name === name)!, seed, notice);
}

export interface StudyRunnerOptions {
  readonly engine: Engine;
  readonly open: StudyOptions['open'];
  readonly settings: StudySettings;
  /** Generated pictures when there is none. */
  readonly penalty: PenaltySource | undefined;
  readonly store: StudyStore;
  readonly signal: AbortSignal;
}

/** Runs cells on data sets of this machine, and says now and then how far it is. */
export async function studyRunner({ penalty, ...options }: StudyRunnerOptions): Promise<StudyRunner> {
  const told = new Set<string>();
  return new StudyRunner({
    ...options,
    // Every cell of a set leaves out the same images.
    onNotice: (message) => {
      if (!told.has(message)) notice(message);
      told.add(message);
    },
    penalty: (seed) => penalty ?? generatedPenalty(seed),
    teacher: await readTeacher(options.settings.fit.size),
    onProgress: startPhases(),
  });
}

/** One line about a finished cell. */
export function printCell({ id, metrics, size, seconds }: CellResult): void {
  const percent = (value: number | undefined) => (value === undefined ? '-' : (100 * value).toFixed(2));
  say(
    `${id}: AUROC ${percent(metrics.auroc)}, AU-PRO ${percent(metrics.overlap)}, ${size.weightBytes} bytes, ${seconds.toFixed(0)} s`,
  );
}

/** One line now and then for what takes long. */
export function startPhases(interval = 10_000): (phase: string, done: number, total: number) => void {
  let shown = 0;
  return (phase, done, total) => {
    if (performance.now() - shown < interval) return;
    shown = performance.now();
    say(`  ${phase}: ${done}/${total}`);
  };
}
