import type { RgbImage } from '../data/image.ts';
import { INFERNO } from '../math/inferno.ts';
import { Canvas, fitText, resizeImage, THEME } from './canvas.ts';

/** A picture with a line above it. */
export interface Panel {
  readonly title: string;
  /** Second line. */
  readonly note?: string;
  readonly picture: RgbImage;
}

const MARGIN = 20;
const GAP = 16;
const TEXT = 2;
const LINE = 26;
/** Side of a panel's box. */
const BOX = 256;
const PER_ROW = 4;

/** Values as colors from cold to hot. @param values [height, width] */
export function colorMap(
  values: ArrayLike<number>,
  width: number,
  height: number,
  { low, high }: { readonly low: number; readonly high: number },
): RgbImage {
  const data = new Uint8Array(3 * width * height);
  const scale = high > low ? 1 / (high - low) : 0;
  for (let i = 0; i < width * height; i++) {
    const color = 3 * Math.round(255 * Math.min(Math.max((values[i]! - low) * scale, 0), 1));
    for (let c = 0; c < 3; c++) data[3 * i + c] = INFERNO[color + c]!;
  }
  return { width, height, data };
}

/** Panels in rows of four under a heading, each fitted into a square box. */
export function renderPanels(heading: string, panels: readonly Panel[]): RgbImage {
  const columns = Math.min(PER_ROW, panels.length);
  const rows = Math.ceil(panels.length / columns);
  const rowHeight = 2 * LINE + BOX + GAP;
  const canvas = new Canvas(
    2 * MARGIN + columns * BOX + (columns - 1) * GAP,
    2 * MARGIN + LINE + 6 + rows * rowHeight - GAP,
    THEME.ground,
  );
  canvas.drawText(fitText(heading, canvas.width - 2 * MARGIN, TEXT), MARGIN, MARGIN, TEXT, THEME.ink);
  panels.forEach(({ title, note, picture }, i) => {
    const x = MARGIN + (i % columns) * (BOX + GAP);
    const y = MARGIN + LINE + 6 + Math.floor(i / columns) * rowHeight;
    canvas.drawText(fitText(title, BOX, TEXT), x, y, TEXT, THEME.ink);
    if (note) canvas.drawText(fitText(note, BOX, TEXT), x, y + LINE - 4, TEXT, THEME.muted);
    const shrink = BOX / Math.max(picture.width, picture.height);
    const width = Math.max(1, Math.round(picture.width * shrink));
    const height = Math.max(1, Math.round(picture.height * shrink));
    const top = y + 2 * LINE;
    canvas.fillRect(x, top, BOX, BOX, THEME.panel);
    const fitted = resizeImage(picture, width, height);
    canvas.drawImage(fitted, x + Math.floor((BOX - width) / 2), top + Math.floor((BOX - height) / 2));
  });
  return canvas;
}
