import type { Shape } from '../../src/checks/shape.ts';
import type { RgbImage } from '../../src/data/image.ts';
import { plantDefect } from '../../src/data/plantedDefects.ts';
import { METHOD_NAMES, type Method } from '../methods.ts';

/** Pixels of the networks' input along its border that the nearest cells stand for, without a mirrored border. */
export const BAND = 16;
/** Pixels of the strip that a defect is planted in: all of it lies in the band. */
const STRIP = 14;

/** What is done about the border: nothing, a mirrored border, and that with the map filter `border`. */
export const BORDERS = ['nearest', 'reflect', 'filtered'] as const;

/** One detector on the good test images of a set. */
export interface BorderRow {
  readonly set: string;
  readonly method: Method;
  readonly border: (typeof BORDERS)[number];
  readonly images: number;
  /** Shares of images above the threshold: as they are, with a defect in the band, and with one inside. */
  readonly good: number;
  readonly band: number;
  readonly inside: number;
  /** AUROC of scores of images as they are against those with a defect in the band, and inside. */
  readonly bandAuroc: number;
  readonly insideAuroc: number;
  /** Shares of the pixels of good images that are above the level of the highest 0.5 % of those inside. */
  readonly bandPixels: number;
  readonly insidePixels: number;
  /** Share of good images whose highest pixel lies in the band, and the band's share of all pixels. */
  readonly highest: number;
  readonly area: number;
}

/** What `npm run bench:border` writes. */
export interface BorderReport {
  readonly adapter: string;
  /** Side of the networks' input in pixels. */
  readonly resolution: number;
  readonly rows: readonly BorderRow[];
}

const SHARE: Shape = { from: 0, to: 1 };

export const BORDER: Shape = {
  fields: {
    adapter: 'text',
    resolution: 'number',
    rows: {
      list: {
        fields: {
          set: 'text',
          method: { oneOf: METHOD_NAMES },
          border: { oneOf: BORDERS },
          images: { least: 1, most: Number.MAX_SAFE_INTEGER },
          good: SHARE,
          band: SHARE,
          inside: SHARE,
          bandAuroc: SHARE,
          insideAuroc: SHARE,
          bandPixels: SHARE,
          insidePixels: SHARE,
          highest: SHARE,
          area: SHARE,
        },
        exact: true,
      },
    },
  },
  exact: true,
};

/**
 * A square image with a patch of itself pasted into a strip along one of its sides.
 * @param from pixels between the border and the strip
 * @param seed of patch, place and side
 */
export function plantedInStrip(image: RgbImage, from: number, seed: number): RgbImage {
  const { width: side, data } = image;
  /** Where pixel `along`, `across` of the strip lies, on the side that the seed chooses. */
  const place = (along: number, across: number): number => {
    const depth = seed % 2 === 0 ? from + across : side - 1 - from - across;
    return 3 * (seed % 4 < 2 ? depth * side + along : along * side + depth);
  };
  const strip = { width: side, height: STRIP, data: new Uint8Array(3 * side * STRIP) };
  const each = (visit: (at: number, inStrip: number) => void) => {
    for (let across = 0; across < STRIP; across++)
      for (let along = 0; along < side; along++) visit(place(along, across), 3 * (across * side + along));
  };
  each((at, inStrip) => strip.data.set(data.subarray(at, at + 3), inStrip));
  const planted = plantDefect(strip, 'cutPaste', seed).image.data;
  const changed = data.slice();
  each((at, inStrip) => changed.set(planted.subarray(inStrip, inStrip + 3), at));
  return { ...image, data: changed };
}

/** Values of a square map in the band along its border, and inside. */
export function byBand(
  map: Float32Array,
  side: number,
): { readonly band: Float32Array; readonly inside: Float32Array } {
  const isInside = (i: number) => i >= BAND && i < side - BAND;
  const inside = (i: number) => isInside(i % side) && isInside(Math.floor(i / side));
  return { band: map.filter((_, i) => !inside(i)), inside: map.filter((_, i) => inside(i)) };
}
