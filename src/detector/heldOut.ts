import type { ImageSource } from '../data/image.ts';
import { UserError } from '../errors.ts';
import { exactQuantile } from '../math/statistics.ts';

/** Quantiles of normal pixels that normalize the maps (EfficientAD, section 3.4). */
const LOW = 0.9;
const HIGH = 0.995;
/**
 * Levels this many times the usual one are those of another thing than a good part. On generated biscuits, after 80 steps,
 * blank frames and noise reach 11 to 36 times the usual level, good parts twice.
 */
const FAR = 10;
/** The same of maps without structure, which only a blank frame has: after 4 steps it reaches 9 times the usual level. */
const FAR_AND_FLAT = 2;
/** Quantiles that differ by a smaller share are those of a map without structure. */
const LEAST_SPREAD = 0.01;

/** Values below a plateau, as a share of all, from which on a map has structure. */
const LEAST_BELOW = 0.01;

/** A map in short. */
export interface MapLevel {
  /** What it reaches on most of an image: one speck does not raise it. */
  readonly level: number;
  /** It hardly varies. */
  readonly flat: boolean;
}

export function mapLevel(map: Float32Array): MapLevel {
  const [level, high] = [exactQuantile(map, LOW), exactQuantile(map, HIGH)];
  return { level, flat: isFlat(level, high) };
}

function isFlat(low: number, high: number): boolean {
  return high > 0 && high - low < LEAST_SPREAD * high;
}

/**
 * Images whose level is far above the usual one, the lower median of all levels.
 * @param levels of the images to judge, above 0
 * @param others levels of further good images, where those to judge are few
 * @returns the usual level, and the indices of those that are far above it
 */
export function farAbove(
  levels: readonly MapLevel[],
  others: readonly MapLevel[] = [],
): { readonly usual: number; readonly far: readonly number[] } {
  const sorted = [...levels, ...others].map(({ level }) => level).sort((a, b) => a - b);
  const usual = sorted[(sorted.length - 1) >> 1] ?? 0;
  const far = levels.flatMap(({ level, flat }, i) => (level > (flat ? FAR_AND_FLAT : FAR) * usual ? [i] : []));
  return { usual, far: usual > 0 ? far : [] };
}

/**
 * The quantiles that a map is normalized by. Where a plain background, whose cells are all alike, has the highest values of all, both
 * would be of it: the lower one is then that of the values below.
 * @throws UserError for a map that is nearly constant: scores would be divided by nothing
 */
export function mapRange(values: Float32Array, map: string, names: readonly string[]): readonly [number, number] {
  const [low, high] = [exactQuantile(values, LOW), exactQuantile(values, HIGH)];
  if (!isFlat(low, high)) return [low, high];
  const below = values.filter((value) => !isFlat(value, high) && value < high);
  if (below.length < LEAST_BELOW * values.length)
    throw new UserError(
      `the ${map} map of the held-out images is nearly constant (${low.toPrecision(4)} .. ${high.toPrecision(4)}), as that of a blank frame is: ${names.join(', ')}.`,
      'Take blank frames out of the good images, or add good images.',
    );
  return [exactQuantile(below, LOW), high];
}

/** Differences between pixels that no picture of a part stays within. */
const BLANK = 2;

/** Whether all pixels of an image are alike. */
function isBlank(data: Uint8Array): boolean {
  for (let c = 0; c < 3; c++) {
    let low = 255;
    let high = 0;
    for (let i = c; i < data.length; i += 3) {
      if (data[i]! < low) low = data[i]!;
      if (data[i]! > high) high = data[i]!;
      if (high - low > BLANK) return false;
    }
  }
  return true;
}

/** Whether all images of a source are blank. */
async function allBlank(source: ImageSource): Promise<boolean> {
  for (let i = 0; i < source.count; i++) if (!isBlank((await source.image(i)).data)) return false;
  return true;
}

/**
 * Fails before a training whose calibration would fail.
 * @throws UserError when held-out images are blank and training images are not
 */
export async function checkHeldOut(heldOut: ImageSource, train: ImageSource): Promise<void> {
  if (!(await allBlank(heldOut)) || (await allBlank(train))) return;
  throw new UserError(
    `the held-out good images are blank: ${imageNames(heldOut).join(', ')}.`,
    'Take blank frames out of the good images.',
  );
}

/** Names of a few images, for messages. */
const NAMED = 5;

/** The names of some images of a source; all of them by default. */
export function imageNames(source: ImageSource, indices?: readonly number[]): string[] {
  const all = indices ?? Array.from({ length: source.count }, (_, i) => i);
  const names = all.slice(0, NAMED).map((i) => source.paths?.[i] ?? `held-out image ${i + 1}`);
  return all.length > NAMED ? [...names, `${all.length - NAMED} more`] : names;
}
