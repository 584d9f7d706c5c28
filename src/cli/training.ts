import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Dataset, splitHeldOut } from '../data/dataset.ts';
import type { Detector } from '../detector/detector.ts';
import type { DetectorState } from '../detector/detectorState.ts';
import { LEAST_IMAGES } from '../detector/learnedFilter.ts';
import { saveDetector } from '../detector/modelFile.ts';
import { inRegion } from '../detector/region.ts';
import type { DeviceLostError } from '../engine/errors.ts';
import { plantedFigure } from '../evaluation/plantedFigure.ts';
import type { TiledSize } from '../imaging/tiles.ts';
import { PDN_SIZES } from '../networks/pdn.ts';
import { loadImages, trainingDigest } from '../node/datasets.ts';
import { readCheckpoint, removeFile } from '../node/files.ts';
import { lockOf } from '../node/lock.ts';
import { writeAtomically } from '../node/output.ts';
import type { readTeacher } from '../node/teachers.ts';
import { type CrossFitOptions, checkFolds, crossFit } from '../train/crossFit.ts';
import { type FitSettings, fit, PRESETS } from '../train/fit.ts';
import { fitNearest } from '../train/nearest.ts';
import { type Arguments, readSeed, wholeNumber } from './arguments.ts';
import { readFolds, readMethod, readPatience, readTiles } from './fitOptions.ts';
import { FitReport } from './fitReport.ts';
import { applyMaps, filterFor, type MapsOption, readMaps } from './mapFilter.ts';
import { openPenalty, type Photographs } from './penalty.ts';
import { printLine, say } from './print.ts';
import { readCorners, regionOf } from './region.ts';
import type { TrainingLog } from './trainingLog.ts';
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
  /** Takes the losses. */
  readonly log?: TrainingLog;
  readonly signal: AbortSignal;
}

/** Where the state of a training is kept until it ends. */
export const checkpointOf = (output: string) => `${output}.checkpoint`;

/** What a training that leaves checkpoints writes. */
export const trainingOutputs = (output: string) => [output, checkpointOf(output), lockOf(output)];

/** How often a training with --patience is judged. */
const LOOKS = 20;

/** Trains on one data set, with the options of `fit`, and writes the model file, whose lock the caller holds. */
export async function fitOne(
  args: Arguments,
  { session, settings, root, dataset, output, photographs, from, teacher, log, signal }: FitJob,
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
  const tiles = readTiles(args);
  const data = {
    dataset: dataset.name,
    dataDigest,
    region,
    tiles,
    train,
    heldOut,
    teacher,
  };
  const common = { engine: session.engine, ...data, alpha, onNotice: notice, signal };
  const { method, vectors } = readMethod(args);
  const folds = readFolds(args);
  if (folds !== undefined) {
    checkFolds(folds, train.count);
    say(
      `${dataset.name}: ${folds} further trainings take the threshold from all ${train.count + heldOut.count} good images: ${folds + 1} times the work of one`,
    );
  }
  if (method === 'nearest') {
    const phases = new FitReport();
    const maps = readMaps(args) ?? usualMaps(settings, tiles, heldOut.count + train.count);
    const detector = await fitNearest({
      ...common,
      settings: { ...settings, vectors },
      filter: async (mapSide, calibrated) => {
        if (maps !== 'auto') return filterFor(maps, mapSide, calibrated, heldOut, signal);
        const plain = await calibrated();
        phases.endPhase();
        return filterFor(maps, mapSide, async () => plain, heldOut, signal);
      },
      onProgress: (progress) => phases.report(progress),
    }).finally(() => phases.endPhase());
    return finish(detector, output);
  }
  const open = () => openPenalty(photographs, session.engine, settings.seed);
  let penalty = await open();

  const every = Math.max(1, Math.round(settings.iterations / LOOKS));
  const patience = readPatience(args);
  const checkpointFile = checkpointOf(output);
  const resume = args.flag('resume') ? await readCheckpoint(checkpointFile, notice) : undefined;
  log?.begin(dataset.name);
  const show = new FitReport(log);
  const foldReport = new FitReport();
  const judge = plantedFigure({ heldOut: await inRegion(region, heldOut), seed: settings.seed });
  let losses = 0;
  const recover = async (lost: DeviceLostError) => {
    if (++losses > MAX_LOSSES) throw lost;
    show.endPhase();
    foldReport.endPhase();
    notice(
      `${lost.message} Training goes on from its last checkpoint on a new device (${losses} of ${MAX_LOSSES} times).`,
    );
    penalty.destroy?.();
    const engine = await session.reopen();
    penalty = await open();
    return { engine, penalty };
  };
  const training = () => ({
    ...common,
    engine: session.engine,
    settings,
    penalty,
    from,
    stop: patience === undefined ? undefined : { every, patience, judge },
    recover,
  });
  try {
    const fitted = await fit({
      ...training(),
      checkpoint: {
        every: wholeNumber(args, 'checkpoint-every', CHECKPOINT_EVERY, 1),
        save: async (bytes) => {
          await writeAtomically(checkpointFile, bytes);
          await log?.write();
        },
      },
      resume,
      onProgress: (progress) => show.report(progress),
    });
    show.endPhase();
    const maps = readMaps(args) ?? usualMaps(settings, tiles, heldOut.count);
    const detector = maps === 'none' ? fitted : await applyMaps(fitted, maps, heldOut, { alpha, signal });
    if (detector !== fitted) fitted.destroy();
    await finish(detector, output, {
      ...(folds === undefined
        ? { advice: '--folds 5 takes the threshold from all good images.' }
        : { judgeAll: (detector: Detector) => reportedCrossFit(detector, { ...training(), folds }, foldReport) }),
    });
    await removeFile(checkpointFile);
  } catch (error) {
    if (signal.aborted) {
      const saved = existsSync(checkpointFile);
      say(saved ? `stopped; the state is in ${checkpointFile}, go on with --resume` : 'stopped before training');
    }
    throw error;
  } finally {
    foldReport.endPhase();
    show.endPhase();
    await log?.write();
    penalty.destroy?.();
  }
}

