import { quote, UserError } from '../errors.ts';
import { parseJson } from './json.ts';

/** What a value of a JSON document has to be. Numbers are finite: JSON's 1e999 is none. */
export type Shape =
  | 'text'
  | 'number'
  /** JSON has no NaN. */
  | 'number or null'
  | 'truth value'
  /** A number within bounds, both included. */
  | { readonly from: number; readonly to: number }
  /** Likewise a whole number. */
  | { readonly least: number; readonly most: number }
  | { readonly optional: Shape }
  | { readonly list: Shape; readonly atLeast?: number }
  | { readonly record: Shape }
  | { readonly tuple: readonly Shape[] }
  | { readonly oneOf: readonly (string | number)[] }
  /** `exact`: a field that is not named may change what the others mean, so it is refused. */
  | { readonly fields: Readonly<Record<string, Shape>>; readonly exact?: boolean };

interface Mistake {
  /** Such as `steps.0.model`. */
  readonly path: string;
  readonly found: unknown;
  readonly expected: string;
}

/**
 * The one check of JSON documents: what writes one and what reads it use the same shape.
 * @param name of the document, shown in messages
 * @throws UserError naming the first value that has not its shape
 */
export function checkShape<T>(value: unknown, shape: Shape, name: string, fix: string): T {
  const mistake = firstMistake(value, shape, '');
  if (!mistake) return value as T;
  const { path, found, expected } = mistake;
  throw new UserError(
    `${name} has no usable value at ${path || 'the top'}.`,
    `It has to be ${expected}, not ${found === undefined ? 'missing' : quote(found)}. ${fix}`,
  );
}

/** A JSON document of a shape. @throws UserError as {@link checkShape}, or for text that is no JSON */
export function parseShape<T>(text: string, shape: Shape, name: string, fix: string): T {
  return checkShape(parseJson(text, name, fix), shape, name, fix);
}

/**
 * A document as JSON text that {@link parseShape} takes.
 * @param indent spaces per level; without it all stands on one line
 * @throws UserError for a value that no reader would take, such as NaN, which JSON does not have
 */
export function jsonText(value: unknown, shape: Shape, name: string, indent?: number): string {
  const text = JSON.stringify(value, null, indent);
  parseShape(text, shape, name, 'Nothing is written.');
  return text;
}

function firstMistake(value: unknown, shape: Shape, path: string): Mistake | undefined {
  const mistake = (expected: string): Mistake => ({ path, found: value, expected });
  const below = (pairs: Iterable<readonly [key: string | number, shape: Shape]>): Mistake | undefined => {
    for (const [key, each] of pairs) {
      const field = Object.hasOwn(value as object, key) ? (value as Record<string, unknown>)[key] : undefined;
      const wrong = firstMistake(field, each, path === '' ? `${key}` : `${path}.${key}`);
      if (wrong) return wrong;
    }
    return undefined;
  };
  if (typeof shape === 'string') return isSimple(value, shape) ? undefined : mistake(WORDS[shape]);
  if ('optional' in shape) return value === undefined ? undefined : firstMistake(value, shape.optional, path);
  if ('oneOf' in shape)
    return shape.oneOf.some((each) => each === value) ? undefined : mistake(shape.oneOf.map(quote).join(' or '));
  if ('from' in shape) {
    const { from, to } = shape;
    const fits = isSimple(value, 'number') && (value as number) >= from && (value as number) <= to;
    return fits ? undefined : mistake(`a number ${bounds(from, to)}`);
  }
  if ('least' in shape) {
    const { least, most } = shape;
    const fits = Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most;
    return fits ? undefined : mistake(`a whole number ${bounds(least, most)}`);
  }
  if ('list' in shape) {
    const { list, atLeast = 0 } = shape;
    if (!Array.isArray(value)) return mistake('a list');
    return value.length < atLeast
      ? mistake(`a list of at least ${atLeast}`)
      : below(value.map((_, i) => [i, list] as const));
  }
  if ('tuple' in shape) {
    if (!Array.isArray(value) || value.length !== shape.tuple.length) return mistake(`a list of ${shape.tuple.length}`);
    return below(shape.tuple.entries());
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return mistake('an object');
  if ('record' in shape) return below(Object.keys(value).map((key) => [key, shape.record] as const));
  const unknown = shape.exact && Object.keys(value).find((key) => !Object.hasOwn(shape.fields, key));
  if (unknown !== undefined && unknown !== false)
    return { path: path || 'the top', found: unknown, expected: 'without unknown fields' };
  return below(Object.entries(shape.fields));
}

const WORDS = {
  text: 'text',
  number: 'a finite number',
  'number or null': 'a finite number or null',
  'truth value': 'true or false',
} as const;

function isSimple(value: unknown, shape: keyof typeof WORDS): boolean {
  if (shape === 'text') return typeof value === 'string';
  if (shape === 'truth value') return typeof value === 'boolean';
  return Number.isFinite(value) || (value === null && shape === 'number or null');
}

function bounds(from: number, to: number): string {
  return Math.abs(to) >= Number.MAX_SAFE_INTEGER ? `of at least ${from}` : `from ${from} to ${to}`;
}
