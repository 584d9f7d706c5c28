import type { Engine } from '../engine/engine.ts';
import { input, Parameter } from '../engine/graph.ts';
import type { Plan } from '../engine/plan.ts';
import type { Tuning } from '../engine/tuning.ts';
import { UserError } from '../errors.ts';
import { trainingState } from '../kernels/adam.ts';
import { adjustedImageToTensor, COLOR_CHANGES, imageToTensor } from '../kernels/image.ts';
import { randomUniform, randomWord } from '../kernels/random.ts';
import { recordLosses } from '../kernels/recordLosses.ts';
import { Detector, type Provenance } from '../model/detector.ts';
import { Networks } from '../model/networks.ts';
import type { PdnSize } from '../model/pdn.ts';
import { Resizer } from '../model/pixels.ts';
import type { TensorFile } from '../model/safetensors.ts';
import { ChannelStatistics } from '../model/statistics.ts';
import { calibrate, type ImageSource } from './calibrate.ts';
import { type Checkpoint, checkpointTuning, readCheckpoint, restore, writeCheckpoint } from './checkpoint.ts';
import type { PenaltySource } from './penalty.ts';
import { LOSS_NAMES, type LossName, lossGraph, type Optimiser, optimiser, stepInputs } from './step.ts';
import { loadTeacher } from './teacher.ts';

export type { ImageSource } from './calibrate.ts';

/** What defines a run: two runs with equal settings and data give equal weights on the same adapter. */
export interface FitSettings {
  readonly size: PdnSize;
  /** Input side in pixels: a multiple of 64 from 128 to 4096. */
  readonly resolution: number;
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

export interface FitProgress {
  readonly phase: 'compile' | 'statistics' | 'train' | 'calibrate';
  readonly done: number;
  readonly total: number;
  /** Mean losses since the last report, while training. */
  readonly losses?: Readonly<Record<LossName, number>>;
}

export interface FitOptions {
  readonly engine: Engine;
  readonly settings: FitSettings;
  /** Name for the model file. */
  readonly dataset: string;
  /** Good images to train on. */
  readonly train: ImageSource;
  /** Good images kept apart, for map quantiles and threshold. */
  readonly heldOut: ImageSource;
  /** Natural images for the penalty loss. */
  readonly penalty: PenaltySource;
  /** PDN teacher weights: `conv1.weight`, ... */
  readonly teacher: TensorFile & { readonly name: string };
  /** Wanted false-alarm rate of the threshold; 0.01. */
  readonly alpha?: number;
  /** Bound on the host memory for teacher features and resized images; 1 GiB. */
  readonly cacheBytes?: number;
  readonly checkpoint?: {
    /** Steps between checkpoints. */
    readonly every: number;
    /** Has to replace the earlier one atomically. */
    readonly save: (bytes: Uint8Array) => Promise<void>;
  };
  /** Bytes of a checkpoint to continue from. */
  readonly resume?: Uint8Array;
  readonly onProgress?: (progress: FitProgress) => void;
  /** Aborting saves a checkpoint and rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** Keys that tell the uses of the counter-based generator apart. */
const RANDOM = { shuffle: 1, change: 2, factor: 3, grayscale: 4, penalty: 5 } as const;

/** Share of penalty images that are made grayscale. */
const GRAYSCALE = 0.3;

/** Index of the `k`-th training image of a run: epochs of shuffled images without replacement. */
export function trainingOrder(count: number, seed: number): (k: number) => number {
  let epoch = -1;
  let order: Uint32Array = new Uint32Array(0);
  return (k) => {
    const wanted = Math.floor(k / count);
    if (wanted !== epoch) {
      epoch = wanted;
      order = Uint32Array.from({ length: count }, (_, i) => i);
      for (let i = count - 1; i > 0; i--) {
        const j = randomWord(i, epoch, RANDOM.shuffle, seed) % (i + 1);
        [order[i], order[j]] = [order[j]!, order[i]!];
      }
    }
    return order[k % count]!;
  };
}

/** Keeps values of known size as long as they fit in a number of bytes; what does not fit is made again. */
class BoundedCache<V extends { readonly byteLength: number }> {
  readonly #values = new Map<number, V>();
  readonly #budget: { bytes: number };

