import { checkSeed, firstNotFinite } from '../checks/numbers.ts';
import type { ImageSource, RgbImage } from '../data/image.ts';
import type { Engine } from '../engine/engine.ts';
import { input, type Parameter } from '../engine/graph.ts';
import type { Plan } from '../engine/plan.ts';
import type { Tuning } from '../engine/tuning.ts';
import { UserError } from '../errors.ts';
import type { StoredTensor, TensorFile } from '../formats/safetensors.ts';
import { Resizer } from '../imaging/pixels.ts';
import { squaredDifference } from '../kernels/elementwise.ts';
import { imageToTensor } from '../kernels/image.ts';
import { mean } from '../kernels/sum.ts';
import { ChannelStatistics } from '../math/statistics.ts';
import { initialize } from '../networks/initialize.ts';
import { PDN_CHANNELS, Pdn, type PdnSize, pdnOutputSide } from '../networks/pdn.ts';
import { BoundedCache, CACHE_BYTES } from '../train/boundedCache.ts';
import { checkpointTuning, restore, writeCheckpoint } from '../train/checkpoint.ts';
import { checkSteps } from '../train/fit.ts';
import { optimizer } from '../train/step.ts';
import { type CheckpointOptions, trainingOrder } from '../train/trainingLoop.ts';
import { type FeatureMaps, type TargetGrid, targetOf } from './targets.ts';
import { PLAIN_VIEW, renderView, type View, viewOf } from './views.ts';

/** A network whose features are distilled. */
export interface Backbone {
  /** Stands for its weights, layers and input, so that features that were kept are not taken for those of another. */
  readonly digest: string;
  readonly name: string;
  /** Side of its input in pixels. */
  readonly side: number;
  features(image: RgbImage): Promise<readonly FeatureMaps[]>;
}

/** What defines a distillation: equal settings, photographs and backbone give equal weights on the same adapter. */
export interface DistillSettings {
  readonly size: PdnSize;
  /** Side in pixels at which the teacher sees what the backbone sees. */
  readonly resolution: number;
  readonly iterations: number;
  readonly batch: number;
  readonly learningRate: number;
  readonly weightDecay: number;
  /** Views of every photograph. */
  readonly views: number;
  readonly seed: number;
}

export const DISTILL_DEFAULTS: DistillSettings = {
  size: 's',
  resolution: 256,
  iterations: 10_000,
  batch: 4,
  learningRate: 1e-3,
  weightDecay: 1e-5,
  views: 4,
  seed: 0,
};

export interface DistillProgress {
  readonly phase: 'statistics' | 'compile' | 'held-out' | 'train';
  readonly done: number;
  readonly total: number;
  /** Mean squared error of the standardized features, of the last step and of the held-out photographs. */
  readonly loss?: number;
  readonly heldOutLoss?: number;
  /** Share of the held-out features' variance that the teacher explains; 1 is all of it. */
  readonly explained?: number;
}

/** Features by a name, such as files in a folder. */
export interface FeatureStore {
  get(key: string): Promise<Float32Array | undefined>;
  set(key: string, values: Float32Array): Promise<void>;
}

