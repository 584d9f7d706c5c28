import type { RgbImage } from '../data/image.ts';
import type { Engine } from '../engine/engine.ts';
import { DestroyedError } from '../engine/errors.ts';
import { type Node, Parameter } from '../engine/graph.ts';
import type { Plan } from '../engine/plan.ts';
import type { SliceOptions, Slicer } from '../engine/slices.ts';
import type { Precision } from '../engine/variants.ts';
import { UserError } from '../errors.ts';
import {
  anomalyMaps,
  fusedAnomalyMaps,
  INFERENCE_PARTS,
  type InferenceGraph,
  type InferenceOptions,
  inferenceGraph,
} from '../networks/inference.ts';
import type { Networks } from '../networks/networks.ts';
import { fakeQuantizeGraph, type LearnableScales, learnableScales } from '../quantization/fakeGraph.ts';
import { integerGraph, type LayerCache } from '../quantization/integerGraph.ts';
import { type AbortOptions, unlessAborted } from './abort.ts';
import type { DetectorState, MapQuantiles } from './detectorState.ts';
import { heatmapRange } from './heatmapRange.ts';
import { ImageChain } from './imageChain.ts';
import type { MapChain } from './mapChain.ts';
import type { FilterGraph } from './mapFilter.ts';
import type { EncodeSizes, PreparedImage } from './preparedImage.ts';
import { checkMap, MAP_SCORES, mapScore } from './score.ts';
import type { Frames, StreamOptions } from './stream.ts';

/** What a detector says of an image. */
export interface Prediction {
  /** Maximum of the map: higher is more anomalous. */
  readonly score: number;
  /** Score above the threshold; undefined when the detector has none. */
  readonly isAnomalous: boolean | undefined;
  readonly width: number;
  readonly height: number;
  /** Anomaly map at the image's own size [height, width]; NaN outside of the detector's region. */
  readonly map: Float32Array;
  /** The same on the detector's grid, [mapSide, mapSide] of the networks or [rows, columns] of tiles. @see gridOf */
  readonly gridMap: Float32Array;
  /** Maximum of each raw map on the grid, to compare the two branches; both are the distance of a memory bank. */
  readonly branches: { readonly studentTeacher: number; readonly autoencoder: number };
}

/** Raw maps on the detector's grid, before normalization. @see gridOf */
export interface RawMaps {
  readonly studentTeacher: Float32Array;
  readonly autoencoder: Float32Array;
}

/** How a detector's networks are compiled. */
export interface DetectorOptions {
  /** Runs a quantized detector in float with rounded values, as training sees it, instead of on integers. */
  readonly simulate?: boolean | undefined;
  /**
   * What a float detector keeps between its transforms: `f16` takes half the memory traffic on GPUs, and needs a new threshold
   * only where scores lie within its rounding. `f32` by default. Quantized detectors are not affected.
   */
  readonly precision?: Precision | undefined;
}

/** How one prediction is stopped, and how it shares the device. */
export interface PredictOptions extends AbortOptions, SliceOptions {}

/** Detectors per engine that use the same networks: the last one to be destroyed frees their weights. */
const users = new WeakMap<Engine, Map<Networks, number>>();

function countUser(engine: Engine, networks: Networks, change: 1 | -1): void {
  const counts = users.get(engine) ?? new Map<Networks, number>();
  users.set(engine, counts);
  const count = (counts.get(networks) ?? 0) + change;
  if (count > 0) counts.set(networks, count);
  else counts.delete(networks);
}

/** Equal quantiles (a constant map) would divide by zero: the scale is then 1. */
const guarded = ([a, b]: readonly [number, number]): readonly [number, number] => [a, b > a ? b : a + 1];

/** The quantiles as the graph takes them: [4], q_a and q_b of the student-teacher map, then of the other. */
export function mapQuantilesParameter({ studentTeacher, autoencoder }: MapQuantiles): Parameter {
  const data = Float32Array.of(...guarded(studentTeacher), ...guarded(autoencoder));
  return new Parameter('map.quantiles', { shape: [4], dtype: 'f32' }, data);
}

/** The combined map's value where both raw maps are 0. */
function valueOfZero({ studentTeacher, autoencoder }: MapQuantiles): number {
  return [studentTeacher, autoencoder].map(guarded).reduce((sum, [a, b]) => sum - (0.05 * a) / (b - a), 0);
}

/** A trained detector on one engine: three networks, their statistics and a threshold. */
export class Detector {
  readonly engine: Engine;
  readonly state: DetectorState;
  readonly #quantiles: Parameter;
  readonly #filter: FilterGraph | undefined;
  readonly #layers: LayerCache = new Map();
  /** Of a simulated detector. */
  readonly #scales: LearnableScales | undefined;
  readonly #precision: Precision;
  readonly #chain: MapChain;
  /** Plans of their own for runs in parts, which take turns. */
  #sliced: { readonly chain: MapChain; readonly slicer: Slicer; turn: Promise<unknown> } | undefined;
  #destroyed = false;

