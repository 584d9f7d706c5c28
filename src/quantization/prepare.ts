import { input } from '../engine/graph.ts';
import { quote, UserError } from '../errors.ts';
import { Resizer } from '../imaging/pixels.ts';
import { imageToTensor } from '../kernels/image.ts';
import { ChannelStatistics } from '../math/statistics.ts';
import type { Networks } from '../networks/networks.ts';
import { correctBiases, type TapMeans } from './biases.ts';
import { type BitPlan, CODE_BITS, type CodeBits, checkLayerPlans, isCodeBits, quantizableLayers } from './bitPlan.ts';
import { equalizableLayers, equalizeNetworks } from './equalize.ts';
import { integerGraph, type LayerCache } from './integerGraph.ts';
import { type CalibrationRun, channelMaxima, type InputRanges, inputMeans, inputRanges } from './layerInputs.ts';
import { type ActivationQuantizer, type Quantization, quantizeNetworks } from './layers.ts';
import type { RangeMethod } from './ranges.ts';

/** What the plans to come are prepared for. */
export interface PreparationSettings {
  /**
   * `integer`: activations may be integers, so channels are equalized and ranges taken. `float`: they have 16 or 32 bits, and
   * the networks stay as they are.
   */
  readonly activations: 'integer' | 'float';
  /** Widths of integer activations that plans may have; 8 by default. */
  readonly widths?: readonly CodeBits[] | undefined;
  /** Layers that plans may name; all by default. */
  readonly layers?: readonly string[] | undefined;
  /** How the ranges of activations are chosen; by default `minmax` for 8 bits, `mse` below. */
  readonly method?: RangeMethod | undefined;
}

/**
 * What every quantization of some float networks starts from. It is values of the host alone: nothing has to be freed, and it
 * may be used as often as wanted.
 */
export interface PreparedNetworks {
  readonly activations: PreparationSettings['activations'];
  readonly layers: ReadonlySet<string>;
  /** The float networks; of equal function and more equal channels for integer activations. */
  readonly networks: Networks;
  /** Quantizers of the layers' inputs; none for float activations. */
  readonly ranges: InputRanges;
  readonly means: ReadonlyMap<string, TapMeans>;
}

/** What a plan has to be prepared for. @throws UserError for a plan of other layers */
export function preparationFor(
  { layers }: BitPlan,
  networks: Networks,
): { readonly [K in 'activations' | 'widths' | 'layers']: NonNullable<PreparationSettings[K]> } {
  checkLayerPlans(layers, networks);
  const widths = CODE_BITS.filter((bits) => Object.values(layers).some(({ activations }) => activations === bits));
  return { activations: widths.length > 0 ? 'integer' : 'float', widths, layers: Object.keys(layers) };
}

/**
 * Reads calibration images through float networks, which are not changed.
 * @throws UserError without images, for layers that are not there, or when the networks' values overflow
 */
export async function prepareNetworks(run: CalibrationRun, settings: PreparationSettings): Promise<PreparedNetworks> {
  const known = quantizableLayers(run.networks);
  const { activations, widths = [8], method, layers = [...known.keys()] } = settings;
  const unknown = layers.find((name) => !known.has(name));
  if (unknown !== undefined)
    throw new UserError(
      `quantization cannot be prepared for the layer ${quote(unknown)}, which this detector does not have.`,
      `It has ${[...known.keys()].join(', ')}.`,
    );
  if (run.train.count === 0) throw new UserError('there are no good images to take ranges from.', 'Give the data set.');
  const common = { activations, layers: new Set(layers) };
  if (activations === 'float') {
    const ranges: InputRanges = new Map();
    return { ...common, networks: run.networks, ranges, means: await inputMeans(run, layers, ranges) };
  }
  const networks = await equalize(run);
  try {
    const equal = { ...run, networks };
    const ranges = await inputRanges(equal, layers, method, widths);
    return { ...common, networks, ranges, means: await inputMeans(equal, layers, ranges) };
  } finally {
    run.engine.release(networks.parameters);
  }
}

/** Float networks of equal function whose channels have more equal ranges. @see equalizeNetworks */
export async function equalize(run: CalibrationRun): Promise<Networks> {
  const { networks } = run;
  return equalizeNetworks(networks, await channelMaxima(run, equalizableLayers(networks)));
}

/**
 * Rounds the weights of all layers that a plan names; biases make up for what that does to the means of channels.
 * @returns networks of their own with the values that the codes stand for, and the codes
 * @throws UserError for a plan that was not prepared for
 */
export function quantizePrepared(
  prepared: PreparedNetworks,
  plan: BitPlan,
): { readonly networks: Networks; readonly quantization: Quantization } {
  checkPrepared(prepared, plan);
  const { networks, quantization } = quantizeNetworks(prepared.networks, plan, rangesFor(prepared.ranges, plan));
  correctBiases(prepared.networks, networks, quantization, prepared.means);
  // Distances are to the vectors as they are now.
  networks.bank?.settle();
  return { networks, quantization };
}

/** The quantizers of a plan's widths, by layer. */
export function rangesFor(ranges: InputRanges, { layers }: BitPlan): ReadonlyMap<string, ActivationQuantizer> {
  return new Map(
    Object.entries(layers).flatMap(([name, { activations }]) => {
      const own = isCodeBits(activations) ? ranges.get(activations)?.get(name) : undefined;
      return own ? [[name, own] as const] : [];
    }),
  );
}

function checkPrepared({ networks, activations: kind, layers, ranges }: PreparedNetworks, plan: BitPlan): void {
  checkLayerPlans(plan.layers, networks);
  for (const [name, { activations }] of Object.entries(plan.layers)) {
    if (!layers.has(name))
      throw new UserError(`the layer ${quote(name)} was not prepared.`, 'Name it when quantization is prepared.');
    if (!isCodeBits(activations) || ranges.has(activations)) continue;
    const known = kind === 'float' ? 'float ones' : `${[...ranges.keys()].join(', ')} bits`;
    throw new UserError(
      `the bit plan gives ${name} activations of ${activations} bits, and quantization was prepared for ${known}.`,
      "Prepare it for 'integer' activations of these widths.",
    );
  }
}

/** Mean and deviation of the quantized teacher's features over all images, written into the networks. */
export async function quantizedStatistics(run: CalibrationRun, quantization: Quantization): Promise<void> {
  const { engine, networks, train, onProgress, signal } = run;
  const { side, teacher, channels, teacherMean, teacherStd } = networks;
  const cache: LayerCache = new Map();
  const image = input('image', [1, side, side], 'u32');
  const [features] = integerGraph([teacher.forward(imageToTensor(image))], quantization, cache);
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
