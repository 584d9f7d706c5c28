import { GOOD } from '../data/dataset.ts';
import type { RgbImage } from '../data/image.ts';
import { Detector } from '../detector/detector.ts';
import { saveDetector } from '../detector/modelFile.ts';
import { MapStatistics } from '../evaluation/bias.ts';
import { type EvaluatedImage, type Evaluation, evaluate, type TestSource } from '../evaluation/evaluate.ts';
import type { Allocation } from '../hqs/allocate.ts';
import { measure } from '../measure/measure.ts';
import { recalibrateQuantized, type TrainOnOptions, trainOn } from '../train/recalibrate.ts';
import { Allocations } from './allocations.ts';
import { type Arm, type ArmRule, armRule, isQuantizedArm, isSimulated, scoresOf } from './arms.ts';
import { type CellResult, cellId, type StudyCell } from './cells.ts';
import type { StudyOptions } from './options.ts';
import { checkStudySettings } from './settings.ts';
import { SharedArtifacts } from './shared.ts';
import { weightSize, widths } from './sizes.ts';

const TIMED_ROUNDS = 9;

/** Pixels that go through the networks at once when a cell is evaluated. */
const EVALUATED_PIXELS = 8 * 128 * 128;

function evaluationBatch({ state }: Detector): number {
  return Math.max(1, Math.floor(EVALUATED_PIXELS / state.networks.side ** 2));
}

/** Looks on while a cell is run. */
export interface CellWatch {
  readonly onImage?: ((image: EvaluatedImage, detector: Detector) => void | Promise<void>) | undefined;
  readonly onEvaluated?: ((evaluation: Evaluation, detector: Detector) => void | Promise<void>) | undefined;
}

/** Artifacts and bit plans of one set and seed. */
interface Opened {
  readonly shared: SharedArtifacts;
  readonly allocations: Allocations;
}

/** Runs cells; those of one set and seed share the float checkpoint, the data order and the layers' scores. */
export class StudyRunner {
  readonly #options: StudyOptions;
  #opened: Opened | undefined;

  /** @throws UserError for settings that no study can be run with */
  constructor(options: StudyOptions) {
    checkStudySettings(options.settings);
    this.#options = options;
  }

  /** @throws UserError for unusable data or settings */
  async run(cell: StudyCell, watch: CellWatch = {}): Promise<CellResult> {
    const start = performance.now();
    const { shared, allocations } = await this.#open(cell.set, cell.seed);
    const { float, data } = shared;
    const detector = cell.recalibrated
      ? await this.#trainedOn(shared, allocations, cell.arm)
      : await beforeTraining(shared, allocations, cell.arm);
    try {
      const { metrics, results, biasIndex, sample } = await this.#evaluate(shared, cell.arm, detector, watch);
      const timing = await this.#time(detector, float, sample);
      return {
        ...cell,
        id: cellId(cell),
        layout: data.layout,
        metrics: defined({
          auroc: metrics.auroc,
          ap: metrics.image?.ap,
          pixelAuroc: metrics.pixel?.auroc,
          pixelAp: metrics.pixel?.ap,
          overlap: metrics.overlap?.areas[0],
          biasIndex,
          simulatedAuroc: isSimulated(cell) ? await this.#simulated(detector, data.test) : undefined,
        }),
        size: { ...weightSize(detector), fileBytes: (await saveDetector(detector)).length },
        timing,
        memoryBytes: await detector.deviceBytes(),
        bits: widths(detector),
        images: results.map(({ defect, score }) => [defect, Number(score.toPrecision(7))] as const),
        adapter: this.#options.engine.caps.description,
        seconds: (performance.now() - start) / 1000,
      };
    } finally {
      // Others belong to what cells share.
      if (cell.recalibrated) detector.destroy();
    }
  }

  /** What arms of a set and seed share, the float detector, scores of its layers and plans that were timed: computed, or read from the store. */
  async prepare(set: string, seed: number, arms: readonly Arm[]): Promise<void> {
    const { shared, allocations } = await this.#open(set, seed);
    for (const kind of scoresOf(arms)) await shared.scores(kind);
    for (const arm of arms) if (armRule(arm).plan?.size === 'time') await allocations.of(arm);
  }

  /** The bit plan of a cell with the scores that it came from. @throws UserError for an arm that has none */
  async allocation({ set, seed, arm }: StudyCell): Promise<Allocation> {
    const { allocations } = await this.#open(set, seed);
    return allocations.of(arm);
  }

