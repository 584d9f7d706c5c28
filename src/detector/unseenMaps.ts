import { UserError } from '../errors.ts';
import type { MapFilter } from './mapFilter.ts';

/** Normal images that a filter learns from, at least. */
export const LEAST_IMAGES = 4;
/** Parts that normal images are divided into, each judged by what the others tell. */
const FOLDS = 10;

/**
 * For each of the maps a filter that has learned from others alone: as the filter treats a map that it has not seen.
 * @param maps combined maps of normal images
 * @throws UserError for fewer than {@link LEAST_IMAGES}
 */
export function judgedByOthers<T extends MapFilter>(
  maps: readonly Float32Array[],
  learn: (maps: readonly Float32Array[]) => T,
): T[] {
  if (maps.length < LEAST_IMAGES)
    throw new UserError(
      `a map filter cannot learn from ${maps.length} held-out images.`,
      `Give at least ${LEAST_IMAGES} that were not trained on, or choose the filter gaussian or none.`,
    );
  const folds = Math.min(FOLDS, maps.length);
  const filters = Array.from({ length: folds }, (_, fold) => learn(maps.filter((_, i) => i % folds !== fold)));
  return maps.map((_, i) => filters[i % folds]!);
}
