import Table from 'cli-table3';
import { visible } from './markup.ts';

/** What stands in a column of a row; numbers are aligned to the right. */
export type TableValue = string | number | undefined;

export interface MetricsTableOptions {
  /** Columns in their order; by default those of the first row, then new ones as they come up. */
  readonly columns?: readonly string[];
  /** Digits after the point in columns that hold a number that is not whole, default 4. */
  readonly digits?: number;
}

/**
 * A plain-text table of records, with light rules and no colors. Every value is one line. Missing and undefined ones show as `-`; a column is
 * aligned to the right when it holds numbers only.
 */
export function metricsTable(
  rows: readonly Readonly<Record<string, TableValue>>[],
  options: MetricsTableOptions = {},
): string {
  const { digits = 4 } = options;
  const columns = options.columns ?? [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const numeric = columns.map(
    (column) =>
      rows.some((row) => row[column] !== undefined) &&
      rows.every((row) => row[column] === undefined || typeof row[column] === 'number'),
  );
  const table = new Table({
    head: columns.map(visible),
    colAligns: numeric.map((right) => (right ? 'right' : 'left')),
    style: { head: [], border: [], 'padding-left': 1, 'padding-right': 1 },
    chars: {
      top: '─',
      'top-mid': '─',
      'top-left': '─',
      'top-right': '─',
      bottom: '─',
      'bottom-mid': '─',
      'bottom-left': '─',
      'bottom-right': '─',
      left: ' ',
      'left-mid': '',
      mid: '',
      'mid-mid': '',
      right: ' ',
      'right-mid': '',
      middle: ' ',
    },
  });
  const whole = columns.map((column) =>
    rows.every((row) => typeof row[column] !== 'number' || Number.isInteger(row[column])),
  );
  const show = (value: TableValue, column: number) => {
    if (value === undefined) return '-';
    return typeof value === 'string' ? visible(value) : whole[column] ? String(value) : value.toFixed(digits);
  };
  const body = rows.map((row) => columns.map((name, column) => show(row[name], column)));
  table.push(...body);
  const lines = table.toString().split('\n');
  // The library rules either every row or none; one rule below the head is enough.
  lines.splice(2, 0, lines[0]!);
  return lines.join('\n');
}
