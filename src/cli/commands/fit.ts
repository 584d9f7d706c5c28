import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type Dataset, splitHeldOut } from '../../data/dataset.ts';
import { safeFileNamesOf } from '../../data/names.ts';
import { checkAlpha } from '../../detector/conformal.ts';
import { saveDetector } from '../../detector/modelFile.ts';
import type { Engine } from '../../engine/engine.ts';
import { Networks } from '../../networks/networks.ts';
import { PDN_SIZES } from '../../networks/pdn.ts';
import { datasetFiles, loadImages, openDatasets, trainingDigest } from '../../node/datasets.ts';
import { readBytes, readCheckpoint, removeFile } from '../../node/files.ts';
import { holdOutputs, lockOf } from '../../node/lock.ts';
import { assertOutputs, writeAtomically } from '../../node/output.ts';
import { readTeacher } from '../../node/teachers.ts';
import { readCheckpoint as parseCheckpoint } from '../../train/checkpoint.ts';
import { checkFitSettings, type FitProgress, type FitSettings, fit, PRESETS } from '../../train/fit.ts';
import { loadTeacher } from '../../train/teacher.ts';
import { type Arguments, type OptionTable, readSeed, UsageError, wholeNumber } from '../arguments.ts';
import { announceDatasets, chooseCategories, DRY_RUN_OPTIONS, printDatasets } from '../datasets.ts';
import { printLine, say } from '../print.ts';
import { type Progress, startProgress } from '../progress.ts';
import { inputFiles, notice, withEngine } from '../session.ts';
import { findPhotographs, openPenalty, type Photographs } from '../study.ts';

export const usage = `raad fit DATA -o MODEL.safetensors
  Learns from the good parts of a data set: MVTec AD, LOCO or 3D layout, VisA, or a folder of images.
  A folder of several data sets gives a model each: -o is then a folder.

  --good DIR             a folder of good images instead of DATA
  --category NAME        one of several data sets
  --preset quick|standard|paper   quick: xs, 128 px, 600 x 4; standard (default): s, 256 px, 5000 x 4;
                         paper: s, 256 px, 70000 x 1
  --size xs|s|m          network size
  --resolution PX        input side, a multiple of 64 from 128 to 4096
  --iterations N --batch N --lr RATE --seed N
  --penalty DIR          photographs for the penalty loss; generated pictures by default
  --teacher FILE         PDN weights as safetensors; those of the package by default
  --alpha RATE           wanted false-alarm rate of the threshold, 0.01
  --checkpoint-every N   steps between checkpoints, 100; the file is MODEL.safetensors.checkpoint
  --resume               continue from that file; while one process works, MODEL.safetensors.lock keeps others off
  --log FILE             losses as JSON lines
  --dry-run [--json]     only say what would be read; see raad data`;

/** Options that define a training, for every command that trains. */
export const TRAINING_OPTIONS: OptionTable = {
  penalty: { type: 'string' },
  preset: { type: 'string' },
  size: { type: 'string' },
  resolution: { type: 'string' },
  iterations: { type: 'string' },
  batch: { type: 'string' },
  lr: { type: 'string' },
};

export const options: OptionTable = {
  ...TRAINING_OPTIONS,
  output: { type: 'string', short: 'o' },
  good: { type: 'string' },
  category: { type: 'string' },
  seed: { type: 'string' },
  teacher: { type: 'string' },
  alpha: { type: 'string' },
  'checkpoint-every': { type: 'string' },
  resume: { type: 'boolean' },
  log: { type: 'string' },
  ...DRY_RUN_OPTIONS,
};

/** Steps between checkpoints. */
export const CHECKPOINT_EVERY = 100;

export async function run(args: Arguments, signal: AbortSignal): Promise<void> {
  const output = args.text('output');
  const isDry = args.flag('dry-run');
  if (!output && !isDry) throw new UsageError('fit needs -o MODEL.safetensors.', 'Say where the model goes.');
  const settings = readSettings(args);
  const good = args.text('good');
  const { root, datasets, leftOut } = await openDatasets(args.positionals[0], good ? { good } : {});
  const chosen = chooseCategories(datasets, args.text('category'));
  const sets = chosen.map((dataset) => ({ root, dataset }));
  const between = args.text('category') ? [] : leftOut;
  if (isDry || !output) return printDatasets(args, sets, between, signal);
  checkFitSettings(settings);
  checkAlpha(args.number('alpha'));
  wholeNumber(args, 'checkpoint-every', CHECKPOINT_EVERY, 1);
  // What one of several would be refused for is found before the first is trained.
  for (const dataset of chosen) splitHeldOut(dataset, settings.seed);
  const single = chosen.length === 1;
  const nameOf = safeFileNamesOf(datasets);
  const target = (dataset: Dataset) => (single ? output : join(output, `${nameOf(dataset)}.safetensors`));
  const photographs = await findPhotographs(args);
  const teacher = await readTeacher(settings.size, args.text('teacher'));
  loadTeacher(new Networks(settings.size, settings.resolution), teacher, teacher.name);
  await assertOutputs(
    [...chosen.flatMap((dataset) => outputsOf(target(dataset))), args.text('log')],
    [...sets.flatMap(datasetFiles), ...(photographs?.paths ?? []), args.text('teacher'), ...inputFiles(args)],
  );
  await holdOutputs(chosen.map(target), async () => {
    if (args.flag('resume')) {
      for (const file of chosen.map((dataset) => checkpointOf(target(dataset))))
        if (existsSync(file)) await parseCheckpoint(await readBytes(file), file);
    }
    await announceDatasets(sets, { isEvaluated: false, between, signal });
    const log: string[] = [];
    await withEngine(args, async (engine) => {
      for (const dataset of chosen) {
        if (!single) say('', dataset.name);
        await fitOne(args, {
          engine,
          settings,
          root,
          dataset,
          output: target(dataset),
          photographs,
          teacher,
          log,
          signal,
        });
      }
    });
  });
}

