import { firstNotFinite } from '../checks/numbers.ts';
import type { Engine } from '../engine/engine.ts';
import { input, type Node, topologicalOrder } from '../engine/graph.ts';
import { UserError } from '../errors.ts';
import type { Conv2dAttrs } from '../kernels/conv2dShape.ts';
import { imageToTensor } from '../kernels/image.ts';
import { checkAlpha } from '../model/conformal.ts';
import { Detector } from '../model/detector.ts';
import { anomalyMaps } from '../model/inference.ts';
import type { Networks } from '../model/networks.ts';
import { Resizer } from '../model/pixels.ts';
import { ChannelStatistics } from '../model/statistics.ts';
import { correctBiases, type TapMeans, TapObserver } from '../quantisation/biases.ts';
import { type BitPlan, checkLayerPlans, quantisableLayers } from '../quantisation/bitPlan.ts';
import { equalisableLayers, equaliseNetworks } from '../quantisation/equalise.ts';
import { integerGraph, type LayerCache, layerOf } from '../quantisation/integerGraph.ts';
import {
  type ActivationQuantiser,
  isQuantised,
  needsRange,
  type Quantisation,
  quantiseNetworks,
} from '../quantisation/layers.ts';
import { type RangeMethod, RangeObserver } from '../quantisation/ranges.ts';
import { calibrate, type ImageSource } from './calibrate.ts';

export interface QuantizeOptions {
  readonly detector: Detector;
  /** Width of every layer. @see uniformPlan, parseBitPlan */
  readonly plan: BitPlan;
  /** Normal images that the detector was trained on: for the ranges of activations and the teacher's statistics. */
  readonly train: ImageSource;
  /** Normal images that it was not trained on: for map quantiles and threshold. */
  readonly heldOut: ImageSource;
  /** How the ranges of activations are chosen; `minmax` by default, `mse` for 4 bits. */
  readonly method?: RangeMethod;
  /** Images that ranges are taken from, evenly spread over `train`; 32. */
  readonly rangeImages?: number;
  /** What is known already about the inputs of the detector's layers; then the detector is not equalised. @see prepareQuantisation */
  readonly inputs?: LayerInputs;
  /** Wanted false-alarm rate of the threshold; that of the detector by default. */
  readonly alpha?: number;
  readonly onProgress?: (progress: QuantizeProgress) => void;
  /** Called with one sentence for everything that is left out. */
  readonly onNotice?: (message: string) => void;
  readonly signal?: AbortSignal;
}

/** What calibration images say about the inputs of a detector's layers, by layer. */
export interface LayerInputs {
  readonly ranges: ReadonlyMap<string, ActivationQuantiser>;
  /** Biases of layers without means stay as they are. @see correctBiases */
  readonly means: ReadonlyMap<string, TapMeans>;
}

export interface QuantizeProgress {
  readonly phase: 'equalise' | 'ranges' | 'means' | 'statistics' | 'calibrate';
  readonly done: number;
  readonly total: number;
}

const RANGE_IMAGES = 32;

type Shape = readonly [batch: number, channels: number, height: number, width: number];

/**
 * Turns a float detector into one that runs on packed integer weights (RAAD, decomposition). Biases make up for what rounding
 * does to the means of channels. Teacher statistics, map quantiles and threshold are taken anew with the quantised networks.
 * No weight is trained.
 * @throws UserError without images, or for a detector that is quantised already
 */
export async function quantize(options: QuantizeOptions): Promise<Detector> {
  const { detector, plan, train, heldOut, onProgress, signal } = options;
  const { state, engine } = detector;
  checkAlpha(options.alpha);
  const { base, inputs } = await prepareQuantisation(options);
  const { networks, quantisation } = quantiseNetworks(base.state.networks, plan, inputs.ranges);
  correctBiases(base.state.networks, networks, quantisation, inputs.means);
  if (base !== detector) base.destroy();
  await teacherStatistics(engine, networks, { quantisation, train, onProgress, signal });
  onProgress?.({ phase: 'calibrate', done: 0, total: 1 });
  const quantised = new Detector(engine, { ...state, networks, ...(quantisation.size > 0 && { quantisation }) });
  const { alpha = state.threshold?.alpha, onNotice } = options;
  const result = await calibrate(quantised, heldOut, { alpha, train, onNotice, signal });
  quantised.destroy();
  onProgress?.({ phase: 'calibrate', done: 1, total: 1 });
  return result;
}

