import type { Cell } from './table.ts';

/**
 * Records as CSV (RFC 4180): a line of names, then one per record. Undefined cells are empty. A text that a spreadsheet would
 * run as a formula gets an apostrophe in front, which spreadsheets take for "this is text".
 */
export function toCsv<C extends string>(
  columns: readonly C[],
  rows: readonly Readonly<Partial<Record<C, Cell | boolean>>>[],
): string {
  const lines = rows.map((row) => columns.map((column) => cellText(row[column])).join(','));
  return `${[columns.map(cellText).join(','), ...lines].join('\r\n')}\r\n`;
}

function cellText(cell: Cell | boolean): string {
  if (typeof cell !== 'string') return String(cell ?? '');
  const text = /^[=+\-@\t\r\n]/.test(cell) ? `'${cell}` : cell;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