  constructor(budget: { bytes: number }) {
    this.#budget = budget;
  }

  async get(key: number, make: () => Promise<V>): Promise<V> {
    const known = this.#values.get(key);
    if (known) return known;
    const value = await make();
    if (this.#budget.bytes >= value.byteLength) {
      this.#budget.bytes -= value.byteLength;
      this.#values.set(key, value);
    }
    return value;
  }
}

/** Steps that may be queued on the device before the host waits. */
const STEPS_IN_FLIGHT = 2;
const RING_ROWS = 64;
const DEFAULT_CACHE = 2 ** 30;

/**
 * Trains a detector from images of good parts (RAAD step 1: EfficientAD, section 3).
 * @throws UserError for unusable settings or data, DeviceLostError, OutOfMemoryError
 */
export async function fit(options: FitOptions): Promise<Detector> {
  const { engine, settings, train, heldOut, signal } = options;
  checkSettings(settings);
  if (train.count === 0)
    throw new UserError('there are no good images to train on.', 'Point to a folder with images of good parts.');
  if (heldOut.count === 0)
    throw new UserError('there are no held-out good images for the threshold.', 'Keep some good images apart.');
  const networks = new Networks(settings.size, settings.resolution);
  loadTeacher(networks, options.teacher, options.teacher.name);
  networks.initialise(settings.seed);

  const resumed = options.resume && (await readCheckpoint(options.resume));
  const session = new Session(options, networks, resumed);
  try {
    await session.statistics();
    await session.train();
  } finally {
    session.destroy();
  }

  options.onProgress?.({ phase: 'calibrate', done: 0, total: 1 });
  const detector = new Detector(engine, {
    networks,
    quantiles: { studentTeacher: [0, 1], autoencoder: [0, 1] },
    placement: 'exact',
    provenance: provenance(options),
  });
  const calibrated = await calibrate(detector, heldOut, options.alpha, signal);
  options.onProgress?.({ phase: 'calibrate', done: 1, total: 1 });
  return calibrated;
}

function provenance({ settings, dataset, train, heldOut, teacher, penalty }: FitOptions): Provenance {
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
  };
}

function checkSettings({ iterations, batch, learningRate, seed }: FitSettings): void {
  const whole = (value: number, name: string, least: number) => {
    if (!Number.isInteger(value) || value < least)
      throw new UserError(`${name} ${value} cannot be used.`, `It has to be a whole number of at least ${least}.`);
  };
  whole(iterations, 'iterations', 1);
  whole(batch, 'batch', 1);
  whole(seed, 'seed', 0);
  if (!(learningRate > 0))
    throw new UserError(`learning rate ${learningRate} cannot be used.`, 'It has to be above 0.');
}

/** The graph of one training step: losses in the order of their names, and the optimiser's updates. */
export function trainingGraph(networks: Networks, settings: FitSettings) {
  const { iterations, batch, seed, learningRate, weightDecay } = settings;
  const state = trainingState();
  const inputs = stepInputs(networks, batch);
  const { losses } = lossGraph(networks, {
    images: imageToTensor(inputs.images),
    augmented: adjustedImageToTensor(inputs.images, inputs.imageChange),
    penalty: adjustedImageToTensor(inputs.penalty, inputs.penaltyChange),
    teacherFeatures: inputs.teacherFeatures,
    dropout: { state: state.node, seed },
  });
  const lossNodes = LOSS_NAMES.map((name) => losses[name]);
  const schedule = { learningRate, decayAt: Math.floor(DECAY_FROM * iterations), adam: { weightDecay } };
  return { training: optimiser(lossNodes, networks.trained, schedule, state), lossNodes, state };
}

/** One run: plans, caches and what has to be freed. */
class Session {
  readonly #options: FitOptions;
  readonly #networks: Networks;
  readonly #resumed: TensorFile | undefined;
  readonly #tuning: Tuning;
  readonly #resizer: Resizer;
  readonly #pixels: BoundedCache<Uint32Array>;
  readonly #features: BoundedCache<Float32Array>;
  readonly #penalties: BoundedCache<Uint32Array>;
  #teacherPlan: Plan | undefined;
  #temporary: Parameter[] = [];

