import { quote, UserError } from '../errors.ts';

/** Reader and writer of zip archives, as far as PyTorch and those who pack its files need: stored and deflated entries, zip64. */
export interface ZipEntry {
  readonly name: string;
  /** Size when it is unpacked. */
  readonly bytes: number;
  /** The entry's contents. @throws UserError for an entry that is damaged, encrypted, or packed in another way */
  read(): Promise<Uint8Array>;
}

const SIGNATURE = { local: 0x04034b50, central: 0x02014b50, end: 0x06054b50, end64: 0x06064b50, locator64: 0x07064b50 };
const METHOD = { stored: 0, deflated: 8 } as const;
const ENCRYPTED = 1;
/** The extra field that holds sizes of more than 32 bits, and what stands in their place. */
const ZIP64 = { field: 1, word: 0xffff_ffff, half: 0xffff } as const;
const END_BYTES = 22;
const LONGEST_COMMENT = 0xffff;
const LOCATOR_BYTES = 20;
const CENTRAL_BYTES = 46;
const LOCAL_BYTES = 30;
/** Far more than any network has tensors. */
const MOST_ENTRIES = 2 ** 16;
/** Deflate makes no more of a byte: what claims to be larger is refused before it takes memory. */
const LARGEST_RATIO = 1032;
const FIX = 'Copy or make the file again.';

/** Whether bytes begin as an archive does. */
export function isZip(bytes: Uint8Array): boolean {
  return bytes.length >= 4 && viewOf(bytes).getUint32(0, true) === SIGNATURE.local;
}

const viewOf = ({ buffer, byteOffset, byteLength }: Uint8Array) => new DataView(buffer, byteOffset, byteLength);

/**
 * The entries of an archive, by name. Nothing is unpacked before it is asked for.
 * @param name of the archive, shown in messages
 * @throws UserError for a directory that is damaged
 */
export function openZip(bytes: Uint8Array, name: string): ReadonlyMap<string, ZipEntry> {
  return new Archive(bytes, name).entries();
}

interface Described {
  readonly name: string;
  readonly flags: number;
  readonly method: number;
  readonly checksum: number;
  readonly packed: number;
  readonly bytes: number;
  readonly at: number;
}

class Archive {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #name: string;

  constructor(bytes: Uint8Array, name: string) {
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
    this.#name = name;
  }

