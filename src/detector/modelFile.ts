import { isRecord, parseJson } from '../checks/json.ts';
import type { Engine } from '../engine/engine.ts';
import { size } from '../engine/graph.ts';
import { quote, UserError } from '../errors.ts';
import { openChecked, writeChecked } from '../formats/checksum.ts';
import { floatToHalf } from '../formats/half.ts';
import { decodeTensor, type StoredType, type TensorEntry, type WritableTensor } from '../formats/safetensors.ts';
import { dequantizeWeights, packCodes, packedBytes, unpackCodes, type WeightBits } from '../formats/weightCodes.ts';
import type { Networks } from '../networks/networks.ts';
import { layerOfWeight } from '../networks/pdn.ts';
import type { Quantization, QuantizedLayer } from '../quantization/layers.ts';
import { Detector, type DetectorOptions } from './detector.ts';
import type { DetectorState, OtherSection } from './detectorState.ts';
import type { MapFilter } from './mapFilter.ts';
import { checkModelHeader, type HeaderLayer, type MakeBank, type ModelHeader, PREPROCESSING } from './modelHeader.ts';
import { parseSections, sectionOf, sectionsText } from './modelSections.ts';
import { type ModelSource, type ReadOptions, readSource } from './modelSource.ts';
import { assertTileable } from './seen.ts';
import type { Tiling } from './tiling.ts';

/** Version of the file format that is written; all up to it are read. */
export const MODEL_VERSION = 3;
/** From this version on a file has sections; before, one header whose unknown fields were refused. */
const SECTIONS_VERSION = 3;
/** In a file's metadata as `format`. */
export const DETECTOR_FORMAT = 'raad-detector';

/**
 * Bytes of a safetensors file that holds everything inference needs. Weights of quantized layers are stored as
 * `NAME.weight.codes`, a stream of bits, and `NAME.weight.scales`. What was written is read back by {@link readModel}, so no
 * file is made that would be refused. @see docs/model-format.md
 * @throws UserError for a state that no reader would take, such as weights that are not finite
 */
export async function saveDetector({ state }: Pick<Detector, 'state'>): Promise<Uint8Array> {
  const bytes = await encodeModel(state);
  try {
    await readModel(bytes, 'it');
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(`the model cannot be saved: ${error.message}`, 'Nothing is written. Make the model again.');
  }
  return bytes;
}

function encodeModel(state: DetectorState): Promise<Uint8Array> {
  const { networks, quantiles, placement, region, tiling, filter, threshold, calibration, provenance } = state;
  const { quantization = new Map() } = state;
  const tensors = new Map<string, WritableTensor | TensorEntry>();
  for (const { name, type, data } of networks.parameters) {
    const layer: QuantizedLayer | undefined = quantization.get(layerOfWeight(name));
    if (layer?.weights) {
      const { codes, bits, scales, shape } = layer.weights;
      const packed = packCodes(codes, bits);
      tensors.set(`${name}.codes`, { shape: [packed.length], data: packed });
      tensors.set(`${name}.scales`, { shape: [shape[0]!, scales.length / shape[0]!], data: scales });
    } else if (layer?.plan.weights === 16) {
      tensors.set(name, { shape: type.shape, data: Uint16Array.from(data, floatToHalf) });
    } else tensors.set(name, { shape: type.shape, data });
  }
  const layers = [...(quantization as Quantization)].map(([name, { plan, input }]) => [name, { plan, input }] as const);
  const header: ModelHeader = {
    size: networks.size,
    resolution: networks.side,
    padding: networks.padding === 'none' ? undefined : networks.padding,
    bank: networks.bank && { vectors: networks.bank.size },
    preprocessing: PREPROCESSING,
    quantiles,
    placement,
    region,
    tiles: tiling?.value,
    filter: filter?.value,
    threshold,
    calibration,
    provenance,
    layers: layers.length > 0 ? Object.fromEntries(layers) : undefined,
  };
  for (const [name, tensor] of filter?.tensors ?? []) tensors.set(`filter/${name}`, tensor);
  for (const { tensors: own } of state.otherSections?.values() ?? [])
    for (const [name, entry] of own) tensors.set(name, entry);
  const sections = sectionsText(header, state.otherSections);
  return writeChecked(tensors, { format: DETECTOR_FORMAT, version: String(MODEL_VERSION), sections });
}

/** How a model file is read and its detector compiled. */
export interface LoadOptions extends DetectorOptions, ReadOptions {
  /** The file's name, shown in messages; by default that of the source. */
  readonly name?: string | undefined;
}

/**
 * Reads a model file onto an engine.
 * @param source bytes, a `File` or other `Blob`, a `Response`, or an address that is fetched
 * @throws UserError for a source without a file, for bytes that are not a whole and consistent model file, or one of a newer version
 * @throws the reason of an aborted signal
 */
