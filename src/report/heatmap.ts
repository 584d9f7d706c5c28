import type { RgbImage } from '../data/image.ts';
import { UserError } from '../errors.ts';
import { INFERNO } from '../math/inferno.ts';
import { Canvas, fitText, type Rgb, resample, resizeImage, THEME } from './canvas.ts';
import { ticks } from './colormap.ts';
import { BASELINE, textWidth } from './font.ts';

/** What a score says of an image, by the detector's threshold. */
export type Verdict = 'normal' | 'anomalous';

/** An anomaly map and the picture it belongs to. */
export interface HeatmapInput {
  readonly image: RgbImage;
  /** Anomaly map of the picture's own size, height x width; NaN where nothing was looked at. */
  readonly map: Float32Array;
  /** Where the contour is drawn, in the map's units. */
  readonly threshold: number;
  /** Map value of the coldest color; smaller ones look the same. */
  readonly low: number;
  /** Map value of the hottest color; larger ones look the same. */
  readonly high: number;
  /** Ground truth, height x width, non-zero on the defect: outlined when given. */
  readonly mask?: Uint8Array | undefined;
}

/** Width of the drawn lines, pixels. */
const LINE = 1.8;

/** What is left of the picture's brightness where nothing was looked at, off the hatching and on it. */
const UNSEEN = [0.3, 0.45] as const;
/** From one line of the hatching to the next, and the width of one, pixels along a row. */
const HATCHING = { period: 12, width: 2 } as const;

/**
 * The anomaly map laid over its picture, at the picture's size: colors grow more opaque with the anomaly, a white contour
 * follows the threshold and a cyan one the ground truth. What was not looked at is dimmed and hatched.
 *
 * @throws UserError when the map or mask does not fit the picture, or the color range is empty or not finite.
 */
export function overlayHeatmap(input: HeatmapInput): RgbImage {
  checkHeatmap(input);
  const { image, map, threshold, low, high, mask } = input;
  const { width, height } = image;
  const canvas = new Canvas(width, height, THEME.ground);
  for (let i = 0; i < map.length; i++) {
    const luma = 0.299 * image.data[3 * i]! + 0.587 * image.data[3 * i + 1]! + 0.114 * image.data[3 * i + 2]!;
    if (Number.isNaN(map[i])) {
      const isLine = ((i % width) + Math.floor(i / width)) % HATCHING.period < HATCHING.width;
      canvas.data.fill(Math.round(UNSEEN[isLine ? 1 : 0] * luma), 3 * i, 3 * i + 3);
      continue;
    }
    const t = unit((map[i]! - low) / (high - low));
    const opacity = 0.12 + 0.7 * t;
    const color = 3 * Math.round(255 * t);
    for (let channel = 0; channel < 3; channel++) {
      // Gray and dimmed, for color and brightness to mean the map alone; a trace of color keeps the part recognizable.
      const below = 0.75 * (luma + 0.35 * (image.data[3 * i + channel]! - luma));
      canvas.data[3 * i + channel] = Math.round(below + (INFERNO[color + channel]! - below) * opacity);
    }
  }
  if (mask) drawContour(canvas, (i) => (mask[i] === 0 ? -1 : 1), THEME.truth);
  drawContour(canvas, (i) => map[i]! - threshold, THEME.contour);
  return canvas;
}

function unit(value: number): number {
  return value > 0 ? Math.min(value, 1) : 0;
}

function checkHeatmap({ image, map, mask, threshold, low, high }: HeatmapInput): void {
  const pixels = image.width * image.height;
  if (map.length !== pixels || (mask && mask.length !== pixels)) {
    const what = map.length !== pixels ? `map has ${map.length}` : `mask has ${mask?.length}`;
    throw new UserError(
      `The anomaly ${what} values but its image has ${image.width} x ${image.height} pixels.`,
      'Give map and mask at the size of the image.',
    );
  }
  if (!(Number.isFinite(low) && Number.isFinite(high) && high > low && Number.isFinite(threshold))) {
    throw new UserError(
      `The color range ${low} to ${high} with threshold ${threshold} cannot be drawn.`,
      'Give finite numbers with low below high.',
    );
  }
}

