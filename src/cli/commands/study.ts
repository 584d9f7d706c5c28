import { existsSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { type LeftOut, splitHeldOut } from '../../data/dataset.ts';
import { UserError } from '../../errors.ts';
import { datasetFiles } from '../../node/datasets.ts';
import { readJson } from '../../node/jsonFile.ts';
import { lockFolder } from '../../node/lock.ts';
import { assertOutputs, writeAtomically } from '../../node/output.ts';
import {
  folderStore,
  type KeptSettings,
  keepSettings,
  mergeSettings,
  namedSets,
  openStudySets,
  ResultLog,
  type StudySet,
  studyDigest,
} from '../../node/study.ts';
import { type CoordinateOptions, openStudyQueue } from '../../node/studyQueue.ts';
import { readTeacher } from '../../node/teachers.ts';
import { ownVersion } from '../../node/version.ts';
import { CHART_FILES } from '../../report/study/chartFiles.ts';
import { studyCsv, studyMarkdown } from '../../report/study/tables.ts';
import { ARMS, type Arm } from '../../study/arms.ts';
import { studyBudget } from '../../study/budget.ts';
import { type CellResult, cellId, type StudyCell, studyCells } from '../../study/cells.ts';
import type { StudyStore } from '../../study/options.ts';
import { AVERAGE_BITS, checkStudySettings, type StudySettings } from '../../study/settings.ts';
import { SETTINGS_FILE } from '../../study/shapes.ts';
import { modelFile, sharedFiles } from '../../study/sharedFiles.ts';
import { photographPenalty } from '../../train/penalty.ts';
import { type Arguments, seedOf, UsageError } from '../arguments.ts';
import { announceDatasets } from '../datasets.ts';
import { findPhotographs, loadPhotographs, type Photographs } from '../penalty.ts';
import { printLine, say } from '../print.ts';
import { printCell, studyOpener, studyRunner, studySettings } from '../studyOptions.ts';
import { inputFiles, notice, withEngine } from '../withEngine.ts';

export async function run(args: Arguments, signal: AbortSignal): Promise<void> {
  const out = args.text('out');
  if (!out) throw new UsageError('study needs --out DIR.', 'Say where results go.');
  const markdown = args.text('markdown') ?? join(out, 'study.md');
  if (args.flag('tables')) {
    const log = await ResultLog.open(join(out, 'cells.jsonl'));
    if (log.results.length === 0)
      throw new UserError(`${join(out, 'cells.jsonl')} has no finished cell.`, 'Give the folder of a study.');
    await assertOutputs(tablesOf(out, markdown), [join(out, 'cells.jsonl'), join(out, 'settings.json')]);
    return writeTables(out, markdown, log);
  }
  if (args.positionals.length === 0) throw new UsageError('study needs a data set.', 'raad study DATA... --out DIR');
  const seeds = list(args, 'seeds', '0,1,2').map((text) => {
    if (!/^\d+$/.test(text)) throw new UsageError(`--seeds ${text} cannot be used.`, 'Give whole numbers.');
    return seedOf('seeds', Number(text));
  });
  const arms = list(args, 'arms', ARMS.join(',')).map((text) => {
    const arm = ARMS.find((each) => each === text);
    if (!arm) throw new UsageError(`there is no arm '${text}'.`, `Use some of ${ARMS.join(', ')}.`);
    return arm;
  });
  const url = args.text('redis');
  if (!url && (args.text('name') || args.flag('clear')))
    throw new UsageError('--name and --clear go with --redis.', 'Add --redis redis://host:port.');
  const timeShare = args.number('budget-time');
  const settings = {
    ...studySettings(args, 'quick'),
    averageBits: args.number('average-bits') ?? AVERAGE_BITS,
    timeShare,
  };
  checkStudySettings(settings);
  const between: LeftOut[] = [];
  const sets = await openStudySets(args.positionals, between);
  for (const { dataset } of sets) for (const seed of seeds) splitHeldOut(dataset, seed);
  await announceDatasets(namedSets(sets), { isEvaluated: true, between, signal });
  if (!url) await readTeacher(settings.fit.size);
  const found = await findPhotographs(args);
  await assertOutputs(
    [
      ...tablesOf(out, markdown),
      ...['cells.jsonl', 'settings.json'].map((name) => join(out, name)),
      ...sets.flatMap(({ name }) =>
        seeds.flatMap((seed) => sharedFiles(name, seed).map((file) => join(out, 'models', file))),
      ),
    ],
    [...namedSets(sets).flatMap(datasetFiles), ...(found?.paths ?? []), ...inputFiles(args)],
  );
  const unlock = await lockFolder(out);
  try {
    await runCells(args, { out, markdown, settings, sets, seeds, arms, photographs: found, url, signal });
  } finally {
    await unlock();
  }
}

interface CellsJob {
  readonly out: string;
  readonly markdown: string;
  readonly settings: StudySettings;
  readonly sets: readonly StudySet[];
  readonly seeds: readonly number[];
  readonly arms: readonly Arm[];
  readonly photographs: Photographs | undefined;
  readonly url: string | undefined;
  readonly signal: AbortSignal;
}

/** Runs the cells that are left, here or by workers, and writes the tables. */
async function runCells(
  args: Arguments,
  { out, markdown, settings, sets, seeds, arms, photographs: found, url, signal }: CellsJob,
): Promise<void> {
  const log = await ResultLog.open(join(out, 'cells.jsonl'));
  const photographs = await loadPhotographs(found, url ? 0 : undefined);
  const digests = new Map<string, string>();
  // Else what cannot be read is told when the images are opened.
  for (const set of sets) digests.set(set.name, await studyDigest(set, url ? notice : () => {}));
  const kept: KeptSettings = {
    ...settings,
    penalty: photographs?.name ?? 'generated',
    photographs: photographs?.digest,
    data: Object.fromEntries(digests),
  };
  await mergeSettings(join(out, 'settings.json'), kept);
  // Only when nothing else can be refused: a folder that was never begun takes other settings.
  const begin = () => keepSettings(join(out, 'settings.json'), kept);
  const cells = studyCells(
    sets.map(({ name }) => name),
    seeds,
    arms,
  ).filter((cell) => !log.has(cellId(cell)));
  const models = folderStore(join(out, 'models'));
  say(
    `${log.results.length} cells are done, ${cells.length} are left: ${await budgetText(cells, settings, sets, models)}`,
  );
  const keep = async (result: CellResult) => {
    await log.add(result);
    printCell(result);
  };
  try {
    if (url) {
      const penalty = photographs ? { name: photographs.name, digest: photographs.digest } : { name: 'generated' };
      await coordinate(args, {
        url,
        begin,
        digests,
        terms: { settings, penalty },
        cells,
        models,
        onResult: keep,
        signal,
      });
    } else {
      await withEngine(args, async (engine) => {
        const penalty = photographs && photographPenalty(engine, photographs, photographs.name);
        const runner = await studyRunner({ engine, open: studyOpener(sets), settings, penalty, store: models, signal });
        try {
          await begin();
          for (const cell of cells) await keep(await runner.run(cell));
        } finally {
          runner.destroy();
          penalty?.destroy();
        }
      });
    }
  } finally {
    await writeTables(out, markdown, log);
  }
}

/** What is ahead, in floating-point operations. */
async function budgetText(
  cells: readonly StudyCell[],
  settings: StudySettings,
  sets: readonly StudySet[],
  models: StudyStore,
): Promise<string> {
  const known = new Set<string>();
  for (const { set, seed } of cells) {
    if (await models.load(modelFile(set, seed))) known.add(modelFile(set, seed));
  }
  const { training, recalibration, inference, total } = studyBudget(
    cells,
    settings,
    (name, seed) => {
      const { dataset } = sets.find((set) => set.name === name)!;
      const { train, heldOut } = splitHeldOut(dataset, seed);
      return { train: train.length, heldOut: heldOut.length, test: dataset.test.length };
    },
    (set, seed) => known.has(modelFile(set, seed)),
  );
  const tera = (flops: number) => (flops / 1e12).toPrecision(3);
  return `${tera(total)} TFLOP, of them ${tera(training)} training, ${tera(recalibration)} recalibration and ${tera(inference)} inference`;
}

interface StudyStart {
  readonly url: string;
  readonly begin: () => Promise<void>;
}

/** Leaves the cells to workers, and takes the study out of Redis when all are there. @throws UserError if some failed */
async function coordinate(args: Arguments, { url, begin, ...options }: CoordinateOptions & StudyStart): Promise<void> {
  const queue = await openStudyQueue({
    url,
    name: args.text('name') ?? 'study',
    version: await ownVersion(),
    onNotice: notice,
  });
  try {
    if (args.flag('clear')) await queue.clear();
    await begin();
    const failures = await queue.coordinate(options);
    for (const [id, reason] of failures) say(`${id} failed: ${reason}`);
    if (failures.size > 0)
      throw new UserError(
        `${failures.size} of ${options.cells.length} cells failed for the reasons above.`,
        'The same command tries them again.',
      );
    await queue.clear();
  } finally {
    await queue.close();
  }
}

function list(args: Arguments, name: string, fallback: string): string[] {
  return [...new Set((args.text(name) ?? fallback).split(','))];
}

/** The files of {@link writeTables}. */
function tablesOf(out: string, markdown: string): string[] {
  return [...CHART_FILES.map(({ file }) => join(out, file)), join(out, 'study.csv'), markdown];
}

async function writeTables(out: string, markdown: string, log: ResultLog): Promise<void> {
  if (log.results.length === 0) return;
  const { studyCharts } = await import('../../report/study/charts.ts');
  const charts = studyCharts(log.results);
  for (const [name, svg] of charts) await writeAtomically(join(out, name), svg);
  await writeAtomically(join(out, 'study.csv'), studyCsv(log.results));
  const settings = await readSettingsFile(join(out, 'settings.json'));
  const addresses = [...charts.keys()].map((name) =>
    relative(dirname(markdown), join(out, name)).replaceAll('\\', '/'),
  );
  await writeAtomically(markdown, studyMarkdown(log.results, { charts: addresses, settings }));
  printLine(`${markdown}: ${log.results.length} cells`);
}

/** What {@link keepSettings} wrote. */
async function readSettingsFile(path: string): Promise<(StudySettings & { readonly penalty: string }) | undefined> {
  return existsSync(path) ? readJson(path, SETTINGS_FILE) : undefined;
}
