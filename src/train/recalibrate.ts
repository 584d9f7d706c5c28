import type { ImageSource } from '../data/image.ts';
import { calibrate } from '../detector/calibrate.ts';
import { checkAlpha } from '../detector/conformal.ts';
import { Detector } from '../detector/detector.ts';
import type { DetectorState } from '../detector/detectorState.ts';
import {
  type ApplyPlanOptions,
  type PreparedQuantization,
  prepareQuantization,
  type QuantizeOptions,
  type QuantizeProgress,
} from '../detector/quantize.ts';
import { seenImages } from '../detector/seen.ts';
import type { Engine } from '../engine/engine.ts';
import type { Parameter } from '../engine/graph.ts';
import { UserError } from '../errors.ts';
import { dequantizeWeights, encodeWeights, latentWeights } from '../formats/weightCodes.ts';
import type { Networks } from '../networks/networks.ts';
import { layerOfWeight } from '../networks/pdn.ts';
import type { BitPlan } from '../quantization/bitPlan.ts';
import { fakeQuantizeGraph, type LearnableScales, learnableScales } from '../quantization/fakeGraph.ts';
import { integerGraph, type LayerCache } from '../quantization/integerGraph.ts';
import { copyNetworks, type Quantization, type QuantizedLayer } from '../quantization/layers.ts';
import { preparationFor } from '../quantization/prepare.ts';
import { readCheckpoint } from './checkpoint.ts';
import { cachesFeatures, checkSteps, trainingGraph } from './fit.ts';
import type { PenaltySource } from './penalty.ts';
import { type TrainingControl, type TrainingProgress, TrainingSession } from './trainingLoop.ts';

/** What defines a recalibration. */
export interface RecalibrateSettings {
  /** A tenth of the detector's own training by default. */
  readonly iterations: number;
  readonly batch: number;
  /** 1e-5 by default. */
  readonly learningRate: number;
  readonly weightDecay: number;
}

/** Settings that differ from those by default. */
export type RecalibrateChange = { readonly [K in keyof RecalibrateSettings]?: RecalibrateSettings[K] | undefined };

/** How a detector is trained on. */
export interface TrainOnOptions extends Omit<ApplyPlanOptions, 'onProgress'>, Omit<TrainingControl, 'signal'> {
  /** Normal images that the detector was trained on. */
  readonly train: ImageSource;
  /** Natural images for the penalty loss. */
  readonly penalty: PenaltySource;
  readonly settings?: RecalibrateChange | undefined;
  /** Bytes of a checkpoint to continue from. */
  readonly resume?: Uint8Array | undefined;
  readonly onProgress?: ((progress: RecalibrateProgress) => void) | undefined;
  /** Aborting saves a checkpoint and rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

export interface RecalibrateOptions extends TrainOnOptions, Omit<QuantizeOptions, keyof TrainOnOptions> {
  /** Width of every layer; one that names no layer trains the float networks on. */
  readonly plan: BitPlan;
}

export interface RecalibrateQuantizedOptions extends TrainOnOptions {
  readonly prepared: PreparedQuantization;
  readonly plan: BitPlan;
  /** What `prepared` has made of `plan`; it is neither changed nor destroyed. */
  readonly quantized: Detector;
}

/** How far a recalibration is. */
export interface RecalibrateProgress extends Omit<TrainingProgress, 'phase'> {
  readonly phase: TrainingProgress['phase'] | QuantizeProgress['phase'];
}

/** Learning rate by default. */
const RECALIBRATION_RATE = 1e-5;
const WEIGHT_DECAY = 1e-5;
const SHARE_OF_TRAINING = 0.1;

/** Iterations of a recalibration by default. @param iterations of the training before */
function recalibrationLength(iterations: number): number {
  return Math.max(1, Math.round(SHARE_OF_TRAINING * iterations));
}

