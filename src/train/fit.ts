import { checkSeed } from '../checks/numbers.ts';
import type { ImageSource } from '../data/image.ts';
import { calibrate } from '../detector/calibrate.ts';
import { checkAlpha } from '../detector/conformal.ts';
import { Detector } from '../detector/detector.ts';
import type { DetectorState, Provenance } from '../detector/detectorState.ts';
import { checkHeldOut } from '../detector/heldOut.ts';
import { looksAt, seenImages } from '../detector/seen.ts';
import type { Engine } from '../engine/engine.ts';
import { DeviceLostError } from '../engine/errors.ts';
import type { Node, Parameter } from '../engine/graph.ts';
import { UserError } from '../errors.ts';
import type { TensorFile } from '../formats/safetensors.ts';
import type { RegionOfInterest } from '../imaging/region.ts';
import type { TiledSize } from '../imaging/tiles.ts';
import { trainingState } from '../kernels/adam.ts';
import { adjustedImageToTensor, imageToTensor } from '../kernels/image.ts';
import { Networks } from '../networks/networks.ts';
import type { Padding, PdnSize } from '../networks/pdn.ts';
import { copyNetworks } from '../quantization/layers.ts';
import { readCheckpoint } from './checkpoint.ts';
import { checkEarlyStop, type EarlyStop } from './earlyStop.ts';
import type { PenaltySource } from './penalty.ts';
import { LOSS_NAMES, lossGraph, optimizer, stepInputs } from './step.ts';
import { loadTeacher } from './teacher.ts';
import { type StepGraph, type TrainingControl, type TrainingProgress, TrainingSession } from './trainingLoop.ts';

/** What defines a run: two runs with equal settings and data give equal weights on the same adapter. */
export interface FitSettings {
  readonly size: PdnSize;
  /** Input side in pixels: a multiple of 64 from 128 to 4096. */
  readonly resolution: number;
  /** Of teacher and student: `reflect` has the border of images scored, too; `none` when absent. */
  readonly padding?: Padding;
  readonly iterations: number;
  readonly batch: number;
  readonly learningRate: number;
  readonly weightDecay: number;
  readonly seed: number;
}

/** `quick`: minutes on a CPU. `standard`: an hour on a GPU's share. `paper`: EfficientAD's published recipe. */
export const PRESETS: Readonly<Record<'quick' | 'standard' | 'paper', FitSettings>> = {
  quick: { size: 'xs', resolution: 128, iterations: 600, batch: 4, learningRate: 1e-3, weightDecay: 1e-5, seed: 0 },
  standard: { size: 's', resolution: 256, iterations: 5000, batch: 4, learningRate: 1e-3, weightDecay: 1e-5, seed: 0 },
  paper: { size: 's', resolution: 256, iterations: 70000, batch: 1, learningRate: 1e-4, weightDecay: 1e-5, seed: 0 },
};

/** Share of the iterations after which the learning rate is a tenth. */
const DECAY_FROM = 0.95;

/** How far a training is. */
export interface FitProgress extends Omit<TrainingProgress, 'phase'> {
  readonly phase: TrainingProgress['phase'] | 'calibrate';
}

/** What a detector is trained on, and how. */
export interface FitOptions extends TrainingControl {
  readonly engine: Engine;
  readonly settings: FitSettings;
  /** Name for the model file. */
  readonly dataset: string;
  /** Stands for the data set's good images, whatever the split: 64 hexadecimal digits, kept in the model file. */
  readonly dataDigest?: string | undefined;
  /** The part of all images that the detector looks at; all of them by default. */
  readonly region?: RegionOfInterest | undefined;
  /**
   * Size in pixels at which images are looked at in tiles of the networks' input, by teacher and student; the autoencoder sees the
   * whole image at its own size. Absent: all networks do. Not together with a region or early stopping.
   */
  readonly tiles?: TiledSize | undefined;
  /** Good images to train on. */
  readonly train: ImageSource;
  /** Good images kept apart, for map quantiles and threshold. */
  readonly heldOut: ImageSource;
  /** Natural images for the penalty loss. */
  readonly penalty: PenaltySource;
  /** PDN teacher weights: `conv1.weight`, ... */
  readonly teacher: TensorFile & { readonly name: string };
  /** Wanted false-alarm rate of the threshold; 0.01. */
  readonly alpha?: number | undefined;
  /** A float detector of the same part, whose student and autoencoder training starts from, instead of random ones. */
  readonly from?: DetectorState | undefined;
  /**
   * Ends training before its last step once nothing gets better, and keeps the best: `judge` says how good a detector is, more is
   * better, such as {@link plantedFigure}. What it is given sees whole images, of which the region is one.
   */
  readonly stop?:
    | (Pick<EarlyStop, 'every' | 'patience'> & {
        readonly judge: (detector: Detector, signal?: AbortSignal) => Promise<number>;
      })
    | undefined;
  /** Bytes of a checkpoint to continue from. */
  readonly resume?: Uint8Array | undefined;
  /**
   * Asked for another engine when the device is lost: training goes on there from its last checkpoint, as after a process that
   * was killed, and ends with the same values. Penalty images that lay on the device come anew, too.
   */
  readonly recover?:
    | ((lost: DeviceLostError) => Promise<Pick<FitOptions, 'engine'> & Partial<Pick<FitOptions, 'penalty'>>>)
    | undefined;
  readonly onProgress?: ((progress: FitProgress) => void) | undefined;
  /** Called with one sentence for everything that is left out. */
  readonly onNotice?: ((message: string) => void) | undefined;
}