/**
 * Draws the zero line of a field given at pixel centers, antialiased. Its distance from a pixel comes from where the field
 * changes sign towards the four neighbors, as in marching squares.
 */
function drawContour(canvas: Canvas, field: (pixel: number) => number, color: Rgb): void {
  const { width, height } = canvas;
  const crossing = (here: number, there: number) =>
    here > 0 === there > 0 || Number.isNaN(here) || Number.isNaN(there)
      ? Number.POSITIVE_INFINITY
      : Math.abs(here) / Math.max(Math.abs(here - there), 1e-30);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const i = y * width + x;
      const here = field(i);
      const across = Math.min(
        x > 0 ? crossing(here, field(i - 1)) : Number.POSITIVE_INFINITY,
        x + 1 < width ? crossing(here, field(i + 1)) : Number.POSITIVE_INFINITY,
      );
      const down = Math.min(
        y > 0 ? crossing(here, field(i - width)) : Number.POSITIVE_INFINITY,
        y + 1 < height ? crossing(here, field(i + width)) : Number.POSITIVE_INFINITY,
      );
      if (across === Number.POSITIVE_INFINITY && down === Number.POSITIVE_INFINITY) continue;
      // Height of the right triangle that the line cuts off.
      const distance = across === 0 || down === 0 ? 0 : 1 / Math.sqrt(1 / (across * across) + 1 / (down * down));
      canvas.blend(x, y, color, unit(LINE / 2 + 0.5 - distance));
    }
  }
}

export interface HeatmapOptions extends HeatmapInput {
  /** Name of the picture, for the first line. */
  readonly title?: string | undefined;
  readonly score?: number | undefined;
  readonly verdict?: Verdict | undefined;
}

const MARGIN = 20;
const TEXT = 2;
const LINE_HEIGHT = 26;
const BAR_WIDTH = 18;
const BAR_GAP = 16;
const LABELS = 96;
/** Narrower pictures are enlarged by a whole factor, for the text to have room ... */
const MIN_WIDTH = 400;
/** ... as long as that leaves them within these pixels and this side: strips would become endless. */
const MAX_ENLARGED = 2 ** 22;
const MAX_ENLARGED_SIDE = 2 ** 13;
/** Larger pictures are shrunk to these pixels and this side. */
const MAX_DRAWN = 2 ** 24;
const MAX_DRAWN_SIDE = 2 ** 15;

/**
 * Where the parts of a rendered heat map lie: the whole picture's size, and place, size and enlargement of the overlay in it.
 * Whatever the picture's size, this one is bounded.
 */
export function heatmapLayout(width: number, height: number) {
  const fits = Math.min(Math.sqrt(MAX_ENLARGED / (width * height)), MAX_ENLARGED_SIDE / Math.max(width, height));
  const enlarged = Math.min(Math.ceil(MIN_WIDTH / width), Math.floor(fits));
  const shrunk = Math.min(1, Math.sqrt(MAX_DRAWN / (width * height)), MAX_DRAWN_SIDE / Math.max(width, height));
  const zoom = enlarged > 1 ? enlarged : shrunk;
  const overlay = { width: Math.max(1, Math.floor(width * zoom)), height: Math.max(1, Math.floor(height * zoom)) };
  const top = MARGIN + 2 * LINE_HEIGHT + 6;
  return {
    zoom,
    left: MARGIN,
    top,
    overlay,
    width: MARGIN + Math.max(overlay.width, MIN_WIDTH) + BAR_GAP + BAR_WIDTH + LABELS,
    height: top + overlay.height + MARGIN,
  };
}

/**
 * A picture to show: title, score and verdict above, the overlay of `overlayHeatmap`, and a color bar with the
 * threshold's mark. Its size is that of `heatmapLayout`.
 *
 * @throws UserError as `overlayHeatmap` does.
 */
