import type { RgbImage } from '../data/image.ts';
import type { Engine } from '../engine/engine.ts';
import { input, type Node, Parameter } from '../engine/graph.ts';
import type { Plan } from '../engine/plan.ts';
import { UserError } from '../errors.ts';
import { type Placement, placeMap, placeOnHost } from '../kernels/maps.ts';
import { fakeQuantizeGraph, type LearnableScales, learnableScales } from '../quantisation/fakeGraph.ts';
import { integerGraph, type LayerCache } from '../quantisation/integerGraph.ts';
import type { Quantisation } from '../quantisation/layers.ts';
import type { Threshold } from './conformal.ts';
import { anomalyMaps, fusedAnomalyMaps, type InferenceGraph, inferenceGraph } from './inference.ts';
import { Lru } from './lru.ts';
import type { Networks } from './networks.ts';
import { bindable, Resizer } from './pixels.ts';
import { checkMap, mapScore } from './score.ts';

/** Quantiles of both raw maps over all pixels of held-out normal images. */
export interface MapQuantiles {
  /** 0.9 and 0.995 quantiles of the student-teacher map. */
  readonly studentTeacher: readonly [number, number];
  /** 0.9 and 0.995 quantiles of the autoencoder-student map. */
  readonly autoencoder: readonly [number, number];
}

/** How the detector came about; kept in the model file. */
export interface Provenance {
  readonly dataset: string;
  readonly seed: number;
  readonly iterations: number;
  readonly batch: number;
  readonly learningRate: number;
  readonly teacher: string;
  readonly penalty: string;
  readonly trainImages: number;
  readonly heldOutImages: number;
  readonly [key: string]: string | number;
}

export interface DetectorState {
  readonly networks: Networks;
  readonly quantiles: MapQuantiles;
  readonly placement: Placement;
  /** Absent until it has been calibrated. */
  readonly threshold?: Threshold;
  readonly provenance: Provenance;
  /** Codes and scales of a quantised detector; the networks hold the values that they stand for. */
  readonly quantisation?: Quantisation;
}

export interface Prediction {
  /** Maximum of the map: higher is more anomalous. */
  readonly score: number;
  /** Score above the threshold; undefined when the detector has none. */
  readonly isAnomalous: boolean | undefined;
  readonly width: number;
  readonly height: number;
  /** Anomaly map at the image's own size [height, width]. */
  readonly map: Float32Array;
  /** The same on the network's grid [cells, cells]. */
  readonly cells: Float32Array;
  /** Maximum of each raw map on the network's grid, to compare the two branches. */
  readonly branches: { readonly studentTeacher: number; readonly autoencoder: number };
}

/** Raw maps on the network's grid [cells, cells], before normalisation. */
export interface RawMaps {
  readonly studentTeacher: Float32Array;
  readonly autoencoder: Float32Array;
}

/** Where {@link Detector.encode} reads and writes. */
export interface EncodeBindings {
  /** An `rgba8unorm` texture with COPY_SRC usage, or a buffer of RGBA bytes [height, width, 4] with COPY_SRC usage. */
  readonly image: GPUTexture | GPUBuffer;
  /** Receives the anomaly map as f32 [mapHeight, mapWidth]; COPY_DST usage. */
  readonly map: GPUBuffer;
}

export interface EncodeSizes {
  readonly width: number;
  readonly height: number;
  /** The image's own size by default. */
  readonly mapWidth?: number;
  readonly mapHeight?: number;
}

export interface DetectorOptions {
  /** Runs a quantised detector in float with rounded values, as training sees it, instead of on integers. */
  readonly simulate?: boolean;
}

const SIZES_KEPT = 8;

/** Detectors per engine that use the same networks: the last one to be destroyed frees their weights. */
const users = new WeakMap<Engine, Map<Networks, number>>();

function countUser(engine: Engine, networks: Networks, change: 1 | -1): number {
  const counts = users.get(engine) ?? new Map<Networks, number>();
  users.set(engine, counts);
  const count = (counts.get(networks) ?? 0) + change;
  if (count > 0) counts.set(networks, count);
  else counts.delete(networks);
  return count;
}

/** The quantiles as the graph takes them: [4], q_a and q_b of the student-teacher map, then of the other. */
export function mapQuantilesParameter({ studentTeacher, autoencoder }: MapQuantiles): Parameter {
  // Equal quantiles (a constant map) would divide by zero: the scale is then 1.
  const guard = ([a, b]: readonly [number, number]) => [a, b > a ? b : a + 1];
  const data = Float32Array.of(...guard(studentTeacher), ...guard(autoencoder));
  return new Parameter('map.quantiles', { shape: [4], dtype: 'f32' }, data);
}