/** Steps between checkpoints that only a lost device needs. */
const RECOVERY_STEPS = 100;

/**
 * Trains a detector from images of good parts (RAAD step 1: EfficientAD, section 3).
 * @throws UserError for unusable settings or data, DeviceLostError, OutOfMemoryError
 */
export async function fit(options: FitOptions): Promise<Detector> {
  const { recover, checkpoint } = options;
  if (!recover) return fitOn(options);
  let { engine, penalty, resume } = options;
  const kept = {
    every: checkpoint?.every ?? RECOVERY_STEPS,
    async save(bytes: Uint8Array) {
      await checkpoint?.save(bytes);
      resume = bytes;
    },
  };
  for (;;) {
    try {
      return await fitOn({ ...options, engine, penalty, checkpoint: kept, resume });
    } catch (error) {
      if (!(error instanceof DeviceLostError)) throw error;
      options.signal?.throwIfAborted();
      ({ engine, penalty = penalty } = await recover(error));
    }
  }
}

async function fitOn(options: FitOptions): Promise<Detector> {
  const { engine, settings, train, heldOut, from, stop, signal } = options;
  checkFitSettings(settings);
  if (stop) checkEarlyStop(stop);
  checkAlpha(options.alpha);
  if (train.count === 0)
    throw new UserError('there are no good images to train on.', 'Point to a folder with images of good parts.');
  if (heldOut.count === 0)
    throw new UserError('there are no held-out good images for the threshold.', 'Keep some good images apart.');
  if (stop && options.tiles)
    throw new UserError('early stopping does not judge detectors that look at tiles.', 'Give one of both.');
  await checkHeldOut(heldOut, train);
  const networks = new Networks(settings.size, settings.resolution, settings.padding);
  loadTeacher(networks, options.teacher, options.teacher.name);
  networks.initialize(settings.seed);
  if (from) startFrom(networks, from);
  const untold = { networks, quantiles: { studentTeacher: [0, 1], autoencoder: [0, 1] }, placement: 'exact' } as const;
  const looks = await looksAt(networks, options);
  const state: DetectorState = { ...untold, ...looks, provenance: provenance(options) };
  const { images, wholes } = await seenImages(state, train, settings.iterations * settings.batch);

  const session = new TrainingSession({
    ...options,
    ...settings,
    train: images,
    wholes,
    networks,
    trained: networks.trained,
    graph: trainingGraph(networks, settings, {
      cachesFeatures: cachesFeatures(engine),
      hasWholes: wholes !== undefined,
    }),
    teacher: (x) => networks.teacher.forward(x),
    // What is absent here was absent from checkpoints of earlier versions.
    fingerprint: {
      ...settings,
      teacher: options.teacher.name,
      ...(from && { from: JSON.stringify(from.provenance) }),
      ...(stop && { stopEvery: stop.every, stopPatience: stop.patience }),
    },
    stop: stop && {
      ...stop,
      async judge() {
        // Networks of their own: what a plan has made of weights stays as it was when they were uploaded.
        const detector = new Detector(engine, {
          ...untold,
          networks: copyNetworks(networks),
          provenance: provenance(options),
        });
        try {
          return await stop.judge(detector, signal);
        } finally {
          detector.destroy();
        }
      },
    },
    resume: options.resume && (await readCheckpoint(options.resume)),
  });
  let steps: number;
  try {
    await session.statistics();
    steps = await session.train();
  } catch (error) {
    engine.release(networks.parameters);
    throw error;
  } finally {
    session.destroy();
  }

  options.onProgress?.({ phase: 'calibrate', done: 0, total: 1 });
  const detector = new Detector(engine, { ...state, provenance: { ...state.provenance, iterations: steps } });
  const { alpha, onNotice } = options;
  const calibrated = await calibrate(detector, heldOut, { alpha, train, onNotice, signal });
  detector.destroy();
  options.onProgress?.({ phase: 'calibrate', done: 1, total: 1 });
  return calibrated;
}

function provenance({ settings, dataset, dataDigest, train, heldOut, teacher, penalty }: FitOptions): Provenance {
  const { seed, iterations, batch, learningRate } = settings;
  return {
    dataset,
    seed,
    iterations,
    batch,
    learningRate,
    teacher: teacher.name,
    penalty: penalty.name,
    trainImages: train.count,
    heldOutImages: heldOut.count,
    ...(dataDigest !== undefined && { dataDigest }),
  };
}

