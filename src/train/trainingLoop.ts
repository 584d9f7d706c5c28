import { firstNotFinite } from '../checks/numbers.ts';
import type { ImageSource } from '../data/image.ts';
import type { Engine } from '../engine/engine.ts';
import { input, type Node, Parameter } from '../engine/graph.ts';
import type { Plan, TypedArray } from '../engine/plan.ts';
import type { SliceOptions } from '../engine/slices.ts';
import type { Tuning } from '../engine/tuning.ts';
import { UserError } from '../errors.ts';
import type { TensorFile } from '../formats/safetensors.ts';
import { Resizer } from '../imaging/pixels.ts';
import { COLOR_CHANGES, imageToTensor } from '../kernels/image.ts';
import { randomUniform, randomWord } from '../kernels/random.ts';
import { recordLosses } from '../kernels/recordLosses.ts';
import { ChannelStatistics } from '../math/statistics.ts';
import type { Networks } from '../networks/networks.ts';
import { BoundedCache, CACHE_BYTES } from './boundedCache.ts';
import { type Checkpoint, checkpointTuning, type Fingerprint, restore, writeCheckpoint } from './checkpoint.ts';
import { BestSnapshot, type EarlyStop } from './earlyStop.ts';
import type { PenaltySource } from './penalty.ts';
import { LOSS_NAMES, type LossName, type Optimizer } from './step.ts';

export interface TrainingProgress {
  readonly phase: 'compile' | 'statistics' | 'train';
  readonly done: number;
  readonly total: number;
  /** Mean losses since the last report, while training. */
  readonly losses?: Readonly<Record<LossName, number>>;
}

/** How the state of a run is kept. */
export interface CheckpointOptions {
  /** Steps between checkpoints. */
  readonly every: number;
  /** Has to replace the earlier one atomically. */
  readonly save: (bytes: Uint8Array) => Promise<void>;
}

/** How a run is watched, kept and stopped. */
export interface TrainingControl extends SliceOptions {
  /** Bound on the host memory for teacher features and resized images; 1 GiB. */
  readonly cacheBytes?: number | undefined;
  readonly checkpoint?: CheckpointOptions | undefined;
  /** Aborting saves a checkpoint and rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** The graph of one step: losses in the order of their names, and the updates. */
export interface StepGraph {
  readonly lossNodes: readonly Node[];
  readonly training: Optimizer;
  /** Whether it takes the teacher's features as an input. */
  readonly cachesFeatures: boolean;
}

/** What is trained, on what, and by which graph. */
export interface TrainingRun extends TrainingControl {
  readonly engine: Engine;
  readonly networks: Networks;
  readonly iterations: number;
  readonly batch: number;
  readonly seed: number;
  readonly train: ImageSource;
  /** The images that `train` shows tiles of, in their order and as many of each: what the autoencoder sees. */
  readonly wholes?: ImageSource | undefined;
  readonly penalty: PenaltySource;
  /** Everything that the optimizer changes. */
  readonly trained: readonly Parameter[];
  readonly graph: StepGraph;
  /** The teacher's raw features of normalized images [1, 3, side, side]. */
  readonly teacher: (x: Node) => Node;
  /** Steps of earlier runs: the order of the images goes on behind them. */
  readonly earlierSteps?: number | undefined;
  /** What has to be equal, beside data and adapter, for a checkpoint to continue this run. */
  readonly fingerprint: Fingerprint;
  /** A checkpoint to continue from. */
  readonly resume?: TensorFile | undefined;
  readonly stop?: EarlyStop | undefined;
  readonly onProgress?: ((progress: TrainingProgress) => void) | undefined;
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

/** Steps that may be queued on the device before the host waits. */
const STEPS_IN_FLIGHT = 2;
const RING_ROWS = 64;

/** One run: plans, caches and what has to be freed. */
export class TrainingSession {
  readonly #run: TrainingRun;
  readonly #tuning: Tuning;
  readonly #resizer: Resizer;
  readonly #pixels: BoundedCache<Uint32Array>;
  readonly #wholes: BoundedCache<Uint32Array>;
  readonly #features: BoundedCache<Float32Array>;
  readonly #penalties: BoundedCache<Uint32Array>;
  #teacherPlan: Plan | undefined;
  #temporary: Parameter[] = [];

