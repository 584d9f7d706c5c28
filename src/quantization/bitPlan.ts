import { isRecord, parseJson } from '../checks/json.ts';
import { quote, UserError } from '../errors.ts';
import { WEIGHT_BITS, type WeightBits } from '../formats/weightCodes.ts';
import type { Networks } from '../networks/networks.ts';
import { type ConvParameters, layerOfWeight } from '../networks/pdn.ts';

const FORMAT = 'raad-bit-plan';
const VERSION = 1;

/** All widths of integer activations: 4 bits lie eight to a word, 6 and 8 four to a word. */
export const CODE_BITS = [4, 6, 8] as const;
/** A width of activations that are integers. */
export type CodeBits = (typeof CODE_BITS)[number];

/** Bit-widths of activations: 32 is float, 16 half floats, the others integers. */
export const ACTIVATION_BITS = [...CODE_BITS, 16, 32] as const;
export type ActivationBits = (typeof ACTIVATION_BITS)[number];

/** How one convolution is stored and computed. */
export interface LayerPlan {
  /** Width of the weights; 16 half floats, 32 float. */
  readonly weights: WeightBits | 16 | 32;
  /** Width of the layer's input. */
  readonly activations: ActivationBits;
  /** What shares a scale: an output channel, or a group of so many input channels of one. */
  readonly granularity: 'channel' | { readonly groupSize: number };
  /** Where the range of integer activations comes from: calibration (the default), or each input anew. */
  readonly range?: 'static' | 'dynamic' | undefined;
}

/** Whether activations of a width are integers. */
export function isCodeBits(bits: ActivationBits): bits is CodeBits {
  return bits <= 8;
}

/** A bit-width for every layer, as plain JSON. Layers that are not named stay float. @see docs/bit-plan.schema.json */
export interface BitPlan {
  readonly format: typeof FORMAT;
  readonly version: number;
  /** By layer: `teacher.conv1`, `student.conv4`, `autoencoder.dec8`, ... */
  readonly layers: Readonly<Record<string, LayerPlan>>;
}

/** All convolutions of a detector, by the name that bit plans use. */
export function quantizableLayers(networks: Networks): ReadonlyMap<string, ConvParameters> {
  const { teacher, bank } = networks;
  const all = [...teacher.convolutions];
  if (bank) all.push(bank.convolution);
  else {
    const { student, autoencoder } = networks;
    all.push(...student.convolutions, ...autoencoder.encoder, ...autoencoder.decoder);
  }
  return new Map(all.map((convolution) => [layerOfWeight(convolution.weight.name), convolution]));
}

/** One width for every layer. */
export function uniformPlan(networks: Networks, layer: Omit<LayerPlan, 'granularity'> & Partial<LayerPlan>): BitPlan {
  const layers = [...quantizableLayers(networks).keys()].map(
    (name) => [name, { granularity: 'channel', ...layer }] as const,
  );
  return { format: FORMAT, version: VERSION, layers: Object.fromEntries(layers) };
}

const FIX = 'See docs/bit-plan.schema.json.';
const FIELDS: readonly string[] = ['format', 'version', 'layers', '$schema'];

/**
 * @param text JSON
 * @param networks the detector that the plan is for
 * @throws UserError naming the layer or field and what is wrong with it; a layer may stand there once
 */
export function parseBitPlan(text: string, networks: Networks): BitPlan {
  const { layers } = checkPlanDocument(text);
  checkLayerPlans(layers, networks);
  return { format: FORMAT, version: VERSION, layers };
}

