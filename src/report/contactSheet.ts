import type { RgbImage } from '../data/image.ts';
import { UserError } from '../errors.ts';
import { INFERNO } from '../math/inferno.ts';
import { Canvas, fitText, resizeImage, THEME } from './canvas.ts';
import { ticks } from './colormap.ts';
import { textWidth } from './font.ts';
import { drawResult, formatScore, overlayHeatmap, resizeHeatmap, resultParts, type Verdict } from './heatmap.ts';

/** One inspected picture. */
export interface ContactSheetRow {
  readonly image: RgbImage;
  /** Ground truth, height x width, non-zero on the defect; absent where there is none. */
  readonly mask?: Uint8Array | undefined;
  /** Anomaly map, height x width. */
  readonly map: Float32Array;
  /** What it shows, for example `scratch 003`. */
  readonly title: string;
  readonly score: number;
  readonly verdict: Verdict;
}

/** How a contact sheet is drawn. */
export interface ContactSheetOptions {
  readonly threshold: number;
  /** Map value of the coldest color. */
  readonly low: number;
  /** Map value of the hottest color. */
  readonly high: number;
  readonly heading?: string | undefined;
  /** Largest side of a thumbnail in pixels, default 224. */
  readonly thumbnail?: number | undefined;
  /** Groups of image, mask and map side by side, default 2 (1 for a single row). */
  readonly groups?: number | undefined;
}

const MARGIN = 28;
const GAP = 8;
const GROUP_GAP = 36;
const ROW_GAP = 18;
const TEXT = 2;
const CAPTION = 26;
const HEADER = 30;
const LEGEND = 66;
const COLUMNS = ['image', 'mask', 'anomaly map'] as const;

/**
 * A grid of results, group by group from left to right: image, ground truth and overlay (see `overlayHeatmap`) under a
 * caption with title, score and verdict, with the color scale at the bottom. All maps share one color range.
 *
 * @throws UserError without rows, for a thumbnail under 32 pixels, or as `overlayHeatmap` does.
 */
export function contactSheet(rows: readonly ContactSheetRow[], options: ContactSheetOptions): RgbImage {
  const { threshold, low, high, heading, thumbnail = 224 } = options;
  const groups = Math.min(options.groups ?? 2, rows.length);
  if (rows.length === 0)
    throw new UserError('A contact sheet needs at least one row.', 'Pass the results to be shown.');
  if (!(Number.isInteger(thumbnail) && thumbnail >= 32 && Number.isInteger(groups) && groups >= 1)) {
    throw new UserError(
      `A contact sheet with ${groups} groups of ${thumbnail} pixel thumbnails cannot be drawn.`,
      'Use whole numbers: at least one group and at least 32 pixels.',
    );
  }
  const groupWidth = 3 * thumbnail + 2 * GAP;
  const rowHeight = CAPTION + thumbnail + ROW_GAP;
  const lines = Math.ceil(rows.length / groups);
  const gridTop = MARGIN + (heading ? HEADER + 6 : 0) + HEADER;
  const canvas = new Canvas(
    2 * MARGIN + groups * groupWidth + (groups - 1) * GROUP_GAP,
    gridTop + lines * rowHeight + LEGEND + MARGIN - ROW_GAP,
    THEME.ground,
  );
  const room = canvas.width - 2 * MARGIN;
  if (heading) canvas.drawText(fitText(heading, room, TEXT), MARGIN, MARGIN, TEXT, THEME.ink);
  const groupLeft = (group: number) => MARGIN + group * (groupWidth + GROUP_GAP);
  for (let group = 0; group < groups; group++) {
    COLUMNS.forEach((name, column) => {
      const left = groupLeft(group) + column * (thumbnail + GAP);
      canvas.drawText(fitText(name, thumbnail, TEXT), left, gridTop - HEADER, TEXT, THEME.muted);
    });
    canvas.fillRect(groupLeft(group), gridTop - 8, groupWidth, 1, [58, 62, 70]);
  }
  rows.forEach((row, index) => {
    const x = groupLeft(index % groups);
    const y = gridTop + Math.floor(index / groups) * rowHeight;
    drawCaption(canvas, row, x, y, groupWidth);
    drawPictures(canvas, row, x, y + CAPTION, thumbnail, { threshold, low, high });
  });
  drawLegend(canvas, MARGIN, canvas.height - MARGIN - LEGEND + 16, Math.min(groupWidth, 560), { threshold, low, high });
  return canvas;
}

