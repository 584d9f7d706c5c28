import { isRecord } from '../checks/json.ts';
import { firstNotFinite } from '../checks/numbers.ts';
import { blurMaps } from '../detectorOps/mapFilters.ts';
import { type Node, Parameter } from '../engine/graph.ts';
import { quote, UserError } from '../errors.ts';
import type { StoredTensor } from '../formats/safetensors.ts';
import { BorderFilter } from './borderFilter.ts';
import { normalizationGraph, normalized, refitBy } from './learnedFilter.ts';
import type { FilterGraph, MapFilter, RefitFilter } from './mapFilter.ts';

/** Standard deviation of the blur in positions of the map, which lie 4 px of the network's input apart. */
const SIGMA = 1;
const MOST_SIGMA = 16;

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

  /** @param maps combined maps of normal images @throws UserError for fewer than a filter learns from */
  static of(maps: readonly Float32Array[]): RefitFilter {
    return refitBy(maps, LocationFilter.learned);
  }

  /** One that has learned from these maps. */
  static learned(maps: readonly Float32Array[]): LocationFilter {
    return new LocationFilter(usualOf(maps), maps.length);
  }

  graph(): FilterGraph {
    return normalizationGraph(this.#usual);
  }

  apply(map: Float32Array): Float32Array {
    return normalized(map, this.#usual);
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

/** A filter of a kind; one that learns says nothing before it is fitted again. @param mapSide of the maps that it filters */
export function filterOfKind(kind: MapFilter['kind'], mapSide: number): MapFilter {
  if (kind === 'gaussian') return new GaussianFilter();
  if (kind === 'border') return BorderFilter.blank(mapSide);
  const plane = mapSide * mapSide;
  return new LocationFilter(new Float32Array(2 * plane).fill(1, plane), 0);
}

const FIX = 'Copy or make the file again.';

/** What a filter has in a file: its number, and its tensor. */
interface Stored {
  readonly number: number;
  /** [2, ...]: what is taken off, and what the rest is multiplied by. */
  readonly usual?: Float32Array;
}

const KINDS = {
  gaussian: { field: 'sigma', read: ({ number }: Stored) => new GaussianFilter(number) },
  location: {
    field: 'images',
    tensor: (mapSide: number) => ({ name: 'usual', shape: [2, mapSide, mapSide] }),
    read: ({ number, usual }: Stored) => new LocationFilter(usual!, number),
  },
  border: {
    field: 'images',
    tensor: () => ({ name: 'rings', shape: BorderFilter.SHAPE }),
    read: ({ number, usual }: Stored, mapSide: number) => new BorderFilter(usual!, mapSide, number),
  },
} as const;

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
  const kind = isRecord(value) ? value['kind'] : undefined;
  if (!isRecord(value) || typeof kind !== 'string' || !isKind(kind))
    throw new UserError(
      `${name} gives filter.kind as ${quote(kind)}.`,
      `It has to be one of ${Object.keys(KINDS).join(', ')}. ${FIX}`,
    );
  const { field, ...rest } = KINDS[kind];
  const unknown = Object.keys(value).find((key) => key !== 'kind' && key !== field);
  if (unknown !== undefined) throw new UserError(`${name} has the unknown field ${quote(unknown)} in filter.`, FIX);
  const tensor = 'tensor' in rest ? rest.tensor(mapSide) : undefined;
  const other = [...tensors.keys()].find((each) => each !== tensor?.name);
  if (other !== undefined) throw new UserError(`${name} holds the unknown tensor ${quote(`filter/${other}`)}.`, FIX);
  const number = field === 'sigma' ? sigmaOf(value[field], name) : imagesOf(value[field], name);
  return KINDS[kind].read({ number, ...(tensor && { usual: usualIn(tensors, tensor, name) }) }, mapSide);
}

const isKind = (kind: string): kind is keyof typeof KINDS => Object.hasOwn(KINDS, kind);

function sigmaOf(value: unknown, name: string): number {
  if (typeof value === 'number' && value > 0 && value <= MOST_SIGMA) return value;
  throw new UserError(
    `${name} gives filter.sigma as ${quote(value)}.`,
    `It has to be above 0 and at most ${MOST_SIGMA}. ${FIX}`,
  );
}

function imagesOf(value: unknown, name: string): number {
  if (Number.isSafeInteger(value) && (value as number) >= 1) return value as number;
  throw new UserError(`${name} gives filter.images as ${quote(value)}.`, `It has to be a whole number. ${FIX}`);
}

function usualIn(
  tensors: ReadonlyMap<string, StoredTensor>,
  { name: key, shape }: { readonly name: string; readonly shape: readonly number[] },
  name: string,
): Float32Array {
  const entry = tensors.get(key);
  if (!(entry?.data instanceof Float32Array) || entry.shape.join() !== shape.join())
    throw new UserError(
      `${name} ${entry ? `holds filter/${key} as ${quote(entry.shape)}` : `lacks the tensor filter/${key}`}.`,
      `It has to be F32 ${quote(shape)}. ${FIX}`,
    );
  const { data } = entry;
  if (firstNotFinite(data) >= 0 || data.subarray(data.length / 2).some((factor) => !(factor > 0)))
    throw new UserError(`${name} holds values in filter/${key} that are not usable.`, FIX);
  return data;
}