/** Settings from a preset and what changes it. */
export function readSettings(args: Arguments, fallback: keyof typeof PRESETS = 'standard'): FitSettings {
  const preset = PRESETS[args.choice('preset', ['quick', 'standard', 'paper']) ?? fallback];
  return {
    size: args.choice('size', PDN_SIZES) ?? preset.size,
    resolution: args.number('resolution') ?? preset.resolution,
    iterations: args.number('iterations') ?? preset.iterations,
    batch: args.number('batch') ?? preset.batch,
    learningRate: args.number('lr') ?? preset.learningRate,
    weightDecay: preset.weightDecay,
    seed: readSeed(args, preset.seed),
  };
}

export interface FitJob {
  readonly engine: Engine;
  readonly settings: FitSettings;
  readonly root: string;
  readonly dataset: Dataset;
  readonly output: string;
  readonly photographs?: Photographs | undefined;
  readonly teacher: Awaited<ReturnType<typeof readTeacher>>;
  /** Lines of `--log` from the data sets before; takes further ones. */
  readonly log?: string[];
  readonly signal: AbortSignal;
}

/** Where the state of a training is kept until it ends. */
export const checkpointOf = (output: string) => `${output}.checkpoint`;

/** What a training that leaves checkpoints writes. */
export const outputsOf = (output: string) => [output, checkpointOf(output), lockOf(output)];

/** Trains on one data set, with the options of `fit`, and writes the model file, whose lock the caller holds. */
export async function fitOne(
  args: Arguments,
  { engine, settings, root, dataset, output, photographs, teacher, log = [], signal }: FitJob,
): Promise<void> {
  const split = splitHeldOut(dataset, settings.seed);
  const skipped: string[] = [];
  const load = (paths: readonly string[]) =>
    loadImages(
      paths.map((path) => resolve(root, path)),
      (reason) => {
        skipped.push(reason);
        notice(reason);
      },
      undefined,
      signal,
    );
  const train = await load(split.train);
  const heldOut = await load(split.heldOut);
  const dataDigest = await trainingDigest({ root, dataset }, signal);
  const penalty = await openPenalty(photographs, engine, settings.seed);
  if (skipped.length > 0) notice(`${skipped.length} ${skipped.length === 1 ? 'image was' : 'images were'} left out.`);
  say(`${dataset.name}: ${train.count} good images to train on, ${heldOut.count} held out`);

  const checkpointFile = checkpointOf(output);
  const resume = args.flag('resume') ? await readCheckpoint(checkpointFile, notice) : undefined;
  const alpha = args.number('alpha');
  const show = new FitReport(args.text('log'), log, dataset.name);
  try {
    const detector = await fit({
      engine,
      settings,
      dataset: dataset.name,
      ...(dataDigest !== undefined && { dataDigest }),
      train,
      heldOut,
      penalty,
      teacher,
      ...(alpha !== undefined && { alpha }),
      checkpoint: {
        every: wholeNumber(args, 'checkpoint-every', CHECKPOINT_EVERY, 1),
        save: (bytes) => writeAtomically(checkpointFile, bytes),
      },
      ...(resume && { resume }),
      onProgress: (progress) => show.report(progress),
      onNotice: notice,
      signal,
    });
    await writeAtomically(output, await saveDetector(detector));
    await removeFile(checkpointFile);
    const { threshold } = detector.state;
    if (threshold && threshold.promised > threshold.alpha) {
      notice(
        `${threshold.images} held-out images can promise a false-alarm rate of ${(threshold.promised * 100).toFixed(1)} %, not ${threshold.alpha * 100} %.`,
      );
    }
    detector.destroy();
    printLine(`${output}: threshold ${threshold?.value.toFixed(4)}`);
  } catch (error) {
    if (signal.aborted) {
      const saved = existsSync(checkpointFile);
      say(saved ? `stopped; the state is in ${checkpointFile}, go on with --resume` : 'stopped before training');
    }
    throw error;
  } finally {
    await show.stop();
    penalty.destroy?.();
  }
}

const LABELS: Record<FitProgress['phase'], readonly [string, string]> = {
  compile: ['compiling', 'kernels'],
  statistics: ['teacher statistics', 'images'],
  train: ['training', 'steps'],
  calibrate: ['calibrating', 'passes'],
};

/** Shows a run's phases one after the other and keeps its losses. */
class FitReport {
  readonly #log: string | undefined;
  readonly #lines: string[];
  readonly #set: string;
  #phase: FitProgress['phase'] | undefined;
  #progress: Progress | undefined;

  constructor(log: string | undefined, lines: string[], set: string) {
    this.#log = log;
    this.#lines = lines;
    this.#set = set;
  }

  report({ phase, done, total, losses }: FitProgress): void {
    if (phase !== this.#phase) {
      this.#progress?.stop();
      this.#phase = phase;
      this.#progress = startProgress(LABELS[phase][0], total, LABELS[phase][1]);
    }
    const note =
      losses &&
      Object.entries(losses)
        .map(([name, value]) => `${name} ${value.toFixed(3)}`)
        .join(' ');
    if (losses) this.#lines.push(JSON.stringify({ set: this.#set, step: done, ...losses }));
    this.#progress!.update(done, note);
  }

  async stop(): Promise<void> {
    this.#progress?.stop();
    if (this.#log) await writeAtomically(this.#log, `${this.#lines.join('\n')}\n`);
  }
}