/** The settings of a recalibration after a training of these lengths. @throws UserError for unusable ones */
export function recalibrateSettings(
  before: { readonly iterations: number; readonly batch: number },
  change: RecalibrateChange = {},
): RecalibrateSettings {
  const settings = {
    iterations: change.iterations ?? recalibrationLength(before.iterations),
    batch: change.batch ?? before.batch,
    learningRate: change.learningRate ?? RECALIBRATION_RATE,
    weightDecay: change.weightDecay ?? WEIGHT_DECAY,
  };
  checkSteps(settings);
  return settings;
}

/**
 * Quantizes a float detector and trains the quantized student and autoencoder on, with rounding in the forward pass,
 * straight-through gradients and learned scales; the quantized teacher is the target and stays (RAAD, recalibration). The
 * result runs on integer weights; map quantiles and threshold are taken anew.
 * @returns a quantized detector, or a float one when the plan names no layer
 * @throws UserError for unusable data or settings, or a detector that is quantized already
 */
export async function recalibrate(options: RecalibrateOptions): Promise<Detector> {
  const { detector, plan } = options;
  recalibrateSettings(detector.state.provenance, options.settings);
  checkAlpha(options.alpha);
  const needed = preparationFor(plan, detector.state.networks);
  if (needed.layers.length === 0) return trainOn(detector, options);
  const prepared = await prepareQuantization({ ...options, ...needed });
  const quantized = await prepared.quantize(plan, options);
  try {
    return await recalibrateQuantized({ ...options, prepared, quantized });
  } finally {
    quantized.destroy();
  }
}

/**
 * The second half of {@link recalibrate}, of a detector that is quantized already: several plans share what was prepared.
 * @throws UserError for unusable data or settings
 */
export async function recalibrateQuantized(options: RecalibrateQuantizedOptions): Promise<Detector> {
  const { prepared, plan, quantized } = options;
  const { engine, state } = quantized;
  const { quantization = new Map() } = state;
  const networks = latentNetworks(prepared.networks, state.networks, quantization);
  return trainLatent({ engine, state, networks, quantization, plan: plan.layers }, options);
}

/**
 * Trains a float detector's student and autoencoder on: the control of {@link recalibrate}. The teacher and its statistics stay;
 * map quantiles and threshold are taken anew.
 * @throws UserError for unusable data or settings, or a quantized detector
 */
export async function trainOn(detector: Detector, options: TrainOnOptions): Promise<Detector> {
  const { engine, state } = detector;
  if (state.quantization)
    throw new UserError('the detector is quantized already.', 'Train the float model on that it was made from.');
  return trainLatent(
    { engine, state, networks: copyNetworks(state.networks), quantization: new Map(), plan: {} },
    options,
  );
}

/** What is trained on. */
interface Latent {
  readonly engine: Engine;
  /** Of the detector before. */
  readonly state: DetectorState;
  /** The float values that training moves; they become the result's. */
  readonly networks: Networks;
  /** How they are rounded; empty for float networks. */
  readonly quantization: Quantization;
  /** What a checkpoint has to agree with. */
  readonly plan: BitPlan['layers'];
}