export function renderHeatmap(options: HeatmapOptions): RgbImage {
  checkHeatmap(options);
  const { image, title, score, verdict, threshold, low, high } = options;
  const layout = heatmapLayout(image.width, image.height);
  const canvas = new Canvas(layout.width, layout.height, THEME.ground);
  const { width, height } = layout.overlay;
  canvas.drawImage(overlayHeatmap(resizeHeatmap(options, width, height)), layout.left, layout.top);

  const room = layout.width - 2 * MARGIN;
  canvas.drawText(fitText(title ?? 'anomaly map', room, TEXT), MARGIN, MARGIN, TEXT, THEME.ink);
  drawResult(canvas, MARGIN, MARGIN + LINE_HEIGHT, score, verdict);

  drawColorBar(canvas, layout.left + width + BAR_GAP, layout.top, BAR_WIDTH, height, { low, high, threshold });
  return canvas;
}

/** Draws a score, then a verdict in its color; returns the x where the text ends. */
export function drawResult(
  canvas: Canvas,
  x: number,
  y: number,
  score: number | undefined,
  verdict: Verdict | undefined,
): number {
  let left = x;
  for (const [text, color] of resultParts(score, verdict)) {
    canvas.drawText(text, left, y, TEXT, color);
    left += textWidth(`${text} `, TEXT);
  }
  return left;
}

/** The texts that `drawResult` draws. */
export function resultParts(score: number | undefined, verdict: Verdict | undefined): [string, Rgb][] {
  const parts: [string, Rgb][] = [];
  if (score !== undefined) parts.push([`score ${formatScore(score)}`, THEME.muted]);
  if (verdict !== undefined) parts.push([verdict, THEME[verdict]]);
  return parts;
}

/** Three significant digits, plain notation for everyday magnitudes. */
export function formatScore(value: number): string {
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 1e6)) return value.toExponential(1);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
}

/** Brings picture, map and mask of a heat map to another size. */
export function resizeHeatmap<T extends HeatmapInput>(input: T, width: number, height: number): T {
  const { image, map, mask } = input;
  if (image.width === width && image.height === height) return input;
  const resized = {
    ...input,
    image: resizeImage(image, width, height),
    map: resample(map, image.width, image.height, 1, width, height),
  };
  if (!mask) return resized;
  const presence = mask.map((value) => (value === 0 ? 0 : 255));
  const area = resample(presence, image.width, image.height, 1, width, height);
  return { ...resized, mask: new Uint8Array(area.map((value) => (value >= 127.5 ? 255 : 0))) };
}

interface Scale {
  readonly low: number;
  readonly high: number;
  readonly threshold: number;
}

function drawColorBar(canvas: Canvas, x: number, y: number, width: number, height: number, scale: Scale): void {
  const { low, high, threshold } = scale;
  for (let row = 0; row < height; row++) {
    const color = 3 * Math.round(255 * (1 - row / Math.max(height - 1, 1)));
    canvas.fillRect(x, y + row, width, 1, [INFERNO[color]!, INFERNO[color + 1]!, INFERNO[color + 2]!]);
  }
  const place = (value: number) => y + Math.round((1 - unit((value - low) / (high - low))) * (height - 1));
  const labeled = (row: number, text: string, color: Rgb) =>
    canvas.drawText(text, x + width + 12, Math.min(row, y + height - 8) - (BASELINE * TEXT) / 2, TEXT, color);
  const mark = place(threshold);
  for (const { value, label } of ticks(low, high, Math.max(2, Math.min(6, Math.floor(height / 60))))) {
    const row = place(value);
    canvas.fillRect(x + width, row, 5, 1, THEME.muted);
    // The threshold's own label has precedence.
    if (Math.abs(row - mark) >= 20) labeled(row, label, THEME.muted);
  }
  canvas.fillRect(x - 3, mark - 1, width + 6, 2, THEME.contour);
  for (let step = 0; step < 6; step++)
    canvas.fillRect(x + width + 3 + step, mark - step, 1, 2 * step + 1, THEME.contour);
  labeled(mark, formatScore(threshold), THEME.ink);
}