  entries(): Map<string, ZipEntry> {
    const { count, from, to } = this.#directory();
    const entries = new Map<string, ZipEntry>();
    let at = from;
    for (let i = 0; i < count; i++) {
      if (at + CENTRAL_BYTES > to || this.#word(at) !== SIGNATURE.central)
        throw this.#damaged('its directory is cut off');
      const [nameBytes, extraBytes, commentBytes] = [28, 30, 32].map((offset) => this.#half(at + offset));
      const end = at + CENTRAL_BYTES + nameBytes! + extraBytes! + commentBytes!;
      if (end > to) throw this.#damaged('its directory is cut off');
      const entry = this.#describe(at, nameBytes!, extraBytes!);
      if (entries.has(entry.name)) throw this.#damaged(`it holds ${quote(entry.name)} twice`);
      entries.set(entry.name, { name: entry.name, bytes: entry.bytes, read: () => this.#read(entry) });
      at = end;
    }
    return entries;
  }

  #damaged(what: string): UserError {
    return new UserError(`${this.#name} is not a usable zip archive: ${what}.`, FIX);
  }

  #half(at: number): number {
    return this.#view.getUint16(at, true);
  }

  #word(at: number): number {
    return this.#view.getUint32(at, true);
  }

  /** A 64-bit number; those that no file reaches are larger than any file, too, once they are rounded. */
  #long(at: number): number {
    return Number(this.#view.getBigUint64(at, true));
  }

  #directory(): { readonly count: number; readonly from: number; readonly to: number } {
    const { length } = this.#bytes;
    let end = length - END_BYTES;
    const first = Math.max(0, end - LONGEST_COMMENT);
    while (end >= first && !(this.#word(end) === SIGNATURE.end && end + END_BYTES + this.#half(end + 20) === length))
      end--;
    if (end < first) throw this.#damaged('it has no directory');
    let [count, size, from] = [this.#half(end + 10), this.#word(end + 12), this.#word(end + 16)];
    const locator = end - LOCATOR_BYTES;
    if (locator >= 0 && this.#word(locator) === SIGNATURE.locator64) {
      const end64 = this.#long(locator + 8);
      if (end64 + 56 > locator || this.#word(end64) !== SIGNATURE.end64)
        throw this.#damaged('its directory is cut off');
      [count, size, from] = [32, 40, 48].map((offset) => this.#long(end64 + offset)) as [number, number, number];
    }
    if (count > MOST_ENTRIES) throw this.#damaged(`it claims to hold ${count} files`);
    if (from + size > end) throw this.#damaged('its directory is cut off');
    return { count, from, to: from + size };
  }

  #describe(at: number, nameBytes: number, extraBytes: number): Described {
    const [flags, method, checksum] = [this.#half(at + 8), this.#half(at + 10), this.#word(at + 16)];
    const nameAt = at + CENTRAL_BYTES;
    const name = new TextDecoder().decode(this.#bytes.subarray(nameAt, nameAt + nameBytes));
    const long = this.#longFields(nameAt + nameBytes, nameAt + nameBytes + extraBytes);
    // Only what does not fit stands in the extra field, in this order.
    const [bytes, packed, place] = [24, 20, 42].map((offset) => {
      const short = this.#word(at + offset);
      return short === ZIP64.word ? (long.shift() ?? short) : short;
    });
    return { name, flags, method, checksum, packed: packed!, bytes: bytes!, at: place! };
  }

  #longFields(from: number, to: number): number[] {
    for (let at = from; at + 4 <= to; ) {
      const end = at + 4 + this.#half(at + 2);
      if (end > to) break;
      if (this.#half(at) === ZIP64.field)
        return Array.from({ length: Math.floor((end - at - 4) / 8) }, (_, i) => this.#long(at + 4 + 8 * i));
      at = end;
    }
    return [];
  }

  async #read({ name, flags, method, checksum, packed, bytes, at }: Described): Promise<Uint8Array> {
    const wrong = (what: string) => this.#damaged(`its entry ${quote(name)} ${what}`);
    if (flags & ENCRYPTED) throw wrong('is encrypted');
    if (at + LOCAL_BYTES > this.#bytes.length || this.#word(at) !== SIGNATURE.local)
      throw wrong('is not where it should be');
    const from = at + LOCAL_BYTES + this.#half(at + 26) + this.#half(at + 28);
    if (from + packed > this.#bytes.length) throw wrong('is cut off');
    const stored = this.#bytes.subarray(from, from + packed);
    let contents: Uint8Array | undefined;
    if (method === METHOD.stored) contents = stored.length === bytes ? stored : undefined;
    else if (method === METHOD.deflated) contents = await inflate(stored, bytes);
    else throw wrong(`is packed by method ${method}, which is not read`);
    if (!contents) throw wrong(`does not unpack to its ${bytes} bytes`);
    if (crc32(contents) !== checksum) throw wrong('is damaged: its checksum does not match');
    return contents;
  }
}

/** Undefined where the stream is damaged or has another length. */
async function inflate(packed: Uint8Array, bytes: number): Promise<Uint8Array | undefined> {
  if (bytes > LARGEST_RATIO * packed.length) return undefined;
  const out = new Uint8Array(bytes);
  let at = 0;
  try {
    const stream = new Blob([packed as Uint8Array<ArrayBuffer>]).stream();
    const reader = stream.pipeThrough(new DecompressionStream('deflate-raw')).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return at === bytes ? out : undefined;
      if (at + value.length > bytes) {
        await reader.cancel();
        return undefined;
      }
      out.set(value, at);
      at += value.length;
    }
  } catch {
    return undefined;
  }
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  return crc;
});

function crc32(bytes: Uint8Array): number {
  let crc = 0xffff_ffff;
  for (let i = 0; i < bytes.length; i++) crc = (crc >>> 8) ^ CRC_TABLE[(crc ^ bytes[i]!) & 0xff]!;
  return ~crc >>> 0;
}

/** Stored entries begin at a multiple of this, as PyTorch maps them into memory. */
const ALIGNMENT = 64;
/** Nothing is stamped: equal contents are equal bytes. This is the first day that the format knows. */
const DATE = { time: 0, day: (1 << 5) | 1 } as const;
const VERSION = 20;

/** An archive of stored entries, in the order given, each aligned. @throws UserError for more than 4 GiB */
export function writeZip(files: ReadonlyMap<string, Uint8Array>): Uint8Array {
  const parts: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let at = 0;
  const add = (part: Uint8Array) => {
    parts.push(part);
    at += part.length;
  };
  for (const [name, contents] of files) {
    const encoded = new TextEncoder().encode(name);
    const filler = (ALIGNMENT - ((at + LOCAL_BYTES + encoded.length + 4) % ALIGNMENT)) % ALIGNMENT;
    const shared = (extra: number) => [
      ...[half(VERSION), half(0), half(METHOD.stored), half(DATE.time), half(DATE.day), word(crc32(contents))],
      ...[word(contents.length), word(contents.length), half(encoded.length), half(extra)],
    ];
    const place = at;
    add(
      joined([
        word(SIGNATURE.local),
        ...shared(4 + filler),
        encoded,
        half(FILLER),
        half(filler),
        new Uint8Array(filler),
      ]),
    );
    add(contents);
    directory.push(
      joined([
        word(SIGNATURE.central),
        half(VERSION),
        ...shared(0),
        half(0),
        half(0),
        half(0),
        word(0),
        word(place),
        encoded,
      ]),
    );
  }
  const central = joined(directory);
  if (at + central.length + END_BYTES > ZIP64.word || files.size >= ZIP64.half)
    throw new UserError(
      `an archive of ${at} bytes in ${files.size} files is not written.`,
      'Write less into one file.',
    );
  const count = half(files.size);
  const end = [word(SIGNATURE.end), half(0), half(0), count, count, word(central.length), word(at), half(0)];
  return joined([...parts, central, ...end]);
}

/** An extra field that says nothing: PyTorch fills up with the same. */
const FILLER = 0x4246;

const half = (value: number) => Uint8Array.of(value, value >>> 8);
const word = (value: number) => Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24);

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
