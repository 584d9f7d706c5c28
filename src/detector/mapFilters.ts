import { isRecord } from '../checks/json.ts';
import { firstNotFinite } from '../checks/numbers.ts';
import { blurMaps, normalizeMaps } from '../detectorOps/mapFilters.ts';
import { type Node, Parameter } from '../engine/graph.ts';
import { quote, UserError } from '../errors.ts';
import type { StoredTensor } from '../formats/safetensors.ts';
import type { FilterGraph, MapFilter, MapFilterKind, RefitFilter } from './mapFilter.ts';

/** Standard deviation of the blur in positions of the map, which lie 4 px of the network's input apart. */
const SIGMA = 1;
const MOST_SIGMA = 16;

/** Normal images that tell what is usual at each place, and how that varies. */
export const LEAST_LOCATION_IMAGES = 4;
/** Parts that normal images are divided into, each judged by what the others tell. */
const FOLDS = 10;

/** A Gaussian blur of the map. */
export class GaussianFilter implements MapFilter {
  readonly kind = 'gaussian';
  readonly value: { readonly kind: 'gaussian'; readonly sigma: number };
  readonly tensors = new Map();

  /** @param sigma standard deviation in positions of the map */
  constructor(sigma = SIGMA) {
    this.value = { kind: 'gaussian', sigma };
  }

  graph(): FilterGraph {
    const data = Float32Array.from(gaussianTaps(this.value.sigma));
    const taps = new Parameter('filter.taps', { shape: [data.length], dtype: 'f32' }, data);
    return {
      parameters: [taps],
      apply: (x: Node, maps: number) => blurMaps(x, taps.node, maps, 'map.combined'),
    };
  }

  apply(map: Float32Array, columns = Math.sqrt(map.length)): Float32Array {
    return blurred(map, columns, this.value.sigma);
  }
}

/** The map relative to its mean and deviation over normal images at each place. */
export class LocationFilter implements MapFilter {
  readonly kind = 'location';
  readonly value: { readonly kind: 'location'; readonly images: number };
  readonly tensors: MapFilter['tensors'];
  readonly #usual: Float32Array;

  /** @param usual [2, mapSide, mapSide], the mean and one over the deviation @param images that they are taken from */
  constructor(usual: Float32Array, images: number) {
    const mapSide = Math.sqrt(usual.length / 2);
    this.#usual = usual;
    this.value = { kind: 'location', images };
    this.tensors = new Map([['usual', { shape: [2, mapSide, mapSide], data: usual }]]);
  }

  /**
   * @param maps combined maps of normal images
   * @throws UserError for fewer than {@link LEAST_LOCATION_IMAGES}
   */
  static of(maps: readonly Float32Array[]): RefitFilter {
    if (maps.length < LEAST_LOCATION_IMAGES)
      throw new UserError(
        `maps cannot be normalized per location from ${maps.length} held-out images.`,
        `Give at least ${LEAST_LOCATION_IMAGES} that were not trained on, or choose the filter gaussian or none.`,
      );
    const others = LocationFilter.withoutEach(maps);
    return {
      filter: new LocationFilter(usualOf(maps), maps.length),
      unseen: maps.map((map, i) => others[i]!.apply(map)),
    };
  }

  /** For each of the maps a filter that has learned from others alone. */
  static withoutEach(maps: readonly Float32Array[]): LocationFilter[] {
    const folds = Math.min(FOLDS, maps.length);
    const filters = Array.from({ length: folds }, (_, fold) => {
      const others = maps.filter((_, i) => i % folds !== fold);
      return new LocationFilter(usualOf(others), others.length);
    });
    return maps.map((_, i) => filters[i % folds]!);
  }

