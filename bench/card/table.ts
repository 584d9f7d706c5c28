import { readsAsNumber, threeDigits } from '../../src/report/format.ts';
import { markdown } from '../../src/report/markup.ts';

/** An object of which nothing is known. */
export type Fields = Readonly<Record<string, unknown>>;

/**
 * A table in Markdown. Columns that hold numbers only, or texts of numbers with digits of their own, are aligned to the right,
 * numbers have about three digits, missing values are dashes, and columns without any value are left out.
 * @param columns in their order; by default as they come up
 */
export function markdownTable(rows: readonly Fields[], columns?: readonly string[]): string {
  const all = columns ?? [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const used = all.filter((name) => rows.some((row) => isThere(row[name])));
  const isNumeric = (name: string) => rows.every((row) => !isThere(row[name]) || isNumber(row[name]));
  const line = (fields: readonly string[]) => `| ${fields.join(' | ')} |\n`;
  return [
    line(used),
    line(used.map((name) => (isNumeric(name) ? '---:' : '---'))),
    ...rows.map((row) => line(used.map((name) => fieldText(row[name])))),
  ].join('');
}

const isThere = (value: unknown) => value !== undefined && value !== null && value !== '';

const isNumber = (value: unknown) => typeof value === 'number' || (typeof value === 'string' && readsAsNumber(value));

function fieldText(value: unknown): string {
  if (!isThere(value)) return '–';
  if (typeof value === 'number') return numberText(value);
  const text = typeof value === 'object' ? JSON.stringify(value) : String(value);
  return markdown(text.replaceAll('\n', ' '));
}

function numberText(value: number): string {
  if (Number.isInteger(value)) return String(value);
  // Microseconds in a column of milliseconds need more digits.
  return Math.abs(value) < 1 ? String(Number(value.toPrecision(3))) : threeDigits(value);
}