export async function loadDetector(
  engine: Engine,
  source: ModelSource,
  { name, signal, onProgress, ...options }: LoadOptions = {},
): Promise<Detector> {
  const { bytes, name: own } = await readSource(source, { signal, onProgress });
  const state = await readModel(bytes, name ?? own);
  signal?.throwIfAborted();
  return new Detector(engine, state, options);
}

/**
 * The contents of a model file, without a device. Everything the file says is checked before it is used, cheapest first, so
 * that no bytes lead to more memory than in proportion to the file.
 * @throws UserError as {@link loadDetector}
 */
export async function readModel(bytes: Uint8Array, name = 'the model file'): Promise<DetectorState> {
  const file = openChecked(bytes, name);
  const { fields, others } = headerFields(file.metadata, name);
  const { header, networks } = checkModelHeader(fields, name, await bankMaker(fields));
  const { quantiles, placement, region, threshold, calibration, provenance } = header;
  if (region !== undefined) (await import('../imaging/region.ts')).checkRegion(region, `the region of ${name}`);
  const tiling = header.tiles === undefined ? undefined : await readTiling(header, networks, name);
  const layers = new Map(Object.entries(header.layers ?? {}));
  const isFilters = (tensor: string) => header.filter !== undefined && sectionOf(tensor) === 'filter';
  const isOther = (tensor: string) => others.has(sectionOf(tensor) ?? '') || isFilters(tensor);
  const entries = new Map([...file.entries].filter(([tensor]) => !isOther(tensor)));
  checkTensors(entries, storedTensors(networks, layers), name);
  await file.verify();
  const quantization = decodeTensors(entries, networks, layers, name);
  const filter = header.filter === undefined ? undefined : await filterOf(header.filter, file.entries, networks, name);
  if (tiling && filter) assertTileable(filter, name);
  const otherSections = new Map(
    [...others].map(([section, other]): [string, OtherSection] => {
      const tensors = [...file.entries].filter(([tensor]) => sectionOf(tensor) === section);
      // Copies, so that the file's memory is not held for them.
      const copies = tensors.map(
        ([tensor, entry]) => [tensor, { ...entry, bytes: new Uint8Array(entry.bytes) }] as const,
      );
      return [section, { ...other, tensors: new Map(copies) }];
    }),
  );
  return {
    networks,
    quantiles,
    placement,
    provenance,
    region,
    tiling,
    filter,
    threshold,
    calibration,
    quantization: quantization.size > 0 ? quantization : undefined,
    otherSections: otherSections.size > 0 ? otherSections : undefined,
  };
}

/** Few detectors have a memory bank: the others do not fetch what runs it. */
async function bankMaker(fields: unknown): Promise<MakeBank | undefined> {
  if (!isRecord(fields) || fields['bank'] === undefined) return undefined;
  const { MemoryBank, MOST_VECTORS } = await import('../networks/memoryBank.ts');
  return { most: MOST_VECTORS, of: (vectors, channels) => new MemoryBank(vectors, channels) };
}

/** Few detectors look at tiles: the others do not fetch what does. */
async function readTiling(
  { tiles, region, placement }: ModelHeader,
  networks: Networks,
  name: string,
): Promise<Tiling> {
  const { tilingOf } = await import('./tiledChain.ts');
  const tiling = tilingOf(tiles, networks, `the size of tiled images in ${name}`);
  if (region || placement !== 'exact')
    throw new UserError(
      `${name} has tiles together with ${region ? 'a region' : `the placement ${placement}`}.`,
      'Make the model again.',
    );
  return tiling;
}

async function filterOf(
  value: unknown,
  entries: ReadonlyMap<string, TensorEntry>,
  { mapSide }: Networks,
  name: string,
): Promise<MapFilter> {
  const own = [...entries]
    .filter(([tensor]) => sectionOf(tensor) === 'filter')
    .map(([tensor, entry]) => [tensor.slice('filter/'.length), { ...entry, data: decodeTensor(entry) }] as const);
  // Few detectors have one: the others do not fetch what runs it.
  const { readFilter } = await import('./mapFilters.ts');
  return readFilter(value, new Map(own), mapSide, name);
}

/** What a file of any version says beside its tensors. @throws UserError for another format, or a newer version */
function headerFields(metadata: Readonly<Record<string, string>>, name: string) {
  if (checkFormat(metadata, name) < SECTIONS_VERSION) {
    const text = metadata['detector'] ?? '';
    const fields = parseJson(text, `${name} is not usable: its detector`, 'Copy or make the file again.');
    return { fields, others: new Map<string, Omit<OtherSection, 'tensors'>>() };
  }
  const { header, others } = parseSections(metadata['sections'] ?? '', name);
  return { fields: header, others };
}

