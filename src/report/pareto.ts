import * as Plot from '@observablehq/plot';
import { extent } from '../math/extent.ts';
import { byteSize, fixed, isNumber } from './format.ts';
import { plotSvg } from './plot.ts';

/** An arm of a study. */
export interface ParetoPoint {
  readonly label: string;
  /** Bytes, or time as a share of the float detector's: less is better. */
  readonly x: number;
  /** A share: more is better. */
  readonly y: number;
  /** Interval of `y`. */
  readonly low?: number;
  readonly high?: number;
}

export interface ParetoOptions {
  readonly x: 'weightBytes' | 'relativeTime';
  readonly y: 'auroc' | 'overlap';
  /** Names of the axes instead of those that follow from what they show. */
  readonly xLabel?: string;
  readonly yLabel?: string;
}

const X = {
  weightBytes: { label: 'weights and scales', show: byteSize },
  relativeTime: { label: 'time per image, float = 1', show: (share: number) => fixed(share, 2) },
} as const;
const Y = { auroc: 'image AUROC', overlap: 'AU-PRO' } as const;

// Of medium brightness, to be read on light and dark ground.
const INK = '#737373';
const FRONT = '#3b82f6';

const WIDTH = 640;
const HEIGHT = 420;
const MARGIN = { top: 32, right: 24, bottom: 44, left: 56 };

/** Points that no other one beats: none is as small and as good, and better in one of both. Smallest first. */
export function paretoFront(points: readonly ParetoPoint[]): ParetoPoint[] {
  const beats = (a: ParetoPoint, b: ParetoPoint) => a.x <= b.x && a.y >= b.y && (a.x < b.x || a.y > b.y);
  return points.filter((point) => !points.some((other) => beats(other, point))).sort((a, b) => a.x - b.x);
}

/** Arms by cost and quality as a self-contained SVG that reads on light and dark ground, with the Pareto front marked. */
export function paretoChart(points: readonly ParetoPoint[], options: ParetoOptions): string {
  const usable = points.filter(({ x, y }) => isNumber(x) && isNumber(y));
  const xLabel = options.xLabel ?? X[options.x].label;
  const yLabel = options.yLabel ?? Y[options.y];
  const { show } = X[options.x];
  const front = paretoFront(usable);
  const isFront = (point: ParetoPoint) => front.includes(point);
  const x = domain(
    usable.map((point) => point.x),
    0.08,
  );
  const y = domain(
    usable.flatMap((point) => [point.y, point.low ?? point.y, point.high ?? point.y]).filter(isNumber),
    0.06,
  );
  const withInterval = usable.filter(({ low, high }) => isNumber(low) && isNumber(high));
  const color = (point: ParetoPoint) => (isFront(point) ? FRONT : INK);
  const described = usable.map(
    (point) => `${point.label} ${show(point.x)}, ${inPercent(point.y)} %${isFront(point) ? ' (on the front)' : ''}`,
  );
  return plotSvg(
    {
      width: WIDTH,
      height: HEIGHT,
      marginTop: MARGIN.top,
      marginRight: MARGIN.right,
      marginBottom: MARGIN.bottom,
      marginLeft: MARGIN.left,
      style: { fontSize: '12px' },
      x: { domain: x },
      y: { domain: y },
      marks: [
        Plot.gridX({ stroke: INK, strokeOpacity: 0.2, ticks: 6 }),
        Plot.gridY({ stroke: INK, strokeOpacity: 0.2, ticks: 6 }),
        Plot.axisX({
          color: INK,
          ticks: 6,
          tickSize: 0,
          tickFormat: (value: number) => withoutZeros(show(value)),
          label: `${xLabel} (less is better)`,
          labelAnchor: 'center',
          labelArrow: 'none',
        }),
        Plot.axisY({
          color: INK,
          ticks: 6,
          tickSize: 0,
          tickFormat: inPercent,
          label: `${yLabel}, % (more is better)`,
          labelArrow: 'none',
        }),
        Plot.line(front, {
          x: 'x',
          y: 'y',
          curve: 'step-after',
          stroke: FRONT,
          strokeWidth: 1.5,
          strokeDasharray: '5 4',
        }),
        Plot.ruleX(withInterval, { x: 'x', y1: 'low', y2: 'high', stroke: color, strokeOpacity: 0.6 }),
        Plot.dot(usable, { x: 'x', y: 'y', r: 4.5, fill: color, title: (point: ParetoPoint) => point.label }),
        ...placeLabels(usable, x, y).map(({ point, dx, dy, textAnchor }) =>
          Plot.text([point], {
            x: 'x',
            y: 'y',
            text: 'label',
            dx,
            dy,
            textAnchor,
            fill: color,
            fontWeight: isFront(point) ? 600 : 400,
          }),
        ),
      ],
    },
    `${yLabel} against ${xLabel}. ${described.join('; ')}.`,
  );
}

