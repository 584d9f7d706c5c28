import { sealChecksum } from '../../src/formats/checksum.ts';
import { Random } from '../../src/math/random.ts';

/** A changed model file. */
export interface Mutation {
  readonly kind: string;
  readonly bytes: Uint8Array;
  /** Whether the checksum was made right again, so that what follows it is reached. */
  readonly sealed: boolean;
}

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

/** Text that stands for itself in the JSON that is written, such as numbers that `JSON.stringify` has no way to write. */
export const raw = (text: string) => `@@${text}@@`;
const deep = (levels: number) => raw('['.repeat(levels) + ']'.repeat(levels));

/** Values that no field takes, or only some. */
const HOSTILE: readonly Json[] = [
  ...[1e9, 2 ** 31, 2 ** 32, 2 ** 53, 1e300, 1e-300, -1, 0, 0.5, 255, 256, 65536],
  ...['1e999', '-1e999', 'NaN', 'Infinity', '1e', '{"__proto__":{"size":1}}', '{"a":1,"a":2}'].map(raw),
  ...['', 'x', 'toString', '__proto__', 'constructor', 'F64', 'a'.repeat(5000), 'line\nline', '\u0000'],
  ...[null, true, false, [], {}, [1e9, 1e9], [2 ** 52, 2 ** 52, 0], { groupSize: 1e9 }, { length: 4 }],
  ...[10, 5000, 100_000].map(deep),
];
/** Values that are right somewhere. */
const PLAUSIBLE: readonly Json[] = [
  ...['xs', 's', 'm', 'exact', 'reference', 'channel', 'dynamic', 'static', 'F32', 'F16', 'U8', 'U32', '1', '2', '3'],
  ...[128, 192, 256, 4096, 2, 3, 4, 8, 16, 32, 0.1],
  { groupSize: 4 },
  { groupSize: 8 },
];

const NAMES = ['x', 'threshold', 'layers', 'input', 'range', raw('"__proto__"'), 'constructor'];

/** A file's JSON header, with the JSON text that its metadata holds under `nested` parsed too, and what follows it. */
export function openHeader(
  bytes: Uint8Array,
  nested: string,
): { readonly header: JsonObject; readonly body: Uint8Array } {
  const end = 8 + Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, end)));
  header.__metadata__[nested] = JSON.parse(header.__metadata__[nested]);
  return { header, body: bytes.subarray(end) };
}

/** A file with any text for a header. */
export function withText(text: string, body: Uint8Array = new Uint8Array()): Uint8Array {
  const head = new TextEncoder().encode(text);
  const padded = Math.ceil(head.length / 8) * 8;
  const bytes = new Uint8Array(8 + padded + body.length).fill(0x20, 8, 8 + padded);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(padded), true);
  bytes.set(head, 8);
  bytes.set(body, 8 + padded);
  return bytes;
}

/** The reverse of {@link openHeader}. */
export function withHeader(header: JsonObject, body: Uint8Array, indent?: string | number): Uint8Array {
  const write = (value: Json) =>
    JSON.stringify(value, undefined, indent).replace(/"@@(.*?)@@"/g, (_, text) => JSON.parse(`"${text}"`));
  const { __metadata__: metadata } = header;
  if (!isTree(metadata) || Array.isArray(metadata)) return withText(write(header), body);
  const texts = Object.entries(metadata).map(([key, value]) => [key, isTree(value) ? write(value) : value]);
  return withText(write({ ...header, __metadata__: Object.fromEntries(texts) }), body);
}

function isTree(value: Json | undefined): value is JsonObject | Json[] {
  return typeof value === 'object' && value !== null;
}

/** Makes mutations of one file: the same one for the same seed. */
export class Mutator {
  readonly #original: Uint8Array;
  readonly #nested: string;
  readonly #header: string;
  readonly #body: Uint8Array;
  readonly #headerEnd: number;

  /** @param nested the key of the metadata whose text is JSON */
  constructor(original: Uint8Array, nested = 'sections') {
    const { header, body } = openHeader(original, nested);
    this.#original = original;
    this.#nested = nested;
    this.#header = JSON.stringify(header);
    this.#body = body;
    this.#headerEnd = original.length - body.length;
  }

  /** @param bodyShare how many of the mutations change the tensors: to read such a file takes a hash, and decoding */
  async make(seed: number, bodyShare: number): Promise<Mutation> {
    const random = new Random(seed);
    const kinds = random.uniform() < bodyShare ? this.#bodyKinds : this.#headerKinds;
    const [kind, change] = pick(random, Object.entries(kinds));
    const bytes = change(random);
    if (random.uniform() < 0.25) return { kind, bytes, sealed: false };
    // What has lost its header or the place of the checksum stays as it is.
    const sealed = await sealChecksum(bytes).then(
      () => true,
      () => false,
    );
    return { kind, bytes, sealed };
  }

