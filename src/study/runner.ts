import { measure } from '../bench/measure.ts';
import { jsonText, parseShape } from '../checks/shape.ts';
import { type Dataset, GOOD } from '../data/dataset.ts';
import type { RgbImage } from '../data/image.ts';
import type { Engine } from '../engine/engine.ts';
import { UserError } from '../errors.ts';
import { gaussianBlur, MapStatistics, normaliseLocations } from '../evaluation/bias.ts';
import { type EvaluatedImage, type Evaluation, evaluate, type TestSource } from '../evaluation/evaluate.ts';
import {
  type Allocation,
  type AllocationMethod,
  allocate,
  type RoundingErrors,
  roundingErrors,
} from '../hqs/allocate.ts';
import { type LayerScore, layerScores, ompqScores } from '../hqs/scores.ts';
import { Detector } from '../model/detector.ts';
import { loadDetector, readModel, saveDetector } from '../model/modelFile.ts';
import type { TensorFile } from '../model/safetensors.ts';
import { type BitPlan, layerBytes, quantisableLayers, uniformPlan } from '../quantisation/bitPlan.ts';
import type { ImageSource } from '../train/calibrate.ts';
import { readCheckpoint } from '../train/checkpoint.ts';
import { fit } from '../train/fit.ts';
import type { PenaltySource } from '../train/penalty.ts';
import { type LayerInputs, prepareQuantisation, quantize } from '../train/quantize.ts';
import { recalibrate } from '../train/recalibrate.ts';
import { type Arm, type CellResult, cellId, isQuantised, isSimulated, type StudyCell } from './cells.ts';
import { AVERAGE_BITS, checkStudySettings, type StudySettings } from './settings.ts';
import { LAYER_SCORES } from './shapes.ts';

/** The images of one data set, split by a seed. */
export interface StudyData {
  readonly layout: Dataset['layout'];
  readonly train: ImageSource;
  readonly heldOut: ImageSource;
  readonly test: TestSource;
  /** Stands for the good images, in model files. @see FitOptions */
  readonly digest?: () => Promise<string | undefined>;
}

/** Keeps checkpoints and scores that cells share. Values are replaced as a whole. */
export interface StudyStore {
  load(name: string): Promise<Uint8Array | undefined>;
  save(name: string, bytes: Uint8Array): Promise<void>;
}

export interface StudyOptions {
  readonly engine: Engine;
  readonly settings: StudySettings;
  /** @param set name of a data set */
  readonly open: (set: string, seed: number) => Promise<StudyData>;
  readonly penalty: (seed: number) => PenaltySource;
  readonly teacher: TensorFile & { readonly name: string };
  readonly store: StudyStore;
  /** Told what is being done: training takes long. */
  readonly onProgress?: (phase: string, done: number, total: number) => void;
  /** Told of test images and held-out images that are left out. */
  readonly onNotice?: (message: string) => void;
  readonly signal?: AbortSignal;
}

const CHECKPOINT_EVERY = 100;
const TIMED_ROUNDS = 9;
const NO_INPUTS: LayerInputs = { ranges: new Map(), means: new Map() };

/** Pixels that go through the networks at once when a cell is evaluated. */
const EVALUATED_PIXELS = 8 * 128 * 128;

function evaluationBatch({ state }: Detector): number {
  return Math.max(1, Math.floor(EVALUATED_PIXELS / state.networks.side ** 2));
}

/** Looks on while a cell is run. */
export interface CellWatch {
  readonly onImage?: (image: EvaluatedImage, detector: Detector) => void | Promise<void>;
  readonly onEvaluated?: (evaluation: Evaluation, detector: Detector) => void | Promise<void>;
}

/** How the names of files in the store end. */
const MODEL = '.safetensors';
const CHECKPOINT = '.checkpoint';
const SCORES = { hqs: '.hqs.json', ompq: '.ompq.json' } as const;

function sharedKey(set: string, seed: number): string {
  return `${set}-${seed}`;
}

/** Name in the store of the float model that a set's cells of one seed share. */
export function modelFile(set: string, seed: number): string {
  return sharedKey(set, seed) + MODEL;
}

/** Names in the store of everything that the cells of a set and seed share. */
export function sharedFiles(set: string, seed: number): readonly string[] {
  return [MODEL, CHECKPOINT, ...Object.values(SCORES)].map((end) => sharedKey(set, seed) + end);
}

