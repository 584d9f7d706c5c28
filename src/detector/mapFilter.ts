import type { Node, Parameter } from '../engine/graph.ts';
import type { WritableTensor } from '../formats/safetensors.ts';

/** What a detector does to its combined map before the map is placed and scored. */
export const MAP_FILTERS = ['none', 'gaussian', 'location', 'border'] as const;
/**
 * `gaussian`: blurred. `location`: relative to what is usual at each place of normal images. `border`: by the distance from the border,
 * where networks see beyond it.
 */
export type MapFilterKind = (typeof MAP_FILTERS)[number];

/** A filter's part of a graph, with constants of its own. */
export interface FilterGraph {
  /** To be released with the graph's owner. */
  readonly parameters: readonly Parameter[];
  /** @param x [..., mapSide, mapSide], whose last `maps` maps are filtered @returns [maps, 1, mapSide, mapSide] */
  apply(x: Node, maps: number): Node;
}

/** What normal maps make of a filter that learns from them. */
export interface RefitFilter {
  readonly filter: MapFilter;
  /** The maps, each filtered by what other ones tell: as the filter treats a map that it has not seen. */
  readonly unseen: readonly Float32Array[];
}

/** A filter of combined maps: values of the host. Detectors without one fetch no code for them. */
export interface MapFilter {
  readonly kind: Exclude<MapFilterKind, 'none'>;
  /** JSON of its section in a model file. */
  readonly value: Readonly<Record<string, string | number>>;
  /** Its tensors in a model file, by their names in the section. */
  readonly tensors: ReadonlyMap<string, WritableTensor>;
  graph(): FilterGraph;
  /** On the host. @param map a combined map @param columns of it; it is square by default */
  apply(map: Float32Array, columns?: number): Float32Array;
  /**
   * Absent where nothing is learned.
   * @param maps combined maps of normal images [mapSide, mapSide]
   * @throws UserError for fewer than it takes
   */
  refit?(maps: readonly Float32Array[]): RefitFilter;
}
