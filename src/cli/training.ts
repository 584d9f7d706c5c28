import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Dataset, splitHeldOut } from '../data/dataset.ts';
import type { ImageSource } from '../data/image.ts';
import type { Detector } from '../detector/detector.ts';
import type { DetectorState } from '../detector/detectorState.ts';
import { saveDetector } from '../detector/modelFile.ts';
import { inRegion } from '../detector/region.ts';
import type { DeviceLostError } from '../engine/errors.ts';
import { plantedFigure } from '../evaluation/plantedFigure.ts';
import { PDN_SIZES } from '../networks/pdn.ts';
import { loadImages, trainingDigest } from '../node/datasets.ts';
import { readCheckpoint, removeFile } from '../node/files.ts';
import { lockOf } from '../node/lock.ts';
import { writeAtomically } from '../node/output.ts';
import type { readTeacher } from '../node/teachers.ts';
import { type FitProgress, type FitSettings, fit, PRESETS } from '../train/fit.ts';
import { fitNearest, type NearestProgress } from '../train/nearest.ts';
import { type Arguments, readSeed, UsageError, wholeNumber } from './arguments.ts';
import { applyMaps, readMaps } from './mapFilter.ts';
import { openPenalty, type Photographs } from './penalty.ts';
import { printLine, say } from './print.ts';
import { type Progress, startProgress } from './progress.ts';
import { readCorners, regionOf } from './region.ts';
import { thresholdText } from './verdict.ts';
import { type EngineSession, notice } from './withEngine.ts';

/** Steps between checkpoints. */
export const CHECKPOINT_EVERY = 100;

/** Devices that a training may lose: one that is lost time and again would be so forever. */
const MAX_LOSSES = 3;

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
    ...(args.choice('border', ['nearest', 'reflect']) === 'reflect' && { padding: 'reflect' }),
  };
}

export interface FitJob {
  /** Has another engine in the end where the device was lost on the way. */
  readonly session: EngineSession;
  readonly settings: FitSettings;
  readonly root: string;
  readonly dataset: Dataset;
  readonly output: string;
  readonly photographs?: Photographs | undefined;
  /** What training starts from. */
  readonly from?: DetectorState | undefined;
  readonly teacher: Awaited<ReturnType<typeof readTeacher>>;
  /** Lines of `--log` from the data sets before; takes further ones. */
  readonly log?: string[];
  readonly signal: AbortSignal;
}

/** Where the state of a training is kept until it ends. */
export const checkpointOf = (output: string) => `${output}.checkpoint`;

/** What a training that leaves checkpoints writes. */
export const trainingOutputs = (output: string) => [output, checkpointOf(output), lockOf(output)];

/** How often a training with --patience is judged. */
const LOOKS = 20;

/** The option --patience. @throws UsageError */
export function readPatience(args: Arguments): number | undefined {
  return args.text('patience') === undefined ? undefined : wholeNumber(args, 'patience', 1, 1);
}

/** Options of `fit` that a method without training does not have. */
const OF_TRAINING = [
  'iterations',
  'batch',
  'lr',
  'penalty',
  'from',
  'patience',
  'checkpoint-every',
  'resume',
  'log',
] as const;

/** The options --method and --vectors. @throws UsageError for options that do not go together */
export function readMethod(args: Arguments): { readonly method: 'student' | 'nearest'; readonly vectors?: number } {
  const method = args.choice('method', ['student', 'nearest']) ?? 'student';
  const given = (name: string) => args.flag(name) || args.text(name) !== undefined;
  const stray = method === 'nearest' ? OF_TRAINING.find(given) : given('vectors') ? 'vectors' : undefined;
  if (stray !== undefined)
    throw new UsageError(
      `--${stray} does not go with --method ${method}.`,
      method === 'nearest' ? 'Nothing is trained: leave it out.' : 'It is for --method nearest.',
    );
  const vectors = args.number('vectors');
  return { method, ...(vectors !== undefined && { vectors }) };
}