  /** @throws UserError for a region together with tiles */
  constructor(engine: Engine, state: DetectorState, { simulate = false, precision = 'f32' }: DetectorOptions = {}) {
    this.engine = engine;
    this.state = state;
    this.#quantiles = mapQuantilesParameter(state.quantiles);
    this.#filter = state.filter?.graph();
    this.#scales = simulate && state.quantization ? learnableScales(state.quantization) : undefined;
    this.#precision = state.quantization ? 'f32' : precision;
    this.#chain = this.#makeChain();
    countUser(engine, state.networks, 1);
  }

  #makeChain(): MapChain {
    const { side, mapSide, mapGeometry } = this.state.networks;
    const { placement, quantiles, region, tiling } = this.state;
    // A plan may have been compiled while the detector was destroyed.
    const onDisposed = () => {
      if (this.#destroyed) this.#releaseParameters();
    };
    if (tiling) {
      const { rewrite } = this.#graphOptions();
      const built = {
        parts: INFERENCE_PARTS,
        scores: MAP_SCORES,
        quantiles: this.#quantiles,
        precision: this.#precision,
      };
      return tiling.chain(this.engine, this.state, { ...built, rewrite, onDisposed });
    }
    const around = placement === 'anomalib' ? valueOfZero(quantiles) : 0;
    return new ImageChain(
      this.engine,
      { side, mapSide, placement, around, ...mapGeometry, region },
      {
        compile: (batch) => this.compile(batch),
        dispose: (plan) => {
          plan.destroy();
          onDisposed();
        },
      },
    );
  }

