import { readsAsNumber } from './format.ts';
import type { TableValue } from './table.ts';

/**
 * Records as CSV (RFC 4180): a line of names, then one per record. Undefined values are empty. A text that a spreadsheet would
 * run as a formula gets an apostrophe in front, which spreadsheets take for "this is text". A number that is given as text
 * stays a number.
 */
export function toCsv<C extends string>(
  columns: readonly C[],
  rows: readonly Readonly<Partial<Record<C, TableValue | boolean>>>[],
): string {
  const lines = rows.map((row) => columns.map((column) => fieldText(row[column])).join(','));
  return `${[columns.map(fieldText).join(','), ...lines].join('\r\n')}\r\n`;
}

function fieldText(value: TableValue | boolean): string {
  if (typeof value !== 'string') return String(value ?? '');
  const text = /^[=+\-@\t\r\n]/.test(value) && !readsAsNumber(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