/** Trains on one data set, with the options of `fit`, and writes the model file, whose lock the caller holds. */
export async function fitOne(
  args: Arguments,
  { session, settings, root, dataset, output, photographs, from, teacher, log = [], signal }: FitJob,
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
  if (skipped.length > 0) notice(`${skipped.length} ${skipped.length === 1 ? 'image was' : 'images were'} left out.`);
  say(`${dataset.name}: ${train.count} good images to train on, ${heldOut.count} held out`);
  const alpha = args.number('alpha');
  const corners = readCorners(args);
  const region = corners && train.count > 0 ? await regionOf(corners, train) : undefined;
  const data = {
    dataset: dataset.name,
    ...(dataDigest !== undefined && { dataDigest }),
    ...(region && { region }),
    train,
    heldOut,
    teacher,
  };
  const common = { engine: session.engine, ...data, ...(alpha !== undefined && { alpha }), onNotice: notice, signal };
  const { method, ...bank } = readMethod(args);
  if (method === 'nearest') {
    const phases = new FitReport(undefined, [], dataset.name);
    const fitted = await fitNearest({
      ...common,
      settings: { ...settings, ...bank },
      onProgress: (progress) => phases.report(progress),
    }).finally(() => phases.endPhase());
    return finish(args, fitted, heldOut, output, signal);
  }
  const open = () => openPenalty(photographs, session.engine, settings.seed);
  let penalty = await open();

  const every = Math.max(1, Math.round(settings.iterations / LOOKS));
  const patience = readPatience(args);
  const checkpointFile = checkpointOf(output);
  const resume = args.flag('resume') ? await readCheckpoint(checkpointFile, notice) : undefined;
  const show = new FitReport(args.text('log'), log, dataset.name);
  let losses = 0;
  const recover = async (lost: DeviceLostError) => {
    if (++losses > MAX_LOSSES) throw lost;
    show.endPhase();
    notice(
      `${lost.message} Training goes on from its last checkpoint on a new device (${losses} of ${MAX_LOSSES} times).`,
    );
    penalty.destroy?.();
    const engine = await session.reopen();
    penalty = await open();
    return { engine, penalty };
  };
  try {
    const fitted = await fit({
      ...common,
      settings,
      penalty,
      checkpoint: {
        every: wholeNumber(args, 'checkpoint-every', CHECKPOINT_EVERY, 1),
        save: (bytes) => writeAtomically(checkpointFile, bytes),
      },
      ...(resume && { resume }),
      ...(from && { from }),
      ...(patience !== undefined && {
        stop: {
          every,
          patience,
          judge: plantedFigure({ heldOut: await inRegion(region, heldOut), seed: settings.seed }),
        },
      }),
      recover,
      onProgress: (progress) => show.report(progress),
    });
    show.endPhase();
    await finish(args, fitted, heldOut, output, signal);
    await removeFile(checkpointFile);
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

/** Gives a detector the filter of its map that was asked for, and writes it. */
async function finish(
  args: Arguments,
  fitted: Detector,
  heldOut: ImageSource,
  output: string,
  signal: AbortSignal,
): Promise<void> {
  const maps = readMaps(args) ?? 'none';
  const detector =
    maps === 'none' ? fitted : await applyMaps(fitted, maps, heldOut, { alpha: args.number('alpha'), signal });
  await writeAtomically(output, await saveDetector(detector));
  const { threshold } = detector.state;
  if (threshold && threshold.promised > threshold.alpha) {
    notice(
      `${threshold.images} held-out images can promise a false-alarm rate of ${(threshold.promised * 100).toFixed(1)} %, not ${threshold.alpha * 100} %.`,
    );
  }
  printLine(`${output}: ${thresholdText(detector.state)}`);
  if (detector !== fitted) fitted.destroy();
  detector.destroy();
}

type Phase = FitProgress['phase'] | NearestProgress['phase'];

const LABELS: Record<Phase, readonly [string, string]> = {
  compile: ['compiling', 'kernels'],
  statistics: ['teacher statistics', 'images'],
  train: ['training', 'steps'],
  features: ['features', 'images'],
  coreset: ['choosing features', 'parts'],
  calibrate: ['calibrating', 'passes'],
};

/** Shows a run's phases one after the other and keeps its losses. */
class FitReport {
  readonly #log: string | undefined;
  readonly #lines: string[];
  readonly #set: string;
  /** Of this set's lines. */
  readonly #steps: number[] = [];
  #phase: Phase | undefined;
  #progress: Progress | undefined;

  constructor(log: string | undefined, lines: string[], set: string) {
    this.#log = log;
    this.#lines = lines;
    this.#set = set;
  }

  report({ phase, done, total, losses }: Omit<FitProgress, 'phase'> & { readonly phase: Phase }): void {
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
    if (losses) this.#keep(done, losses);
    this.#progress!.update(done, note);
  }

  /** A step that is done again, behind a checkpoint, stands for the one before. */
  #keep(step: number, losses: NonNullable<FitProgress['losses']>): void {
    while (this.#steps.length > 0 && this.#steps.at(-1)! >= step) {
      this.#steps.pop();
      this.#lines.pop();
    }
    this.#steps.push(step);
    this.#lines.push(JSON.stringify({ set: this.#set, step, ...losses }));
  }

  endPhase(): void {
    this.#progress?.stop();
    this.#progress = undefined;
    this.#phase = undefined;
  }

  async stop(): Promise<void> {
    this.endPhase();
    if (this.#log) await writeAtomically(this.#log, `${this.#lines.join('\n')}\n`);
  }
}
