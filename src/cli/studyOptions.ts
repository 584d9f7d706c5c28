import type { Engine } from '../engine/engine.ts';
import { openStudyData, type StudySet } from '../node/study.ts';
import { readTeacher } from '../node/teachers.ts';
import type { CellResult } from '../study/cells.ts';
import type { StudyOptions, StudyStore } from '../study/options.ts';
import { StudyRunner } from '../study/runner.ts';
import type { StudySettings } from '../study/settings.ts';
import { generatedPenalty, type PenaltySource } from '../train/penalty.ts';
import type { Arguments } from './arguments.ts';
import { say } from './print.ts';
import { readSettings } from './training.ts';
import { notice } from './withEngine.ts';

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

/** Settings that `study` and `run` share. */
export function studySettings(args: Arguments, preset: 'quick' | 'standard'): StudySettings {
  const { seed: _, ...fit } = readSettings(args, preset);
  const iterations = args.number('recalibrate-iterations');
  const learningRate = args.number('recalibrate-lr');
  const map = args.choice('map', ['attention', 'ridge', 'cka']);
  const contribution = args.choice('contribution', ['separability', 'literal']);
  return {
    fit,
    recalibration: { iterations, learningRate },
    scoring: { map, contribution },
  };
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