interface FinishOptions {
  /** Gives the detector the threshold of all good images. */
  readonly judgeAll?: (detector: Detector) => Promise<Detector>;
  /** Where held-out images promise less than was asked for. */
  readonly advice?: string;
}

/** Says which training runs. */
async function reportedCrossFit(
  detector: Detector,
  options: Omit<CrossFitOptions, 'onProgress'>,
  report: FitReport,
): Promise<Detector> {
  let running = -1;
  const judged = await crossFit(detector, {
    ...options,
    onProgress(fold, progress) {
      if (fold !== running) {
        report.endPhase();
        say(`training ${fold + 1} of ${options.folds}, without the images that it judges`);
      }
      running = fold;
      report.report(progress);
    },
  });
  report.endPhase();
  return judged;
}

/** What is done to maps where nothing is said: a mirrored border is brought to the levels of the inside. */
function usualMaps({ padding }: FitSettings, tiles: TiledSize | undefined, images: number): MapsOption {
  if (padding !== 'reflect' || tiles) return 'none';
  if (images >= LEAST_IMAGES) return 'border';
  notice(
    `--maps border takes ${LEAST_IMAGES} held-out images: the border may raise more false alarms than the inside.`,
  );
  return 'none';
}

/** Gives a detector the threshold that was asked for, and writes it. */
async function finish(detector: Detector, output: string, { judgeAll, advice }: FinishOptions = {}): Promise<void> {
  await writeAtomically(output, await saveDetector(detector));
  if (judgeAll)
    say(
      `${output} has the threshold of ${detector.state.threshold?.images} held-out images until that of all is there`,
    );
  const judged = await judgeAll?.(detector);
  if (judged) await writeAtomically(output, await saveDetector(judged));
  const { state } = judged ?? detector;
  const { threshold } = state;
  if (threshold && threshold.promised > threshold.alpha) {
    const promise = `${threshold.images} held-out images can promise a false-alarm rate of ${(threshold.promised * 100).toFixed(1)} %, not ${threshold.alpha * 100} %.`;
    notice(advice ? `${promise} ${advice}` : promise);
  }
  printLine(`${output}: ${thresholdText(state)}`);
  judged?.destroy();
  detector.destroy();
}