/**
 * The float detector that a plan's quantisation starts from, and what its layers read: with more equal channels where the plan
 * has 8-bit activations, unless the inputs are given.
 * @throws UserError without images, for a plan of other layers, or for a detector that is quantised already
 */
export async function prepareQuantisation(
  options: QuantizeOptions,
): Promise<{ readonly base: Detector; readonly inputs: LayerInputs }> {
  const { detector, plan, train, inputs } = options;
  if (detector.state.quantisation) {
    throw new UserError('the detector is quantised already.', 'Quantise the float model that it was made from.');
  }
  checkLayerPlans(plan.layers, detector.state.networks);
  if (train.count === 0) throw new UserError('there are no good images to take ranges from.', 'Give the data set.');
  if (inputs) return { base: detector, inputs };
  const isWide = Object.values(plan.layers).every(({ activations }) => activations > 8);
  const base = isWide ? detector : await equalise(options);
  const ranges = await activationRanges({ ...options, detector: base });
  return { base, inputs: { ranges, means: await inputMeans({ ...options, detector: base }, ranges) } };
}

/** A float detector of equal function whose channels have more equal ranges. @see equaliseNetworks */
export async function equalise(
  options: Pick<QuantizeOptions, 'detector' | 'train' | 'rangeImages' | 'onProgress' | 'signal'>,
): Promise<Detector> {
  const { engine, state } = options.detector;
  const maxima = new Map<string, Float32Array>();
  await readInputs(options, 'equalise', equalisableLayers(state.networks), (layers, values, [, channels]) => {
    const plane = values.length / channels;
    for (const layer of layers) {
      const largest = maxima.get(layer) ?? new Float32Array(channels);
      maxima.set(layer, largest);
      values.forEach((value, i) => {
        const c = Math.floor(i / plane);
        if (Math.abs(value) > largest[c]!) largest[c] = Math.abs(value);
      });
    }
  });
  return new Detector(engine, { ...state, networks: equaliseNetworks(state.networks, maxima) });
}

/** The float graph's convolutions, by layer. */
function layerNodes(networks: Networks, x: Node): Map<string, Node> {
  const quantiles = input('quantiles', [4]);
  const maps = anomalyMaps(networks, quantiles, x);
  const nodes = new Map<string, Node>();
  for (const node of topologicalOrder([maps.studentTeacher, maps.autoencoder])) {
    const use = layerOf(node);
    if (use) nodes.set(use.name, node);
  }
  return nodes;
}

/** The float graph's value that each layer reads, by layer. */
export function layerInputs(networks: Networks, x: Node): Map<string, Node> {
  return new Map([...layerNodes(networks, x)].map(([name, node]) => [name, node.inputs[0]!]));
}

/** Quantisers of the inputs of all layers that need one, from images run through the float networks. */
export async function activationRanges(options: QuantizeOptions): Promise<Map<string, ActivationQuantiser>> {
  const { detector, plan, method } = options;
  const wanted = [...quantisableLayers(detector.state.networks).keys()].filter((name) => {
    const layer = plan.layers[name];
    return layer && needsRange(layer);
  });
  const observers = new Map<string, RangeObserver>();
  await readInputs(options, 'ranges', wanted, (layers, values) => {
    // Layers that read the same values share an observer.
    const observer = observers.get(layers[0]!) ?? new RangeObserver();
    for (const layer of layers) observers.set(layer, observer);
    observer.add(values);
  });
  return new Map(
    [...observers].map(([name, observer]) => [
      name,
      observer.quantiser(plan.layers[name]!.activations === 4 ? 4 : 8, method),
    ]),
  );
}

