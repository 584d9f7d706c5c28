import { normalizeMaps } from '../detectorOps/mapFilters.ts';
import { Parameter } from '../engine/graph.ts';
import { UserError } from '../errors.ts';
import type { FilterGraph, MapFilter, RefitFilter } from './mapFilter.ts';

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

/** What normal maps make of a filter that learns from them. @throws UserError as {@link judgedByOthers} */
export function refitBy(
  maps: readonly Float32Array[],
  learn: (maps: readonly Float32Array[]) => MapFilter,
): RefitFilter {
  const unseen = judgedByOthers(maps, learn).map((filter, i) => filter.apply(maps[i]!));
  return { filter: learn(maps), unseen };
}

/** The part of a graph that normalizes maps. @param planes [2, mapSide, mapSide], what is taken off and what the rest is multiplied by */
export function normalizationGraph(planes: Float32Array): FilterGraph {
  const mapSide = Math.sqrt(planes.length / 2);
  const usual = new Parameter('filter.usual', { shape: [2, mapSide, mapSide], dtype: 'f32' }, planes);
  return {
    parameters: [usual],
    apply: (x, maps) => normalizeMaps(x, usual.node, maps, 'map.combined'),
  };
}

/** The same on the host. */
export function normalized(map: Float32Array, planes: Float32Array): Float32Array {
  return map.map((value, place) => (value - planes[place]!) * planes[map.length + place]!);
}
