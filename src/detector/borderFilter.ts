import { exactQuantile } from '../math/statistics.ts';
import { normalizationGraph, normalized, refitBy } from './learnedFilter.ts';
import type { FilterGraph, MapFilter, RefitFilter } from './mapFilter.ts';

/** Positions from the border of a map to its inside: those that are centered less than 16 px from the border see beyond it. */
const RINGS = 4;
/** Quantiles of a ring that become those of the inside: the ones that maps are normalized by. */
const LOW = 0.9;
const HIGH = 0.995;
/** Rings that hardly vary are not stretched further: a few images do not show all that is usual. */
const MOST_STRETCH = 4;

/** The outer positions of the map, brought by their distance from the border to the levels that normal images have inside. */
export class BorderFilter implements MapFilter {
  readonly kind = 'border';
  readonly value: { readonly kind: 'border'; readonly images: number };
  readonly tensors: MapFilter['tensors'];
  readonly #planes: Float32Array;

  /**
   * @param rings [2, 4], what is taken off and what the rest is multiplied by at each distance from the border
   * @param mapSide of the maps that it filters
   * @param images that the rings are taken from
   */
  constructor(rings: Float32Array, mapSide: number, images: number) {
    this.#planes = planesOf(rings, mapSide);
    this.value = { kind: 'border', images };
    this.tensors = new Map([['rings', { shape: BorderFilter.SHAPE, data: rings }]]);
  }

  /** Of the tensor. */
  static readonly SHAPE = [2, RINGS] as const;

  /** Changes nothing before it is fitted again. */
  static blank(mapSide: number): BorderFilter {
    return new BorderFilter(new Float32Array(2 * RINGS).fill(1, RINGS), mapSide, 0);
  }

  /** @param maps combined maps of normal images @throws UserError for fewer than a filter learns from */
  static of(maps: readonly Float32Array[]): RefitFilter {
    return refitBy(maps, BorderFilter.learned);
  }

  /** One that has learned from these maps. */
  static learned(maps: readonly Float32Array[]): BorderFilter {
    const mapSide = Math.sqrt(maps[0]!.length);
    const quantiles = (ring: number) => {
      const places = Array.from(maps[0]!.keys()).filter((place) => ringOf(place, mapSide) === ring);
      const values = Float32Array.from(maps.flatMap((map) => places.map((place) => map[place]!)));
      return [exactQuantile(values, LOW), exactQuantile(values, HIGH)] as const;
    };
    const [low, high] = quantiles(RINGS);
    const rings = Float32Array.from({ length: 2 * RINGS }).fill(1, RINGS);
    for (let ring = 0; ring < RINGS; ring++) {
      const [from, to] = quantiles(ring);
      const stretch = Math.min(to > from && high > low ? (high - low) / (to - from) : 1, MOST_STRETCH);
      rings[ring] = from - low / stretch;
      rings[RINGS + ring] = stretch;
    }
    return new BorderFilter(rings, mapSide, maps.length);
  }

  graph(): FilterGraph {
    return normalizationGraph(this.#planes);
  }

  apply(map: Float32Array): Float32Array {
    return normalized(map, this.#planes);
  }

  refit(maps: readonly Float32Array[]): RefitFilter {
    return BorderFilter.of(maps);
  }
}

/** [2, mapSide, mapSide], as the op takes them. */
function planesOf(rings: Float32Array, mapSide: number): Float32Array {
  const plane = mapSide ** 2;
  const planes = new Float32Array(2 * plane);
  for (let place = 0; place < plane; place++) {
    const ring = ringOf(place, mapSide);
    planes[place] = ring < RINGS ? rings[ring]! : 0;
    planes[plane + place] = ring < RINGS ? rings[RINGS + ring]! : 1;
  }
  return planes;
}

/** Distance of a place from the border of its map in positions; the inside has one in common. */
function ringOf(place: number, mapSide: number): number {
  const [x, y] = [place % mapSide, Math.floor(place / mapSide)];
  return Math.min(x, y, mapSide - 1 - x, mapSide - 1 - y, RINGS);
}