function drawCaption(canvas: Canvas, row: ContactSheetRow, x: number, y: number, width: number): void {
  const result = resultParts(row.score, row.verdict).map(([text]) => text);
  const needed = textWidth(result.join(' '), TEXT);
  drawResult(canvas, x + width - needed, y, row.score, row.verdict);
  canvas.drawText(fitText(row.title, width - needed - 24, TEXT), x, y, TEXT, THEME.ink);
}

interface Scale {
  readonly threshold: number;
  readonly low: number;
  readonly high: number;
}

function drawPictures(
  canvas: Canvas,
  row: ContactSheetRow,
  x: number,
  y: number,
  thumbnail: number,
  scale: Scale,
): void {
  const shrink = thumbnail / Math.max(row.image.width, row.image.height);
  const width = Math.max(1, Math.round(row.image.width * shrink));
  const height = Math.max(1, Math.round(row.image.height * shrink));
  const left = Math.floor((thumbnail - width) / 2);
  const top = Math.floor((thumbnail - height) / 2);
  const { image, map, mask } = row;
  const overlay = overlayHeatmap(
    resizeHeatmap(mask ? { image, map, mask, ...scale } : { image, map, ...scale }, width, height),
  );
  const pictures = [resizeImage(image, width, height), mask ? maskImage(row, mask, width, height) : undefined, overlay];
  pictures.forEach((picture, column) => {
    const frameX = x + column * (thumbnail + GAP);
    canvas.fillRect(frameX, y, thumbnail, thumbnail, THEME.panel);
    if (picture) canvas.drawImage(picture, frameX + left, y + top);
    else {
      const center = Math.round((thumbnail - textWidth('none', TEXT)) / 2);
      canvas.drawText('none', frameX + center, y + Math.round(thumbnail / 2) - 8, TEXT, THEME.muted);
    }
  });
}

/** The ground truth as light on dark, with the edges of the shrunken mask smooth. */
function maskImage(row: ContactSheetRow, mask: Uint8Array, width: number, height: number): RgbImage {
  const pixels = row.image.width * row.image.height;
  const data = new Uint8Array(pixels * 3);
  for (let i = 0; i < data.length; i++) {
    data[i] = mask[Math.floor(i / 3)] === 0 ? 8 : THEME.ink[(i % 3) as 0 | 1 | 2];
  }
  return resizeImage({ width: row.image.width, height: row.image.height, data }, width, height);
}

function drawLegend(canvas: Canvas, x: number, y: number, width: number, scale: Scale): void {
  const { low, high, threshold } = scale;
  const bar = 12;
  const place = (value: number) => {
    const t = (value - low) / (high - low);
    return x + Math.round(Math.min(Math.max(t, 0), 1) * (width - 1));
  };
  for (let column = 0; column < width; column++) {
    const color = 3 * Math.round((255 * column) / (width - 1));
    canvas.fillRect(x + column, y, 1, bar, [INFERNO[color]!, INFERNO[color + 1]!, INFERNO[color + 2]!]);
  }
  for (const { value, label } of ticks(low, high, 5)) {
    const at = place(value);
    canvas.fillRect(at, y + bar, 1, 5, THEME.muted);
    const left = Math.min(Math.max(at - textWidth(label, TEXT) / 2, x), x + width - textWidth(label, TEXT));
    canvas.drawText(label, Math.round(left), y + bar + 10, TEXT, THEME.muted);
  }
  canvas.fillRect(place(threshold) - 1, y - 4, 2, bar + 8, THEME.contour);

  const keys = [
    [THEME.contour, `threshold ${formatScore(threshold)}`],
    [THEME.truth, 'ground truth'],
  ] as const;
  let left = x + width + GROUP_GAP;
  for (const [color, text] of keys) {
    canvas.fillRect(left, y + 5, 22, 2, color);
    canvas.drawText(text, left + 32, y - 1, TEXT, THEME.ink);
    left += 32 + textWidth(text, TEXT) + GROUP_GAP;
  }
}
