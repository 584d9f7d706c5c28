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
import { PDN_CHANNELS, Pdn, pdnOutputSide } from '../networks/pdn.ts';
import { checkpointTuning, restore, writeCheckpoint } from '../train/checkpoint.ts';
import { optimizer } from '../train/step.ts';
import { teacherTensors } from '../train/teacher.ts';
import type { CheckpointOptions } from '../train/trainingLoop.ts';
import { type Example, Examples, type ExamplesOptions } from './examples.ts';
import { checkDistillSettings } from './settings.ts';
import type { TargetGrid } from './targets.ts';

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

export interface DistillOptions extends ExamplesOptions {
  readonly engine: Engine;
  readonly checkpoint?: CheckpointOptions | undefined;
  /** A checkpoint to continue from. @see readCheckpoint */
  readonly resume?: TensorFile | undefined;
  readonly onProgress?: ((progress: DistillProgress) => void) | undefined;
}

/** A teacher, as files hold it: `conv1.weight`, ... */
export interface DistilledTeacher {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly metadata: Readonly<Record<string, string>>;
  readonly explained: number;
}

/** Share of the steps over which the learning rate rises. */
const WARM_UP = 0.05;
/** Looks at the held-out photographs in a run. */
const LOOKS = 20;

/**
 * Teaches a PDN the features of a backbone on photographs (EfficientAD, section 3.1 and supplement), standardized per channel.
 * @throws UserError for unusable settings or photographs, or a run that diverges; DeviceLostError, OutOfMemoryError
 */
export async function distill(options: DistillOptions): Promise<DistilledTeacher> {
  checkDistillSettings(options.settings);
  const session = new Distillation(options);
  try {
    return await session.train();
  } finally {
    session.destroy();
  }
}

class Distillation {
  readonly #options: DistillOptions;
  readonly #pdn: Pdn;
  readonly #grid: TargetGrid;
  readonly #resizer: Resizer;
  readonly #examples: Examples;
  readonly #tuning: Tuning;
  #temporary: Parameter[] = [];

  constructor(options: DistillOptions) {
    const { engine, settings, resume } = options;
    const { size, resolution: side, seed } = settings;
    this.#options = options;
    const channels = PDN_CHANNELS[size];
    this.#pdn = new Pdn(size, 'teacher', channels);
    initialize(this.#pdn.convolutions, seed);
    this.#grid = { side, mapSide: pdnOutputSide(side), channels, ...this.#pdn.geometry.at(-1)! };
    this.#resizer = new Resizer(engine, side);
    this.#examples = new Examples(options, this.#grid, this.#resizer);
    this.#tuning = resume ? checkpointTuning(resume) : engine.tuning;
  }

  async train(): Promise<DistilledTeacher> {
    const { engine, settings, checkpoint, resume, onProgress, signal } = this.#options;
    const { iterations, batch, learningRate, weightDecay } = settings;
    await this.#examples.measure((done, total) => onProgress?.({ phase: 'statistics', done, total }));
    const { side, channels, mapSide } = this.#grid;
    const image = input('image', [batch, side, side], 'u32');
    const target = input('target', [batch, channels, mapSide, mapSide]);
    const loss = mean(squaredDifference(this.#pdn.forward(imageToTensor(image)), target), 'loss');
    const every = Math.ceil(iterations / LOOKS);
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
    let next = this.#examples.batch(start);
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
        if (step + 1 < iterations) next = this.#examples.batch(step + 1);
        next.catch(() => {});
        const { loss: value } = await plan.run(data, ['loss']);
        const error = value![0]!;
        if (!Number.isFinite(error))
          throw new UserError(
            `distillation diverged: the loss is ${error} at step ${step + 1}.`,
            'Use a smaller --lr.',
          );
        const done = step + 1;
        if (done % every === 0 || done === iterations) held = await judge.look();
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
    for (let photograph = 0; photograph < this.#examples.heldOut; photograph++) {
      signal?.throwIfAborted();
      const example = await this.#examples.heldOutExample(photograph);
      examples.push(example);
      means.add(example.target);
      onProgress?.({ phase: 'held-out', done: photograph + 1, total: this.#examples.heldOut });
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
    return { tensors: teacherTensors(this.#pdn), metadata, explained };
  }
}