async function trainLatent(
  { engine, state, networks, quantization, plan }: Latent,
  options: TrainOnOptions,
): Promise<Detector> {
  const { train, heldOut, penalty, onProgress, onNotice, signal, resume } = options;
  const { provenance } = state;
  const settings = recalibrateSettings(provenance, options.settings);
  checkAlpha(options.alpha);
  const scales = learnableScales(quantization);
  const learned = learnedScales(scales, networks);
  const alsoTrained = scalesOf(learned);
  const cache: LayerCache = new Map();
  const { images, wholes } = await seenImages(state, train, settings.iterations * settings.batch);
  const session = new TrainingSession({
    ...options,
    ...settings,
    train: images,
    wholes,
    engine,
    networks,
    seed: provenance.seed,
    trained: [...networks.trained, ...alsoTrained],
    graph: trainingGraph(
      networks,
      { ...settings, seed: provenance.seed },
      {
        rewrite: (losses) => fakeQuantizeGraph(losses, quantization, scales),
        alsoTrained,
        cachesFeatures: cachesFeatures(engine),
        hasWholes: wholes !== undefined,
      },
    ),
    teacher: (x) => integerGraph([networks.teacher.forward(x)], quantization, cache)[0]!,
    earlierSteps: provenance.iterations,
    fingerprint: {
      ...settings,
      seed: provenance.seed,
      plan: JSON.stringify(plan),
      from: JSON.stringify(provenance),
    },
    resume: resume && (await readCheckpoint(resume)),
  });
  try {
    await session.train();
  } finally {
    session.destroy();
    engine.release([...cache.values(), ...networks.parameters, ...scalesOf(scales)]);
  }
  const result = quantization.size > 0 ? convert(networks, quantization, learned) : { networks };
  onProgress?.({ phase: 'calibrate', done: 0, total: 1 });
  const recalibrated = new Detector(engine, {
    ...state,
    ...result,
    provenance: {
      ...provenance,
      recalibrationIterations: settings.iterations,
      recalibrationLearningRate: settings.learningRate,
      recalibrationPenalty: penalty.name,
      recalibrationImages: train.count,
    },
  });
  try {
    const { alpha = state.threshold?.alpha } = options;
    const calibrated = await calibrate(recalibrated, heldOut, { alpha, train, onNotice, signal });
    onProgress?.({ phase: 'calibrate', done: 1, total: 1 });
    return calibrated;
  } finally {
    recalibrated.destroy();
  }
}

function scalesOf({ weights, inputs }: LearnableScales): Parameter[] {
  return [...weights.values(), ...inputs.values()];
}

/**
 * The scales that training moves. The teacher is the target, so all of its own stay. So does the quantizer of the image, whose
 * range is known: teacher, student and autoencoder then read one stored image, and no gradient has to be taken back to it.
 */
function learnedScales({ weights, inputs }: LearnableScales, { student, autoencoder }: Networks): LearnableScales {
  const first = new Set(
    [student.convolutions[0]!, autoencoder.encoder[0]!].map(({ weight }) => layerOfWeight(weight.name)),
  );
  const only = (scales: ReadonlyMap<string, Parameter>, isLearned: (layer: string) => boolean) =>
    new Map([...scales].filter(([layer]) => !layer.startsWith('teacher.') && isLearned(layer)));
  return { weights: only(weights, () => true), inputs: only(inputs, (layer) => !first.has(layer)) };
}

/**
 * The float values that training moves: those before quantizing, as far as they round to the same codes. What starts in the
 * middle of its decision interval would need many steps before a code changes.
 */
function latentNetworks(float: Networks, quantized: Networks, quantization: Quantization): Networks {
  const latent = copyNetworks(quantized);
  const before = new Map(float.parameters.map((parameter) => [parameter.name, parameter]));
  for (const parameter of latent.parameters) {
    const codes = parameter.name.endsWith('.weight') && quantization.get(layerOfWeight(parameter.name))?.weights;
    if (codes) parameter.data = latentWeights(codes, before.get(parameter.name)!.data as Float32Array);
  }
  return latent;
}

/** Codes of the trained values by the learned scales, and networks with the values that they stand for. */
function convert(networks: Networks, quantization: Quantization, learned: LearnableScales) {
  const copy = copyNetworks(networks);
  const values = new Map(copy.parameters.map((parameter) => [parameter.name, parameter]));
  const value = ({ data }: Parameter) => Float32Array.from(data, Math.exp);
  const layers = [...quantization].map(([name, layer]): [string, QuantizedLayer] => {
    const weight = values.get(`${name}.weight`)!;
    const [weightScales, inputScale] = [learned.weights.get(name), learned.inputs.get(name)];
    const { bits, shape, groupSize } = layer.weights ?? {};
    const weights =
      bits && weightScales
        ? encodeWeights(weight.data as Float32Array, shape!, bits, groupSize!, value(weightScales))
        : layer.weights;
    if (weights) weight.data = dequantizeWeights(weights);
    const input = layer.input && inputScale ? { ...layer.input, scale: value(inputScale)[0]! } : layer.input;
    return [name, { plan: layer.plan, weights, input }];
  });
  return { networks: copy, quantization: new Map(layers) };
}
