import { quote, UserError } from '../errors.ts';
import type { StoredType, TensorEntry } from '../formats/safetensors.ts';
import { unpickle } from './pickle.ts';
import { flatten, type Records, type Setting, type TensorRecord } from './records.ts';
import type { PickleValue } from './values.ts';
import { isZip, openZip, type ZipEntry } from './zip.ts';

/** A file of PyTorch's, of whose tensors none has been touched. */
export interface TorchFile {
  /** Tensors by the path of their name: keys of dictionaries, names of modules and parameters, joined by points. */
  readonly tensors: ReadonlyMap<string, TensorRecord>;
  /** Numbers, truth values and texts by the same kind of path, such as `hyper_parameters.padding` or `0.kernel_size.0`. */
  readonly settings: ReadonlyMap<string, Setting>;
  /** A tensor's values, row-major. @throws UserError naming a tensor that is not there, or that cannot be read */
  read(tensor: string): Promise<TensorEntry>;
}

const FIX = 'Copy or make the file again.';
const BYTES = { F64: 8, F32: 4, F16: 2, BF16: 2, U8: 1 } as const satisfies Partial<Record<StoredType, number>>;
const TYPES: Readonly<Record<string, keyof typeof BYTES>> = {
  DoubleStorage: 'F64',
  FloatStorage: 'F32',
  HalfStorage: 'F16',
  BFloat16Storage: 'BF16',
  ByteStorage: 'U8',
};
/** Of the format before archives: the first of the pickles that such a file is made of. */
const LEGACY = { magic: '119547037146038801333356', version: 1001 } as const;
const PICKLE = 'data.pkl';

/** Whether bytes begin as a file of PyTorch's before its archives does. */
function isLegacy(bytes: Uint8Array): boolean {
  return bytes.length > 2 && bytes[0] === 0x80 && bytes[1] === 2;
}

/** Whether it may be worth to {@link readTorch} some bytes, by how they begin. */
export function mayBeTorch(bytes: Uint8Array): boolean {
  return isZip(bytes) || isLegacy(bytes);
}

/** The folder in which an archive of PyTorch's has everything, with a stroke at its end; undefined for any other archive. */
export function torchFolder(entries: ReadonlyMap<string, ZipEntry>): string | undefined {
  const pickle = [...entries.keys()].find((entry) => entry === PICKLE || /^[^/]+\/data\.pkl$/.test(entry));
  return pickle?.slice(0, -PICKLE.length);
}

/**
 * Reads what `torch.save` wrote: a state dict, a checkpoint, or modules. Nothing in it is executed. Memory is taken in proportion to
 * the file, and for tensors when they are read.
 * @param name shown in messages
 * @throws UserError for a file that is damaged, or is none of PyTorch's
 */
export async function readTorch(bytes: Uint8Array, name: string): Promise<TorchFile> {
  if (isZip(bytes)) {
    const entries = openZip(bytes, name);
    const folder = torchFolder(entries);
    if (folder === undefined)
      throw new UserError(`${name} is a zip archive without ${PICKLE}, so it is none of PyTorch's.`, FIX);
    return readArchive(entries, folder, name);
  }
  if (!isLegacy(bytes)) throw new UserError(`${name} is no file of PyTorch's.`, 'Give what `torch.save` wrote.');
  return readLegacy(bytes, name);
}

async function readArchive(entries: ReadonlyMap<string, ZipEntry>, folder: string, name: string): Promise<TorchFile> {
  const order = entries.get(`${folder}byteorder`);
  if (order && new TextDecoder().decode(await order.read()).trim() !== 'little')
    throw new UserError(`${name} was written on a big-endian machine.`, 'Save it again on a little-endian one.');
  const { value } = unpickle(await entries.get(folder + PICKLE)!.read(), name);
  return new Tensors(name, flatten(value, name), (key) => entries.get(`${folder}data/${key}`)?.read());
}

/** Pickles one behind the other (magic number, version, machine, contents, keys of storages), then the storages. */
function readLegacy(bytes: Uint8Array, name: string): TorchFile {
  let at = 0;
  const next = (): PickleValue => {
    const { value, end } = unpickle(bytes, name, at);
    at = end;
    return value;
  };
  if (String(next()) !== LEGACY.magic || next() !== LEGACY.version)
    throw new UserError(`${name} is a pickle, but none of PyTorch's.`, 'Give what `torch.save` wrote.');
  const machine = next();
  if (!(machine instanceof Map) || machine.get('little_endian') !== true)
    throw new UserError(`${name} was written on a big-endian machine.`, 'Save it again on a little-endian one.');
  const records = flatten(next(), name);
  const keys = next();
  const storages = legacyStorages(bytes, at, Array.isArray(keys) ? keys : [], records.storages, name);
  return new Tensors(name, records, (key) => storages.get(key));
}