/** Whether a name in the store is that of unfinished training, which is replaced often. */
export function isCheckpoint(name: string): boolean {
  return name.endsWith(CHECKPOINT);
}

/** @throws UserError for contents of {@link sharedFiles} that no runner would take */
export async function checkShared(name: string, bytes: Uint8Array): Promise<void> {
  if (name.endsWith(MODEL)) await readModel(bytes, name);
  // One without bytes says that training has ended.
  else if (!isCheckpoint(name)) parseScores(bytes, name);
  else if (bytes.length > 0) await readCheckpoint(bytes, name);
}

function parseScores(bytes: Uint8Array, name: string): LayerScore[] {
  return parseShape(new TextDecoder().decode(bytes), LAYER_SCORES, name, 'Restore or remove the file.');
}

/** What the cells of one set and seed share. */
interface Shared {
  readonly key: string;
  readonly data: StudyData;
  readonly float: Detector;
  readonly allocations: Map<Arm, Allocation>;
  errors?: RoundingErrors;
  /** What all quantised arms start from: it depends on the float networks alone. */
  prepared?: { readonly base: Detector; readonly inputs: LayerInputs };
  /** The last arm that was quantised: its recalibrated cell starts from it. */
  quantised?: { readonly arm: Arm; readonly detector: Detector };
}

/** Runs cells; those of one set and seed share the float checkpoint, the data order and the layers' scores. */
export class StudyRunner {
  readonly #options: StudyOptions;
  #shared: Shared | undefined;

  /** @throws UserError for settings that no study can be run with */
  constructor(options: StudyOptions) {
    checkStudySettings(options.settings);
    this.#options = options;
  }

