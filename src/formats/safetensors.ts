import { isRecord, parseJson } from '../checks/json.ts';
import { quote, UserError } from '../errors.ts';
import { halfToFloat } from './half.ts';

/** Reader and writer of the safetensors format: 8 bytes header length, JSON header, raw little-endian data. */
export type TensorData = Float32Array | Uint32Array | Uint8Array;

/** What can be written: bits of half floats too, which are read back as numbers. */
export type WritableData = TensorData | Uint16Array;

/** A tensor as a file holds it. */
export interface StoredTensor {
  readonly shape: readonly number[];
  readonly data: TensorData;
}

/** A tensor that can be written to a file. */
export interface WritableTensor {
  readonly shape: readonly number[];
  readonly data: WritableData;
}

/** One that is written as it was read. */
type Written = WritableTensor | TensorEntry;

const bytesOf = (tensor: Written): Uint8Array => {
  if ('bytes' in tensor) return tensor.bytes;
  const { buffer, byteOffset, byteLength } = tensor.data;
  return new Uint8Array(buffer, byteOffset, byteLength);
};

/** The contents of a safetensors file. */
export interface TensorFile {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

const BYTES = { F64: 8, F32: 4, F16: 2, BF16: 2, U32: 4, U8: 1 } as const;
export type StoredType = keyof typeof BYTES;

/** A tensor as it lies in a file. */
export interface TensorEntry {
  readonly dtype: StoredType;
  readonly shape: readonly number[];
  /** A view of the file, as long as type and shape say, at any alignment. */
  readonly bytes: Uint8Array;
}

/** A file whose header has been checked and whose tensors have not been touched. */
export interface OpenedFile {
  readonly entries: ReadonlyMap<string, TensorEntry>;
  readonly metadata: Readonly<Record<string, string>>;
  /** The JSON header as it stands in the file. */
  readonly header: Uint8Array;
}

/** Room for some ten thousand tensors. What parsing a header takes is bounded by it, whatever the file claims. */
const MAX_HEADER = 2 ** 20;
const FIX = 'Copy or make the file again.';

/**
 * Checks the header without copying a tensor: what this allocates is in proportion to the header.
 * @param name shown in messages
 * @throws UserError saying what is damaged; tensors have to fill the body without gaps or overlaps
 */
export function openSafetensors(bytes: Uint8Array, name: string): OpenedFile {
  const subject = `${name} is not a usable safetensors file:`;
  const damaged = (what: string) => new UserError(`${subject} ${what}.`, FIX);
  if (bytes.length < 8) throw damaged(`it has ${bytes.length} bytes, fewer than its header's length takes`);
  const headerBytes = Number(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true));
  if (headerBytes > bytes.length - 8) throw damaged('its header is longer than the file');
  if (headerBytes > MAX_HEADER) throw damaged(`its header has ${headerBytes} bytes, more than ${MAX_HEADER}`);
  const header = bytes.subarray(8, 8 + headerBytes);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(header);
  } catch {
    throw damaged('its header is not UTF-8');
  }
  const parsed = parseJson(text, `${subject} its header`, FIX);
  if (!isRecord(parsed)) throw damaged('its header is not an object');
  const { __metadata__: metadata = {}, ...described } = parsed;
  if (!isRecord(metadata) || Object.values(metadata).some((value) => typeof value !== 'string'))
    throw damaged('its metadata is not text');

  const body = bytes.subarray(8 + headerBytes);
  const entries = new Map<string, TensorEntry>();
  const places: { readonly key: string; readonly from: number; readonly to: number }[] = [];
  for (const [key, value] of Object.entries(described)) {
    const entry = parseEntry(value);
    if (!entry) throw damaged(`tensor ${quote(key)} has a malformed entry`);
    if ('unread' in entry)
      throw new UserError(
        `${name} holds the tensor ${quote(key)} of type ${entry.unread}, which is not read.`,
        `Convert it to one of ${Object.keys(BYTES).join(', ')}.`,
      );
    const { dtype, shape, from, to } = entry;
    const size = shape.reduce((product, n) => product * n, BYTES[dtype]);
    // Sizes that overflow are no length of anything in the file.
    if (to > body.length || to - from !== size) throw damaged(`tensor ${quote(key)} does not fit its place`);
    entries.set(key, { dtype, shape, bytes: body.subarray(from, to) });
    places.push({ key, from, to });
  }
  let end = 0;
  for (const { key, from, to } of places.sort((a, b) => a.from - b.from || a.to - b.to)) {
    if (from !== end) throw damaged(`tensor ${quote(key)} begins at byte ${from} where byte ${end} is next`);
    end = to;
  }
  if (end !== body.length) throw damaged(`its tensors take ${end} bytes and its body has ${body.length}`);
  return { entries, metadata: metadata as Record<string, string>, header };
}

