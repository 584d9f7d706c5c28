import { connectedComponents } from './components.ts';
import { descendingKeys, scoreOfKey, sortKeys, sortKeysInPlace } from './keys.ts';
import type { BinaryMetrics } from './ranking.ts';

/** An anomaly map at the image's own size, with what is known about it. */
export interface ScoredMap {
  readonly width: number;
  readonly height: number;
  /** [height, width] */
  readonly map: Float32Array;
  /** Defects that the metric averages over; none for a good image. */
  readonly regions: readonly Region[];
}

/** One defect of an image. */
export interface Region {
  /** Indices of its pixels in the map. */
  readonly pixels: Uint32Array;
  /** Overlap in pixels from which on the defect counts as found entirely; its area for PRO. */
  readonly saturation: number;
}

/** Regions of the PRO metric: the 8-connected components of a mask. */
export function componentRegions(mask: ArrayLike<number>, width: number, height: number): Region[] {
  return connectedComponents(mask, width, height).map((pixels) => ({ pixels, saturation: pixels.length }));
}

/** Saturation area of a LOCO defect (MVTec LOCO, section 4.2): an absolute number of pixels or a share of its area. */
export function saturationArea(area: number, threshold: number, relative: boolean): number {
  return relative ? Math.trunc(threshold * area) : Math.min(threshold, area);
}

/** Mean overlap of the regions against the false-positive rate of normal pixels. */
export interface OverlapCurve {
  readonly fpr: readonly number[];
  readonly overlap: readonly number[];
}

/** How well maps tell defective pixels from others. */
export interface PixelMetrics {
  /** Over all pixels pooled; undefined when no pixel is anomalous, or all are. */
  readonly pixel: BinaryMetrics | undefined;
  /** Area under the overlap curve up to each limit of the false-positive rate, divided by the limit. */
  area(limit: number): number;
  readonly curve: OverlapCurve;
}

/** Points that the curve for drawing is thinned to. */
const CURVE_POINTS = 1000;

/** Normal pixels that are sorted together, by default. */
const BLOCK = 2 ** 20;

/** Pixels of one group of images. */
class Group {
  /** Keys of normal pixels in sorted blocks; the last one is being filled. @see descendingKeys */
  readonly blocks: Uint32Array[] = [];
  /** Keys of the pixels of defects, per image, and the sets of regions that they belong to. */
  readonly defects: { readonly keys: Uint32Array; readonly sets: Uint32Array }[] = [];
  regions = 0;
  normal = 0;
  readonly #size: number;
  #filled: number;

  /** @param size of a block */
  constructor(size: number) {
    this.#size = size;
    this.#filled = size;
  }

