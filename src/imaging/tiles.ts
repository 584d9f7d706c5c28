import { checkedImage, type ImageSource, type RgbImage } from '../data/image.ts';
import { Random } from '../math/random.ts';
import { resizeImageOnHost } from './hostResize.ts';

/** Size in pixels at which images are looked at in tiles. */
export interface TiledSize {
  readonly width: number;
  readonly height: number;
}

/** An image at that size: itself where it has it. @throws UserError for malformed pixels */
export function sized(image: RgbImage, { width, height }: TiledSize): RgbImage {
  const whole = checkedImage(image);
  return whole.width === width && whole.height === height ? whole : resizeImageOnHost(whole, width, height);
}

/** A square of an image. */
export interface TilePlace {
  readonly left: number;
  readonly top: number;
  readonly side: number;
}

/**
 * Pixels of a tile as words. Where it reaches over the border there is the image mirrored at it, whose outermost pixels are not
 * repeated.
 * @param words receives [side, side] @param at where
 */
export function packTile(
  { width, height, data }: RgbImage,
  { left, top, side }: TilePlace,
  words: Uint32Array,
  at = 0,
) {
  const columns = Uint32Array.from({ length: side }, (_, x) => 3 * mirrored(left + x, width));
  for (let y = 0, i = at; y < side; y++) {
    const row = 3 * width * mirrored(top + y, height);
    for (let x = 0; x < side; x++, i++) {
      const k = row + columns[x]!;
      words[i] = (0xff000000 | (data[k + 2]! << 16) | (data[k + 1]! << 8) | data[k]!) >>> 0;
    }
  }
}

function mirrored(i: number, length: number): number {
  const distance = Math.abs(i);
  return Math.max(0, Math.min(distance, 2 * (length - 1) - distance));
}

/** Which tiles are drawn of images. */
export interface DrawnTiles {
  readonly size: TiledSize;
  /** Of a tile, in pixels; at most the size. */
  readonly side: number;
  /** Tiles of each image. */
  readonly perImage: number;
  readonly seed: number;
}

/** Bytes of tiles that are kept; of further images those of the last one are. */
const KEPT_BYTES = 2 ** 29;

/** Tiles of each of some images, so that there are so many in all; at least one, and no more than are kept. */
export function tilesPerImage(images: number, wanted: number, side: number): number {
  const most = Math.floor(KEPT_BYTES / (3 * side * side));
  return Math.max(1, Math.ceil(Math.min(wanted, most) / Math.max(1, images)));
}

/**
 * Tiles at places that are drawn by seed, those of an image one behind the other. An image is decoded once for all of its tiles as
 * long as they are asked for in their order, or are kept.
 */
export function drawnTiles(source: ImageSource, drawn: DrawnTiles): ImageSource {
  const { size, side, perImage, seed } = drawn;
  const most = Math.floor(KEPT_BYTES / (3 * side * side * perImage));
  const kept = new Map<number, Promise<RgbImage[]>>();
  let last: { readonly index: number; readonly tiles: Promise<RgbImage[]> } | undefined;
  const draw = async (index: number) => {
    const image = sized(await source.image(index), size);
    const random = new Random((seed * 1_000_003 + index) >>> 0);
    return Array.from({ length: perImage }, () =>
      cut(image, { left: random.integer(size.width - side + 1), top: random.integer(size.height - side + 1), side }),
    );
  };
  const tilesOf = (index: number) => {
    const known = kept.get(index) ?? (last?.index === index ? last.tiles : undefined);
    if (known) return known;
    const tiles = draw(index);
    if (kept.size < most) kept.set(index, tiles);
    last = { index, tiles };
    return tiles;
  };
  return {
    count: source.count * perImage,
    ...(source.digest !== undefined && { digest: `${source.digest} in ${JSON.stringify(drawn)}` }),
    ...(source.paths && {
      paths: Array.from({ length: source.count * perImage }, (_, i) => source.paths![Math.floor(i / perImage)]!),
    }),
    image: async (index) => (await tilesOf(Math.floor(index / perImage)))[index % perImage]!,
  };
}

function cut({ width, data }: RgbImage, { left, top, side }: TilePlace): RgbImage {
  const tile = new Uint8Array(3 * side * side);
  for (let y = 0; y < side; y++) {
    const from = 3 * ((top + y) * width + left);
    tile.set(data.subarray(from, from + 3 * side), 3 * side * y);
  }
  return { width: side, height: side, data: tile };
}