interface Entry {
  readonly dtype: StoredType;
  readonly shape: readonly number[];
  readonly from: number;
  readonly to: number;
}

/** The format's other types: of whole numbers, truth values and small floats. */
const UNREAD = /^(BOOL|[IU](8|16|32|64)|C64|F8_E\w{1,8}|F[46]_E\w{1,8})$/;

function parseEntry(value: unknown): Entry | { readonly unread: string } | undefined {
  if (!isRecord(value)) return undefined;
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== 'string' || !isSizes(shape) || !isSizes(offsets)) return undefined;
  if (!Object.hasOwn(BYTES, dtype)) return UNREAD.test(dtype) ? { unread: dtype } : undefined;
  const [from, to] = offsets;
  if (offsets.length !== 2 || from! > to!) return undefined;
  return { dtype: dtype as StoredType, shape, from: from!, to: to! };
}

function isSizes(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);
}

/** A copy of the tensor's values; floats of every width as float32, halves exactly and doubles rounded. */
export function decodeTensor({ dtype, bytes }: TensorEntry): TensorData {
  // Neither `slice`, which is a view where the file is a Buffer, nor a view, whose place may be no multiple of 4.
  const copy = new Uint8Array(bytes);
  if (dtype === 'F32') return new Float32Array(copy.buffer);
  if (dtype === 'U32') return new Uint32Array(copy.buffer);
  if (dtype === 'U8') return copy;
  if (dtype === 'F64') return Float32Array.from(new Float64Array(copy.buffer));
  const halves = new Uint16Array(copy.buffer);
  // The upper half of a float32.
  if (dtype === 'BF16') return new Float32Array(Uint32Array.from(halves, (bits) => bits << 16).buffer);
  return Float32Array.from(halves, halfToFloat);
}

/** Copies of all tensors. */
export function decodeFile({ entries, metadata }: OpenedFile): TensorFile {
  const tensors = new Map<string, StoredTensor>();
  for (const [key, entry] of entries) tensors.set(key, { shape: entry.shape, data: decodeTensor(entry) });
  return { tensors, metadata };
}

/** @param name shown in messages @throws UserError saying what is damaged */
export function readSafetensors(bytes: Uint8Array, name: string): TensorFile {
  return decodeFile(openSafetensors(bytes, name));
}

function dataType(data: WritableData): StoredType {
  if (data instanceof Float32Array) return 'F32';
  if (data instanceof Uint32Array) return 'U32';
  return data instanceof Uint16Array ? 'F16' : 'U8';
}

/**
 * Bytes of a file with these tensors, in the order given.
 * @throws UserError for names and metadata that no reader would take
 */
export function writeSafetensors(
  tensors: ReadonlyMap<string, WritableTensor | TensorEntry>,
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const header: Record<string, unknown> = { __metadata__: metadata };
  let offset = 0;
  for (const [name, tensor] of tensors) {
    const dtype = 'dtype' in tensor ? tensor.dtype : dataType(tensor.data);
    const end = offset + bytesOf(tensor).length;
    header[name] = { dtype, shape: tensor.shape, data_offsets: [offset, end] };
    offset = end;
  }
  let text = JSON.stringify(header);
  // The body has to start at a multiple of 8.
  text = text.padEnd(
    Math.ceil(new TextEncoder().encode(text).length / 8) * 8 - new TextEncoder().encode(text).length + text.length,
  );
  const head = new TextEncoder().encode(text);
  if (head.length > MAX_HEADER)
    throw new UserError(
      `names and metadata of the tensors take ${head.length} bytes.`,
      `A file has room for ${MAX_HEADER}: use shorter ones.`,
    );
  const out = new Uint8Array(8 + head.length + offset);
  new DataView(out.buffer).setBigUint64(0, BigInt(head.length), true);
  out.set(head, 8);
  let at = 8 + head.length;
  for (const tensor of tensors.values()) {
    const bytes = bytesOf(tensor);
    out.set(bytes, at);
    at += bytes.length;
  }
  return out;
}
