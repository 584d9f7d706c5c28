import { UserError } from '../errors.ts';

/** A field of a message: a number, or bytes. */
export interface Field {
  readonly field: number;
  readonly number: number;
  readonly bytes: Uint8Array;
  /** With what stands before it. */
  readonly whole: Uint8Array;
}

/** Far more than any network has nodes and constants: what a message takes is bounded by it. */
const MOST_FIELDS = 2 ** 20;

/** The fields of a message, one after the other. Their bytes are views. */
export function fields(bytes: Uint8Array, damaged: () => UserError): Field[] {
  const all: Field[] = [];
  for (let at = 0; at < bytes.length; ) {
    const [tag, from] = varintAt(bytes, at, damaged);
    if (all.length >= MOST_FIELDS) throw damaged();
    const [field, wire] = [Math.floor(tag / 8), tag % 8];
    if (wire === WIRE.varint) {
      const [number, end] = varintAt(bytes, from, damaged);
      all.push({ field, number, bytes: NONE, whole: bytes.subarray(at, end) });
      at = end;
      continue;
    }
    const fixed = wire === WIRE.long ? 8 : wire === WIRE.word ? 4 : undefined;
    if (fixed === undefined && wire !== WIRE.bytes) throw damaged();
    const [length, start] = fixed === undefined ? varintAt(bytes, from, damaged) : [fixed, from];
    const end = start + length;
    if (end > bytes.length) throw damaged();
    all.push({ field, number: 0, bytes: bytes.subarray(start, end), whole: bytes.subarray(at, end) });
    at = end;
  }
  return all;
}

const WIRE = { varint: 0, long: 1, bytes: 2, word: 5 } as const;
const NONE = new Uint8Array();
const LONGEST_VARINT = 10;

/** Base 128, least significant group first. What is beyond 2^53 is rounded, and no size of anything. */
export function varintAt(
  bytes: Uint8Array,
  at: number,
  damaged: () => UserError,
): readonly [value: number, end: number] {
  let value = 0;
  for (let i = 0; i < LONGEST_VARINT; i++) {
    const byte = bytes[at + i];
    if (byte === undefined) break;
    value += (byte & 0x7f) * 2 ** (7 * i);
    if (byte < 0x80) return [value, at + i + 1];
  }
  throw damaged();
}

export const last = (all: readonly Field[], field: number) => all.findLast((each) => each.field === field);

export const textOf = (field: Field | undefined) => new TextDecoder().decode(field?.bytes);

/** What is thrown for a file that cannot be read. @param name shown in the message */
export const damagedFile = (name: string) => () =>
  new UserError(`${name} is not a usable ONNX file.`, 'Copy or make the file again.');
