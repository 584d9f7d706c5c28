import type { WritableData } from '../formats/safetensors.ts';
import { writeZip } from './zip.ts';

/** The folder in the archive; PyTorch takes any. */
const FOLDER = 'archive';
/** Of PyTorch's format of archives. */
const FORMAT_VERSION = '3\n';

/** Floats, halves as their bits, doubles, or whole numbers. */
export interface TorchTensor {
  readonly shape: readonly number[];
  readonly data: WritableData | Float64Array;
}

/** The name that a tensor's storage has as a class of PyTorch's. */
function storageClass(data: TorchTensor['data']): string {
  if (data instanceof Float64Array) return 'DoubleStorage';
  if (data instanceof Float32Array) return 'FloatStorage';
  if (data instanceof Uint16Array) return 'HalfStorage';
  return data instanceof Uint8Array ? 'ByteStorage' : 'IntStorage';
}

/**
 * A state dict as `torch.save` writes one, which `torch.load` takes with `weights_only=True`, too.
 * @param tensors in the order that they are to have
 * @returns the bytes of a `.pth` file
 */
export function writeTorch(tensors: ReadonlyMap<string, TorchTensor>): Uint8Array {
  const pickle = new PickleWriter();
  const files = new Map<string, Uint8Array>([[`${FOLDER}/data.pkl`, new Uint8Array()]]);
  pickle.dictionary(() => {
    for (const [name, { shape, data }] of tensors) {
      const key = String(files.size - 1);
      pickle.text(name);
      pickle.tensor(storageClass(data), key, data.length, shape);
      files.set(`${FOLDER}/data/${key}`, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    }
  });
  files.set(`${FOLDER}/data.pkl`, pickle.finish());
  files.set(`${FOLDER}/byteorder`, new TextEncoder().encode('little'));
  files.set(`${FOLDER}/version`, new TextEncoder().encode(FORMAT_VERSION));
  return writeZip(files);
}

/** Opcodes of protocol 2, by their names in Python's `pickletools`. */
const OP = {
  PROTO: 0x80,
  STOP: 0x2e,
  MARK: 0x28,
  GLOBAL: 0x63,
  REDUCE: 0x52,
  EMPTY_TUPLE: 0x29,
  TUPLE: 0x74,
  SETITEMS: 0x75,
  BINUNICODE: 0x58,
  BININT: 0x4a,
  LONG1: 0x8a,
  NEWFALSE: 0x89,
  BINPERSID: 0x51,
} as const;

/** Writes what {@link writeTorch} needs. Nothing is kept for a second use, so there is no memo. */
class PickleWriter {
  readonly #bytes: number[] = [OP.PROTO, 2];

  finish(): Uint8Array {
    this.#bytes.push(OP.STOP);
    return Uint8Array.from(this.#bytes);
  }

  /** @param entries writes keys and values, one behind the other */
  dictionary(entries: () => void): void {
    this.#emptyDictionary();
    this.#bytes.push(OP.MARK);
    entries();
    this.#bytes.push(OP.SETITEMS);
  }

  /** Row-major, all of its storage. */
  tensor(storage: string, key: string, elements: number, shape: readonly number[]): void {
    const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, size) => product * size, 1));
    this.#global('torch._utils', '_rebuild_tensor_v2');
    this.#tuple(() => {
      this.#tuple(() => {
        this.text('storage');
        this.#global('torch', storage);
        this.text(key);
        this.text('cpu');
        this.#integer(elements);
      });
      this.#bytes.push(OP.BINPERSID);
      this.#integer(0);
      for (const sizes of [shape, strides])
        this.#tuple(() => {
          for (const size of sizes) this.#integer(size);
        });
      // No gradient, no hooks.
      this.#bytes.push(OP.NEWFALSE);
      this.#emptyDictionary();
    });
    this.#bytes.push(OP.REDUCE);
  }

  text(value: string): void {
    const encoded = new TextEncoder().encode(value);
    this.#bytes.push(OP.BINUNICODE, ...littleEndian(encoded.length, 4), ...encoded);
  }

  #emptyDictionary(): void {
    this.#global('collections', 'OrderedDict');
    this.#bytes.push(OP.EMPTY_TUPLE, OP.REDUCE);
  }

  #global(module: string, name: string): void {
    this.#bytes.push(OP.GLOBAL, ...new TextEncoder().encode(`${module}\n${name}\n`));
  }

  #tuple(values: () => void): void {
    this.#bytes.push(OP.MARK);
    values();
    this.#bytes.push(OP.TUPLE);
  }

  #integer(value: number): void {
    if (value < 2 ** 31) this.#bytes.push(OP.BININT, ...littleEndian(value, 4));
    else this.#bytes.push(OP.LONG1, 8, ...littleEndian(value, 8));
  }
}

function littleEndian(value: number, bytes: number): number[] {
  return Array.from({ length: bytes }, (_, i) => Math.floor(value / 2 ** (8 * i)) % 256);
}
