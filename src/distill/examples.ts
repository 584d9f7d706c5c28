import { firstNotFinite } from '../checks/numbers.ts';
import type { ImageSource, RgbImage } from '../data/image.ts';
import { UserError } from '../errors.ts';
import type { Resizer } from '../imaging/pixels.ts';
import { ChannelStatistics } from '../math/statistics.ts';
import { BoundedCache, CACHE_BYTES } from '../train/boundedCache.ts';
import { trainingOrder } from '../train/trainingLoop.ts';
import type { DistillSettings } from './settings.ts';
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

/** Features by a name, such as files in a folder. */
export interface FeatureStore {
  get(key: string): Promise<Float32Array | undefined>;
  set(key: string, values: Float32Array): Promise<void>;
}

export interface ExamplesOptions {
  readonly settings: DistillSettings;
  readonly backbone: Backbone;
  readonly photographs: ImageSource;
  /** Features are computed once and kept there. */
  readonly store?: FeatureStore | undefined;
  /** Aborting saves a checkpoint and rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Photographs that are kept apart: a twentieth, within bounds. */
const HELD_OUT = { share: 1 / 20, least: 1, most: 32 };
/** Views from which mean and deviation of the features are taken. */
const STATISTICS_VIEWS = 256;
/** A look at a photograph: what the teacher is given, and what it is to answer. */
export interface Example {
  readonly pixels: Uint32Array;
  /** [channels, mapSide, mapSide], standardized */
  readonly target: Float32Array;
}

/** Looks at photographs with the backbone's answers, in the order of training; the first photographs are held out. */
export class Examples {
  readonly #options: ExamplesOptions;
  readonly #grid: TargetGrid;
  readonly #resizer: Resizer;
  /** Photographs that are held out. */
  readonly heldOut: number;
  readonly #pixels: BoundedCache<Uint32Array>;
  readonly #targets: BoundedCache<Float32Array>;
  readonly #order: (k: number) => number;
  #mean: Float32Array = new Float32Array(0);
  #deviation: Float32Array = new Float32Array(0);

  /** @throws UserError for too few photographs */
  constructor(options: ExamplesOptions, grid: TargetGrid, resizer: Resizer) {
    const { photographs, settings } = options;
    this.#options = options;
    this.#grid = grid;
    this.#resizer = resizer;
    const { share, least, most } = HELD_OUT;
    this.heldOut = Math.min(Math.max(Math.round(share * photographs.count), least), most);
    if (photographs.count <= this.heldOut)
      throw new UserError(
        `${photographs.count} photographs are too few to distill from.`,
        'Give some hundred, of any things.',
      );
    const budget = { bytes: CACHE_BYTES };
    this.#pixels = new BoundedCache(budget);
    this.#targets = new BoundedCache(budget);
    this.#order = trainingOrder(this.#trained, settings.seed);
  }

  /** The first photographs are held out; the others have views. */
  get #trained(): number {
    const { settings, photographs } = this.#options;
    return (photographs.count - this.heldOut) * settings.views;
  }

  /** Mean and deviation of the features, in one pass over some views. */
  async measure(onProgress?: (done: number, total: number) => void): Promise<void> {
    const { signal } = this.#options;
    const statistics = new ChannelStatistics(this.#grid.channels);
    const total = Math.min(STATISTICS_VIEWS, this.#trained);
    for (let k = 0; k < total; k++) {
      signal?.throwIfAborted();
      const [photograph, view, key] = this.#viewAt(this.#order(k));
      statistics.add(await this.#features(key, () => this.#render(photograph, view)));
      onProgress?.(k + 1, total);
    }
    const { mean, std } = statistics.result();
    this.#mean = mean;
    this.#deviation = std;
  }

  /** What a step is given. */
  async batch(step: number): Promise<{ image: Uint32Array<ArrayBuffer>; target: Float32Array<ArrayBuffer> }> {
    const { settings, signal } = this.#options;
    const { batch } = settings;
    const { side, channels, mapSide } = this.#grid;
    const data = {
      image: new Uint32Array(batch * side * side),
      target: new Float32Array(batch * channels * mapSide ** 2),
    };
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

  /** Which photograph, and how it is looked at. */
  #viewAt(index: number): [photograph: number, view: View, key: string] {
    const { settings } = this.#options;
    const photograph = this.heldOut + Math.floor(index / settings.views);
    const view = index % settings.views;
    return [photograph, viewOf(photograph, view, settings.seed), `${photograph}-${view}`];
  }

  /** What the backbone is shown. */
  async #render(photograph: number, view: View): Promise<RgbImage> {
    const { photographs, backbone } = this.#options;
    return renderView(await photographs.image(photograph), view, backbone.side);
  }

  /** A photograph that is held out, as it is. */
  async heldOutExample(photograph: number): Promise<Example> {
    const image = await this.#render(photograph, PLAIN_VIEW);
    const key = `${photograph}-plain`;
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
}