/** @returns the version */
function checkFormat({ format, version }: Readonly<Record<string, string>>, name: string): number {
  if (format !== DETECTOR_FORMAT)
    throw new UserError(
      `${name} is not a detector (format ${format === undefined ? 'none' : quote(format)}).`,
      'Make a model with `raad fit`.',
    );
  if (version === undefined || !/^[1-9]\d{0,8}$/.test(version))
    throw new UserError(`${name} has format version ${quote(version)}.`, 'It has to be a whole number. Make it again.');
  if (Number(version) > MODEL_VERSION)
    throw new UserError(
      `${name} has format version ${version}, newer than the ${MODEL_VERSION} that this program reads.`,
      'Update the program.',
    );
  return Number(version);
}

type Layers = ReadonlyMap<string, HeaderLayer>;

/** Bits and group size of a layer's codes; undefined where its weights are floats. */
function packing({ plan: { weights, granularity } }: HeaderLayer, inChannels: number) {
  if (weights === 16 || weights === 32) return undefined;
  const bits: WeightBits = weights;
  return { bits, groupSize: granularity === 'channel' ? inChannels : granularity.groupSize };
}

type StoredShape = Pick<TensorEntry, 'dtype' | 'shape'>;

/** Type and shape of every tensor of a model file, by name. */
function storedTensors(networks: Networks, layers: Layers): Map<string, StoredShape> {
  const tensors = new Map<string, StoredShape>();
  for (const { name, type } of networks.parameters) {
    const { shape } = type;
    const layer = layers.get(layerOfWeight(name));
    const packed = layer && packing(layer, shape[1]!);
    if (packed) {
      tensors.set(`${name}.codes`, { dtype: 'U8', shape: [packedBytes(size(type), packed.bits)] });
      tensors.set(`${name}.scales`, { dtype: 'F32', shape: [shape[0]!, shape[1]! / packed.groupSize] });
    } else tensors.set(name, { dtype: layer?.plan.weights === 16 ? 'F16' : 'F32', shape });
  }
  return tensors;
}

function checkTensors(
  entries: ReadonlyMap<string, TensorEntry>,
  expected: ReadonlyMap<string, StoredShape>,
  name: string,
): void {
  const describe = (dtype: StoredType, shape: readonly number[]) => `${dtype} [${shape.join(', ')}]`;
  for (const [tensor, { dtype, shape }] of expected) {
    const entry = entries.get(tensor);
    if (!entry) throw new UserError(`${name} lacks the tensor ${tensor}.`, 'Make the model again.');
    if (entry.dtype !== dtype || entry.shape.join() !== shape.join())
      throw new UserError(
        `${name} holds ${tensor} as ${entry.dtype} ${quote(entry.shape)}.`,
        `It has to be ${describe(dtype, shape)}. Make the model again.`,
      );
  }
  const unknown = [...entries.keys()].find((tensor) => !expected.has(tensor));
  if (unknown !== undefined)
    throw new UserError(`${name} holds the unknown tensor ${quote(unknown)}.`, 'Make the model again.');
}

/** Fills the networks. The tensors are those of {@link storedTensors}. @returns codes and scales, by layer */
function decodeTensors(
  entries: ReadonlyMap<string, TensorEntry>,
  networks: Networks,
  layers: Layers,
  name: string,
): Quantization {
  const finite = (tensor: string, values: Float32Array): Float32Array => {
    for (let i = 0; i < values.length; i++) {
      if (!Number.isFinite(values[i]))
        throw new UserError(`${name} holds values in ${tensor} that are not finite.`, 'Make the model again.');
    }
    return values;
  };
  const floats = (tensor: string) => finite(tensor, decodeTensor(entries.get(tensor)!) as Float32Array);
  const quantization = new Map<string, QuantizedLayer>(layers);
  for (const parameter of networks.parameters) {
    const { shape } = parameter.type;
    const layer = layers.get(layerOfWeight(parameter.name));
    const packed = layer && packing(layer, shape[1]!);
    if (!packed) {
      parameter.data = floats(parameter.name);
      continue;
    }
    const stream = `${parameter.name}.codes`;
    const { bytes } = entries.get(stream)!;
    const codes = unpackCodes(bytes, size(parameter.type), packed.bits, `${name}, tensor ${stream}`);
    const weights = { shape, ...packed, codes, scales: floats(`${parameter.name}.scales`) };
    parameter.data = finite(parameter.name, dequantizeWeights(weights));
    quantization.set(layerOfWeight(parameter.name), { ...layer, weights });
  }
  if (!networks.teacherStd.data.every((deviation) => deviation > 0))
    throw new UserError(`${name} holds deviations in teacher.std that are not above 0.`, 'Make the model again.');
  return quantization;
}
