import { jsonText } from '../checks/shape.ts';
import type { Detector } from '../detector/detector.ts';
import { loadDetector, saveDetector } from '../detector/modelFile.ts';
import { type PreparedQuantization, prepareQuantization } from '../detector/quantize.ts';
import { planTimer } from '../hqs/latencies.ts';
import { type RoundingErrors, roundingErrors } from '../hqs/leastError.ts';
import { type LayerScore, layerScores, ompqScores } from '../hqs/scores.ts';
import type { PlanTimer } from '../hqs/timeBudget.ts';
import { type BitPlan, bitPlanText, parseBitPlan } from '../quantization/bitPlan.ts';
import { fit } from '../train/fit.ts';
import type { Arm, ScoreKind } from './arms.ts';
import type { StudyData, StudyOptions } from './options.ts';
import { LAYER_SCORES } from './shapes.ts';
import { checkpointFile, checkShared, modelFile, parseScores, scoresFile, timedPlanFile } from './sharedFiles.ts';

/** Steps between checkpoints. */
const CHECKPOINT_EVERY = 100;

/** What the cells of one set and seed share: computed when it is asked for, or read from the store. It owns its detectors. */
export class SharedArtifacts {
  readonly set: string;
  readonly seed: number;
  readonly data: StudyData;
  readonly float: Detector;
  readonly #options: StudyOptions;
  #errors: RoundingErrors | undefined;
  #prepared: PreparedQuantization | undefined;
  /** The last arm that was quantized: its recalibrated cell starts from it. */
  #quantized: { readonly arm: Arm; readonly detector: Detector } | undefined;

  private constructor(
    options: StudyOptions,
    { set, seed, data, float }: Pick<SharedArtifacts, 'set' | 'seed' | 'data' | 'float'>,
  ) {
    this.#options = options;
    this.set = set;
    this.seed = seed;
    this.data = data;
    this.float = float;
  }

  /** Trains the float detector, unless the store has it. @throws UserError for unusable data */
  static async open(options: StudyOptions, set: string, seed: number): Promise<SharedArtifacts> {
    const { engine, store } = options;
    const data = await options.open(set, seed);
    const name = modelFile(set, seed);
    const model = (await store.load(name)) ?? (await fitShared(options, { set, seed, data }));
    return new SharedArtifacts(options, { set, seed, data, float: await loadDetector(engine, model, { name }) });
  }

  /** Scores of the float detector's layers. */
  async scores(kind: ScoreKind): Promise<LayerScore[]> {
    const { settings, store, signal } = this.#options;
    const { set, seed, float: detector, data } = this;
    const name = scoresFile(set, seed, kind);
    const known = await store.load(name);
    if (known) return parseScores(known, name);
    const options = { detector, seed, ...settings.scoring, signal };
    const scores =
      kind === 'hqs'
        ? await layerScores({ ...options, normal: data.heldOut, reference: data.train })
        : await ompqScores({ ...options, normal: data.train });
    await store.save(name, new TextEncoder().encode(jsonText(scores, LAYER_SCORES, name)));
    return scores;
  }

  /** The bit plan of the arm `time`: allocated when it is first asked for, then read from the store. */
  async timedPlan(make: (timer: PlanTimer) => Promise<BitPlan>): Promise<BitPlan> {
    const { engine, store, timer, signal } = this.#options;
    const { set, seed, float } = this;
    const { networks } = float.state;
    const name = timedPlanFile(set, seed);
    const known = await store.load(name);
    if (known) return parseBitPlan(new TextDecoder().decode(known), networks);
    const plan = await make(timer?.(float) ?? planTimer(engine, { state: float.state, signal }));
    await store.save(name, new TextEncoder().encode(bitPlanText(plan, networks)));
    return plan;
  }

  /** Rounding errors of the float detector's weights. */
  errors(): RoundingErrors {
    this.#errors ??= roundingErrors(this.float.state.networks);
    return this.#errors;
  }

  /** What all quantized arms start from. */
  async prepared(): Promise<PreparedQuantization> {
    const { signal } = this.#options;
    this.#prepared ??= await prepareQuantization({
      detector: this.float,
      train: this.data.train,
      activations: 'integer',
      signal,
    });
    return this.#prepared;
  }

  /** An arm's quantized detector, until another arm's is asked for. */
  async quantized(arm: Arm, plan: BitPlan): Promise<Detector> {
    if (this.#quantized?.arm === arm) return this.#quantized.detector;
    const { onNotice, signal } = this.#options;
    const prepared = await this.prepared();
    const detector = await prepared.quantize(plan, {
      heldOut: this.data.heldOut,
      onNotice,
      signal,
    });
    this.#quantized?.detector.destroy();
    this.#quantized = { arm, detector };
    return detector;
  }

  /** Frees its detectors. */
  destroy(): void {
    this.float.destroy();
    this.#quantized?.detector.destroy();
  }
}

/** @returns the model as the store has it: another runner may have been first */
async function fitShared(
  options: StudyOptions,
  { set, seed, data }: Pick<SharedArtifacts, 'set' | 'seed' | 'data'>,
): Promise<Uint8Array> {
  const { engine, settings, penalty, teacher, store, onProgress, onNotice, signal } = options;
  const checkpoint = checkpointFile(set, seed);
  const resume = await store.load(checkpoint);
  if (resume) await checkShared(checkpoint, resume);
  const dataDigest = await data.digest?.();
  const detector = await fit({
    engine,
    settings: { ...settings.fit, seed },
    dataset: set,
    dataDigest,
    train: data.train,
    heldOut: data.heldOut,
    penalty: penalty(seed),
    teacher,
    checkpoint: { every: CHECKPOINT_EVERY, save: (bytes) => store.save(checkpoint, bytes) },
    resume: resume && resume.length > 0 ? resume : undefined,
    onProgress: ({ phase, done, total }) => onProgress?.(phase, done, total),
    onNotice,
    signal,
  });
  await store.save(modelFile(set, seed), await saveDetector(detector));
  await store.save(checkpoint, new Uint8Array(0));
  detector.destroy();
  return (await store.load(modelFile(set, seed)))!;
}
