import type { RgbImage } from '../data/image.ts';
import { ADVANCE, GLYPH_HEIGHT, GLYPH_WIDTH, glyphInk, textWidth } from './font.ts';

/** 8-bit red, green, blue. */
export type Rgb = readonly [number, number, number];

/** Colors of every picture of a report: light ink on a neutral dark ground, so that none competes with the maps. */
export const THEME = {
  ground: [20, 22, 26],
  panel: [33, 36, 42],
  ink: [230, 232, 235],
  muted: [150, 157, 167],
  anomalous: [255, 122, 92],
  normal: [98, 208, 146],
  contour: [255, 255, 255],
  truth: [64, 214, 255],
} as const satisfies Record<string, Rgb>;

/** An RGB picture to draw on; everything outside is clipped. */
export class Canvas implements RgbImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;

  constructor(width: number, height: number, ground: Rgb) {
    this.width = width;
    this.height = height;
    this.data = new Uint8Array(width * height * 3);
    this.fillRect(0, 0, width, height, ground);
  }

  /** Lays a color over a pixel with the given opacity, 0..1. */
  blend(x: number, y: number, color: Rgb, opacity: number): void {
    if (x < 0 || y < 0 || x >= this.width || y >= this.height) return;
    const i = 3 * (y * this.width + x);
    for (let channel = 0; channel < 3; channel++) {
      const below = this.data[i + channel]!;
      this.data[i + channel] = Math.round(below + (color[channel as 0 | 1 | 2] - below) * opacity);
    }
  }

  fillRect(x: number, y: number, width: number, height: number, color: Rgb): void {
    for (let row = y; row < y + height; row++) {
      for (let column = x; column < x + width; column++) this.blend(column, row, color, 1);
    }
  }

  drawImage(image: RgbImage, x: number, y: number): void {
    const first = Math.max(0, -x);
    const last = Math.min(image.width, this.width - x);
    if (last <= first) return;
    for (let row = Math.max(0, -y); row < Math.min(image.height, this.height - y); row++) {
      const line = image.data.subarray(3 * (row * image.width + first), 3 * (row * image.width + last));
      this.data.set(line, 3 * ((y + row) * this.width + x + first));
    }
  }

  /** Draws a line of text whose box (9 rows of `scale` pixels) has its upper left corner at (x, y). */
  drawText(text: string, x: number, y: number, scale: number, color: Rgb): void {
    let left = x;
    for (const character of text) {
      this.#drawGlyph(character, left, y, scale, color);
      left += ADVANCE * scale;
    }
  }

  #drawGlyph(character: string, x: number, y: number, scale: number, color: Rgb): void {
    for (let row = 0; row < GLYPH_HEIGHT * scale; row++) {
      const v = (row + 0.5) / scale - 0.5;
      const top = Math.floor(v);
      for (let column = 0; column < GLYPH_WIDTH * scale; column++) {
        const u = (column + 0.5) / scale - 0.5;
        const left = Math.floor(u);
        // Interpolating the bitmap and cutting it at one half rounds the stairs of an enlarged glyph.
        const upper = lerp(glyphInk(character, left, top), glyphInk(character, left + 1, top), u - left);
        const lower = lerp(glyphInk(character, left, top + 1), glyphInk(character, left + 1, top + 1), u - left);
        const ink = lerp(upper, lower, v - top);
        const opacity = Math.min(Math.max((ink - 0.5) * scale + 0.5, 0), 1);
        if (opacity > 0) this.blend(x + column, y + row, color, opacity);
      }
    }
  }
}

function lerp(a: number, b: number, t: number): number {
  return a + (b - a) * t;
}

/** Shortens a text so that it fits, with two dots for what is left out. */
export function fitText(text: string, width: number, scale: number): string {
  if (textWidth(text, scale) <= width) return text;
  const characters = [...text];
  while (characters.length > 0 && textWidth(`${characters.join('')}..`, scale) > width) characters.pop();
  return `${characters.join('')}..`;
}

/**
 * Resamples a plane or an interleaved picture by averaging each target pixel's footprint, at least one source pixel wide:
 * an area average when shrinking, bilinear when enlarging.
 */
export function resample(
  source: ArrayLike<number>,
  width: number,
  height: number,
  channels: number,
  toWidth: number,
  toHeight: number,
): Float32Array {
  const result = new Float32Array(toWidth * toHeight * channels);
  // First along the rows, then along the columns. Narrowed rows are kept while rows of the result still need them.
  const narrowed = new Map<number, Float32Array>();
  const narrow = (y: number): Float32Array => {
    let row = narrowed.get(y);
    if (!row) {
      row = new Float32Array(toWidth * channels);
      average(source, y * width, width, channels, row, toWidth);
      narrowed.set(y, row);
    }
    return row;
  };
  const support = Math.max(1, height / toHeight);
  for (let y = 0; y < toHeight; y++) {
    const top = ((y + 0.5) * height) / toHeight - support / 2;
    const bottom = top + support;
    const target = result.subarray(y * toWidth * channels, (y + 1) * toWidth * channels);
    for (const row of narrowed.keys()) if (row < Math.min(Math.floor(top), height - 1)) narrowed.delete(row);
    for (let at = Math.floor(top); at < bottom; at++) {
      const weight = (Math.min(at + 1, bottom) - Math.max(at, top)) / support;
      const row = narrow(Math.min(Math.max(at, 0), height - 1));
      for (let i = 0; i < row.length; i++) target[i]! += weight * row[i]!;
    }
  }
  return result;
}

/** Resamples one line of pixels from the pixel `start` of the source on. */
function average(
  source: ArrayLike<number>,
  start: number,
  from: number,
  channels: number,
  target: Float32Array,
  to: number,
): void {
  const support = Math.max(1, from / to);
  for (let x = 0; x < to; x++) {
    const left = ((x + 0.5) * from) / to - support / 2;
    const right = left + support;
    for (let at = Math.floor(left); at < right; at++) {
      const weight = (Math.min(at + 1, right) - Math.max(at, left)) / support;
      // Beyond the border its pixel repeats.
      const read = (start + Math.min(Math.max(at, 0), from - 1)) * channels;
      const write = x * channels;
      for (let channel = 0; channel < channels; channel++) target[write + channel]! += weight * source[read + channel]!;
    }
  }
}

/** An RGB picture resampled to the given size. */
export function resizeImage(image: RgbImage, width: number, height: number): RgbImage {
  if (image.width === width && image.height === height) return image;
  const planes = resample(image.data, image.width, image.height, 3, width, height);
  const data = new Uint8Array(planes.length);
  for (let i = 0; i < data.length; i++) data[i] = Math.round(planes[i]!);
  return { width, height, data };
}
