import { escaped } from './markup.ts';

export interface Bar {
  readonly label: string;
  readonly value: number;
  /** An interval, drawn as a line. */
  readonly low?: number;
  readonly high?: number;
}

export interface BarChartOptions {
  readonly title: string;
  readonly unit: string;
  /** Lines across all bars, such as measured ceilings. */
  readonly limits?: readonly { readonly value: number; readonly label: string }[];
}

const ROW = 22;
const LABELS = 300;
const PLOT = 480;
const TOP = 48;

/** Horizontal bars as a self-contained SVG file that reads on light and dark ground. */
export function barChart(bars: readonly Bar[], { title, unit, limits = [] }: BarChartOptions): string {
  const most =
    Math.max(
      0,
      ...limits.map(({ value }) => value),
      ...bars.map(({ value, high }) => Math.max(value, high ?? value)),
    ) || 1;
  const scale = (value: number) => (value / most) * PLOT;
  const height = TOP + bars.length * ROW + 24;
  const rows = bars.map(({ label, value, low, high }, i) => {
    const y = TOP + i * ROW;
    const whisker =
      low !== undefined && high !== undefined
        ? `<path d="M${(LABELS + scale(low)).toFixed(1)} ${y + ROW / 2}H${(LABELS + scale(high)).toFixed(1)}" stroke="#f59e0b" stroke-width="3"/>`
        : '';
    const end = LABELS + scale(Math.max(value, high ?? value)) + 6;
    return [
      `<text x="${LABELS - 8}" y="${y + 15}" text-anchor="end">${escaped(label)}</text>`,
      `<rect x="${LABELS}" y="${y + 3}" width="${scale(value).toFixed(1)}" height="${ROW - 6}" fill="#3b82f6"/>`,
      whisker,
      `<text x="${end.toFixed(1)}" y="${y + 15}">${value.toPrecision(3)}</text>`,
    ].join('');
  });
  const lines = limits.map(({ label, value }, i) => {
    const x = LABELS + scale(value);
    // Labels below each other, so that near ones do not overlap.
    const y = TOP - 8 - 12 * i;
    return [
      `<line x1="${x}" x2="${x}" y1="${TOP - 4}" y2="${TOP + bars.length * ROW}" stroke="#ef4444" stroke-dasharray="4 3"/>`,
      `<text x="${x}" y="${y}" text-anchor="end" fill="#ef4444">${escaped(label)} ${value.toPrecision(3)}</text>`,
    ].join('');
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${LABELS + PLOT + 80}" height="${height}" font-family="sans-serif" font-size="12" fill="#737373"><text x="8" y="18" font-size="14">${escaped(title)} (${escaped(unit)})</text>${lines.join('')}${rows.join('')}</svg>\n`;
}
