import { UserError } from '../errors.ts';

/** What the first picture of a TIFF file says of itself. */
export interface TiffPicture {
  /** Compressed with losses. */
  readonly lossy: boolean;
  readonly tiled: boolean;
}

const TAG = {
  bitsPerSample: 258,
  compression: 259,
  tileOffsets: 324,
  tileBytes: 325,
  sampleFormat: 339,
} as const;

const OLD_JPEG = 6;
/** JPEG, WebP. */
const LOSSY = [7, 50001];
/** Names of sample formats other than unsigned integers (1) and unknown ones (4). */
const SAMPLE_FORMATS: Readonly<Record<number, string>> = { 2: 'signed', 3: 'float', 5: 'complex', 6: 'complex float' };
/** Bytes of a value by its type's number. */
const TYPE_BYTES: Readonly<Record<number, number>> = { 1: 1, 3: 2, 4: 4, 13: 4, 16: 8, 18: 8 };

/**
 * Checks what decoders pass over in silence: that all tiles lie within the file, and that samples are numbers of up to 16
 * bits without sign, which are the only ones whose black and white are known.
 * @throws UserError saying what is wrong
 */
export function inspectTiff(bytes: Uint8Array): TiffPicture {
  const damaged = (what: string) => new UserError(`${what}.`, 'Copy or save the file again.');
  const directory = readDirectory(bytes, damaged);
  const compression = directory.numbers(TAG.compression)[0] ?? 1;
  if (compression === OLD_JPEG)
    throw new UserError('it is compressed as JPEG in the withdrawn way of TIFF 6.0.', 'Save it again or as PNG.');
  const formats = directory.numbers(TAG.sampleFormat);
  const bits = Math.max(1, directory.numbers(TAG.bitsPerSample)[0] ?? 1);
  const named = formats.map((format) => SAMPLE_FORMATS[format]).find((name) => name !== undefined);
  if (named || bits > 16)
    throw new UserError(
      `it has samples of ${bits} bits${named ? `, ${named}` : ''}.`,
      'Save it with 8 or 16 bits without sign.',
    );
  const tiles = directory.numbers(TAG.tileOffsets);
  const lengths = directory.numbers(TAG.tileBytes);
  const count = tiles.length;
  tiles.forEach((offset, i) => {
    const length = lengths[i] ?? 0;
    if (offset === 0 || length === 0) throw damaged(`tile ${i + 1} of ${count} is missing`);
    if (offset + length > bytes.length)
      throw damaged(`it ends at byte ${bytes.length}, within tile ${i + 1} of ${count}`);
  });
  return { lossy: LOSSY.includes(compression), tiled: count > 0 };
}

interface Directory {
  /** Values of a field of whole numbers; none when it is absent. */
  numbers(tag: number): number[];
}

/** The first image file directory, of classic TIFF and BigTIFF. */
function readDirectory(bytes: Uint8Array, damaged: (what: string) => UserError): Directory {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const little = bytes[0] === 0x49;
  const cut = () => damaged(`it ends at byte ${bytes.length}, within its directory`);
  const read = (at: number, length: number): number => {
    if (at + length > bytes.length) throw cut();
    if (length === 1) return view.getUint8(at);
    if (length === 2) return view.getUint16(at, little);
    return length === 4 ? view.getUint32(at, little) : Number(view.getBigUint64(at, little));
  };
  const big = read(2, 2) === 43;
  const word = big ? 8 : 4;
  const start = read(big ? 8 : 4, word);
  const count = read(start, big ? 8 : 2);
  const entryBytes = 4 + 2 * word;
  const first = start + (big ? 8 : 2);
  if (first + count * entryBytes > bytes.length) throw cut();
  const entries = new Map<number, number>();
  for (let i = 0; i < count; i++) entries.set(read(first + i * entryBytes, 2), first + i * entryBytes);
  return {
    numbers(tag) {
      const entry = entries.get(tag);
      if (entry === undefined) return [];
      const size = TYPE_BYTES[read(entry + 2, 2)];
      const length = read(entry + 4, word);
      if (size === undefined) throw damaged(`its field ${tag} is no whole number`);
      // As many values as fit are there, whatever is claimed.
      if (length * size > bytes.length) throw cut();
      const at = length * size <= word ? entry + 4 + word : read(entry + 4 + word, word);
      return Array.from({ length }, (_, i) => read(at + i * size, size));
    },
  };
}