/** What every tap of the layers of a plan reads on average, before and after the quantisers of their inputs. */
export async function inputMeans(
  options: QuantizeOptions,
  ranges: ReadonlyMap<string, ActivationQuantiser>,
): Promise<Map<string, TapMeans>> {
  const { detector, plan } = options;
  const { networks } = detector.state;
  const parameters = quantisableLayers(networks);
  const image = input('image', [1, networks.side, networks.side], 'u32');
  const observers = new Map<string, TapObserver>();
  for (const [name, { attrs }] of layerNodes(networks, imageToTensor(image))) {
    const layer = plan.layers[name];
    if (!layer || !isQuantised(layer)) continue;
    const range = ranges.get(name);
    const { stride, padding } = attrs as Conv2dAttrs;
    const window = { weights: parameters.get(name)!.weight.type.shape, stride, padding };
    observers.set(name, new TapObserver(window, range && { ...range, most: 2 ** layer.activations - 1 }));
  }
  await readInputs(options, 'means', [...observers.keys()], (layers, values, [, , height, width]) => {
    for (const layer of layers) observers.get(layer)!.add(values, height, width);
  });
  return new Map([...observers].map(([name, observer]) => [name, observer.means()]));
}

/** Runs images through the float networks. @param visit gets what some layers read, [1, channels, height, width] */
async function readInputs(
  {
    detector: { engine, state },
    train,
    rangeImages = RANGE_IMAGES,
    onProgress,
    signal,
  }: Pick<QuantizeOptions, 'detector' | 'train' | 'rangeImages' | 'onProgress' | 'signal'>,
  phase: QuantizeProgress['phase'],
  wanted: readonly string[],
  visit: (layers: readonly string[], values: Float32Array, shape: Shape) => void,
): Promise<void> {
  if (wanted.length === 0) return;
  const { side } = state.networks;
  const image = input('image', [1, side, side], 'u32');
  const readers = new Map<Node, string[]>();
  for (const [name, node] of layerInputs(state.networks, imageToTensor(image))) {
    if (wanted.includes(name)) readers.set(node, [...(readers.get(node) ?? []), name]);
  }
  const nodes = [...readers];
  const keys = nodes.map((_, i) => `input${i}`);
  const plan = await engine.compile({ outputs: Object.fromEntries(nodes.map(([node], i) => [keys[i]!, node])) });
  const resizer = new Resizer(engine, side);
  const total = Math.min(rangeImages, train.count);
  try {
    for (let i = 0; i < total; i++) {
      signal?.throwIfAborted();
      const pixels = await resizer.resize(await train.image(Math.floor((i * train.count) / total)));
      const values = await plan.run({ image: pixels }, keys);
      nodes.forEach(([node, layers], k) => {
        const own = values[keys[k]!] as Float32Array;
        const at = firstNotFinite(own);
        if (at >= 0)
          throw new UserError(
            `the input of ${layers[0]} is ${own[at]} on a training image, so it has no range.`,
            "The networks' values overflow: train the model again.",
          );
        visit(layers, own, node.type.shape as Shape);
      });
      onProgress?.({ phase, done: i + 1, total });
    }
  } finally {
    plan.destroy();
    resizer.destroy();
  }
}

interface StatisticsOptions {
  readonly quantisation: Quantisation;
  readonly train: ImageSource;
  readonly onProgress: QuantizeOptions['onProgress'];
  readonly signal: AbortSignal | undefined;
}

/** Mean and deviation of the quantised teacher's features over the training images, written into the networks. */
async function teacherStatistics(engine: Engine, networks: Networks, options: StatisticsOptions): Promise<void> {
  const { quantisation, train, onProgress, signal } = options;
  const { side, teacher, channels, teacherMean, teacherStd } = networks;
  const cache: LayerCache = new Map();
  const image = input('image', [1, side, side], 'u32');
  const [features] = integerGraph([teacher.forward(imageToTensor(image))], quantisation, cache);
  const plan = await engine.compile({ outputs: { features: features! } });
  const resizer = new Resizer(engine, side);
  const statistics = new ChannelStatistics(channels);
  try {
    for (let i = 0; i < train.count; i++) {
      signal?.throwIfAborted();
      const result = await plan.run({ image: await resizer.resize(await train.image(i)) }, ['features']);
      statistics.add(result['features'] as Float32Array);
      onProgress?.({ phase: 'statistics', done: i + 1, total: train.count });
    }
  } finally {
    plan.destroy();
    resizer.destroy();
    engine.release([...cache.values(), ...teacher.parameters]);
  }
  const { mean, std } = statistics.result();
  teacherMean.data = mean;
  teacherStd.data = std;
}