/** `2 MB` for `2.00 MB`. */
function withoutZeros(text: string): string {
  return text.replace(/\.(\d*[1-9])?0+(?=\D)/, (_, digits) => (digits === undefined ? '' : `.${digits}`));
}

function inPercent(share: number): string {
  return fixed(100 * share, 1);
}

function domain(values: readonly number[], room: number): [number, number] {
  if (values.length === 0) return [0, 1];
  const { low: least, high: most } = extent(values);
  const margin = room * (most - least || Math.abs(most) || 1);
  return [least - margin, most + margin];
}

interface PlacedLabel {
  readonly point: ParetoPoint;
  readonly dx: number;
  readonly dy: number;
  readonly textAnchor: 'start' | 'end' | 'middle';
}

interface Box {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

const LINE = 14;
const LETTER = 6.8;

/** Puts each label where it covers the least of points and other labels. */
function placeLabels(
  points: readonly ParetoPoint[],
  [x0, x1]: readonly [number, number],
  [y0, y1]: readonly [number, number],
): PlacedLabel[] {
  const place = ({ x, y }: ParetoPoint) => ({
    px: MARGIN.left + ((x - x0) / (x1 - x0)) * (WIDTH - MARGIN.left - MARGIN.right),
    py: HEIGHT - MARGIN.bottom - ((y - y0) / (y1 - y0)) * (HEIGHT - MARGIN.top - MARGIN.bottom),
  });
  const taken: Box[] = points.map((point) => {
    const { px, py } = place(point);
    return { left: px - 6, right: px + 6, top: py - 6, bottom: py + 6 };
  });
  return points.map((point) => {
    const { px, py } = place(point);
    const width = LETTER * point.label.length;
    const candidates = [0, 1, 2, 3].flatMap((ring) => {
      const aside = [-1, 1].map((side) => ring * side * LINE);
      return [
        ...aside.map((dy) => ({ dx: 9, dy, textAnchor: 'start' as const, left: px + 9 })),
        ...aside.map((dy) => ({ dx: -9, dy, textAnchor: 'end' as const, left: px - 9 - width })),
        ...[-1, 1].map((side) => ({
          dx: 0,
          dy: side * (ring + 1) * LINE,
          textAnchor: 'middle' as const,
          left: px - width / 2,
        })),
      ];
    });
    const rated = candidates.map((candidate) => {
      const middle = py + candidate.dy;
      const box = {
        left: candidate.left,
        right: candidate.left + width,
        top: middle - LINE / 2,
        bottom: middle + LINE / 2,
      };
      const outside = Math.max(0, MARGIN.left - box.left) + Math.max(0, box.right - WIDTH);
      return { candidate, box, cost: taken.reduce((sum, other) => sum + overlap(box, other), LINE * outside) };
    });
    const { candidate, box } = rated.reduce((best, each) => (each.cost < best.cost ? each : best));
    taken.push(box);
    const { dx, dy, textAnchor } = candidate;
    return { point, dx, dy, textAnchor };
  });
}

/** Area that two boxes share. */
function overlap(a: Box, b: Box): number {
  const width = Math.min(a.right, b.right) - Math.max(a.left, b.left);
  const height = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
  return width > 0 && height > 0 ? width * height : 0;
}
