import { basename, join, resolve } from 'node:path';
import { loadImages } from '../../node/datasets.ts';
import { assertWritable, imagesBelow, writeAtomically } from '../../node/files.ts';
import { folderStore, keepSettings, openStudyData, openStudySets, ResultLog } from '../../node/study.ts';
import { readTeacher } from '../../node/teachers.ts';
import { ARMS, type Arm, cellId, studyCells } from '../../study/cells.ts';
import { StudyRunner, type StudySettings } from '../../study/runner.ts';
import { studyCsv, studyMarkdown } from '../../study/tables.ts';
import { generatedPenalty, photographPenalty } from '../../train/penalty.ts';
import { type Arguments, type OptionTable, UsageError } from '../arguments.ts';
import { notice, withEngine } from '../session.ts';
import { readSettings } from './fit.ts';

export const usage = `raad study DATA... --out DIR
  Runs every arm of the experiment on every data set and seed: float, the bit plans of HQS and of its controls at equal size,
  a budget, each before and after recalibration, and two filters of the float map. All arms of a set and seed start from one
  checkpoint and one data order. DATA are data sets or collections of them. What is finished is in DIR/cells.jsonl and is
  not run again; study.md, study.csv and charts are written from it.

  --seeds LIST           0,1,2
  --arms LIST            ${ARMS.join(',')}
  --average-bits N       mean width of the arm budget, 5
  --map attention|ridge|cka --contribution separability|literal   how layers are scored
  --recalibrate-iterations N --recalibrate-lr RATE   a tenth of the training; 1e-5
  --penalty DIR          photographs for the penalty loss; generated pictures by default
  --preset, --size, --resolution, --iterations, --batch, --lr   as in fit; the preset is quick by default
  --tables               only write the tables anew`;

export const options: OptionTable = {
  out: { type: 'string' },
  seeds: { type: 'string' },
  arms: { type: 'string' },
  'average-bits': { type: 'string' },
  map: { type: 'string' },
  contribution: { type: 'string' },
  'recalibrate-iterations': { type: 'string' },
  'recalibrate-lr': { type: 'string' },
  penalty: { type: 'string' },
  preset: { type: 'string' },
  size: { type: 'string' },
  resolution: { type: 'string' },
  iterations: { type: 'string' },
  batch: { type: 'string' },
  lr: { type: 'string' },
  tables: { type: 'boolean' },
};

export async function run(args: Arguments, signal: AbortSignal): Promise<void> {
  const out = args.text('out');
  if (!out) throw new UsageError('study needs --out DIR.', 'Say where results go.');
  const log = await ResultLog.open(join(out, 'cells.jsonl'));
  if (args.flag('tables')) return writeTables(out, log);
  if (args.positionals.length === 0) throw new UsageError('study needs a data set.', 'raad study DATA... --out DIR');
  const seeds = list(args, 'seeds', '0,1,2').map((text) => {
    if (!/^\d+$/.test(text)) throw new UsageError(`--seeds ${text} cannot be used.`, 'Give whole numbers.');
    return Number(text);
  });
  const arms = list(args, 'arms', ARMS.join(',')).map((text) => {
    const arm = ARMS.find((each) => each === text);
    if (!arm) throw new UsageError(`there is no arm '${text}'.`, `Use some of ${ARMS.join(', ')}.`);
    return arm;
  });
  const settings = studySettings(args, 'quick');
  const sets = await openStudySets(args.positionals);
  await assertWritable(join(out, 'cells.jsonl'));
  const folder = args.text('penalty');
  await keepSettings(join(out, 'settings.json'), {
    ...settings,
    penalty: folder ? basename(resolve(folder)) : 'generated',
  });
  const cells = studyCells(
    sets.map(({ name }) => name),
    seeds,
    arms as Arm[],
  ).filter((cell) => !log.has(cellId(cell)));
  console.error(`${log.results.length} cells are done, ${cells.length} are left`);
  await withEngine(args, async (engine) => {
    const photographs = folder ? await loadImages(await imagesBelow(folder), notice) : undefined;
    const penalty = photographs && photographPenalty(engine, photographs, basename(resolve(folder!)));
    const runner = new StudyRunner({
      engine,
      settings,
      open: (name, seed) => openStudyData(sets.find((set) => set.name === name)!, seed, notice),
      penalty: (seed) => penalty ?? generatedPenalty(seed),
      teacher: await readTeacher(settings.fit.size),
      store: folderStore(join(out, 'models')),
      onProgress: startPhases(),
      signal,
    });
    try {
      for (const cell of cells) {
        const result = await runner.run(cell);
        await log.add(result);
        const { auroc, overlap } = result.metrics;
        const percent = (value: number | undefined) => (value === undefined ? '-' : (100 * value).toFixed(2));
        console.error(
          `${result.id}: AUROC ${percent(auroc)}, AU-PRO ${percent(overlap)}, ${result.size.weightBytes} bytes, ${result.seconds.toFixed(0)} s`,
        );
      }
    } finally {
      runner.destroy();
      penalty?.destroy();
      await writeTables(out, log);
    }
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
    recalibration: {
      ...(iterations !== undefined && { iterations }),
      ...(learningRate !== undefined && { learningRate }),
    },
    scoring: { ...(map && { map }), ...(contribution && { contribution }) },
    averageBits: args.number('average-bits') ?? 5,
  };
}

function list(args: Arguments, name: string, fallback: string): string[] {
  return (args.text(name) ?? fallback).split(',');
}

/** One line now and then for what takes long. */
export function startPhases(interval = 10_000): (phase: string, done: number, total: number) => void {
  let shown = 0;
  return (phase, done, total) => {
    if (performance.now() - shown < interval) return;
    shown = performance.now();
    console.error(`  ${phase}: ${done}/${total}`);
  };
}

async function writeTables(out: string, log: ResultLog): Promise<void> {
  if (log.results.length === 0) return;
  await writeAtomically(join(out, 'study.csv'), studyCsv(log.results));
  await writeAtomically(join(out, 'study.md'), studyMarkdown(log.results));
  const { studyCharts } = await import('../../study/charts.ts');
  for (const [name, svg] of studyCharts(log.results)) await writeAtomically(join(out, name), svg);
  console.log(`${join(out, 'study.md')}: ${log.results.length} cells`);
}
