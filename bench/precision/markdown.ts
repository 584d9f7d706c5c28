import { markdown } from '../../src/report/markup.ts';
import { markdownTable } from '../card/table.ts';
import type { KernelReport, KernelRow } from './report.ts';

/** What stands between them on the page is generated. */
const MARKERS = ['<!-- precision: npm run docs:precision -->', '<!-- /precision -->'] as const;

/** Times of fewer rounds say nothing, and are not shown. */
const LEAST_ROUNDS = 5;

/** The page with the tables of some reports between its markers. @throws Error for a page without markers */
export function withTables(page: string, reports: readonly KernelReport[]): string {
  const [start, end] = MARKERS.map((marker) => page.indexOf(marker)) as [number, number];
  if (start < 0 || end < start) throw new Error(`the page lacks the markers ${MARKERS.join(' and ')}`);
  return `${page.slice(0, start)}${MARKERS[0]}\n${tables(reports)}${page.slice(end)}`;
}

function tables(reports: readonly KernelReport[]): string {
  if (reports.length === 0) return '\nNo adapter has been measured yet.\n\n';
  return `\n${reports.map(section).join('\n')}\n`;
}

function section({ adapter, versions, settings, results }: KernelReport): string {
  const isTimed = settings.rounds >= LEAST_ROUNDS;
  const shapes = [...new Set(results.map(({ shape }) => shape))];
  const told = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  const rounds = isTimed ? `medians of ${settings.rounds} rounds in turns` : 'counted, not timed';
  return [
    `### ${markdown(adapter.description)}\n`,
    `Subgroups of ${adapter.subgroupMaxSize}; ${told.map(markdown).join(', ')}; ${rounds}.\n`,
    ...shapes.map((shape) => {
      const rows = results.filter((row) => row.shape === shape);
      return `\`${shape}\`\n\n${markdownTable(rows.map((row) => shown(row, fastestFloat(rows), isTimed)))}`;
    }),
  ].join('\n');
}

/** Milliseconds of the fastest variant in floats. */
function fastestFloat(rows: readonly KernelRow[]): number | undefined {
  const times = rows.filter(({ kernel }) => kernel === 'conv2d').map((row) => row['median ms']);
  return times.length > 0 ? Math.min(...times) : undefined;
}

function shown(row: KernelRow, float: number | undefined, isTimed: boolean) {
  const milliseconds = row['median ms'];
  const isFloat = row.kernel === 'conv2d';
  // Rates times the time that they were taken from are the counts themselves.
  const millions = (rate: number) => rate * milliseconds;
  return {
    weights: isFloat ? 'float' : `${row.bits} bits`,
    activations: isFloat ? 'float' : row.activations,
    variant: row.variant,
    error: row.error === 0 ? '0' : row.error.toExponential(1),
    'operations, 10^6': millions(row['GOP/s']),
    'executed, 10^6': millions(row['executed GOP/s']),
    'bytes at least, kB': 1000 * millions(row['GB/s']),
    'weights, kB': row['weight bytes'] / 1000,
    'on the device, kB': row['memory bytes'] / 1000,
    ...(isTimed && { ms: milliseconds, "of float's time": float === undefined ? undefined : milliseconds / float }),
  };
}
