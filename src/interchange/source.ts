import { UserError } from '../errors.ts';
import { openSafetensors, type TensorEntry } from '../formats/safetensors.ts';
import { layerOfWeight } from '../networks/pdn.ts';
import { readOnnxWeights } from '../onnx/read.ts';
import { mayBeTorch, readTorch, torchFolder } from '../torch/file.ts';
import type { Setting } from '../torch/records.ts';
import { isZip, openZip } from '../torch/zip.ts';

/** Named tensors of a file, of whatever format. */
export interface TensorSource {
  /** The file's, for messages. */
  readonly name: string;
  /** Shapes by name; undefined for what can only be refused when it is read. */
  readonly shapes: ReadonlyMap<string, readonly number[] | undefined>;
  /** What else is known, by the name of what it belongs to: `hyper_parameters.padding`, `conv1.padding.0`. */
  readonly settings: ReadonlyMap<string, Setting>;
  /** @throws UserError for a tensor that cannot be read */
  read(tensor: string): Promise<TensorEntry>;
}

/** Files that archives of weights hold. */
const INSIDE = /\.(pth?|ckpt|safetensors|onnx)$/i;
/** Together they are unpacked into memory. */
const MOST_BYTES = 2 ** 30;

/**
 * Opens what holds weights: files of PyTorch's, safetensors, ONNX, and zip archives of such files.
 * @param name shown in messages
 * @throws UserError for a file that is damaged or of another kind
 */
export async function openSources(bytes: Uint8Array, name: string): Promise<TensorSource[]> {
  if (!isZip(bytes)) return [await openSource(bytes, name)];
  const entries = openZip(bytes, name);
  if (torchFolder(entries) !== undefined) return [await openSource(bytes, name)];
  const inside = [...entries.values()].filter((entry) => INSIDE.test(entry.name));
  if (inside.length === 0)
    throw new UserError(
      `${name} is an archive without weights in it.`,
      'Give one with .pth, .ckpt, .safetensors or .onnx files.',
    );
  const total = inside.reduce((sum, entry) => sum + entry.bytes, 0);
  if (total > MOST_BYTES)
    throw new UserError(
      `${name} unpacks to ${total} bytes, more than ${MOST_BYTES}.`,
      'Unpack it and give one of its files.',
    );
  const sources: TensorSource[] = [];
  for (const entry of inside) sources.push(await openSource(await entry.read(), `${name}/${printable(entry.name)}`));
  return sources;
}

/** Names in archives are somebody else's. */
const printable = (name: string) => name.replace(/\p{C}/gu, '?').slice(0, 200);

async function openSource(bytes: Uint8Array, name: string): Promise<TensorSource> {
  if (mayBeTorch(bytes)) return torchSource(bytes, name);
  if (startsAsSafetensors(bytes)) return safetensorsSource(bytes, name);
  if (bytes[0] === ONNX_START) return onnxSource(bytes, name);
  throw new UserError(
    `${name} is not a file with weights that is known.`,
    'Give a file of PyTorch (.pth, .ckpt), safetensors, ONNX, or a zip archive of them.',
  );
}

/** The length of the header, then the header's brace. */
function startsAsSafetensors(bytes: Uint8Array): boolean {
  return bytes.length > 8 && bytes[8] === '{'.charCodeAt(0);
}

/** ModelProto's first field, the version of the format. */
const ONNX_START = 0x08;

async function torchSource(bytes: Uint8Array, name: string): Promise<TensorSource> {
  const file = await readTorch(bytes, name);
  const shapes = new Map([...file.tensors].map(([key, record]) => [key, 'shape' in record ? record.shape : undefined]));
  return { name, shapes, settings: file.settings, read: (tensor) => file.read(tensor) };
}

function safetensorsSource(bytes: Uint8Array, name: string): TensorSource {
  const { entries } = openSafetensors(bytes, name);
  return entrySource(name, entries, new Map());
}

/** Convolutions go by the names of their constants and, where these are generated, as `conv1`, `conv2`, ... in the graph's order. */
function onnxSource(bytes: Uint8Array, name: string): TensorSource {
  const { tensors, convolutions } = readOnnxWeights(bytes, name);
  const entries = new Map(tensors);
  const settings = new Map<string, Setting>();
  const isGenerated = !convolutions.some(({ weight }) => weight.endsWith('.weight'));
  convolutions.forEach(({ weight, bias, padding }, i) => {
    for (const [part, key] of Object.entries({ weight, bias })) {
      const entry = key === undefined ? undefined : tensors.get(key);
      if (entry && isGenerated) entries.set(`conv${i + 1}.${part}`, entry);
    }
    settings.set(`conv${i + 1}.padding.0`, padding);
    settings.set(`${layerOfWeight(weight)}.padding.0`, padding);
  });
  return entrySource(name, entries, settings);
}

function entrySource(
  name: string,
  entries: ReadonlyMap<string, TensorEntry>,
  settings: ReadonlyMap<string, Setting>,
): TensorSource {
  return {
    name,
    shapes: new Map([...entries].map(([key, { shape }]) => [key, shape])),
    settings,
    // Only names among the shapes are asked for.
    read: async (tensor) => entries.get(tensor)!,
  };
}
