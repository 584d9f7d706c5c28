import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Dataset, splitHeldOut } from '../data/dataset.ts';
import { saveDetector } from '../detector/modelFile.ts';
import type { Engine } from '../engine/engine.ts';
import { PDN_SIZES } from '../networks/pdn.ts';
import { loadImages, trainingDigest } from '../node/datasets.ts';
import { readCheckpoint, removeFile } from '../node/files.ts';
import { lockOf } from '../node/lock.ts';
import { writeAtomically } from '../node/output.ts';
import type { readTeacher } from '../node/teachers.ts';
import { type FitProgress, type FitSettings, fit, PRESETS } from '../train/fit.ts';
import { type Arguments, readSeed, wholeNumber } from './arguments.ts';
import { openPenalty, type Photographs } from './penalty.ts';
import { printLine, say } from './print.ts';
import { type Progress, startProgress } from './progress.ts';
import { readCorners, regionOf } from './region.ts';
import { notice } from './withEngine.ts';

/** Steps between checkpoints. */
export const CHECKPOINT_EVERY = 100;

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
export const trainingOutputs = (output: string) => [output, checkpointOf(output), lockOf(output)];

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
  const corners = readCorners(args);
  const show = new FitReport(args.text('log'), log, dataset.name);
  try {
    const detector = await fit({
      engine,
      settings,
      dataset: dataset.name,
      ...(dataDigest !== undefined && { dataDigest }),
      ...(corners && train.count > 0 && { region: await regionOf(corners, train) }),
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
