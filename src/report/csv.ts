import type { Cell } from './table.ts';

/** Records as CSV (RFC 4180): a line of names, then one per record. Undefined cells are empty. */
export function toCsv<C extends string>(
  columns: readonly C[],
  rows: readonly Readonly<Partial<Record<C, Cell | boolean>>>[],
): string {
  const quote = (value: string) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  const lines = rows.map((row) => columns.map((column) => quote(String(row[column] ?? ''))).join(','));
  return `${[columns.map(quote).join(','), ...lines].join('\r\n')}\r\n`;
}