  destroy(): void {
    this.#opened?.shared.destroy();
    this.#opened = undefined;
  }

  /** One set and seed are open at a time. */
  async #open(set: string, seed: number): Promise<Opened> {
    const known = this.#opened;
    if (known?.shared.set === set && known.shared.seed === seed) return known;
    this.destroy();
    const shared = await SharedArtifacts.open(this.#options, set, seed);
    this.#opened = { shared, allocations: new Allocations(shared, this.#options.settings) };
    return this.#opened;
  }

  /** An arm's detector trained on, which is the caller's. */
  async #trainedOn(shared: SharedArtifacts, allocations: Allocations, arm: Arm): Promise<Detector> {
    const { settings, penalty, onProgress, onNotice, signal } = this.#options;
    const { train, heldOut } = shared.data;
    const options: TrainOnOptions = {
      train,
      heldOut,
      penalty: penalty(shared.seed),
      settings: settings.recalibration,
      onProgress: ({ phase, done, total }) => onProgress?.(phase, done, total),
      onNotice,
      signal,
    };
    if (!isQuantizedArm(arm)) return trainOn(shared.float, options);
    const { plan } = await allocations.of(arm);
    const [prepared, quantized] = [await shared.prepared(), await shared.quantized(arm, plan)];
    return recalibrateQuantized({ ...options, prepared, plan, quantized });
  }

  /** @returns what the test images say, and the first of them */
  async #evaluate(shared: SharedArtifacts, arm: Arm, detector: Detector, { onImage, onEvaluated }: CellWatch) {
    const { signal, onNotice } = this.#options;
    const bias = new MapStatistics();
    let sample: RgbImage | undefined;
    const evaluation = await evaluate({
      detector,
      source: shared.data.test,
      postprocess: await filterOf(shared, armRule(arm).postprocess),
      // A look at one detector shows every kind of defect; tables do not.
      detail: onEvaluated ? 'defects' : 'pixels',
      batch: evaluationBatch(detector),
      onResult: (_, image) => {
        sample ??= image.image;
        if (image.defect === GOOD) bias.add(image.prediction.gridMap);
        return onImage?.(image, detector);
      },
      onNotice,
      signal,
    });
    await onEvaluated?.(evaluation, detector);
    return { ...evaluation, biasIndex: bias.biasIndex, sample: sample! };
  }

  /** Milliseconds from image to map, in turns with the float detector. */
  async #time(detector: Detector, float: Detector, sample: RgbImage): Promise<CellResult['timing']> {
    const { signal } = this.#options;
    const predict = (subject: Detector) => ({ name: '', run: () => subject.predict(sample) });
    const rounds = { rounds: TIMED_ROUNDS, warmUp: 2, signal };
    const [ours, theirs] = await measure([predict(detector), predict(float)], rounds);
    return { milliseconds: ours!.median, floatMilliseconds: theirs!.median };
  }

  async #simulated({ engine, state }: Detector, source: TestSource): Promise<number | undefined> {
    const { signal } = this.#options;
    const detector = new Detector(engine, state, { simulate: true });
    try {
      const batch = evaluationBatch(detector);
      return (await evaluate({ detector, source, detail: 'images', batch, signal })).metrics.auroc;
    } finally {
      detector.destroy();
    }
  }
}

/** An arm's detector before it is trained on, which belongs to what cells share. */
async function beforeTraining(shared: SharedArtifacts, allocations: Allocations, arm: Arm): Promise<Detector> {
  if (!isQuantizedArm(arm)) return shared.float;
  return shared.quantized(arm, (await allocations.of(arm)).plan);
}

/** What is done to maps before they are scored; nothing where a rule names no filter. */
async function filterOf(
  { float, data: { heldOut } }: SharedArtifacts,
  kind: ArmRule['postprocess'],
): Promise<((map: Float32Array) => Float32Array) | undefined> {
  if (kind === undefined) return undefined;
  const { GaussianFilter, LocationFilter } = await import('../detector/mapFilters.ts');
  const maps: Float32Array[] = [];
  for (let i = 0; kind !== 'blur' && i < heldOut.count; i++)
    maps.push((await float.predict(await heldOut.image(i))).gridMap);
  const filter = kind === 'blur' ? new GaussianFilter() : LocationFilter.of(maps).filter;
  return (map) => filter.apply(map);
}

function defined<T extends Record<string, number | undefined>>(values: T): { [K in keyof T]?: number } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: number;
  };
}