  constructor(options: FitOptions, networks: Networks, resumed: TensorFile | undefined) {
    this.#options = options;
    this.#resumed = resumed;
    // Other kernels round differently: a run is continued with those that it was begun with.
    this.#tuning = resumed ? checkpointTuning(resumed) : options.engine.tuning;
    this.#networks = networks;
    this.#resizer = new Resizer(options.engine, networks.side);
    const budget = { bytes: options.cacheBytes ?? DEFAULT_CACHE };
    this.#pixels = new BoundedCache(budget);
    this.#features = new BoundedCache(budget);
    this.#penalties = new BoundedCache(budget);
  }

  /** Teacher statistics over all training images, in one pass that also fills the feature cache. */
  async statistics(): Promise<void> {
    const { train, onProgress, signal } = this.#options;
    const { channels, teacherMean, teacherStd } = this.#networks;
    const statistics = new ChannelStatistics(channels);
    for (let i = 0; i < train.count; i++) {
      signal?.throwIfAborted();
      statistics.add(await this.#teacherFeatures(i));
      onProgress?.({ phase: 'statistics', done: i + 1, total: train.count });
    }
    const { mean, std } = statistics.result();
    teacherMean.data = mean;
    teacherStd.data = std;
  }

  async train(): Promise<void> {
    const { engine, settings, onProgress, signal, checkpoint } = this.#options;
    const networks = this.#networks;
    const { iterations } = settings;
    const { training, lossNodes, state } = trainingGraph(networks, settings);
    let start = 0;
    if (this.#resumed) start = restore(this.#resumed, this.#checkpointParts(training), this.#fingerprint());
    const ring = new Parameter('training.losses', { shape: [RING_ROWS, LOSS_NAMES.length], dtype: 'f32' });
    const plan = await engine.compile({
      outputs: {},
      effects: [recordLosses(ring.node, lossNodes, state.node), ...training.effects],
      tuning: this.#tuning,
      onProgress: (done, total) => onProgress?.({ phase: 'compile', done, total }),
    });
    const kept = new Set(networks.parameters);
    this.#temporary = [...plan.parameters].filter((parameter) => !kept.has(parameter));
    const parts = this.#checkpointParts(training);
    const save = async (step: number) => {
      await engine.download(parts.parameters);
      await checkpoint?.save(await writeCheckpoint(parts, this.#fingerprint(), step));
    };
    const inFlight: Promise<unknown>[] = [];
    let reported = start;
    let reportedAt = performance.now();
    try {
      for (let step = start; step < iterations; step++) {
        if (signal?.aborted) {
          await save(step);
          throw signal.reason;
        }
        for (const [name, data] of Object.entries(await this.#batchData(step))) plan.write(name, data);
        const encoder = engine.device.createCommandEncoder();
        plan.encode(encoder);
        engine.device.queue.submit([encoder.finish()]);
        inFlight.push(engine.device.queue.onSubmittedWorkDone());
        if (inFlight.length >= STEPS_IN_FLIGHT) await inFlight.shift();
        engine.assertUsable();
        const done = step + 1;
        // The ring holds RING_ROWS steps; a slow adapter is reported on every second.
        if (done === iterations || done - reported >= RING_ROWS || performance.now() - reportedAt > 1000) {
          await engine.download([ring]);
          onProgress?.({
            phase: 'train',
            done,
            total: iterations,
            losses: meanLosses(ring.data as Float32Array, reported, done),
          });
          reported = done;
          reportedAt = performance.now();
        }
        if (checkpoint && done % checkpoint.every === 0 && done < iterations) await save(done);
      }
      await engine.download(networks.trained);
      checkFinite(networks.trained);
    } finally {
      await Promise.allSettled(inFlight);
      plan.destroy();
    }
  }

  destroy(): void {
    const { engine } = this.#options;
    this.#teacherPlan?.destroy();
    this.#resizer.destroy();
    engine.release(this.#temporary);
  }

  #checkpointParts(training: Optimiser): Checkpoint {
    return { parameters: [...this.#networks.trained, training.state, ...training.moments], tuning: this.#tuning };
  }

  /** What has to be equal for a checkpoint to continue this run. */
  #fingerprint(): Record<string, string | number> {
    const { settings, train, teacher, penalty, engine } = this.#options;
    const { description, subgroupMaxSize } = engine.caps;
    return {
      ...settings,
      trainImages: train.count,
      data: train.digest ?? '',
      teacher: teacher.name,
      penalty: penalty.name,
      adapter: description,
      subgroupMaxSize,
    };
  }

  async #batchData(step: number) {
    const { settings, train, penalty } = this.#options;
    const { batch, seed, resolution } = settings;
    const { channels, cells } = this.#networks;
    const plane = resolution * resolution;
    const featureSize = channels * cells * cells;
    const data = {
      images: new Uint32Array(batch * plane),
      penalty: new Uint32Array(batch * plane),
      imageChange: new Float32Array(2 * batch),
      penaltyChange: new Float32Array(2 * batch),
      teacherFeatures: new Float32Array(batch * featureSize),
    };
    this.#order ??= trainingOrder(train.count, seed);
    for (let b = 0; b < batch; b++) {
      const k = step * batch + b;
      const image = this.#order(k);
      data.images.set(await this.#imagePixels(image), b * plane);
      data.teacherFeatures.set(await this.#teacherFeatures(image), b * featureSize);
      data.penalty.set(await this.#penaltyPixels(penalty, k), b * plane);
      // Brightness, contrast or saturation by a factor in [0.8, 1.2].
      data.imageChange[2 * b] = 1 + (randomWord(k, 0, RANDOM.change, seed) % 3);
      data.imageChange[2 * b + 1] = 0.8 + 0.4 * randomUniform(k, 0, RANDOM.factor, seed);
      const gray = randomUniform(k, 0, RANDOM.grayscale, seed) < GRAYSCALE;
      data.penaltyChange[2 * b] = COLOR_CHANGES.indexOf(gray ? 'grayscale' : 'none');
      data.penaltyChange[2 * b + 1] = 1;
    }
    return data;
  }
  #order: ((k: number) => number) | undefined;

  #imagePixels(index: number): Promise<Uint32Array> {
    const { train } = this.#options;
    return this.#pixels.get(index, async () => this.#resizer.resize(await train.image(index)));
  }

  #penaltyPixels(penalty: PenaltySource, k: number): Promise<Uint32Array> {
    const { seed, resolution } = this.#options.settings;
    const index = randomWord(k, 0, RANDOM.penalty, seed) % penalty.count;
    return this.#penalties.get(index, () => penalty.pixels(index, resolution));
  }

  /** Raw features of an un-augmented image: constant during the run. */
  #teacherFeatures(index: number): Promise<Float32Array> {
    return this.#features.get(index, async () => {
      this.#teacherPlan ??= await this.#compileTeacher();
      const { features } = await this.#teacherPlan.run({ image: await this.#imagePixels(index) }, ['features']);
      return features as Float32Array;
    });
  }

  #compileTeacher(): Promise<Plan> {
    const { side, teacher } = this.#networks;
    const image = input('image', [1, side, side], 'u32');
    const outputs = { features: teacher.forward(imageToTensor(image)) };
    return this.#options.engine.compile({ outputs, tuning: this.#tuning });
  }
}

function meanLosses(ring: Float32Array, from: number, to: number): Record<LossName, number> {
  const result = { hard: 0, penalty: 0, autoencoder: 0, studentAutoencoder: 0 };
  const first = Math.max(from, to - RING_ROWS);
  for (let step = first; step < to; step++) {
    LOSS_NAMES.forEach((name, i) => {
      result[name] += ring[(step % RING_ROWS) * LOSS_NAMES.length + i]! / (to - first);
    });
  }
  return result;
}

function checkFinite(parameters: readonly Parameter[]): void {
  for (const { name, data } of parameters) {
    if (!data.every(Number.isFinite)) {
      throw new UserError(`training diverged: ${name} is not finite.`, 'Use a lower learning rate.');
    }
  }
}
