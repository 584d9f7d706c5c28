import { evaluateReference, input, type Node, size, type Values } from '../engine/graph.ts';
import type { TypedArray } from '../engine/plan.ts';
import { halfToFloat } from '../formats/half.ts';
import { CHANNELS_PER_WORD } from '../kernels/storage.ts';
import type { Case } from './cases.ts';
import { randomValues, toHost } from './values.ts';

/** A row of the table, ready to be compiled and compared. Values are computed when they are first asked for. */
export interface PreparedCase {
  readonly row: Case;
  readonly inputs: readonly Node[];
  readonly output: Node;
  /** Random values of the inputs. */
  readonly values: () => Map<Node, Values>;
  /** The same as a plan takes them. */
  readonly data: () => Readonly<Record<string, TypedArray>>;
  /** The float64 reference. */
  readonly expected: () => Values;
}

export function prepareCase(row: Case): PreparedCase {
  const inputs = row.inputs.map((spec, i) => input(`in${i}`, spec.shape, spec.dtype ?? 'f32'));
  const output = row.build(inputs);
  const values = once(
    () => new Map(inputs.map((node, i) => [node, randomValues(node, row.inputs[i]!.fill ?? 'normal', 1000 + i)])),
  );
  return {
    row,
    inputs,
    output,
    values,
    data: once(() => Object.fromEntries([...values()].map(([node, drawn]) => [node.label, toHost(drawn)]))),
    expected: once(() => evaluateReference([output], values())[0]!),
  };
}

function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

/** How far a result is from its reference. */
export interface Comparison {
  /** Largest difference: of floats, relative to the reference's largest value; of stored activations, in units. */
  readonly error: number;
  /** What {@link error} may be. */
  readonly limit: number;
  readonly isRight: boolean;
  /** The worst element, in words; undefined where all are right. */
  readonly message: string | undefined;
}

/** Rounding error of a float32 operation that is allowed, relative to the largest value. */
const RELATIVE = 1e-6;
/** And where all values are small. */
const ABSOLUTE = 1e-7;

/** Of few outputs, or rectified ones, the largest may be nearer to their mean than the bound of a rounding's error takes it to be. */
const FEW_OUTPUTS = 1.5;

/**
 * Compares a result with its float64 reference. Floats may be off by what rounding in float32 loses, which grows with the square
 * root of a sum's length; stored activations by {@link Case.units}.
 * @param rounding what variants that round may be off besides, as a share of the largest value
 */
export function compareResult({ row, output, expected }: PreparedCase, actual: TypedArray, rounding = 0): Comparison {
  const reference = expected();
  if (actual.length !== size(output.type)) {
    const message = `${actual.length} values came back, expected ${size(output.type)}`;
    return { error: Number.POSITIVE_INFINITY, limit: 0, isRight: false, message };
  }
  return output.type.dtype === 'u32'
    ? compareWords(row, actual, reference, rounding)
    : compareFloats(actual, reference, { ...row, rounding: FEW_OUTPUTS * rounding });
}

/** What is allowed relative to the largest value, per element of the sum that was rounded: grows with its square root. */
export interface FloatTolerance {
  readonly relative?: number;
  /** Length of the longest sum behind an element. */
  readonly reduction?: number | undefined;
  /** What is allowed besides, relative to the largest value. */
  readonly rounding?: number;
}

export function compareFloats(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  { relative = RELATIVE, reduction = 1, rounding = 0 }: FloatTolerance,
): Comparison {
  let largest = 0;
  for (let i = 0; i < expected.length; i++) largest = Math.max(largest, Math.abs(expected[i]!));
  const limit = ABSOLUTE + (relative * Math.sqrt(reduction) + rounding) * largest;
  const { worst, at } = worstDifference(expected.length, (i) => Math.abs(actual[i]! - expected[i]!));
  return verdict(
    worst,
    limit,
    largest || 1,
    `element ${at}: got ${digits(actual[at]!, 9)}, expected ${digits(expected[at]!, 9)}`,
  );
}

/** Half a unit in the last place of halves, relative to their value. */
const HALF_ULP = 2 ** -11;

/**
 * Stored values one by one: bytes and halves by their order, other words whole. What variants that round compute may be stored
 * as the neighboring code; halves are compared as numbers then.
 */
function compareWords(
  { storage, units = 0 }: Case,
  actual: ArrayLike<number>,
  expected: Values,
  rounding: number,
): Comparison {
  const per = storage ? CHANNELS_PER_WORD[storage] : 1;
  const bits = 32 / per;
  const mask = bits === 32 ? 0xffffffff : 2 ** bits - 1;
  const piece = (words: ArrayLike<number>, i: number) => (words[Math.floor(i / per)]! >>> (bits * (i % per))) & mask;
  if (storage === 'f16' && rounding > 0) {
    const numbers = (words: ArrayLike<number>) =>
      Float64Array.from({ length: expected.length * per }, (_, i) => halfToFloat(piece(words, i)));
    return compareFloats(numbers(actual), numbers(expected), { rounding: rounding + 2 * HALF_ULP });
  }
  const storedValue = (words: ArrayLike<number>, i: number) => {
    const value = piece(words, i);
    return storage === 'f16' ? halfOrder(value) : value >>> 0;
  };
  const { worst, at } = worstDifference(expected.length * per, (i) =>
    Math.abs(storedValue(actual, i) - storedValue(expected, i)),
  );
  const text = `stored value ${at}: got ${storedValue(actual, at)}, expected ${storedValue(expected, at)}`;
  return verdict(worst, rounding > 0 ? Math.max(units, 1) : units, 1, text);
}

/** Place of a half among all halves, so that neighbors differ by 1. */
function halfOrder(bits: number): number {
  return bits & 0x8000 ? -(bits & 0x7fff) : bits;
}

function worstDifference(length: number, difference: (i: number) => number): { worst: number; at: number } {
  let worst = 0;
  let at = 0;
  for (let i = 0; i < length; i++) {
    const each = difference(i);
    // Also what is no number.
    if (!(each <= worst)) {
      worst = each;
      at = i;
      if (Number.isNaN(each)) break;
    }
  }
  return { worst, at };
}

function verdict(worst: number, limit: number, scale: number, text: string): Comparison {
  const isRight = worst <= limit;
  const message = isRight ? undefined : `${text}; the difference ${digits(worst, 3)} is above ${digits(limit, 3)}`;
  return { error: worst / scale, limit: limit / scale, isRight, message };
}

/** A value of so many significant digits, of which 9 tell f32 values apart. */
function digits(value: number, count: number): number {
  return Number(value.toPrecision(count));
}