  /** @throws UserError for unusable data or settings */
  async run(cell: StudyCell, { onImage, onEvaluated }: CellWatch = {}): Promise<CellResult> {
    const { engine, signal, onNotice } = this.#options;
    const start = performance.now();
    const shared = await this.#open(cell);
    const { float, data } = shared;
    const { arm, recalibrated } = cell;
    const plan = isQuantised(arm) ? (await this.#allocation(shared, cell)).plan : undefined;
    const quantised = plan && (await this.#quantised(shared, arm, plan));
    const detector = recalibrated ? await this.#recalibrated(shared, plan, quantised) : (quantised ?? float);
    try {
      const postprocess = await this.#postprocess(shared, arm);
      const bias = new MapStatistics();
      let sample: RgbImage | undefined;
      const evaluation = await evaluate({
        detector,
        source: data.test,
        postprocess,
        // A look at one detector shows every kind of defect; tables do not.
        detail: onEvaluated ? 'defects' : 'pixels',
        batch: evaluationBatch(detector),
        onResult: (_, image) => {
          sample ??= image.image;
          if (image.defect === GOOD) bias.add(image.prediction.cells);
          return onImage?.(image, detector);
        },
        ...(onNotice && { onNotice }),
        ...(signal && { signal }),
      });
      await onEvaluated?.(evaluation, detector);
      const { auroc, image, pixel, overlap } = evaluation.metrics;
      const time = (subject: Detector) => ({ name: '', run: () => subject.predict(sample!) });
      const rounds = { rounds: TIMED_ROUNDS, warmUp: 2, ...(signal && { signal }) };
      const [ours, theirs] = await measure([time(detector), time(float)], rounds);
      return {
        ...cell,
        id: cellId(cell),
        layout: data.layout,
        metrics: defined({
          auroc,
          ap: image?.ap,
          pixelAuroc: pixel?.auroc,
          pixelAp: pixel?.ap,
          overlap: overlap?.areas[0],
          biasIndex: bias.biasIndex,
          simulatedAuroc: isSimulated(cell) ? await this.#simulated(detector, data.test) : undefined,
        }),
        size: { ...weightSize(detector), fileBytes: (await saveDetector(detector)).length },
        timing: { milliseconds: ours!.median, floatMilliseconds: theirs!.median },
        memoryBytes: await detector.deviceBytes(),
        bits: widths(detector),
        images: evaluation.results.map(({ defect, score }) => [defect, Number(score.toPrecision(7))] as const),
        adapter: engine.caps.description,
        seconds: (performance.now() - start) / 1000,
      };
    } finally {
      if (recalibrated) detector.destroy();
    }
  }

  /** What arms of a set and seed share, the float detector and scores of its layers: computed, or read from the store. */
  async prepare(set: string, seed: number, arms: readonly Arm[]): Promise<void> {
    const shared = await this.#open({ set, seed });
    if (arms.some(isQuantised)) await this.#scores(shared, seed, 'hqs');
    if (arms.includes('ompq')) await this.#scores(shared, seed, 'ompq');
  }

  destroy(): void {
    this.#shared?.float.destroy();
    this.#shared?.prepared?.base.destroy();
    this.#shared?.quantised?.detector.destroy();
    this.#shared = undefined;
  }

  async #open({ set, seed }: Pick<StudyCell, 'set' | 'seed'>): Promise<Shared> {
    const key = sharedKey(set, seed);
    if (this.#shared?.key === key) return this.#shared;
    this.destroy();
    const { engine, store, open } = this.#options;
    const data = await open(set, seed);
    const name = modelFile(set, seed);
    const model = (await store.load(name)) ?? (await this.#fit(set, seed, data));
    const float = await loadDetector(engine, model, name);
    this.#shared = { key, data, float, allocations: new Map() };
    return this.#shared;
  }

  /** @returns the model as the store has it: another runner may have been first */
  async #fit(set: string, seed: number, data: StudyData): Promise<Uint8Array> {
    const { engine, settings, penalty, teacher, store, onProgress, onNotice, signal } = this.#options;
    const key = sharedKey(set, seed);
    const resume = await store.load(key + CHECKPOINT);
    if (resume) await checkShared(key + CHECKPOINT, resume);
    const dataDigest = await data.digest?.();
    const detector = await fit({
      engine,
      settings: { ...settings.fit, seed },
      dataset: set,
      ...(dataDigest !== undefined && { dataDigest }),
      train: data.train,
      heldOut: data.heldOut,
      penalty: penalty(seed),
      teacher,
      checkpoint: { every: CHECKPOINT_EVERY, save: (bytes) => store.save(key + CHECKPOINT, bytes) },
      ...(resume && resume.length > 0 && { resume }),
      onProgress: ({ phase, done, total }) => onProgress?.(phase, done, total),
      ...(onNotice && { onNotice }),
      ...(signal && { signal }),
    });
    await store.save(modelFile(set, seed), await saveDetector(detector));
    await store.save(key + CHECKPOINT, new Uint8Array(0));
    detector.destroy();
    return (await store.load(modelFile(set, seed)))!;
  }

  async #scores(shared: Shared, seed: number, kind: keyof typeof SCORES): Promise<LayerScore[]> {
    const { settings, store, signal } = this.#options;
    const name = shared.key + SCORES[kind];
    const known = await store.load(name);
    if (known) return parseScores(known, name);
    const { float: detector, data } = shared;
    const options = { detector, seed, ...settings.scoring, ...(signal && { signal }) };
    const scores =
      kind === 'hqs'
        ? await layerScores({ ...options, normal: data.heldOut, reference: data.train })
        : await ompqScores({ ...options, normal: data.train });
    await store.save(name, new TextEncoder().encode(jsonText(scores, LAYER_SCORES, name)));
    return scores;
  }

  /** The bit plan of a cell with the scores that it came from. @throws UserError for an arm that has none */
  async allocation(cell: StudyCell): Promise<Allocation> {
    if (!isQuantised(cell.arm)) throw new UserError(`the arm ${cell.arm} has no bit plan.`, 'Use another arm.');
    return this.#allocation(await this.#open(cell), cell);
  }

  async #allocation(shared: Shared, cell: StudyCell): Promise<Allocation> {
    const { arm } = cell;
    const known = shared.allocations.get(arm);
    if (known) return known;
    const allocation = await this.#allocate(shared, cell);
    shared.allocations.set(arm, allocation);
    return allocation;
  }