export interface DistillOptions {
  readonly engine: Engine;
  readonly settings: DistillSettings;
  readonly backbone: Backbone;
  readonly photographs: ImageSource;
  /** Features are computed once and kept there. */
  readonly store?: FeatureStore | undefined;
  readonly checkpoint?: CheckpointOptions | undefined;
  /** A checkpoint to continue from. @see readCheckpoint */
  readonly resume?: TensorFile | undefined;
  readonly onProgress?: ((progress: DistillProgress) => void) | undefined;
  /** Aborting saves a checkpoint and rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** A teacher, as files hold it: `conv1.weight`, ... */
export interface DistilledTeacher {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly metadata: Readonly<Record<string, string>>;
  readonly explained: number;
}

/** Share of the steps over which the learning rate rises. */
const WARM_UP = 0.05;
/** Photographs that are kept apart: a twentieth, within bounds. */
const HELD_OUT = { share: 1 / 20, least: 1, most: 32 };
/** Views from which mean and deviation of the features are taken. */
const STATISTICS_VIEWS = 256;
/** Steps between looks at the held-out photographs. */
const LOOK_EVERY = 250;

/** @throws UserError for a setting that cannot be used */
export function checkDistillSettings(settings: DistillSettings): void {
  checkSteps(settings);
  checkSeed(settings.seed);
  const { views, resolution } = settings;
  if (!Number.isSafeInteger(views) || views < 1 || views > 10_000)
    throw new UserError(`views ${views} cannot be used.`, 'Look at every photograph 1 to 10000 times.');
  if (!Number.isSafeInteger(resolution) || resolution < 64 || resolution > 1024 || resolution % 4 !== 0)
    throw new UserError(`resolution ${resolution} cannot be used.`, 'Use a multiple of 4 from 64 to 1024 pixels.');
}

/**
 * Teaches a PDN the features of a backbone on photographs (EfficientAD, section 3.1 and supplement), standardized per channel.
 * @throws UserError for unusable settings or photographs, or a run that diverges; DeviceLostError, OutOfMemoryError
 */
export async function distill(options: DistillOptions): Promise<DistilledTeacher> {
  checkDistillSettings(options.settings);
  const session = new Distillation(options);
  try {
    await session.measure();
    return await session.train();
  } finally {
    session.destroy();
  }
}

/** A look at a photograph: what the teacher is given, and what it is to answer. */
interface Example {
  readonly pixels: Uint32Array;
  /** [channels, mapSide, mapSide], standardized */
  readonly target: Float32Array;
}

class Distillation {
  readonly #options: DistillOptions;
  readonly #pdn: Pdn;
  readonly #grid: TargetGrid;
  readonly #resizer: Resizer;
  readonly #heldOut: number;
  readonly #tuning: Tuning;
  readonly #pixels: BoundedCache<Uint32Array>;
  readonly #targets: BoundedCache<Float32Array>;
  #mean: Float32Array = new Float32Array(0);
  #deviation: Float32Array = new Float32Array(0);
  #temporary: Parameter[] = [];

