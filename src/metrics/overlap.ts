import { connectedComponents } from './components.ts';
import { type BinaryMetrics, Ranking, rankedMetrics } from './ranking.ts';

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

export interface PixelMetrics {
  /** Over all pixels pooled; undefined when no pixel is anomalous, or all are. */
  readonly pixel: BinaryMetrics | undefined;
  /** Area under the overlap curve up to each limit of the false-positive rate, divided by the limit. */
  area(limit: number): number;
  readonly curve: OverlapCurve;
}

/** Numbers of sets from here on take 32 bits. */
const SETS_OF_16_BITS = 2 ** 16;

/** Points that the curve for drawing is thinned to. */
const CURVE_POINTS = 1000;

/**
 * Per-region overlap (AU-PRO; MVTec AD's official tool), or its saturated form (AU-sPRO, MVTec LOCO), and pixel metrics, from
 * one sort of all pixels. Images that are known to be defective but have no region must be left out by the caller.
 * @returns undefined without any region or without any normal pixel
 */
export function pixelMetrics(images: readonly ScoredMap[]): PixelMetrics | undefined {
  const total = images.reduce((sum, { map }) => sum + map.length, 0);
  const scores = new Float32Array(total);
  let members: Uint16Array | Uint32Array = new Uint16Array(total);
  const sets = new RegionSets();
  const saturations: number[] = [];
  let offset = 0;
  for (const { map, regions } of images) {
    scores.set(map, offset);
    for (const { pixels, saturation } of regions) {
      const region = saturations.push(saturation) - 1;
      for (const pixel of pixels) {
        const set = sets.add(members[offset + pixel]!, region);
        if (set === SETS_OF_16_BITS) members = Uint32Array.from(members);
        members[offset + pixel] = set;
      }
    }
    offset += map.length;
  }
  let normal = 0;
  for (let i = 0; i < total; i++) if (members[i] === 0) normal++;
  if (saturations.length === 0 || normal === 0) return undefined;

  const ranking = Ranking.inPlace(scores, members);
  const curve = sweep(ranking, sets, saturations, normal);
  return {
    pixel: rankedMetrics(ranking),
    area: (limit) => areaUpTo(curve, limit),
    curve: thin(curve),
  };
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

/** @param ranking pixels with the numbers of their sets of regions */
function sweep(ranking: Ranking, sets: RegionSets, saturations: readonly number[], normal: number): OverlapCurve {
  const members = ranking.labels as ArrayLike<number>;
  const fpr = [0];
  const overlap = [0];
  const found = new Float64Array(saturations.length);
  let falsePositives = 0;
  let sum = 0;
  const point = (x: number, y: number) => {
    if (x === fpr.at(-1) && y === overlap.at(-1)) return;
    fpr.push(x);
    overlap.push(y);
  };
  ranking.forEachTie((start, end) => {
    const [before, level] = [falsePositives, sum];
    for (let i = start; i < end; i++) {
      const set = members[i]!;
      if (set === 0) {
        falsePositives++;
        continue;
      }
      for (const region of sets.regions[set]!) {
        const saturation = saturations[region]!;
        if (++found[region]! <= saturation) sum += 1 / saturation;
      }
    }
    // Over normal pixels alone the curve is level: both ends of such a run say all.
    if (sum === level) return;
    point(before / normal, level / saturations.length);
    point(falsePositives / normal, sum / saturations.length);
  });
  point(falsePositives / normal, sum / saturations.length);
  point(1, 1);
  return { fpr, overlap };
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