/** A trained detector on one engine: three networks, their statistics and a threshold. */
export class Detector {
  readonly engine: Engine;
  readonly state: DetectorState;
  readonly #quantiles: Parameter;
  readonly #layers: LayerCache = new Map();
  /** Of a simulated detector. */
  readonly #scales: LearnableScales | undefined;
  readonly #resizer: Resizer;
  #destroyed = false;
  readonly #inference: Lru<Plan>;
  readonly #placers: Lru<Plan>;
  readonly #encodings = new Map<string, { resize: Plan; infer: Plan; place: Plan }>();

  constructor(engine: Engine, state: DetectorState, { simulate = false }: DetectorOptions = {}) {
    this.engine = engine;
    this.state = state;
    countUser(engine, state.networks, 1);
    this.#quantiles = mapQuantilesParameter(state.quantiles);
    this.#scales = simulate && state.quantisation ? learnableScales(state.quantisation) : undefined;
    this.#resizer = new Resizer(engine, state.networks.side);
    this.#inference = new Lru(2, (plan) => plan.destroy());
    this.#placers = new Lru(SIZES_KEPT, (plan) => plan.destroy());
  }

  /** The same networks with other statistics. The new detector has plans of its own. */
  with(change: Partial<DetectorState>): Detector {
    return new Detector(this.engine, { ...this.state, ...change }, { simulate: this.#scales !== undefined });
  }

  /** The definition of inference for a batch: input `image` and the three maps, layer by layer. */
  graph(batch: number): InferenceGraph {
    return inferenceGraph(this.state.networks, this.#quantiles.node, batch, this.#quantised());
  }

  /** The same values by less work: what this detector runs. */
  fusedGraph(batch: number): InferenceGraph {
    const bindable = this.engine.caps.limits.maxStorageBufferBindingSize;
    return inferenceGraph(this.state.networks, this.#quantiles.node, batch, {
      bindable,
      maps: this.state.quantisation ? anomalyMaps : fusedAnomalyMaps,
      ...this.#quantised(),
    });
  }

  /** Compiles for a batch size ahead of time, with progress. */
  warmUp(batch = 1, onProgress?: (done: number, total: number) => void): Promise<Plan> {
    return this.#inference.get(String(batch), () =>
      this.engine.compile({
        outputs: this.#maps(batch),
        ...(onProgress && { onProgress }),
      }),
    );
  }

  /**
   * Scores one image of any size.
   * @throws UserError for malformed pixels, or maps that are not finite
   */
  async predict(image: RgbImage): Promise<Prediction> {
    return (await this.predictBatch([image]))[0]!;
  }

  /**
   * Scores images of any sizes in one run of the networks: more images per second than one by one. Every number of images
   * that is used compiles a plan of its own.
   * @throws UserError for malformed pixels, or maps that are not finite
   */
  async predictBatch(images: readonly RgbImage[]): Promise<Prediction[]> {
    const plan = await this.warmUp(images.length);
    const { side, cells } = this.state.networks;
    const pixels = new Uint32Array(images.length * side * side);
    for (const [i, image] of images.entries()) pixels.set(await this.#resizer.resize(image), i * side * side);
    const maps = await plan.run({ image: pixels }, ['combined', 'studentTeacher', 'autoencoder']);
    const { threshold } = this.state;
    const predictions: Prediction[] = [];
    for (const [i, { width, height }] of images.entries()) {
      const own = (name: string) => maps[name]!.slice(i * cells * cells, (i + 1) * cells * cells) as Float32Array;
      const branches = {
        studentTeacher: mapScore(own('studentTeacher'), 'student-teacher'),
        autoencoder: mapScore(own('autoencoder'), 'autoencoder-student'),
      };
      const combined = own('combined');
      const map = await this.place(combined, width, height);
      const score = mapScore(map);
      predictions.push({
        score,
        isAnomalous: threshold && score > threshold.value,
        width,
        height,
        map,
        cells: combined,
        branches,
      });
    }
    return predictions;
  }

  /** Raw maps of one image, for calibration. @throws UserError for maps that are not finite */
  async rawMaps(image: RgbImage): Promise<RawMaps> {
    const plan = await this.warmUp();
    const maps = await plan.run({ image: await this.#resizer.resize(image) }, ['studentTeacher', 'autoencoder']);
    const { studentTeacher, autoencoder } = maps as Record<keyof RawMaps, Float32Array>;
    checkMap(studentTeacher, 'student-teacher');
    checkMap(autoencoder, 'autoencoder-student');
    return { studentTeacher, autoencoder };
  }

  /**
   * A raw or combined map on the grid, placed on an image of the given size [height, width].
   * @throws UserError for a map that is not finite
   */
  async place(cells: Float32Array, width: number, height: number): Promise<Float32Array> {
    // A small image may miss cells of the grid.
    checkMap(cells);
    if (!bindable(this.engine, width * height)) {
      const { networks, placement } = this.state;
      const placed = new Float32Array(width * height);
      placeOnHost(cells, networks.cells, { width, height, side: networks.side, placement }, placed);
      return placed;
    }
    const { map } = await (await this.#placer(width, height)).run({ cells }, ['map']);
    return map as Float32Array;
  }

  /** Compiles everything that {@link encode} needs for these sizes. */
  async prepare(sizes: EncodeSizes): Promise<void> {
    const { width, height, mapWidth = width, mapHeight = height } = sizes;
    const key = encodeKey(sizes);
    if (this.#encodings.has(key)) return;
    const { networks } = this.state;
    const resizer = new Resizer(this.engine, networks.side);
    this.#encodings.set(key, {
      resize: await resizer.plan(width, height, paddedRow(width)),
      infer: await this.engine.compile({ outputs: this.#maps(1) }),
      place: await this.#compilePlacer(mapWidth, mapHeight),
    });
  }

  /**
   * Records image -> map into somebody's command encoder: nothing is submitted and nothing goes through the queue, so it
   * can stand anywhere in a frame outside of a pass. The host does not see the map: `mapScore` scores one that was read back,
   * and refuses values that are not finite.
   * @throws UserError unless {@link prepare} has been awaited for the same sizes
   */
  encode(encoder: GPUCommandEncoder, sizes: EncodeSizes, { image, map }: EncodeBindings): void {
    const plans = this.#encodings.get(encodeKey(sizes));
    if (!plans) {
      throw new UserError(
        `encode: no plan for ${encodeKey(sizes)}.`,
        'Await detector.prepare() with the same sizes first.',
      );
    }
    const { width, height } = sizes;
    const source = plans.resize.inputBuffer('image');
    const bytesPerRow = paddedRow(width) * 4;
    if ('createView' in image) {
      if (image.format !== 'rgba8unorm' || image.width !== width || image.height !== height) {
        throw new UserError(
          `encode: the texture is ${image.format} ${image.width}x${image.height}, expected rgba8unorm ${width}x${height}.`,
          'Render or copy into such a texture first.',
        );
      }
      encoder.copyTextureToBuffer({ texture: image }, { buffer: source, bytesPerRow, rowsPerImage: height }, [
        width,
        height,
      ]);
    } else if (bytesPerRow === width * 4) {
      encoder.copyBufferToBuffer(image, 0, source, 0, width * height * 4);
    } else {
      for (let y = 0; y < height; y++)
        encoder.copyBufferToBuffer(image, y * width * 4, source, y * bytesPerRow, width * 4);
    }
    plans.resize.encode(encoder);
    copyOutput(encoder, plans.resize, 'pixels', plans.infer.inputBuffer('image'));
    plans.infer.encode(encoder);
    copyOutput(encoder, plans.infer, 'combined', plans.place.inputBuffer('cells'));
    plans.place.encode(encoder);
    copyOutput(encoder, plans.place, 'map', map);
  }

  /** Frees plans on the device, and weights that no other detector shares. The device stays. */
  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    this.#inference.clear();
    this.#placers.clear();
    this.#resizer.destroy();
    for (const { resize, infer, place } of this.#encodings.values()) {
      for (const plan of [resize, infer, place]) plan.destroy();
    }
    this.#encodings.clear();
    const { weights = [], inputs = [] } = this.#scales ?? {};
    const scales = [...weights, ...inputs].map(([, parameter]) => parameter);
    this.engine.release([this.#quantiles, ...this.#layers.values(), ...scales]);
    const { networks } = this.state;
    if (countUser(this.engine, networks, -1) <= 0) this.engine.release(networks.parameters);
  }

  #quantised() {
    const { quantisation } = this.state;
    if (!quantisation) return {};
    const scales = this.#scales;
    const rewrite = (roots: readonly Node[]) =>
      scales ? fakeQuantizeGraph(roots, quantisation, scales) : integerGraph(roots, quantisation, this.#layers);
    return { rewrite };
  }

  #maps(batch: number) {
    const { studentTeacher, autoencoder, combined } = this.fusedGraph(batch);
    return { studentTeacher, autoencoder, combined };
  }

  #placer(width: number, height: number): Promise<Plan> {
    return this.#placers.get(`${width}x${height}`, () => this.#compilePlacer(width, height));
  }

  #compilePlacer(width: number, height: number): Promise<Plan> {
    const { networks, placement } = this.state;
    const cells = input('cells', [1, 1, networks.cells, networks.cells]);
    return this.engine.compile({
      outputs: { map: placeMap(cells, { width, height, side: networks.side, placement }) },
    });
  }
}

/** Pixels per row of a texture copy: rows of buffers are multiples of 256 bytes. */
function paddedRow(width: number): number {
  return Math.ceil(width / 64) * 64;
}

function encodeKey({ width, height, mapWidth = width, mapHeight = height }: EncodeSizes): string {
  return `image ${width}x${height} to map ${mapWidth}x${mapHeight}`;
}

function copyOutput(encoder: GPUCommandEncoder, plan: Plan, name: string, target: GPUBuffer): void {
  const { buffer, offset = 0, size } = plan.outputBinding(name);
  encoder.copyBufferToBuffer(buffer, offset, target, 0, size!);
}
