import * as Plot from '@observablehq/plot';
import type { AllocationRow } from '../hqs/allocate.ts';
import { extent } from '../math/extent.ts';
import { isNumber, percent } from './format.ts';
import { formatScore } from './heatmap.ts';
import { plotSvg } from './plot.ts';

/** Charts are as wide as a phone's page: text keeps its size there, and several stand side by side elsewhere. */
const WIDTH = 340;
const FONT = { fontSize: '11px', overflow: 'visible' };
/** Grids and marks take the colors of the page's theme. */
const GRID = { stroke: 'var(--grid)', strokeOpacity: 1 };

/** Line of a chart, in the style of its name: `var(--NAME)` is its color. */
export interface Line {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

/** How lines differ besides by color. */
export const DASHES: Readonly<Record<string, string>> = { float: '1 0', quantized: '5 4', recalibrated: '1 0' };

export interface CurveChartOptions {
  readonly label: string;
  readonly x: string;
  readonly y: string;
  /** End of the x axis, a share. */
  readonly limit: number;
  /** The line of chance. */
  readonly diagonal?: boolean;
}

/** Curves of shares over shares, from 0 on. */
export function curveChart(
  lines: readonly Line[],
  { label, x, y, limit, diagonal = false }: CurveChartOptions,
): string {
  const tickFormat = (share: number) => String(Math.round(100 * share));
  const axis = { ticks: 6, tickSize: 0, tickFormat, labelArrow: 'none' } as const;
  return plotSvg(
    {
      width: WIDTH,
      height: 310,
      marginTop: 26,
      marginLeft: 36,
      marginRight: 12,
      marginBottom: 38,
      style: FONT,
      x: { domain: [0, limit] },
      y: { domain: [0, 1] },
      marks: [
        Plot.gridX({ ...GRID, ticks: 6 }),
        Plot.gridY({ ...GRID, ticks: 6 }),
        Plot.axisX({ ...axis, label: `${x}, %`, labelAnchor: 'center' }),
        Plot.axisY({ ...axis, label: `${y}, %` }),
        ...(diagonal
          ? [
              Plot.line(
                [
                  [0, 0],
                  [limit, limit],
                ],
                { stroke: 'var(--muted)', strokeDasharray: '2 4' },
              ),
            ]
          : []),
        ...lines.map(({ name, points }) =>
          Plot.line(upTo(points, limit), {
            stroke: `var(--${name})`,
            strokeWidth: 2,
            strokeDasharray: DASHES[name] ?? '1 0',
            strokeLinecap: 'butt',
          }),
        ),
      ],
    },
    label,
  );
}

/** Points that a line of a chart is thinned to. */
const LINE_POINTS = 500;

/** The part of a line up to a limit, its end interpolated, with no more points than can be seen. */
function upTo(points: Line['points'], limit: number): Line['points'] {
  const inside = points.filter(([x]) => x <= limit);
  const [next, last] = [points[inside.length], inside.at(-1)];
  if (next && last && last[0] < limit) {
    inside.push([limit, last[1] + ((next[1] - last[1]) * (limit - last[0])) / (next[0] - last[0])]);
  }
  const step = Math.max(1, (inside.length - 1) / LINE_POINTS);
  const thinned: (readonly [number, number])[] = [];
  for (let i = 0; i < inside.length - 1; i += step) thinned.push(inside[Math.round(i)]!);
  return [...thinned, ...inside.slice(-1)];
}

const BINS = 32;
/** Largest score over the median from which on the axis is logarithmic. */
const SKEWED = 6;

/** Classes that all histograms of a report share, and the scale that shows them equally wide. */
export interface HistogramScale {
  readonly edges: readonly number[];
  readonly type: 'linear' | 'log' | 'symlog';
  /** Of symlog: below this size scores are shown linearly. */
  readonly constant: number;
}

/** A logarithmic scale where few scores are far above the others; around zero where some are negative. */
export function histogramScale(scores: readonly number[]): HistogramScale {
  const sorted = [...scores].sort((a, b) => a - b);
  const [least, median, most] = [sorted[0]!, sorted[sorted.length >> 1]!, sorted.at(-1)!];
  const quarters = (sorted[Math.floor(0.75 * sorted.length)]! - sorted[Math.floor(0.25 * sorted.length)]!) / 2;
  const constant = quarters > 0 ? quarters / 2 : 1;
  const isSkewed = most > SKEWED * median && most > 0;
  const type = !isSkewed ? 'linear' : least > 0 ? 'log' : 'symlog';
  const forward = {
    linear: (score: number) => score,
    log: Math.log,
    symlog: (score: number) => Math.sign(score) * Math.log1p(Math.abs(score / constant)),
  }[type];
  const back = {
    linear: (at: number) => at,
    log: Math.exp,
    symlog: (at: number) => Math.sign(at) * Math.expm1(Math.abs(at)) * constant,
  }[type];
  const [from, to] = [forward(least), forward(most)];
  const spread = to > from ? to - from : Math.max(1, Math.abs(from));
  const edges = Array.from({ length: BINS + 1 }, (_, i) => back(from + (spread * i) / BINS));
  return { edges, type, constant };
}

export interface HistogramOptions {
  readonly label: string;
  readonly good: readonly number[];
  readonly defective: readonly number[];
  /** The same for all charts that are compared. */
  readonly scale: HistogramScale;
  readonly threshold: number | undefined;
}

/** Scores of good images upwards and of defective ones downwards, with the threshold. */
export function histogramChart({ label, good, defective, scale, threshold }: HistogramOptions): string {
  const { edges, type, constant } = scale;
  const classes = edges.slice(1).map((x2, i) => ({ x1: edges[i]!, x2 }));
  const bars = (scores: readonly number[], direction: 1 | -1) => {
    const counts = classes.map(() => 0);
    for (const score of scores) {
      const found = classes.findIndex(({ x2 }) => score < x2);
      counts[found < 0 ? counts.length - 1 : found]!++;
    }
    return classes.map((ends, i) => ({ ...ends, y1: 0, y2: direction * counts[i]! }));
  };
  const [above, below] = [bars(good, 1), bars(defective, -1)];
  const reach = (all: typeof above) => Math.max(1, ...all.map(({ y2 }) => Math.abs(y2)));
  const [least, most] = [Math.min(edges[0]!, threshold ?? edges[0]!), Math.max(edges.at(-1)!, threshold ?? edges[0]!)];
  const middle = edges[edges.length >> 1]!;
  const isLeft = (score: number) => score < middle;
  const rectangle = { x1: 'x1', x2: 'x2', y1: 'y1', y2: 'y2', insetLeft: 0.5, insetRight: 0.5 };
  return plotSvg(
    {
      width: WIDTH,
      height: 230,
      marginTop: 26,
      marginLeft: 32,
      marginRight: 12,
      marginBottom: 38,
      style: FONT,
      x: {
        type,
        domain: [least, most],
        // Plot takes what is undefined for given.
        ...(type === 'symlog' && { constant }),
      },
      y: { domain: [-1.15 * reach(below), 1.15 * reach(above)], label: null },
      marks: [
        Plot.gridY({ ...GRID, ticks: 5 }),
        Plot.axisY({
          ticks: 5,
          tickSize: 0,
          tickFormat: (count: number) => (Number.isInteger(count) ? String(Math.abs(count)) : ''),
        }),
        Plot.axisX({
          ticks: type === 'symlog' ? roundScores(least, most, constant) : type === 'log' ? 4 : 5,
          tickSize: 3,
          label: type === 'linear' ? 'score' : 'score, logarithmic',
          labelArrow: 'none',
          labelAnchor: 'center',
          ...(type === 'log' && { tickFormat: (score: number) => (isRound(score) ? formatTick(score) : '') }),
          ...(type === 'symlog' && { tickFormat: formatTick }),
        }),
        Plot.rect(above, { ...rectangle, fill: 'var(--good)' }),
        Plot.rect(below, { ...rectangle, fill: 'var(--defective)' }),
        Plot.ruleY([0], { stroke: 'var(--muted)' }),
        Plot.text(['good ↑'], {
          frameAnchor: 'top-right',
          fill: 'var(--good-text)',
          fontWeight: 600,
          dy: 2,
          stroke: 'var(--surface)',
          strokeWidth: 4,
        }),
        Plot.text(['defective ↓'], {
          frameAnchor: 'bottom-right',
          fill: 'var(--defective-text)',
          fontWeight: 600,
          dy: -2,
          stroke: 'var(--surface)',
          strokeWidth: 4,
        }),
        ...(isNumber(threshold)
          ? [
              Plot.ruleX([threshold], { stroke: 'var(--ink)', strokeWidth: 1.5, strokeDasharray: '4 3' }),
              Plot.text([threshold], {
                x: (value: number) => value,
                frameAnchor: 'top',
                text: () => `threshold ${formatScore(threshold)}`,
                textAnchor: isLeft(threshold) ? 'start' : 'end',
                dx: isLeft(threshold) ? -4 : 4,
                dy: -14,
                fill: 'var(--ink)',
              }),
            ]
          : []),
      ],
    },
    label,
  );
}

function isRound(score: number): boolean {
  const digit = score / 10 ** Math.floor(Math.log10(score) + 1e-9);
  return [1, 2, 5].some((round) => Math.abs(digit - round) < 1e-6);
}

/** Zero, and powers of ten above the linear part on either side. */
function roundScores(least: number, most: number, constant: number): number[] {
  const powers = Array.from({ length: 12 }, (_, i) => 10 ** (Math.ceil(Math.log10(2 * constant)) + i));
  return [...powers.map((power) => -power), 0, ...powers].filter((score) => score >= least && score <= most);
}

function formatTick(score: number): string {
  return String(Number(score.toPrecision(2)));
}

export interface Bar {
  readonly name: string;
  readonly value: number;
  /** The value in words. */
  readonly text: string;
  /** CSS color. */
  readonly fill: string;
}

/** Horizontal bars from 0 with their values beside them. @param left room for the names @param bottom room below */
export function bars(all: readonly Bar[], label: string, left = 84, bottom = 6): string {
  return plotSvg(
    {
      ...rows(all.length, left, bottom),
      x: { domain: [0, 1.35 * (extent(all.map(({ value }) => value)).high || 1)], axis: null },
      y: { domain: all.map(({ name }) => name), label: null },
      marks: [
        Plot.barX(all, { x: 'value', y: 'name', fill: 'fill', insetTop: 3, insetBottom: 3, rx: 1 }),
        Plot.text(all, { x: 'value', y: 'name', text: 'text', textAnchor: 'start', dx: 6, fill: 'var(--ink)' }),
        Plot.axisY({ tickSize: 0 }),
      ],
      color: { type: 'identity' },
    },
    label,
  );
}

/** Room for the names of layers, and for the axis that one of the charts with a row per layer has. */
const LAYER_NAMES = 108;
const LAYER_AXIS = 26;

/** A bar per layer, in line with {@link layerScoreChart}. */
export function layerBars(all: readonly Omit<Bar, 'fill'>[], label: string): string {
  return bars(
    all.map((bar) => ({ ...bar, fill: 'var(--accent)' })),
    label,
    LAYER_NAMES,
    LAYER_AXIS,
  );
}

/** Scores of layers with their intervals. */
export function layerScoreChart(allocation: readonly AllocationRow[], label: string): string {
  const scored = allocation.filter(({ score }) => isNumber(score));
  const ends = scored.flatMap(({ score, low, high }) => [score, low, high]).filter(isNumber);
  const { low: least, high: most } = extent(ends);
  const room = 0.05 * (most - least || 1);
  return plotSvg(
    {
      ...rows(allocation.length, LAYER_NAMES, LAYER_AXIS),
      x: { domain: [least - room, most + room], label: null },
      y: { type: 'band', domain: allocation.map(({ layer }) => layer), label: null },
      marks: [
        Plot.gridX({ ...GRID, ticks: 5 }),
        Plot.axisX({ ticks: 5, tickSize: 0 }),
        Plot.axisY({ tickSize: 0 }),
        Plot.ruleY(
          scored.filter(({ low, high }) => isNumber(low) && isNumber(high)),
          { y: 'layer', x1: 'low', x2: 'high', stroke: 'var(--accent)', strokeWidth: 2 },
        ),
        Plot.dot(scored, { y: 'layer', x: 'score', r: 4, fill: 'var(--accent)', stroke: 'var(--surface)' }),
        Plot.text(
          allocation.filter(({ score }) => !isNumber(score)),
          { y: 'layer', text: () => '–', frameAnchor: 'left', dx: 6, fill: 'var(--muted)' },
        ),
      ],
    },
    label,
  );
}

/** Room of a chart with a row per name. */
function rows(count: number, marginLeft: number, marginBottom: number): Plot.PlotOptions {
  return {
    width: WIDTH,
    height: 6 + 22 * count + marginBottom,
    marginTop: 6,
    marginBottom,
    marginLeft,
    marginRight: 12,
    style: FONT,
  };
}

/** Ends of a curve in words, for its text alternative. */
export function spoken(lines: readonly { readonly name: string; readonly area: number | undefined }[]): string {
  return lines.map(({ name, area }) => `${name} ${isNumber(area) ? percent(area) : 'not known'}`).join(', ');
}