  async #allocate(shared: Shared, cell: StudyCell): Promise<Allocation> {
    const { settings } = this.#options;
    const { arm, seed } = cell;
    const { networks } = shared.float.state;
    const errors = () => {
      shared.errors ??= roundingErrors(networks);
      return shared.errors;
    };
    const byBudget = settings.allocation?.mode === 'budget' ? { errors: errors() } : {};
    const base = { networks, seed, ...settings.allocation, ...byBudget };
    const scores = await this.#scores(shared, seed, arm === 'ompq' ? 'ompq' : 'hqs');
    if (arm === 'hqs') return allocate({ ...base, scores });
    if (arm === 'budget') {
      const limit = { averageBits: settings.averageBits ?? AVERAGE_BITS };
      return allocate({ ...base, scores, errors: errors(), mode: 'budget', limit });
    }
    const { bytes } = await this.#allocation(shared, { ...cell, arm: 'hqs' });
    return allocate({ ...base, scores, method: arm as AllocationMethod, limit: { bytes } });
  }

  async #prepared(shared: Shared): Promise<NonNullable<Shared['prepared']>> {
    const { signal } = this.#options;
    const { float: detector, data } = shared;
    const plan = uniformPlan(detector.state.networks, { weights: 8, activations: 8 });
    shared.prepared ??= await prepareQuantisation({
      detector,
      plan,
      train: data.train,
      heldOut: data.heldOut,
      ...(signal && { signal }),
    });
    return shared.prepared;
  }

  async #quantised(shared: Shared, arm: Arm, plan: BitPlan): Promise<Detector> {
    if (shared.quantised?.arm === arm) return shared.quantised.detector;
    const { base, inputs } = await this.#prepared(shared);
    const detector = await quantize({ ...this.#images(shared), detector: base, inputs, plan });
    shared.quantised?.detector.destroy();
    shared.quantised = { arm, detector };
    return detector;
  }

  /** @param plan absent: the float networks are trained on */
  async #recalibrated(shared: Shared, plan: BitPlan | undefined, quantised: Detector | undefined): Promise<Detector> {
    const { settings, penalty, onProgress } = this.#options;
    const { float } = shared;
    const { base, inputs } = plan ? await this.#prepared(shared) : { base: float, inputs: NO_INPUTS };
    return recalibrate({
      ...this.#images(shared),
      detector: base,
      inputs,
      plan: plan ?? { format: 'raad-bit-plan', version: 1, layers: {} },
      ...(quantised && { quantised }),
      penalty: penalty(float.state.provenance.seed),
      ...(settings.recalibration && { settings: settings.recalibration }),
      onProgress: ({ phase, done, total }) => onProgress?.(phase, done, total),
    });
  }

  #images({ data: { train, heldOut } }: Shared) {
    const { onNotice, signal } = this.#options;
    return { train, heldOut, ...(onNotice && { onNotice }), ...(signal && { signal }) };
  }

  async #postprocess({ float, data }: Shared, arm: Arm): Promise<((cells: Float32Array) => Float32Array) | undefined> {
    if (arm === 'blur') return gaussianBlur;
    if (arm !== 'locations') return undefined;
    const statistics = new MapStatistics();
    for (let i = 0; i < data.heldOut.count; i++) {
      statistics.add((await float.predict(await data.heldOut.image(i))).cells);
    }
    return normaliseLocations(statistics);
  }

  async #simulated({ engine, state }: Detector, source: TestSource): Promise<number | undefined> {
    const { signal } = this.#options;
    const detector = new Detector(engine, state, { simulate: true });
    try {
      const batch = evaluationBatch(detector);
      return (await evaluate({ detector, source, detail: 'images', batch, ...(signal && { signal }) })).metrics.auroc;
    } finally {
      detector.destroy();
    }
  }
}

function defined<T extends Record<string, number | undefined>>(values: T): { [K in keyof T]?: number } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: number;
  };
}

/** Width of every layer's weights; 32 where they are float. */
export function widths({ state }: Detector): Record<string, number> {
  return Object.fromEntries(
    [...quantisableLayers(state.networks).keys()].map((name) => [
      name,
      state.quantisation?.get(name)?.plan.weights ?? 32,
    ]),
  );
}

/** Bytes of all weights and scales as stored, and the mean width of a weight. */
export function weightSize({ state }: Detector): { weightBytes: number; averageBits: number } {
  let weightBytes = 0;
  let bits = 0;
  let count = 0;
  for (const [name, { weight }] of quantisableLayers(state.networks)) {
    const layer = state.quantisation?.get(name)?.plan;
    weightBytes += layer ? layerBytes(weight.type.shape, layer) : 4 * weight.data.length;
    bits += (layer?.weights ?? 32) * weight.data.length;
    count += weight.data.length;
  }
  return { weightBytes, averageBits: bits / count };
}