  /** @param normals how many of the keys count, from the first on */
  addNormals(keys: Uint32Array, normals: number, scratch: Uint32Array): void {
    this.normal += normals;
    for (let at = 0; at < normals; ) {
      if (this.#filled === this.#size) {
        this.blocks.push(new Uint32Array(this.#size));
        this.#filled = 0;
      }
      const block = this.blocks.at(-1)!;
      const some = Math.min(normals - at, this.#size - this.#filled);
      block.set(keys.subarray(at, at + some), this.#filled);
      this.#filled += some;
      at += some;
      if (this.#filled === this.#size) sortKeysInPlace(block, scratch);
    }
  }

  /** Sorted blocks; those of a group that is still growing end in one that is sorted for each call. */
  *sorted(scratch: Uint32Array): Generator<Uint32Array> {
    for (const [i, block] of this.blocks.entries()) {
      const isLast = i === this.blocks.length - 1;
      if (!isLast || this.#filled === this.#size) yield block;
      else {
        const open = block.subarray(0, this.#filled);
        sortKeysInPlace(open, scratch.subarray(0, this.#filled));
        yield open;
      }
    }
  }
}

/**
 * Pixels of anomaly maps, gathered by groups of images. A normal pixel takes four bytes: its score says all. Metrics come from
 * the scores of defects and from how many normal pixels are above each of them.
 */
export class PixelPool {
  readonly #groups = new Map<string, Group>();
  readonly #sets = new RegionSets();
  readonly #saturations: number[] = [];
  readonly #scratch: Uint32Array;

  /** @param block normal pixels that are sorted together */
  constructor(block = BLOCK) {
    this.#scratch = new Uint32Array(block);
  }

  /**
   * Adds an image. Its map and regions are not kept. Images that are defective but have no region must be left out. Pixels whose
   * value is NaN take no part: defects end where they begin.
   */
  add(name: string, scored: ScoredMap): void {
    const { map, regions } = scored.map.some(Number.isNaN) ? withoutNaN(scored) : scored;
    let group = this.#groups.get(name);
    if (!group) {
      group = new Group(this.#scratch.length);
      this.#groups.set(name, group);
    }
    group.regions += regions.length;
    const keys = descendingKeys(map);
    if (regions.length === 0) {
      group.addNormals(keys, keys.length, this.#scratch);
      return;
    }
    const members = new Uint32Array(keys.length);
    for (const { pixels, saturation } of regions) {
      const region = this.#saturations.push(saturation) - 1;
      for (const pixel of pixels) members[pixel] = this.#sets.add(members[pixel]!, region);
    }
    let count = 0;
    for (const set of members) if (set !== 0) count++;
    const defects = { keys: new Uint32Array(count), sets: new Uint32Array(count) };
    let [normal, defect] = [0, 0];
    for (let i = 0; i < keys.length; i++) {
      if (members[i] === 0) keys[normal++] = keys[i]!;
      else {
        defects.keys[defect] = keys[i]!;
        defects.sets[defect++] = members[i]!;
      }
    }
    group.addNormals(keys, normal, this.#scratch);
    group.defects.push(defects);
  }

  /**
   * Per-region overlap (AU-PRO; MVTec AD's official tool), or its saturated form (AU-sPRO, MVTec LOCO), and pixel metrics.
   * @param names of the groups that count; all by default
   * @returns undefined without any region or without any normal pixel
   */
  metrics(names?: readonly string[]): PixelMetrics | undefined {
    const groups = names ? names.flatMap((name) => this.#groups.get(name) ?? []) : [...this.#groups.values()];
    const total = (of: (group: Group) => number) => groups.reduce((sum, group) => sum + of(group), 0);
    const normal = total((group) => group.normal);
    const regions = total((group) => group.regions);
    if (regions === 0 || normal === 0) return undefined;
    const ties = this.#ties(groups);
    const curve = this.#sweep(ties, regions, normal);
    return {
      pixel: tieMetrics(ties, normal),
      area: (limit) => areaUpTo(curve, limit),
      curve: thin(curve),
    };
  }

  #ties(groups: readonly Group[]): Ties {
    const parts = groups.flatMap(({ defects }) => defects);
    const count = parts.reduce((sum, { keys }) => sum + keys.length, 0);
    const all = { keys: new Uint32Array(count), sets: new Uint32Array(count) };
    let at = 0;
    for (const { keys, sets } of parts) {
      all.keys.set(keys, at);
      all.sets.set(sets, at);
      at += keys.length;
    }
    const { keys, labels: sets } = sortKeys(all.keys, all.sets);
    let different = 0;
    for (let i = 0; i < count; i++) if (i === 0 || keys[i] !== keys[i - 1]) different++;
    const scores = new Uint32Array(different);
    const ends = new Uint32Array(different);
    for (let i = 0, tie = -1; i < count; i++) {
      if (i === 0 || keys[i] !== keys[i - 1]) scores[++tie] = keys[i]!;
      ends[tie] = i + 1;
    }
    const above = new Float64Array(different);
    const equal = new Float64Array(different);
    for (const group of groups) {
      for (const block of group.sorted(this.#scratch)) countNormals(block, scores, above, equal);
    }
    let sum = 0;
    for (let tie = 0; tie < different; tie++) {
      sum += above[tie]!;
      above[tie] = sum;
      sum += equal[tie]!;
    }
    return { scores, ends, sets, above, equal };
  }

  #sweep({ ends, sets, above, equal }: Ties, regions: number, normal: number): OverlapCurve {
    const fpr = [0];
    const overlap = [0];
    const found = new Float64Array(this.#saturations.length);
    let sum = 0;
    const point = (x: number, y: number) => {
      if (x === fpr.at(-1) && y === overlap.at(-1)) return;
      fpr.push(x);
      overlap.push(y);
    };
    let start = 0;
    for (let tie = 0; tie < ends.length; tie++) {
      const level = sum;
      for (; start < ends[tie]!; start++) {
        for (const region of this.#sets.regions[sets[start]!]!) {
          const saturation = this.#saturations[region]!;
          if (++found[region]! <= saturation) sum += 1 / saturation;
        }
      }
      // Over normal pixels alone the curve is level: both ends of such a run say all.
      if (sum === level) continue;
      point(above[tie]! / normal, level / regions);
      point((above[tie]! + equal[tie]!) / normal, sum / regions);
    }
    point(1, sum / regions);
    point(1, 1);
    return { fpr, overlap };
  }
}

/** The pixels that have a value, and what is left of the defects. */
function withoutNaN({ map, regions }: ScoredMap): Pick<ScoredMap, 'map' | 'regions'> {
  const places = new Int32Array(map.length).fill(-1);
  let count = 0;
  for (let i = 0; i < map.length; i++) if (!Number.isNaN(map[i])) places[i] = count++;
  return {
    map: map.filter((value) => !Number.isNaN(value)),
    regions: regions.flatMap(({ pixels, saturation }) => {
      const left = pixels.filter((pixel) => places[pixel]! >= 0).map((pixel) => places[pixel]!);
      return left.length > 0 ? [{ pixels: left, saturation: Math.min(saturation, left.length) }] : [];
    }),
  };
}

/** Pixels of defects by their different scores, highest first. */
interface Ties {
  /** As keys. */
  readonly scores: Uint32Array;
  /** Behind the last pixel of each. */
  readonly ends: Uint32Array;
  /** Per pixel, the set of regions that it belongs to. */
  readonly sets: Uint32Array;
  /** Normal pixels with a higher score, and with the same one. */
  readonly above: Float64Array;
  readonly equal: Float64Array;
}

/**
 * Adds sorted normal pixels to the counts between scores: `above` gets those behind the score before.
 * Both lists may be far longer than the other, so the next place is searched in steps that double.
 */
function countNormals(block: Uint32Array, scores: Uint32Array, above: Float64Array, equal: Float64Array): void {
  let tie = 0;
  let at = 0;
  while (at < block.length) {
    tie = lowerBound(scores, block[at]!, tie);
    if (tie === scores.length) return;
    const score = scores[tie]!;
    const before = lowerBound(block, score, at);
    above[tie]! += before - at;
    at = before;
    while (at < block.length && block[at] === score) {
      equal[tie]!++;
      at++;
    }
  }
}

/** The first place from `from` on whose value is not below. */
function lowerBound(sorted: Uint32Array, value: number, from: number): number {
  let [low, step] = [from, 1];
  while (low + step <= sorted.length && sorted[low + step - 1]! < value) {
    low += step;
    step *= 2;
  }
  let high = Math.min(low + step - 1, sorted.length);
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** {@link binaryMetrics} over pixels: scores without a defect change none of them. */
function tieMetrics({ scores, ends, above, equal }: Ties, normal: number): BinaryMetrics {
  const positives = ends.at(-1)!;
  let area = 0;
  let ap = 0;
  let f1Max = 0;
  let f1Threshold = Number.POSITIVE_INFINITY;
  let before = 0;
  for (let tie = 0; tie < ends.length; tie++) {
    const found = ends[tie]!;
    const hits = found - before;
    const falsePositives = above[tie]! + equal[tie]!;
    // Of the pairs that are ranked rightly: with the normal pixels below, and half of those with the same score.
    area += hits * (normal - above[tie]! - equal[tie]! / 2);
    ap += (hits / positives) * (found / (found + falsePositives));
    const f1 = (2 * found) / (found + falsePositives + positives);
    if (f1 > f1Max) {
      f1Max = f1;
      f1Threshold = scoreOfKey(scores[tie]!);
    }
    before = found;
  }
  return { auroc: area / (positives * normal), ap, f1Max, f1Threshold };
}

/** Metrics over the pixels of some images, which are pooled. */
export function pixelMetrics(images: readonly ScoredMap[]): PixelMetrics | undefined {
  const pool = new PixelPool();
  for (const image of images) pool.add('', image);
  return pool.metrics();
}

/** Numbers for the sets of regions that pixels belong to; 0 is the empty set. Defects of LOCO may overlap. */
class RegionSets {
  readonly regions: number[][] = [[]];
  /** Per region, the sets that it was added to and what they became. */
  readonly #grown: Map<number, number>[] = [];

  /** The set with one more region. */
  add(set: number, region: number): number {
    this.#grown[region] ??= new Map();
    const grown = this.#grown[region];
    let found = grown.get(set);
    if (found === undefined) {
      found = this.regions.push([...this.regions[set]!, region]) - 1;
      grown.set(set, found);
    }
    return found;
  }
}

/** Trapezoids up to the limit, the last one with an interpolated end, divided by the limit. */
function areaUpTo({ fpr, overlap }: OverlapCurve, limit: number): number {
  let area = 0;
  for (let i = 1; i < fpr.length; i++) {
    const [x0, x1, y0] = [fpr[i - 1]!, fpr[i]!, overlap[i - 1]!];
    let y1 = overlap[i]!;
    if (x1 > limit) {
      y1 = y0 + ((y1 - y0) * (limit - x0)) / (x1 - x0);
      return (area + ((limit - x0) * (y0 + y1)) / 2) / limit;
    }
    area += ((x1 - x0) * (y0 + y1)) / 2;
  }
  return area / limit;
}

function thin({ fpr, overlap }: OverlapCurve): OverlapCurve {
  const { length } = fpr;
  const step = Math.max(1, (length - 1) / CURVE_POINTS);
  const points: number[] = [];
  for (let i = 0; i < length - 1; i += step) points.push(Math.round(i));
  points.push(length - 1);
  return { fpr: points.map((i) => fpr[i]!), overlap: points.map((i) => overlap[i]!) };
}