/** @throws UserError for a detector of other networks, or one that is not a float one */
function startFrom(networks: Networks, { networks: before, quantization }: DetectorState): void {
  const shape = ({ size, side, padding }: Networks) => `PDN-${size.toUpperCase()} at ${side} px, border ${padding}`;
  if (quantization)
    throw new UserError(
      'training cannot start from a quantized detector.',
      'Give the float model that it was made from.',
    );
  if (shape(networks) !== shape(before))
    throw new UserError(
      `training of ${shape(networks)} cannot start from a detector of ${shape(before)}.`,
      'Choose the same size, resolution and border.',
    );
  const differs = networks.teacher.parameters.some(({ data }, i) => {
    const other = before.teacher.parameters[i]!.data;
    return data.some((value, k) => value !== other[k]);
  });
  if (differs)
    throw new UserError(
      'training cannot start from a detector of another teacher.',
      'Give the teacher that it was trained with.',
    );
  networks.trained.forEach((parameter, i) => {
    parameter.data = before.trained[i]!.data.slice();
  });
}

/** @throws UserError for a setting that cannot be used */
export function checkFitSettings(settings: FitSettings): void {
  checkSteps(settings);
  checkSeed(settings.seed);
}

/** More images in a step than any use of them needs: graphs and buffers grow with it. */
const MAX_BATCH = 256;

const MAX_STEPS = 2 ** 31;

/** What every kind of training needs. @throws UserError for a setting that cannot be used */
export function checkSteps({
  iterations,
  batch,
  learningRate,
  weightDecay,
}: Pick<FitSettings, 'iterations' | 'batch' | 'learningRate' | 'weightDecay'>): void {
  // The device counts steps and computes rates in 32 bits.
  checkWhole(iterations, 'iterations', 1);
  if (iterations > MAX_STEPS)
    throw new UserError(`iterations ${iterations} cannot be used.`, `At most ${MAX_STEPS} steps can be counted.`);
  checkWhole(batch, 'batch', 1);
  if (batch > MAX_BATCH)
    throw new UserError(`batch ${batch} cannot be used.`, `At most ${MAX_BATCH} images fit into a step.`);
  if (!(Math.fround(learningRate) > 0 && Number.isFinite(Math.fround(learningRate))))
    throw new UserError(
      `learning rate ${learningRate} cannot be used.`,
      'It has to be a number above 0 that float32 holds.',
    );
  if (!(weightDecay >= 0 && Number.isFinite(Math.fround(weightDecay))))
    throw new UserError(
      `weight decay ${weightDecay} cannot be used.`,
      'It has to be a number of at least 0 that float32 holds.',
    );
}

function checkWhole(value: number, name: string, least: number): void {
  if (!Number.isSafeInteger(value) || value < least)
    throw new UserError(`${name} ${value} cannot be used.`, `It has to be a whole number of at least ${least}.`);
}

/** How a step's graph differs from plain training. */
export interface TrainingGraphChange {
  /** Changes the losses' graph, such as into a fake-quantized one. */
  readonly rewrite?: (losses: readonly Node[]) => Node[];
  /** Parameters that the optimizer changes beside the networks' own, without weight decay. */
  readonly alsoTrained?: readonly Parameter[];
  /** Whether a step is given the teacher's features of its images, or computes them; given by default. @see cachesFeatures */
  readonly cachesFeatures?: boolean;
  /** Whether the autoencoder sees other images, of which teacher and student see tiles. */
  readonly hasWholes?: boolean;
}

/**
 * Whether training keeps the teacher's features on the host. For S at 256 px they are 6 MiB an image: a GPU computes them again in
 * less time than the host copies them, and the host's memory is left for images.
 */
export function cachesFeatures({ caps }: Engine): boolean {
  return caps.isCpu;
}

/** The graph of one training step: losses in the order of their names, and the optimizer's updates. */
export function trainingGraph(
  networks: Networks,
  settings: Omit<FitSettings, 'size' | 'resolution' | 'padding'>,
  {
    rewrite = (losses) => [...losses],
    alsoTrained = [],
    cachesFeatures: cached = true,
    hasWholes = false,
  }: TrainingGraphChange = {},
): StepGraph {
  const { iterations, batch, seed, learningRate, weightDecay } = settings;
  const state = trainingState();
  const inputs = stepInputs(networks, batch);
  const { losses } = lossGraph(networks, {
    images: imageToTensor(inputs.images),
    augmented: adjustedImageToTensor(hasWholes ? inputs.wholes : inputs.images, inputs.imageChange),
    penalty: adjustedImageToTensor(inputs.penalty, inputs.penaltyChange),
    teacherFeatures: cached ? inputs.teacherFeatures : undefined,
    dropout: { state: state.node, seed },
  });
  const lossNodes = rewrite(LOSS_NAMES.map((name) => losses[name]));
  const training = optimizer(
    lossNodes,
    [...networks.trained, ...alsoTrained],
    {
      learningRate,
      decayAt: Math.floor(DECAY_FROM * iterations),
      adam: { weightDecay },
      withoutDecay: new Set(alsoTrained),
    },
    state,
  );
  return { training, lossNodes, cachesFeatures: cached };
}