  constructor(run: TrainingRun) {
    this.#run = run;
    // Other kernels round differently: a run is continued with those that it was begun with.
    this.#tuning = run.resume ? checkpointTuning(run.resume) : run.engine.tuning;
    this.#resizer = new Resizer(run.engine, run.networks.side);
    const budget = { bytes: run.cacheBytes ?? CACHE_BYTES };
    this.#pixels = new BoundedCache(budget);
    this.#wholes = new BoundedCache(budget);
    this.#features = new BoundedCache(budget);
    this.#penalties = new BoundedCache(budget);
  }

  /** Teacher statistics over all training images, in one pass that also fills the caches. */
  async statistics(): Promise<void> {
    const { networks, train, onProgress, signal } = this.#run;
    const { channels, teacherMean, teacherStd } = networks;
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

  /** @returns the steps that the result has seen: fewer than all where training was stopped early */
  async train(): Promise<number> {
    const { engine, networks, iterations, trained, onProgress, signal, checkpoint, resume, graph } = this.#run;
    const { training, lossNodes } = graph;
    const best = this.#run.stop && new BestSnapshot(this.#run.stop, trained);
    const parts: Checkpoint = {
      parameters: [...trained, training.state, ...training.moments, ...(best?.parameters ?? [])],
      tuning: this.#tuning,
    };
    const start = resume ? restore(resume, parts, this.#fingerprint()) : 0;
    const ring = new Parameter('training.losses', { shape: [RING_ROWS, LOSS_NAMES.length], dtype: 'f32' });
    const plan = await engine.compile({
      outputs: {},
      effects: [recordLosses(ring.node, lossNodes, training.state.node), ...training.effects],
      tuning: this.#tuning,
      onProgress: (done, total) => onProgress?.({ phase: 'compile', done, total }),
    });
    const kept = new Set([...networks.parameters, ...trained]);
    this.#temporary = [...plan.parameters].filter((parameter) => !kept.has(parameter));
    let judged = start;
    /** Reads the losses since the last look, at most RING_ROWS steps. @throws UserError when training has diverged */
    const judge = async (done: number) => {
      await engine.download([ring]);
      const losses = ring.data as Float32Array;
      assertConverging(losses, judged, done);
      judged = done;
      return losses;
    };
    const save = async (step: number) => {
      // A checkpoint from which nothing can go on never replaces a good one.
      await judge(step);
      await engine.download(parts.parameters);
      await checkpoint?.save(await writeCheckpoint(parts, this.#fingerprint(), step));
    };
    const submit = await this.#submission();
    // Steps in parts share the buffers of one plan.
    const stepsInFlight = this.#run.maxMilliseconds === undefined ? STEPS_IN_FLIGHT : 1;
    const inFlight: Promise<unknown>[] = [];
    let reported = start;
    let reportedAt = performance.now();
    try {
      for (let step = start; step < iterations; step++) {
        if (signal?.aborted) {
          await save(step);
          throw signal.reason;
        }
        const data = Object.entries(await this.#batchData(step));
        if (signal?.aborted) {
          await save(step);
          throw signal.reason;
        }
        const finished = Promise.all([submit(plan, data), engine.idle()]);
        finished.catch(() => {});
        inFlight.push(finished);
        if (inFlight.length >= stepsInFlight) await inFlight.shift();
        engine.assertUsable();
        const done = step + 1;
        // The ring holds RING_ROWS steps; a slow adapter is reported on every second.
        if (done === iterations || done - reported >= RING_ROWS || performance.now() - reportedAt > 1000) {
          const losses = meanLosses(await judge(done), reported, done);
          onProgress?.({ phase: 'train', done, total: iterations, losses });
          reported = done;
          reportedAt = performance.now();
        }
        if (best && (done % this.#run.stop!.every === 0 || done === iterations)) {
          await judge(done);
          await engine.download(trained);
          if (await best.look(done)) break;
        }
        if (checkpoint && done % checkpoint.every === 0 && done < iterations) await save(done);
      }
      await engine.download(trained);
      assertFinite(trained, iterations);
    } finally {
      await Promise.allSettled(inFlight);
      plan.destroy();
    }
    if (!best) return iterations;
    best.restore();
    engine.release(trained);
    return best.steps;
  }

  destroy(): void {
    const { engine } = this.#run;
    this.#teacherPlan?.destroy();
    this.#resizer.destroy();
    engine.release(this.#temporary);
  }

  /** What submits a step, at once or in parts. */
  async #submission(): Promise<(plan: Plan, data: readonly (readonly [string, TypedArray])[]) => Promise<void>> {
    const { engine, maxMilliseconds } = this.#run;
    const what = 'a training step';
    const write = (plan: Plan, data: readonly (readonly [string, TypedArray])[]) => {
      for (const [name, values] of data) plan.write(name, values);
    };
    if (maxMilliseconds === undefined)
      return (plan, data) =>
        engine.submit(what, (encoder) => {
          write(plan, data);
          plan.encode(encoder);
        });
    const { Slicer } = await import('../engine/slices.ts');
    const slicer = new Slicer(engine);
    return (plan, data) => {
      write(plan, data);
      return slicer.run(plan, what, maxMilliseconds);
    };
  }

  /** What has to be equal for a checkpoint to continue this run. */
  #fingerprint(): Fingerprint {
    const { fingerprint, train, penalty, engine } = this.#run;
    const { description, subgroupMaxSize } = engine.caps;
    return {
      ...fingerprint,
      trainImages: train.count,
      data: train.digest ?? '',
      penalty: penalty.name,
      adapter: description,
      subgroupMaxSize,
    };
  }

  async #batchData(step: number) {
    const { networks, batch, seed, train, wholes, penalty, earlierSteps = 0, signal, graph } = this.#run;
    const { side, channels, mapSide } = networks;
    const plane = side * side;
    const featureSize = channels * mapSide * mapSide;
    const data = {
      images: new Uint32Array(batch * plane),
      ...(wholes && { wholes: new Uint32Array(batch * plane) }),
      penalty: new Uint32Array(batch * plane),
      imageChange: new Float32Array(2 * batch),
      penaltyChange: new Float32Array(2 * batch),
      ...(graph.cachesFeatures && { teacherFeatures: new Float32Array(batch * featureSize) }),
    };
    this.#order ??= trainingOrder(train.count, seed);
    // A batch that is not read to its end is not trained on.
    for (let b = 0; b < batch && !signal?.aborted; b++) {
      const k = (earlierSteps + step) * batch + b;
      const image = this.#order(k);
      data.images.set(await this.#imagePixels(image), b * plane);
      if (wholes) data.wholes!.set(await this.#wholePixels(wholes, image), b * plane);
      data.teacherFeatures?.set(await this.#teacherFeatures(image), b * featureSize);
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
    const { train } = this.#run;
    return this.#pixels.get(index, async () => this.#resizer.resize(await train.image(index)));
  }

  /** @param index of the tile */
  #wholePixels(wholes: ImageSource, index: number): Promise<Uint32Array> {
    const whole = Math.floor((index * wholes.count) / this.#run.train.count);
    return this.#wholes.get(whole, async () => this.#resizer.resize(await wholes.image(whole)));
  }

  #penaltyPixels(penalty: PenaltySource, k: number): Promise<Uint32Array> {
    const { seed, networks } = this.#run;
    const index = randomWord(k, 0, RANDOM.penalty, seed) % penalty.count;
    return this.#penalties.get(index, () => penalty.pixels(index, networks.side));
  }

  /** Raw features of an un-augmented image: constant during the run. */
  #teacherFeatures(index: number): Promise<Float32Array> {
    const compute = async () => {
      this.#teacherPlan ??= await this.#compileTeacher();
      const { features } = await this.#teacherPlan.run({ image: await this.#imagePixels(index) }, ['features']);
      return features as Float32Array;
    };
    // Those that no step is given are needed once.
    return this.#run.graph.cachesFeatures ? this.#features.get(index, compute) : compute();
  }

  #compileTeacher(): Promise<Plan> {
    const { engine, networks, teacher } = this.#run;
    const { side } = networks;
    const image = input('image', [1, side, side], 'u32');
    const outputs = { features: teacher(imageToTensor(image)) };
    return engine.compile({ outputs, tuning: this.#tuning });
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

const DIVERGED =
  'Use a smaller learning rate (--lr, --recalibrate-lr). A checkpoint that was saved before has no such values and stays.';

/** @throws UserError naming the first step of `from` to `to` whose losses are not finite */
function assertConverging(ring: Float32Array, from: number, to: number): void {
  for (let step = Math.max(from, to - RING_ROWS); step < to; step++) {
    const row = (step % RING_ROWS) * LOSS_NAMES.length;
    const at = firstNotFinite(ring.subarray(row, row + LOSS_NAMES.length));
    if (at < 0) continue;
    throw new UserError(
      `training diverged: the loss ${LOSS_NAMES[at]} is ${ring[row + at]} at step ${step + 1}.`,
      DIVERGED,
    );
  }
}

function assertFinite(parameters: readonly Parameter[], step: number): void {
  for (const { name, data } of parameters) {
    const at = firstNotFinite(data);
    if (at >= 0) throw new UserError(`training diverged: ${name} holds ${data[at]} after step ${step}.`, DIVERGED);
  }
}
