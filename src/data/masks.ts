import { UserError } from '../errors.ts';
import { groupBy, lastPart, stem } from './names.ts';

/** An image or a mask, and where it lies below the folder of its kind or the folder that was named. */
export interface Placed {
  readonly path: string;
  /** Such as `['crack', 'cam1']` for `test/crack/cam1/0.png` and `ground_truth/crack/cam1/0_mask.png`. */
  readonly folders: readonly string[];
}

export interface MatchedMasks {
  /** Mask files by image. */
  readonly masks: ReadonlyMap<string, readonly string[]>;
  /** Mask files that belong to no image. */
  readonly unmatched: readonly string[];
}

const SUFFIX = /[_.\- ](masks?|gt|ground[_\- ]?truth|labels?|seg|segmentation|annotation)$/i;
const PREFIX = /^(mask|gt|label)[_.\- ]/i;

/** The names of images that a mask's name may stand for, its own first: `000_mask` stands for `000`, as does `000.jpg`. */
function meanings(name: string): readonly string[] {
  const bare = [name.replace(SUFFIX, ''), name.replace(PREFIX, '')].filter((each) => each !== name && each !== '');
  const all = [name, ...bare];
  return [...new Set([...all, ...all.map((each) => each.replace(/\.(png|jpe?g|webp|bmp|tiff?)$/i, ''))])];
}

/** Splits files into images, and masks beside the image that they are of: `0_mask.png` where there is a `0.png`. */
export function splitMasksBeside<T extends Placed>(files: readonly T[]): { readonly images: T[]; readonly masks: T[] } {
  const key = ({ path }: Placed, name: string) => `${path.slice(0, -lastPart(path).length)}${name}`.toLowerCase();
  const name = ({ path }: Placed) => stem(lastPart(path));
  const known = new Set(files.map((file) => key(file, name(file))));
  const isMask = (file: T) =>
    meanings(name(file))
      .slice(1)
      .some((meaning) => known.has(key(file, meaning)));
  return { images: files.filter((file) => !isMask(file)), masks: files.filter(isMask) };
}

/**
 * Finds the masks of defective images. The mask at the same place is an image's own, with the image's name or that and one of
 * the usual suffixes, in any case, as are all files in a folder that is called like the image (MVTec LOCO). An image without
 * one takes the mask of its name from a place that does not contradict its own, such as one flat folder for all.
 * @throws UserError naming both files where that leaves a choice
 */
export function matchMasks(images: readonly Placed[], masks: readonly Placed[]): MatchedMasks {
  const nameOf = ({ path }: Placed) => stem(lastPart(path)).toLowerCase();
  const place = (folders: readonly string[], name: string) => [...folders, name].join('/').toLowerCase();
  const byPlace = groupBy(images, (image) => place(image.folders, nameOf(image)));
  const own = new Map<Placed, { mask: Placed; isPart: boolean }[]>();
  const give = (owners: readonly Placed[], mask: Placed, isPart: boolean) => {
    if (owners.length > 1) {
      throw new UserError(
        `the mask ${mask.path} fits both ${owners[0]!.path} and ${owners[1]!.path}.`,
        'Put masks into the same folders as their images, or give the images different names.',
      );
    }
    const known = own.get(owners[0]!);
    if (known) known.push({ mask, isPart });
    else own.set(owners[0]!, [{ mask, isPart }]);
  };
  const left: Placed[] = [];
  for (const mask of masks) {
    const here = meanings(nameOf(mask)).flatMap((name) => byPlace.get(place(mask.folders, name)) ?? []);
    const folder = mask.folders.length > 0 ? byPlace.get(mask.folders.join('/').toLowerCase()) : undefined;
    // `0_mask` is the own name of an image before it is the mask of another.
    const exact = byPlace.get(place(mask.folders, nameOf(mask)));
    if (exact) give(exact, mask, false);
    else if (here.length > 0) give(here, mask, false);
    else if (folder) give(folder, mask, true);
    else left.push(mask);
  }
  const without = groupBy(
    images.filter((image) => !own.has(image)),
    nameOf,
  );
  const unmatched: string[] = [];
  for (const mask of left) {
    const fitting = meanings(nameOf(mask))
      .flatMap((name) => without.get(name) ?? [])
      .filter((image) => agree(image.folders, mask.folders));
    if (fitting.length > 0) give([...new Set(fitting)], mask, false);
    else unmatched.push(mask.path);
  }
  const result = new Map<string, readonly string[]>();
  for (const [image, found] of own) {
    if (found.length > 1 && !found.every(({ isPart }) => isPart)) {
      throw new UserError(
        `${image.path} has more than one mask: ${found[0]!.mask.path} and ${found[1]!.mask.path}.`,
        'Keep the one that is right.',
      );
    }
    result.set(
      image.path,
      found.map(({ mask }) => mask.path),
    );
  }
  return { masks: result, unmatched };
}

/** Whether one list of folders is the other with some left out, case aside. */
function agree(a: readonly string[], b: readonly string[]): boolean {
  const [short, long] = a.length < b.length ? [a, b] : [b, a];
  let at = 0;
  for (const part of long) if (short[at]?.toLowerCase() === part.toLowerCase()) at++;
  return at === short.length;
}

interface Size {
  readonly width: number;
  readonly height: number;
}

/** Shorter sides have to agree to the pixel. */
const ROUNDED_SIDE = 32;

/** Whether a mask can be used for an image: sides are equal, or one pixel apart by rounding, of {@link ROUNDED_SIDE} or more. */
export function sizesAgree(mask: Size, image: Size): boolean {
  const agree = (a: number, b: number) => a === b || (Math.abs(a - b) === 1 && Math.min(a, b) >= ROUNDED_SIDE);
  return agree(mask.width, image.width) && agree(mask.height, image.height);
}

/** The value of the nearest pixel: no value arises that was not there. */
export function resizeNearest(data: Uint8Array | Uint16Array, from: Size, to: Size): Uint8Array | Uint16Array {
  const length = to.width * to.height;
  const result = data instanceof Uint16Array ? new Uint16Array(length) : new Uint8Array(length);
  for (let y = 0; y < to.height; y++) {
    const row = Math.floor(((y + 0.5) * from.height) / to.height) * from.width;
    for (let x = 0; x < to.width; x++)
      result[y * to.width + x] = data[row + Math.floor(((x + 0.5) * from.width) / to.width)]!;
  }
  return result;
}
