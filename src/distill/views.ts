import type { RgbImage } from '../data/image.ts';
import { randomUniform, randomWord } from '../kernels/random.ts';

/** How a photograph is looked at: which part of it, turned how, in which light. */
export interface View {
  /** Side of the square part, as a share of the photograph's shorter side. */
  readonly scale: number;
  /** Where the part lies between the left and the right, and between the upper and the lower border, from 0 to 1. */
  readonly place: readonly [x: number, y: number];
  /** Radians, counterclockwise. */
  readonly angle: number;
  readonly isMirrored: boolean;
  readonly isGray: boolean;
  /** Contrast around the middle gray. */
  readonly contrast: number;
}

/** The largest part, in the middle, as it is. */
export const PLAIN_VIEW: View = {
  scale: 1,
  place: [0.5, 0.5],
  angle: 0,
  isMirrored: false,
  isGray: false,
  contrast: 1,
};

const LEAST_SCALE = 0.4;
const MOST_ANGLE = Math.PI / 12;
/** Share of views without color. */
const GRAY = 0.1;
const CONTRAST = [0.75, 1.25] as const;

/** Keys that tell the uses of the counter-based generator apart. */
const RANDOM = { scale: 11, x: 12, y: 13, angle: 14, mirror: 15, gray: 16, contrast: 17, quarter: 18 } as const;

/** The `view`-th look at a photograph: a function of its arguments alone, so that features can be kept on a disk. */
export function viewOf(photograph: number, view: number, seed: number): View {
  const uniform = (key: keyof typeof RANDOM) => randomUniform(photograph, view, RANDOM[key], seed);
  const [least, most] = CONTRAST;
  const quarters = randomWord(photograph, view, RANDOM.quarter, seed) % 4;
  return {
    scale: LEAST_SCALE + (1 - LEAST_SCALE) * uniform('scale'),
    place: [uniform('x'), uniform('y')],
    angle: (quarters * Math.PI) / 2 + MOST_ANGLE * (2 * uniform('angle') - 1),
    isMirrored: uniform('mirror') < 0.5,
    isGray: uniform('gray') < GRAY,
    contrast: least + (most - least) * uniform('contrast'),
  };
}

/**
 * The square that a view sees, by bilinear sampling; what lies outside of the photograph is mirrored.
 * @param side of the result in pixels
 */
export function renderView({ width, height, data }: RgbImage, view: View, side: number): RgbImage {
  const extent = view.scale * Math.min(width, height);
  const [centerX, centerY] = [
    extent / 2 + view.place[0] * (width - extent),
    extent / 2 + view.place[1] * (height - extent),
  ];
  const step = extent / side;
  const [cos, sin] = [Math.cos(view.angle) * step, Math.sin(view.angle) * step];
  const pixels = new Uint8Array(3 * side * side);
  const rgb = [0, 0, 0];
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const dx = (x + 0.5 - side / 2) * (view.isMirrored ? -1 : 1);
      const dy = y + 0.5 - side / 2;
      const [sx, sy] = [centerX + cos * dx + sin * dy - 0.5, centerY - sin * dx + cos * dy - 0.5];
      const [x0, y0] = [Math.floor(sx), Math.floor(sy)];
      const [tx, ty] = [sx - x0, sy - y0];
      const [left, right] = [mirrored(x0, width), mirrored(x0 + 1, width)];
      const [upper, lower] = [mirrored(y0, height) * width, mirrored(y0 + 1, height) * width];
      for (let c = 0; c < 3; c++) {
        const above = data[3 * (upper + left) + c]! * (1 - tx) + data[3 * (upper + right) + c]! * tx;
        const below = data[3 * (lower + left) + c]! * (1 - tx) + data[3 * (lower + right) + c]! * tx;
        rgb[c] = above * (1 - ty) + below * ty;
      }
      if (view.isGray) rgb.fill(0.299 * rgb[0]! + 0.587 * rgb[1]! + 0.114 * rgb[2]!);
      const at = 3 * (y * side + x);
      for (let c = 0; c < 3; c++)
        pixels[at + c] = Math.min(Math.max(Math.round(128 + view.contrast * (rgb[c]! - 128)), 0), 255);
    }
  }
  return { width: side, height: side, data: pixels };
}

/** An index beyond either border, mirrored at it. */
function mirrored(index: number, length: number): number {
  const period = 2 * length;
  const within = ((index % period) + period) % period;
  return within < length ? within : period - 1 - within;
}