/** What can be told of a plan without networks. @returns its layers, which are not checked yet @throws UserError */
export function checkPlanDocument(
  text: string,
  name = 'the bit plan',
): { readonly layers: Readonly<Record<string, unknown>> } {
  const plan = parseJson(text, name, FIX);
  if (!isRecord(plan) || plan['format'] !== FORMAT)
    throw new UserError(`this is not a bit plan (format ${FORMAT}).`, FIX);
  const { version, layers } = plan;
  if (version !== VERSION)
    throw new UserError(`the bit plan has version ${quote(version)}, expected ${VERSION}.`, 'Use a newer raad-webgpu.');
  const unknown = Object.keys(plan).find((field) => !FIELDS.includes(field));
  if (unknown !== undefined) throw new UserError(`the bit plan has the unknown field ${quote(unknown)}.`, FIX);
  if (!isRecord(layers)) throw new UserError(`the bit plan has layers ${quote(layers)}, which is no object.`, FIX);
  if (Object.keys(layers).length === 0)
    throw new UserError('the bit plan names no layer.', 'Give at least one a width: without a plan all stay float.');
  return { layers };
}

/** A plan as text that {@link parseBitPlan} takes. @throws UserError as it does */
export function bitPlanText(plan: BitPlan, networks: Networks): string {
  const text = `${JSON.stringify(plan, null, 2)}\n`;
  parseBitPlan(text, networks);
  return text;
}

/** @throws UserError naming the first layer that these networks do not have, or that cannot be planned so */
export function checkLayerPlans(
  layers: Readonly<Record<string, unknown>>,
  networks: Networks,
): asserts layers is BitPlan['layers'] {
  const known = quantizableLayers(networks);
  for (const [name, layer] of Object.entries(layers)) {
    const convolution = known.get(name);
    if (!convolution)
      throw new UserError(
        `the bit plan names the layer ${quote(name)}, which this detector does not have.`,
        `It has ${[...known.keys()].join(', ')}.`,
      );
    checkLayerPlan(name, layer, convolution.weight.type.shape[1]!);
  }
}

const LAYER_FIELDS: readonly string[] = ['weights', 'activations', 'granularity', 'range'];

/**
 * @param name of the layer @param inChannels of its convolution @param source what names the plan in messages
 * @throws UserError unless `value` is a plan for such a layer
 */
export function checkLayerPlan(
  name: string,
  value: unknown,
  inChannels: number,
  source = 'the bit plan',
): asserts value is LayerPlan {
  const wrong = (what: string, found: unknown, allowed: string) =>
    new UserError(`${source} gives ${name} ${what} ${quote(found)}.`, `Use ${allowed}.`);
  const layer: Partial<LayerPlan> = isRecord(value) ? value : {};
  const { weights, activations, granularity, range = 'static' } = layer;
  const widths: readonly number[] = [...WEIGHT_BITS, 16, 32];
  if (!widths.includes(weights as number)) throw wrong('weights of', weights, `one of ${widths.join(', ')}`);
  if (!ACTIVATION_BITS.includes(activations as ActivationBits))
    throw wrong('activations of', activations, `one of ${ACTIVATION_BITS.join(', ')}`);
  if (range !== 'static' && range !== 'dynamic') throw wrong('the range', range, '"static" or "dynamic"');
  const unknown = Object.keys(layer).find((field) => !LAYER_FIELDS.includes(field));
  if (unknown !== undefined) throw wrong('the unknown field', unknown, LAYER_FIELDS.join(', '));
  if (granularity === 'channel') return;
  const size = granularity?.groupSize;
  const isGroup = isRecord(granularity) && Object.keys(granularity).length === 1;
  if (!isGroup || !Number.isInteger(size) || size! < 1 || inChannels % size! !== 0 || size! % 4 !== 0)
    throw wrong(
      'the granularity',
      granularity,
      `"channel" or { "groupSize": a multiple of 4 that divides ${inChannels} }`,
    );
}

/** Bytes of a layer's weights and scales at a plan's width, without the bias. */
export function layerBytes(shape: readonly number[], { weights, granularity }: LayerPlan): number {
  const count = shape.reduce((product, n) => product * n, 1);
  if (weights === 32) return 4 * count;
  if (weights === 16) return 2 * count;
  const groups = granularity === 'channel' ? 1 : shape[1]! / granularity.groupSize;
  return Math.ceil((count * weights) / 32) * 4 + 4 * shape[0]! * groups;
}