  constructor(options: DistillOptions) {
    const { engine, settings, photographs, resume } = options;
    const { size, resolution: side, seed } = settings;
    this.#options = options;
    const channels = PDN_CHANNELS[size];
    this.#pdn = new Pdn(size, 'teacher', channels);
    initialize(this.#pdn.convolutions, seed);
    this.#grid = { side, mapSide: pdnOutputSide(side), channels, ...this.#pdn.geometry.at(-1)! };
    this.#resizer = new Resizer(engine, side);
    const { share, least, most } = HELD_OUT;
    this.#heldOut = Math.min(Math.max(Math.round(share * photographs.count), least), most);
    if (photographs.count <= this.#heldOut)
      throw new UserError(
        `${photographs.count} photographs are too few to distill from.`,
        'Give some hundred, of any things.',
      );
    const budget = { bytes: CACHE_BYTES };
    this.#pixels = new BoundedCache(budget);
    this.#targets = new BoundedCache(budget);
    this.#tuning = resume ? checkpointTuning(resume) : engine.tuning;
  }

  /** The first photographs are held out; the others have views. */
  get #trained(): number {
    const { settings, photographs } = this.#options;
    return (photographs.count - this.#heldOut) * settings.views;
  }

  /** Mean and deviation of the features, in one pass over some views. */
  async measure(): Promise<void> {
    const { onProgress, signal, settings } = this.#options;
    const statistics = new ChannelStatistics(this.#grid.channels);
    const total = Math.min(STATISTICS_VIEWS, this.#trained);
    const order = trainingOrder(this.#trained, settings.seed);
    for (let k = 0; k < total; k++) {
      signal?.throwIfAborted();
      const [photograph, view, key] = this.#viewAt(order(k));
      statistics.add(await this.#features(key, () => this.#render(photograph, view)));
      onProgress?.({ phase: 'statistics', done: k + 1, total });
    }
    const { mean, std } = statistics.result();
    this.#mean = mean;
    this.#deviation = std;
  }

  async train(): Promise<DistilledTeacher> {
    const { engine, settings, checkpoint, resume, onProgress, signal } = this.#options;
    const { iterations, batch, learningRate, weightDecay } = settings;
    const { side, channels, mapSide } = this.#grid;
    const image = input('image', [batch, side, side], 'u32');
    const target = input('target', [batch, channels, mapSide, mapSide]);
    const loss = mean(squaredDifference(this.#pdn.forward(imageToTensor(image)), target), 'loss');
    const cosine = { warmUp: Math.max(1, Math.round(WARM_UP * iterations)), until: iterations };
    const { effects, state, moments } = optimizer([loss], this.#pdn.parameters, {
      ...{ learningRate, decayAt: iterations, cosine },
      adam: { weightDecay },
    });
    const parts = { parameters: [...this.#pdn.parameters, state, ...moments], tuning: this.#tuning };
    const start = resume ? restore(resume, parts, this.#fingerprint()) : 0;
    const plan = await engine.compile({
      outputs: { loss },
      effects,
      tuning: this.#tuning,
      onProgress: (done, total) => onProgress?.({ phase: 'compile', done, total }),
    });
    this.#temporary = [...plan.parameters];
    const judge = await this.#judge();
    const save = async (step: number) => {
      await engine.download(parts.parameters);
      await checkpoint?.save(await writeCheckpoint(parts, this.#fingerprint(), step));
    };
    let next = this.#batch(start);
    try {
      next.catch(() => {});
      let held = await judge.look();
      onProgress?.({ phase: 'train', done: start, total: iterations, ...held });
      for (let step = start; step < iterations; step++) {
        const data = await next;
        if (signal?.aborted) {
          await save(step);
          throw signal.reason;
        }
        // Read while the device works; how that ended is asked when it is needed.
        if (step + 1 < iterations) next = this.#batch(step + 1);
        next.catch(() => {});
        const { loss: value } = await plan.run(data, ['loss']);
        const error = value![0]!;
        if (!Number.isFinite(error))
          throw new UserError(
            `distillation diverged: the loss is ${error} at step ${step + 1}.`,
            'Use a smaller --lr.',
          );
        const done = step + 1;
        if (done % LOOK_EVERY === 0 || done === iterations) held = await judge.look();
        onProgress?.({ phase: 'train', done, total: iterations, loss: error, ...held });
        if (checkpoint && done % checkpoint.every === 0 && done < iterations) await save(done);
      }
      await engine.download(this.#pdn.parameters);
      return this.#teacher(held.explained);
    } finally {
      await Promise.allSettled([next]);
      judge.destroy();
      plan.destroy();
    }
  }

  destroy(): void {
    this.#resizer.destroy();
    this.#options.engine.release(this.#temporary);
  }

  /** What a step is given. */
  async #batch(step: number) {
    const { settings, signal } = this.#options;
    const { batch, seed } = settings;
    const { side, channels, mapSide } = this.#grid;
    const data = {
      image: new Uint32Array(batch * side * side),
      target: new Float32Array(batch * channels * mapSide ** 2),
    };
    this.#order ??= trainingOrder(this.#trained, seed);
    for (let b = 0; b < batch && !signal?.aborted; b++) {
      const index = this.#order(step * batch + b);
      const [photograph, view, key] = this.#viewAt(index);
      let rendered: Promise<RgbImage> | undefined;
      const image = () => {
        rendered ??= this.#render(photograph, view);
        return rendered;
      };
      const pixels = await this.#pixels.get(index, async () => this.#resizer.resize(await image()));
      data.image.set(pixels, b * pixels.length);
      const target = await this.#targets.get(index, async () => this.#standardized(await this.#features(key, image)));
      data.target.set(target, b * target.length);
    }
    return data;
  }
  #order: ((k: number) => number) | undefined;

  /** Which photograph, and how it is looked at. */
  #viewAt(index: number): [photograph: number, view: View, key: string] {
    const { settings } = this.#options;
    const photograph = this.#heldOut + Math.floor(index / settings.views);
    const view = index % settings.views;
    return [photograph, viewOf(photograph, view, settings.seed), `${photograph}-${view}`];
  }

  /** What the backbone is shown. */
  async #render(photograph: number, view: View): Promise<RgbImage> {
    const { photographs, backbone } = this.#options;
    return renderView(await photographs.image(photograph), view, backbone.side);
  }

  async #example(photograph: number, view: View, key: string): Promise<Example> {
    const image = await this.#render(photograph, view);
    const [pixels, features] = await Promise.all([this.#resizer.resize(image), this.#features(key, async () => image)]);
    return { pixels, target: this.#standardized(features) };
  }

  #standardized(features: Float32Array): Float32Array {
    const plane = this.#grid.mapSide ** 2;
    return features.map((value, i) => {
      const c = Math.floor(i / plane);
      return (value - this.#mean[c]!) / this.#deviation[c]!;
    });
  }

  /** The backbone's features of a view on the teacher's grid, computed once. */
  async #features(key: string, render: () => Promise<RgbImage>): Promise<Float32Array> {
    const { backbone, store } = this.#options;
    const known = await store?.get(key);
    if (known) return known;
    const features = targetOf(await backbone.features(await render()), this.#grid);
    if (firstNotFinite(features) >= 0)
      throw new UserError(`the backbone ${backbone.name} gives features that are not finite.`, 'Use another one.');
    await store?.set(key, features);
    // As it will be read, which may be rounded: a run that goes on is given the same values.
    return (await store?.get(key)) ?? features;
  }

  /** How well the teacher answers on photographs that it is not taught on. */
  async #judge() {
    const { engine, signal, onProgress } = this.#options;
    const { side, channels, mapSide } = this.#grid;
    const image = input('image', [1, side, side], 'u32');
    const plan: Plan = await engine.compile({
      outputs: { features: this.#pdn.forward(imageToTensor(image)) },
      tuning: this.#tuning,
    });
    const examples: Example[] = [];
    const means = new ChannelStatistics(channels);
    for (let photograph = 0; photograph < this.#heldOut; photograph++) {
      signal?.throwIfAborted();
      const example = await this.#example(photograph, PLAIN_VIEW, `${photograph}-plain`);
      examples.push(example);
      means.add(example.target);
      onProgress?.({ phase: 'held-out', done: photograph + 1, total: this.#heldOut });
    }
    const { std } = means.result();
    const variance = std.reduce((sum, deviation) => sum + deviation ** 2, 0) / channels;
    const look = async () => {
      // The training step changes weights, of which a plan keeps packed copies.
      await plan.prepare();
      let squares = 0;
      for (const { pixels, target } of examples) {
        const { features } = await plan.run({ image: pixels }, ['features']);
        for (let i = 0; i < target.length; i++) squares += (features![i]! - target[i]!) ** 2;
      }
      const heldOutLoss = squares / (examples.length * channels * mapSide ** 2);
      return { heldOutLoss, explained: 1 - heldOutLoss / variance };
    };
    return { look, destroy: () => plan.destroy() };
  }

  #fingerprint() {
    const { settings, backbone, photographs, engine } = this.#options;
    const { description, subgroupMaxSize } = engine.caps;
    return {
      ...settings,
      backbone: backbone.digest,
      photographs: photographs.count,
      data: photographs.digest ?? '',
      adapter: description,
      subgroupMaxSize,
    };
  }

  #teacher(explained: number): DistilledTeacher {
    const { settings, backbone, photographs } = this.#options;
    const tensors = new Map<string, StoredTensor>();
    for (const { name, type, data } of this.#pdn.parameters)
      tensors.set(name.slice('teacher.'.length), { shape: type.shape, data: data as Float32Array });
    const metadata = {
      network: `PDN-${settings.size.toUpperCase()}`,
      role: 'teacher',
      input: 'RGB, ImageNet mean and std',
      layout: 'OIHW',
      backbone: backbone.name,
      photographs: String(photographs.count),
      settings: JSON.stringify(settings),
      explained: explained.toFixed(4),
    };
    return { tensors, metadata, explained };
  }
}