  /** The same networks with other statistics. The new detector has plans of its own. */
  with(change: Partial<DetectorState>): Detector {
    const simulate = this.#scales !== undefined;
    return new Detector(this.engine, { ...this.state, ...change }, { simulate, precision: this.#precision });
  }

  /** The definition of inference for a batch: input `image` and the three maps, layer by layer. */
  graph(batch: number): InferenceGraph {
    return inferenceGraph(this.state.networks, this.#quantiles.node, batch, this.#graphOptions());
  }

  /** The same values by less work: what this detector runs. */
  fusedGraph(batch: number): InferenceGraph {
    const bindable = this.engine.caps.limits.maxStorageBufferBindingSize;
    return inferenceGraph(this.state.networks, this.#quantiles.node, batch, {
      bindable,
      maps: this.state.quantization ? anomalyMaps : fusedAnomalyMaps,
      ...this.#graphOptions(),
    });
  }

  /**
   * The networks for a batch: input `image` u32 [batch, side, side], outputs `studentTeacher`, `autoencoder` and `combined`
   * [batch, 1, mapSide, mapSide]. The plan is the caller's, to measure or to run by itself.
   * @throws DestroyedError
   */
  compile(batch: number, onProgress?: (done: number, total: number) => void): Promise<Plan> {
    this.#assertUsable();
    const { studentTeacher, autoencoder, combined } = this.fusedGraph(batch);
    const outputs = { studentTeacher, autoencoder, combined };
    return this.engine.compile({ outputs, precision: this.#precision, onProgress });
  }

  /** The same detector on another engine, as after its device was lost; this one is destroyed. */
  moveTo(engine: Engine): Detector {
    const moved = new Detector(engine, this.state, {
      simulate: this.#scales !== undefined,
      precision: this.#precision,
    });
    this.destroy();
    return moved;
  }

  /** Compiles for a batch size ahead of time. @throws DestroyedError @throws the reason of an aborted signal */
  warmUp(batch = 1, { signal }: AbortOptions = {}): Promise<void> {
    return unlessAborted(signal, this.#chain.warmUp(batch));
  }

  /** Bytes on the device of the weights and intermediate values of the networks for a batch, or of tiles. @throws DestroyedError */
  deviceBytes(batch = 1): Promise<number> {
    return this.#chain.networkBytes(batch);
  }

  /**
   * Scores one image of any size, in one round trip to the device.
   * @throws UserError for malformed pixels, or maps that are not finite
   * @throws DestroyedError
   * @throws the reason of an aborted signal
   */
  async predict(image: RgbImage, options: PredictOptions = {}): Promise<Prediction> {
    return (await this.predictBatch([image], options))[0]!;
  }

  /**
   * Scores images of any sizes in one run of the networks, or one after the other by a detector that looks at tiles. Every number of images that is used compiles a plan of its own.
   * @throws as {@link predict}
   */
  async predictBatch(
    images: readonly RgbImage[],
    { signal, maxMilliseconds }: PredictOptions = {},
  ): Promise<Prediction[]> {
    const run =
      maxMilliseconds === undefined ? this.#chain.predict(images) : this.#predictSlices(images, maxMilliseconds);
    const results = await unlessAborted(signal, run);
    return results.map(({ studentTeacher, autoencoder, combined, map, score }, i) => {
      const branches = {
        studentTeacher: mapScore(studentTeacher, 'student-teacher'),
        autoencoder: mapScore(autoencoder, 'autoencoder-student'),
      };
      // A small image may miss positions of the grid.
      checkMap(combined);
      const { width, height } = images[i]!;
      if (!Number.isFinite(score)) {
        checkMap(map);
        throw new UserError(
          `the detector's region holds no pixel of an image of ${width}x${height}.`,
          'Use a larger image.',
        );
      }
      const { threshold } = this.state;
      const isAnomalous = threshold && score > threshold.value;
      return { score, isAnomalous, width, height, map, gridMap: combined, branches };
    });
  }

  /**
   * Scores images in their order as they come, several under way at a time: while the device computes some, the next are read and
   * uploaded, and results come back. No more images are taken than are under way, so a source is never far ahead of its reader.
   * @param frames images, promises of them, or functions that read one, which are called when their turn comes
   * @throws UserError at the first image that {@link predict} refuses, after the results of those before it
   * @throws the reason of an aborted signal
   */
  async *stream(frames: Frames, options: StreamOptions = {}): AsyncGenerator<Prediction, void, undefined> {
    const { streamPredictions } = await import('./stream.ts');
    // Tiles of one image after the other go through the networks, however many images there are.
    const side = this.state.tiling ? undefined : this.state.networks.side;
    yield* streamPredictions(this, side, frames, options);
  }

  async #predictSlices(images: readonly RgbImage[], most: number) {
    const { Slicer } = await import('../engine/slices.ts');
    this.#assertUsable();
    this.#sliced ??= { chain: this.#makeChain(), slicer: new Slicer(this.engine), turn: Promise.resolve() };
    const { chain, slicer, turn } = this.#sliced;
    const run = turn.then(() => chain.predict(images, (plan, what) => slicer.run(plan, what, most)));
    this.#sliced.turn = run.catch(() => {});
    return run;
  }

  /** Raw maps of one image, for calibration. @throws UserError for maps that are not finite @throws DestroyedError */
  async rawMaps(image: RgbImage): Promise<RawMaps> {
    const { studentTeacher, autoencoder } = (await this.#chain.gridMaps([image]))[0]!;
    checkMap(studentTeacher, 'student-teacher');
    checkMap(autoencoder, 'autoencoder-student');
    return { studentTeacher, autoencoder };
  }

  /**
   * A raw or combined map on the grid, placed on an image of the given size [height, width].
   * @throws UserError for a map that is not finite
   * @throws DestroyedError
   */
  place(gridMap: Float32Array, width: number, height: number): Promise<Float32Array> {
    return this.#chain.place(gridMap, width, height);
  }

  /**
   * Compiles what records image -> map into somebody else's commands, for one size and format of images and maps. Sizes share the
   * networks.
   * @throws UserError for sizes or formats that this device cannot hold
   * @throws DestroyedError
   * @throws the reason of an aborted signal
   */
  prepare(sizes: EncodeSizes, { signal }: AbortOptions = {}): Promise<PreparedImage> {
    const { low, high, threshold } = heatmapRange(this.state);
    const prepared = this.#chain.prepare(sizes, { range: [low, high], threshold });
    return unlessAborted(signal, prepared, (late) => late.destroy());
  }

  /**
   * Frees plans on the device, what was prepared, and weights that no other detector shares; runs that are under way end first.
   * The device stays.
   */
  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    this.#chain.destroy();
    this.#sliced?.chain.destroy();
    countUser(this.engine, this.state.networks, -1);
    this.#releaseParameters();
  }

  /** Its own, and those of the networks unless another detector uses them. */
  #releaseParameters(): void {
    const { weights = [], inputs = [] } = this.#scales ?? {};
    const scales = [...weights, ...inputs].map(([, parameter]) => parameter);
    this.engine.release([this.#quantiles, ...(this.#filter?.parameters ?? []), ...this.#layers.values(), ...scales]);
    const { networks } = this.state;
    if (!users.get(this.engine)?.has(networks)) this.engine.release(networks.parameters);
  }

  #graphOptions(): Pick<InferenceOptions, 'filter' | 'rewrite'> {
    const { quantization } = this.state;
    const filter = this.#filter?.apply;
    if (!quantization) return { filter };
    const scales = this.#scales;
    const rewrite = (roots: readonly Node[]) =>
      scales ? fakeQuantizeGraph(roots, quantization, scales) : integerGraph(roots, quantization, this.#layers);
    return { filter, rewrite };
  }

  #assertUsable(): void {
    if (this.#destroyed) throw new DestroyedError('this detector has been destroyed.');
  }
}