  readonly #bodyKinds: Readonly<Record<string, (random: Random) => Uint8Array>> = {
    'bits of the body': (random) => this.#flip(random, this.#headerEnd, this.#original.length),
    'bytes of the body': (random) => this.#overwrite(random, this.#headerEnd, this.#original.length),
    'exchanged parts': (random) => {
      const bytes = this.#original.slice();
      const length = 1 + below(random, Math.min(4096, this.#original.length / 2));
      const [a, b] = [0, 1].map(() => below(random, bytes.length - length)) as [number, number];
      const part = bytes.slice(a, a + length);
      bytes.copyWithin(a, b, b + length);
      bytes.set(part, b);
      return bytes;
    },
    'a part twice': (random) => {
      const bytes = this.#original.slice();
      const from = below(random, bytes.length);
      return bytes.copyWithin(below(random, bytes.length), from, from + 1 + below(random, 4096));
    },
  };

  readonly #headerKinds: Readonly<Record<string, (random: Random) => Uint8Array>> = {
    'bits of the header': (random) => this.#flip(random, 0, this.#headerEnd),
    'bytes of the header': (random) => this.#overwrite(random, 0, this.#headerEnd),
    truncated: (random) => {
      const most = random.uniform() < 0.5 ? this.#headerEnd : this.#original.length;
      return this.#original.slice(0, below(random, most));
    },
    extended: (random) => {
      const bytes = new Uint8Array(this.#original.length + 1 + below(random, 64));
      bytes.set(this.#original);
      return bytes;
    },
    'length of the header': (random) => {
      const bytes = this.#original.slice();
      const lengths = [
        0n,
        1n,
        2n ** 20n,
        2n ** 32n,
        2n ** 53n + 1n,
        2n ** 64n - 1n,
        BigInt(below(random, bytes.length)),
      ];
      new DataView(bytes.buffer).setBigUint64(0, pick(random, lengths), true);
      return bytes;
    },
    'a value': (random) =>
      this.#edit((header) => {
        const { owner, key } = this.#place(random, header);
        const value = owner[key]!;
        const near = typeof value === 'number' ? [value + 1, value - 1, -value, value * 2, value / 3] : [];
        owner[key] = pick(random, pick(random, [HOSTILE, PLAUSIBLE, near.length > 0 ? near : HOSTILE]));
      }),
    'a value elsewhere': (random) =>
      this.#edit((header) => {
        const [a, b] = [this.#place(random, header), this.#place(random, header)];
        // A value must not come to lie in itself.
        const value = structuredClone(b.owner[b.key]!);
        b.owner[b.key] = structuredClone(a.owner[a.key]!);
        a.owner[a.key] = value;
      }),
    'exchanged tensors': (random) =>
      this.#edit((header) => {
        const names = Object.keys(header).filter((name) => name !== '__metadata__');
        const [a, b] = [pick(random, names), pick(random, names)];
        [header[a], header[b]] = [header[b]!, header[a]!];
      }),
    'a missing key': (random) =>
      this.#edit((header) => {
        const { owner, key } = this.#place(random, header);
        delete owner[key];
      }),
    'another key': (random) =>
      this.#edit((header) => {
        const { owner, key } = this.#place(random, header);
        const name = pick(random, [...NAMES, `${key}s`]);
        owner[name] = random.uniform() < 0.5 ? owner[key]! : pick(random, HOSTILE);
        if (random.uniform() < 0.5) delete owner[key];
      }),
    'a key twice': (random) => {
      const text = new TextDecoder().decode(this.#original.subarray(8, this.#headerEnd)).trimEnd();
      const { owner, key } = this.#place(random, JSON.parse(text));
      const member = `${JSON.stringify(key)}:${JSON.stringify(owner[key])}`;
      const at = text.indexOf(member);
      const twice = `${member},${JSON.stringify(key)}:${JSON.stringify(pick(random, [owner[key]!, ...PLAUSIBLE]))}`;
      return withText(at < 0 ? `${text},` : text.replace(member, () => twice), this.#body);
    },
    'the same in other words': (random) => {
      const header = shuffled(random, JSON.parse(this.#header)) as JsonObject;
      return withHeader(header, this.#body, pick(random, [undefined, 1, '\t']));
    },
  };

  #flip(random: Random, from: number, to: number): Uint8Array {
    const bytes = this.#original.slice();
    for (let n = 1 + below(random, 4); n > 0; n--) bytes[from + below(random, to - from)]! ^= 1 << below(random, 8);
    return bytes;
  }

  #overwrite(random: Random, from: number, to: number): Uint8Array {
    const bytes = this.#original.slice();
    const at = from + below(random, to - from);
    const fill = pick(random, [0, 255, 127, undefined]);
    const end = Math.min(to, at + 1 + below(random, 32));
    for (let i = at; i < end; i++) bytes[i] = fill ?? below(random, 256);
    return bytes;
  }

  /** The file with a header that `change` has changed in place. */
  #edit(change: (header: JsonObject) => void): Uint8Array {
    const header = JSON.parse(this.#header) as JsonObject;
    change(header);
    return withHeader(header, this.#body);
  }

  /** A place anywhere in the header; half of them below the nested key. */
  #place(random: Random, header: JsonObject): Place {
    const nested = (header['__metadata__'] as JsonObject)[this.#nested]!;
    return pick(random, places(random.uniform() < 0.5 && isTree(nested) ? (nested as JsonObject) : header));
  }
}

function below(random: Random, limit: number): number {
  return Math.floor(random.uniform() * limit);
}

function pick<T>(random: Random, choices: readonly T[]): T {
  return choices[below(random, choices.length)]!;
}

/** With the keys of all objects in another order. */
function shuffled(random: Random, value: Json): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const entries = Object.entries(value).map(([key, entry]) => ({ key, entry, order: random.uniform() }));
  entries.sort((a, b) => a.order - b.order);
  return Object.fromEntries(entries.map(({ key, entry }) => [key, shuffled(random, entry)]));
}

/** Where a value stands in a tree of JSON objects. */
interface Place {
  readonly owner: JsonObject;
  readonly key: string;
}

function places(owner: JsonObject): Place[] {
  return Object.entries(owner).flatMap(([key, value]) => [
    { owner, key },
    ...(isTree(value) ? places(value as JsonObject) : []),
  ]);
}
