import { UserError } from '../errors.ts';
import { halfToFloat } from '../kernels/half.ts';

/** Reader and writer of the safetensors format: 8 bytes header length, JSON header, raw little-endian data. */
export type TensorData = Float32Array | Uint32Array | Uint8Array;

/** What can be written: bits of half floats too, which are read back as numbers. */
export type WritableData = TensorData | Uint16Array;

export interface StoredTensor {
  readonly shape: readonly number[];
  readonly data: TensorData;
}

export interface WritableTensor {
  readonly shape: readonly number[];
  readonly data: WritableData;
}

export interface TensorFile {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

interface Entry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

const BYTES: Readonly<Record<string, number>> = { F32: 4, F16: 2, U32: 4, U8: 1 };
/** As in the reference implementation: a larger header is damage, not data. */
const MAX_HEADER = 100_000_000;

/** @param name shown in messages @throws UserError saying what is damaged */
export function readSafetensors(bytes: Uint8Array, name: string): TensorFile {
  const damaged = (what: string): never => {
    throw new UserError(`${name} is not a usable safetensors file: ${what}.`, 'Copy or make the file again.');
  };
  if (bytes.length < 8) return damaged(`it has ${bytes.length} bytes, fewer than its header's length takes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const headerBytes = Number(view.getBigUint64(0, true));
  if (headerBytes > MAX_HEADER || headerBytes > bytes.length - 8) return damaged('its header is longer than the file');
  let header: Record<string, unknown>;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(8, 8 + headerBytes)));
  } catch {
    return damaged('its header is not JSON');
  }
  if (typeof header !== 'object' || header === null || Array.isArray(header))
    return damaged('its header is not an object');
  const tensors = new Map<string, StoredTensor>();
  const body = bytes.subarray(8 + headerBytes);
  let covered = 0;
  for (const [key, value] of Object.entries(header)) {
    if (key === '__metadata__') continue;
    const entry = checkEntry(value);
    if (!entry) return damaged(`tensor '${key}' has a malformed entry`);
    const [from, to] = entry.data_offsets;
    const length = entry.shape.reduce((a, b) => a * b, 1);
    if (to > body.length || to - from !== length * BYTES[entry.dtype]!)
      return damaged(`tensor '${key}' does not fit its place`);
    covered += to - from;
    tensors.set(key, { shape: entry.shape, data: decode(body.slice(from, to), entry.dtype) });
  }
  if (covered !== body.length) return damaged(`its tensors take ${covered} bytes and its body has ${body.length}`);
  const metadata = (header['__metadata__'] ?? {}) as Record<string, unknown>;
  if (typeof metadata !== 'object' || metadata === null || Object.values(metadata).some((v) => typeof v !== 'string')) {
    return damaged('its metadata is not text');
  }
  return { tensors, metadata: metadata as Record<string, string> };
}

function checkEntry(value: unknown): Entry | undefined {
  const entry = value as Partial<Entry> | null;
  const whole = (n: unknown) => Number.isSafeInteger(n) && (n as number) >= 0;
  const ok =
    typeof entry === 'object' &&
    entry !== null &&
    typeof entry.dtype === 'string' &&
    Object.hasOwn(BYTES, entry.dtype) &&
    Array.isArray(entry.shape) &&
    entry.shape.every(whole) &&
    Array.isArray(entry.data_offsets) &&
    entry.data_offsets.length === 2 &&
    entry.data_offsets.every(whole) &&
    entry.data_offsets[0]! <= entry.data_offsets[1]!;
  return ok ? (entry as Entry) : undefined;
}

function decode(copy: Uint8Array, dtype: string): TensorData {
  if (dtype === 'F32') return new Float32Array(copy.buffer, copy.byteOffset, copy.length / 4);
  if (dtype === 'U32') return new Uint32Array(copy.buffer, copy.byteOffset, copy.length / 4);
  if (dtype === 'U8') return copy;
  return Float32Array.from(new Uint16Array(copy.buffer, copy.byteOffset, copy.length / 2), halfToFloat);
}

function dataType(data: WritableData): string {
  if (data instanceof Float32Array) return 'F32';
  if (data instanceof Uint32Array) return 'U32';
  return data instanceof Uint16Array ? 'F16' : 'U8';
}

/** Bytes of a file with these tensors, in the order given. */
export function writeSafetensors(
  tensors: ReadonlyMap<string, WritableTensor>,
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const header: Record<string, unknown> = { __metadata__: metadata };
  let offset = 0;
  for (const [name, { shape, data }] of tensors) {
    const dtype = dataType(data);
    header[name] = { dtype, shape, data_offsets: [offset, offset + data.byteLength] };
    offset += data.byteLength;
  }
  let text = JSON.stringify(header);
  // The body has to start at a multiple of 8.
  text = text.padEnd(
    Math.ceil(new TextEncoder().encode(text).length / 8) * 8 - new TextEncoder().encode(text).length + text.length,
  );
  const head = new TextEncoder().encode(text);
  const out = new Uint8Array(8 + head.length + offset);
  new DataView(out.buffer).setBigUint64(0, BigInt(head.length), true);
  out.set(head, 8);
  let at = 8 + head.length;
  for (const { data } of tensors.values()) {
    out.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return out;
}