/** Each storage: its number of elements in 8 bytes, then these, of the type that the tensors over it have. */
function legacyStorages(
  bytes: Uint8Array,
  from: number,
  keys: readonly PickleValue[],
  types: ReadonlyMap<string, string>,
  name: string,
): Map<string, Uint8Array> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const storages = new Map<string, Uint8Array>();
  let at = from;
  for (const key of keys) {
    const width = LEGACY_BYTES[types.get(String(key)) ?? ''];
    if (at + 8 > bytes.length || width === undefined)
      throw new UserError(`${name} is cut off, or holds a storage that belongs to no tensor.`, FIX);
    const end = at + 8 + Number(view.getBigUint64(at, true)) * width;
    if (end > bytes.length) throw new UserError(`${name} is cut off: storage ${quote(key)} is not whole.`, FIX);
    storages.set(String(key), bytes.subarray(at + 8, end));
    at = end;
  }
  return storages;
}

/** Bytes of an element, by the name of its storage's class. */
const LEGACY_BYTES: Readonly<Record<string, number>> = {
  ...Object.fromEntries(Object.entries(TYPES).map(([type, stored]) => [type, BYTES[stored]])),
  LongStorage: 8,
  IntStorage: 4,
  ShortStorage: 2,
  CharStorage: 1,
  BoolStorage: 1,
};

class Tensors implements TorchFile {
  readonly tensors: ReadonlyMap<string, TensorRecord>;
  readonly settings: ReadonlyMap<string, Setting>;
  readonly #name: string;
  readonly #storage: (key: string) => Promise<Uint8Array> | Uint8Array | undefined;

  constructor(name: string, records: Records, storage: (key: string) => Promise<Uint8Array> | Uint8Array | undefined) {
    this.#name = name;
    this.#storage = storage;
    this.tensors = records.tensors;
    this.settings = records.settings;
  }

  async read(tensor: string): Promise<TensorEntry> {
    const wrong = (what: string, fix = FIX) =>
      new UserError(`${this.#name}: the tensor ${quote(tensor)} ${what}.`, fix);
    const record = this.tensors.get(tensor);
    if (!record) throw wrong('is missing');
    if ('foreign' in record)
      throw wrong(`is made by ${quote(record.foreign)}, which is not run`, 'Save the plain state dict in PyTorch.');
    const { storage, shape, strides, offset } = record;
    const dtype = TYPES[storage.type];
    if (!dtype) throw wrong(`is of type ${quote(storage.type)}, which is not read`, 'Convert it to floats in PyTorch.');
    const bytes = await this.#storage(storage.key);
    if (!bytes) throw wrong(`lies in the storage ${quote(storage.key)}, which is missing`);
    if (bytes.length !== storage.elements * BYTES[dtype])
      throw wrong(`lies in a storage of ${bytes.length} bytes where ${storage.elements} elements belong`);
    const last = shape.reduce((sum, size, i) => sum + (size - 1) * strides[i]!, offset);
    const count = shape.reduce((product, size) => product * size, 1);
    if (count > 0 && !(last < storage.elements)) throw wrong('reaches beyond its storage');
    // What repeats elements may be larger than any memory.
    if (count > storage.elements) throw wrong('repeats elements of its storage', 'Save it `contiguous()` in PyTorch.');
    return { dtype, shape, bytes: gather(bytes, record, BYTES[dtype]) };
  }
}

/** A tensor's elements in row-major order, whatever order they lie in. */
function gather(
  bytes: Uint8Array,
  {
    shape,
    strides,
    offset,
  }: { readonly shape: readonly number[]; readonly strides: readonly number[]; readonly offset: number },
  width: number,
): Uint8Array {
  const count = shape.reduce((product, size) => product * size, 1);
  let step = 1;
  const isRowMajor = shape.every((_, i) => {
    const axis = shape.length - 1 - i;
    const fits = shape[axis] === 1 || strides[axis] === step;
    step *= shape[axis]!;
    return fits;
  });
  if (isRowMajor) return bytes.subarray(offset * width, (offset + count) * width);
  const out = new Uint8Array(count * width);
  for (let i = 0; i < count; i++) {
    let rest = i;
    let at = offset;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at += (rest % shape[axis]!) * strides[axis]!;
      rest = Math.floor(rest / shape[axis]!);
    }
    for (let b = 0; b < width; b++) out[i * width + b] = bytes[at * width + b]!;
  }
  return out;
}
