import type { Engine } from '../engine/engine.ts';
import { UserError } from '../errors.ts';
import { floatToHalf } from '../kernels/half.ts';
import { IMAGE_MEAN, IMAGE_STD } from '../kernels/image.ts';
import { type LayerPlan, quantisableLayers } from '../quantisation/bitPlan.ts';
import type { ActivationQuantiser, Quantisation, QuantisedLayer } from '../quantisation/layers.ts';
import { dequantiseWeights, packCodes, unpackCodes } from '../quantisation/weights.ts';
import { readChecked, writeChecked } from './checksum.ts';
import { Detector, type DetectorState } from './detector.ts';
import { Networks } from './networks.ts';
import { parsePdnSize } from './pdn.ts';
import type { WritableTensor } from './safetensors.ts';

/** Version of the file format; files of a newer one are refused. */
export const MODEL_VERSION = 2;
/** The version that float detectors are written as: older programs read them. */
const FLOAT_VERSION = 1;
const FORMAT = 'raad-detector';

/** What a model file's metadata says beside the tensors, as JSON under `detector`. */
type Header = Pick<DetectorState, 'quantiles' | 'placement' | 'threshold' | 'provenance'> & {
  readonly size: string;
  readonly resolution: number;
  readonly preprocessing: {
    readonly resize: 'bilinear-antialiased';
    readonly mean: readonly number[];
    readonly std: readonly number[];
  };
  /** Of quantised detectors: the plan and the quantiser of the input, by layer. */
  readonly layers?: Readonly<Record<string, { readonly plan: LayerPlan; readonly input?: ActivationQuantiser }>>;
};

/**
 * Bytes of a safetensors file that holds everything inference needs. Weights of quantised layers are stored as
 * `NAME.weight.codes`, a stream of bits, and `NAME.weight.scales`. @see docs/model-format.md
 */
export function saveDetector({ state }: Detector): Promise<Uint8Array> {
  const { networks, quantiles, placement, threshold, provenance, quantisation = new Map() } = state;
  const tensors = new Map<string, WritableTensor>();
  for (const { name, type, data } of networks.parameters) {
    const layer: QuantisedLayer | undefined = quantisation.get(name.replace(/\.weight$/, ''));
    if (!layer || !name.endsWith('.weight')) tensors.set(name, { shape: type.shape, data });
    else if (layer.weights) {
      const { codes, bits, scales, shape } = layer.weights;
      const packed = packCodes(codes, bits);
      tensors.set(`${name}.codes`, { shape: [packed.length], data: packed });
      tensors.set(`${name}.scales`, { shape: [shape[0]!, scales.length / shape[0]!], data: scales });
    } else if (layer.plan.weights === 16) {
      tensors.set(name, { shape: type.shape, data: Uint16Array.from(data, floatToHalf) });
    } else tensors.set(name, { shape: type.shape, data });
  }
  const layers = [...(quantisation as Quantisation)].map(
    ([name, { plan, input }]) => [name, { plan, ...(input && { input }) }] as const,
  );
  const header: Header = {
    size: networks.size,
    resolution: networks.side,
    preprocessing: { resize: 'bilinear-antialiased', mean: IMAGE_MEAN, std: IMAGE_STD },
    quantiles,
    placement,
    ...(threshold && { threshold }),
    provenance,
    ...(layers.length > 0 && { layers: Object.fromEntries(layers) }),
  };
  const version = layers.length > 0 ? MODEL_VERSION : FLOAT_VERSION;
  return writeChecked(tensors, { format: FORMAT, version: String(version), detector: JSON.stringify(header) });
}

/**
 * Reads a model file onto an engine.
 * @param name shown in messages
 * @throws UserError for a file that is damaged, foreign, or from a newer version
 */
export async function loadDetector(engine: Engine, bytes: Uint8Array, name = 'the model file'): Promise<Detector> {
  return new Detector(engine, await readModel(bytes, name));
}

/** The contents of a model file, without a device. @throws UserError */
export async function readModel(bytes: Uint8Array, name = 'the model file'): Promise<DetectorState> {
  const { tensors, metadata } = await readChecked(bytes, name);
  if (metadata['format'] !== FORMAT) {
    throw new UserError(
      `${name} is not a detector (format '${metadata['format'] ?? 'none'}').`,
      'Make a model with `raad fit`.',
    );
  }
  if (Number(metadata['version']) > MODEL_VERSION) {
    throw new UserError(
      `${name} has format version ${metadata['version']}, newer than the ${MODEL_VERSION} that this program reads.`,
      'Update the program.',
    );
  }
  // The checksum has matched: what follows was written by this program.
  const header = JSON.parse(metadata['detector']!) as Header;
  const networks = new Networks(parsePdnSize(header.size), header.resolution);
  const missing = (tensor: string) =>
    new UserError(`${name}: tensor ${tensor} is missing or has another shape.`, 'Make the model again.');
  const quantisation = new Map<string, QuantisedLayer>();
  const known = quantisableLayers(networks);
  for (const [layer, { plan, input }] of Object.entries(header.layers ?? {})) {
    const shape = known.get(layer)?.weight.type.shape;
    if (!shape) throw missing(layer);
    if (plan.weights === 16 || plan.weights === 32) {
      quantisation.set(layer, { plan, ...(input && { input }) });
      continue;
    }
    const bits = plan.weights;
    const groupSize = plan.granularity === 'channel' ? shape[1]! : plan.granularity.groupSize;
    const packed = tensors.get(`${layer}.weight.codes`)?.data;
    const scales = tensors.get(`${layer}.weight.scales`)?.data;
    const groups = (shape[0]! * shape[1]!) / groupSize;
    if (!(packed instanceof Uint8Array && scales instanceof Float32Array && scales.length === groups))
      throw missing(`${layer}.weight.codes`);
    const codes = unpackCodes(
      packed,
      shape.reduce((a, b) => a * b, 1),
      bits,
    );
    quantisation.set(layer, { plan, weights: { shape, bits, groupSize, codes, scales }, ...(input && { input }) });
  }
  for (const parameter of networks.parameters) {
    const weights = quantisation.get(parameter.name.replace(/\.weight$/, ''))?.weights;
    if (weights && parameter.name.endsWith('.weight')) {
      parameter.data = dequantiseWeights(weights);
      continue;
    }
    const tensor = tensors.get(parameter.name);
    if (!tensor || tensor.shape.join() !== parameter.type.shape.join() || !(tensor.data instanceof Float32Array)) {
      throw missing(parameter.name);
    }
    parameter.data = tensor.data;
  }
  const { quantiles, placement, threshold, provenance } = header;
  return {
    networks,
    quantiles,
    placement,
    provenance,
    ...(threshold && { threshold }),
    ...(quantisation.size > 0 && { quantisation }),
  };
}