  graph(): FilterGraph {
    const { shape } = this.tensors.get('usual')!;
    const usual = new Parameter('filter.usual', { shape, dtype: 'f32' }, this.#usual);
    return {
      parameters: [usual],
      apply: (x: Node, maps: number) => normalizeMaps(x, usual.node, maps, 'map.combined'),
    };
  }

  apply(map: Float32Array): Float32Array {
    return normalize(map, this.#usual);
  }

  refit(maps: readonly Float32Array[]): RefitFilter {
    return LocationFilter.of(maps);
  }
}

/** Taps of a Gaussian filter of a radius of 3 deviations, whose sum is 1. */
function gaussianTaps(sigma: number): Float64Array {
  const radius = Math.ceil(3 * sigma);
  const taps = Float64Array.from({ length: 2 * radius + 1 }, (_, i) =>
    Math.exp(-((i - radius) ** 2) / (2 * sigma ** 2)),
  );
  const total = taps.reduce((sum, tap) => sum + tap, 0);
  return taps.map((tap) => tap / total);
}

/** A map behind a Gaussian filter, its border repeated. */
function blurred(map: Float32Array, columns: number, sigma: number): Float32Array {
  const rows = map.length / columns;
  const taps = gaussianTaps(sigma);
  const radius = (taps.length - 1) / 2;
  const along = (values: Float32Array, count: number, step: number) =>
    values.map((_, place) => {
      const i = step === 1 ? place % columns : Math.floor(place / columns);
      let sum = 0;
      for (let k = -radius; k <= radius; k++) {
        const at = Math.min(Math.max(i + k, 0), count - 1);
        sum += taps[k + radius]! * values[place + (at - i) * step]!;
      }
      return sum;
    });
  return along(along(map, columns, 1), rows, columns);
}

/**
 * [2, mapSide, mapSide]: mean and one over the deviation at each place, sqrt(variance + mean variance). The second term keeps places
 * that few images have seen vary from standing out.
 */
function usualOf(maps: readonly Float32Array[]): Float32Array {
  const mean = (of: (map: Float32Array, i: number) => number) =>
    Float64Array.from(maps[0]!, (_, i) => maps.reduce((sum, map) => sum + of(map, i), 0) / maps.length);
  const means = mean((map, i) => map[i]!);
  const variances = mean((map, i) => (map[i]! - means[i]!) ** 2);
  const usual = variances.reduce((sum, variance) => sum + variance, 0) / variances.length || 1;
  return Float32Array.from([...means, ...variances.map((variance) => 1 / Math.sqrt(variance + usual))]);
}

function normalize(map: Float32Array, usual: Float32Array): Float32Array {
  return map.map((value, i) => (value - usual[i]!) * usual[map.length + i]!);
}

/** A filter of a kind; one that learns says nothing before it is fitted again. @param mapSide of the maps that it filters */
export function filterOfKind(kind: MapFilter['kind'], mapSide: number): MapFilter {
  if (kind === 'gaussian') return new GaussianFilter();
  const plane = mapSide * mapSide;
  return new LocationFilter(new Float32Array(2 * plane).fill(1, plane), 0);
}

const FIX = 'Copy or make the file again.';

/**
 * The filter that a section of a model file describes.
 * @param value JSON @param tensors by their names in the section @param name of the file, shown in messages
 * @throws UserError for a value or tensor that is missing, unknown or out of its range
 */
export function readFilter(
  value: unknown,
  tensors: ReadonlyMap<string, StoredTensor>,
  mapSide: number,
  name: string,
): MapFilter {
  const kind = isRecord(value) ? (value['kind'] as MapFilterKind) : undefined;
  if (!isRecord(value) || (kind !== 'gaussian' && kind !== 'location'))
    throw new UserError(`${name} gives filter.kind as ${quote(kind)}.`, `It has to be gaussian or location. ${FIX}`);
  const field = kind === 'gaussian' ? 'sigma' : 'images';
  const unknown = Object.keys(value).find((key) => key !== 'kind' && key !== field);
  if (unknown !== undefined) throw new UserError(`${name} has the unknown field ${quote(unknown)} in filter.`, FIX);
  const number = value[field];
  const wanted: readonly string[] = kind === 'gaussian' ? [] : ['usual'];
  const other = [...tensors.keys()].find((tensor) => !wanted.includes(tensor));
  if (other !== undefined) throw new UserError(`${name} holds the unknown tensor ${quote(`filter/${other}`)}.`, FIX);
  if (kind === 'gaussian') {
    if (typeof number !== 'number' || !(number > 0 && number <= MOST_SIGMA))
      throw new UserError(
        `${name} gives filter.sigma as ${quote(number)}.`,
        `It has to be above 0 and at most ${MOST_SIGMA}. ${FIX}`,
      );
    return new GaussianFilter(number);
  }
  if (!Number.isSafeInteger(number) || (number as number) < 1)
    throw new UserError(`${name} gives filter.images as ${quote(number)}.`, `It has to be a whole number. ${FIX}`);
  const entry = tensors.get('usual');
  if (!(entry?.data instanceof Float32Array) || entry.shape.join() !== [2, mapSide, mapSide].join())
    throw new UserError(
      `${name} ${entry ? `holds filter/usual as ${quote(entry.shape)}` : 'lacks the tensor filter/usual'}.`,
      `It has to be F32 [2, ${mapSide}, ${mapSide}]. ${FIX}`,
    );
  const usual = entry.data;
  if (firstNotFinite(usual) >= 0 || usual.subarray(mapSide * mapSide).some((factor) => !(factor > 0)))
    throw new UserError(`${name} holds values in filter/usual that are not usable.`, FIX);
  return new LocationFilter(usual, number as number);
}
