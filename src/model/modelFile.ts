import type { Engine } from '../engine/engine.ts';
import { UserError } from '../errors.ts';
import { IMAGE_MEAN, IMAGE_STD } from '../kernels/image.ts';
import { readChecked, writeChecked } from './checksum.ts';
import { Detector, type DetectorState } from './detector.ts';
import { Networks } from './networks.ts';
import { parsePdnSize } from './pdn.ts';
import type { StoredTensor } from './safetensors.ts';

/** Version of the file format; files of a newer one are refused. */
export const MODEL_VERSION = 1;
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
};

/** Bytes of a safetensors file that holds everything inference needs. */
export function saveDetector({ state }: Detector): Promise<Uint8Array> {
  const { networks, quantiles, placement, threshold, provenance } = state;
  const tensors = new Map<string, StoredTensor>();
  for (const { name, type, data } of networks.parameters) tensors.set(name, { shape: type.shape, data });
  const header: Header = {
    size: networks.size,
    resolution: networks.side,
    preprocessing: { resize: 'bilinear-antialiased', mean: IMAGE_MEAN, std: IMAGE_STD },
    quantiles,
    placement,
    ...(threshold && { threshold }),
    provenance,
  };
  return writeChecked(tensors, { format: FORMAT, version: String(MODEL_VERSION), detector: JSON.stringify(header) });
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
  for (const parameter of networks.parameters) {
    const tensor = tensors.get(parameter.name);
    if (!tensor || tensor.shape.join() !== parameter.type.shape.join() || !(tensor.data instanceof Float32Array)) {
      throw new UserError(
        `${name}: tensor ${parameter.name} is missing or has another shape.`,
        'Make the model again.',
      );
    }
    parameter.data = tensor.data;
  }
  const { quantiles, placement, threshold, provenance } = header;
  return { networks, quantiles, placement, provenance, ...(threshold && { threshold }) };
}
