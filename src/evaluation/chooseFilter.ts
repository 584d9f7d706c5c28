import type { ImageSource } from '../data/image.ts';
import { type PlantingOptions, plantDefects } from '../data/plantedDefects.ts';
import { Detector } from '../detector/detector.ts';
import { MAP_FILTERS, type MapFilter, type MapFilterKind } from '../detector/mapFilter.ts';
import { inRegion } from '../detector/region.ts';
import { mapScore } from '../detector/score.ts';
import { UserError } from '../errors.ts';
import { Resizer, unpackPixels } from '../imaging/pixels.ts';
import { bootstrapInterval, type Interval, meanAt } from '../metrics/bootstrap.ts';
import { componentRegions, pixelMetrics, type ScoredMap } from '../metrics/overlap.ts';
import { auroc } from '../metrics/ranking.ts';

/** How good the maps of one filter are on held-out normal images and the same with planted defects. */
export interface FilterRow {
  readonly kind: MapFilterKind;
  /** Of images with planted defects against those without. */
  readonly auroc: number;
  /** AU-PRO up to a false-positive rate of 0.3, mean over images. */
  readonly overlap: number;
  /** What it gives beyond no filter: 95 % intervals over images. */
  readonly gain: { readonly auroc: Interval; readonly overlap: Interval };
}

export interface FilterChoice {
  readonly chosen: MapFilterKind;
  readonly rows: readonly FilterRow[];
  /** Normal images that were judged. */
  readonly images: number;
}

/** On which images filters are judged: 32 by default. */
export interface ChooseFilterOptions extends PlantingOptions {
  /** A calibrated detector, whose own filter does not count. */
  readonly detector: Detector;
  /** Normal images that it was not trained on. */
  readonly heldOut: ImageSource;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

const IMAGES = 32;
/** Limit of the false-positive rate of the overlap. */
const FPR_LIMIT = 0.3;
/** A filter that finds fewer planted defects by more than this is never taken for the sake of their outlines. */
const LARGEST_LOSS = 0.005;

/** Maps of one held-out image on the network's grid, as they are and with planted defects. */
interface Sample {
  readonly normal: Float32Array;
  readonly planted: readonly { readonly map: Float32Array; readonly mask: Uint8Array }[];
}

/** The filter that the maps of an image and its defective copies pass. */
type FilterOf = (sample: Sample, index: number) => (map: Float32Array) => Float32Array;

/** How an image does under one filter. */
interface Judged {
  readonly normal: number;
  readonly planted: readonly number[];
  readonly overlap: number;
}

/**
 * Chooses the filter of a detector's map from normal images and planted defects alone. A filter is taken if it tells images with
 * defects from others better than no filter does, by AUROC beyond its interval; else if it outlines the defects better, by AU-PRO
 * beyond its interval, and tells images apart as well to half a point. The largest gain wins. What a filter learns, it learns from
 * other images than it is judged on.
 * @throws UserError for images that cannot be scored, or a detector that looks at tiles
 */
export async function chooseFilter(options: ChooseFilterOptions): Promise<FilterChoice> {
  const { detector, seed = 0, signal } = options;
  const [{ GaussianFilter, LocationFilter }, { BorderFilter }, { LEAST_IMAGES, judgedByOthers }] = await Promise.all([
    import('../detector/mapFilters.ts'),
    import('../detector/borderFilter.ts'),
    import('../detector/learnedFilter.ts'),
  ]);
  // Defects are planted on what the networks see: the region, as an image of its own.
  const { filter: _, threshold: __, calibration: ___, region, ...state } = detector.state;
  if (state.tiling)
    throw new UserError('no map filter is chosen for a detector that looks at tiles.', 'Name it: gaussian or none.');
  const plain = new Detector(detector.engine, state);
  try {
    const samples = await planted(plain, { ...options, heldOut: await inRegion(region, options.heldOut) });
    const judge = (filterOf: FilterOf) => judgeAll(plain, samples, filterOf, signal);
    const none = await judge(() => (map) => map);
    const gaussian = new GaussianFilter();
    const rows = [
      row('none', none, none, seed),
      row('gaussian', await judge(() => (map) => gaussian.apply(map)), none, seed),
    ];
    const learning = state.networks.padding === 'reflect' ? [LocationFilter, BorderFilter] : [LocationFilter];
    for (const { learned } of samples.length < LEAST_IMAGES ? [] : learning) {
      const normals = samples.map(({ normal }) => normal);
      const filters = judgedByOthers<MapFilter>(normals, learned);
      rows.push(row(filters[0]!.kind, await judge((_, i) => (map) => filters[i]!.apply(map)), none, seed));
    }
    return { chosen: choose(rows), rows, images: samples.length };
  } finally {
    plain.destroy();
  }
}

/** The rule of {@link chooseFilter}. @param rows the first one is that of no filter */
export function choose(rows: readonly FilterRow[]): MapFilterKind {
  const [none, ...others] = rows as [FilterRow, ...FilterRow[]];
  const best = (candidates: readonly FilterRow[], figure: 'auroc' | 'overlap') =>
    candidates.toSorted((a, b) => b[figure] - a[figure])[0]?.kind;
  const telling = others.filter(({ gain }) => gain.auroc.low > 0);
  const outlining = others.filter((row) => row.gain.overlap.low > 0 && row.auroc >= none.auroc - LARGEST_LOSS);
  return best(telling, 'auroc') ?? best(outlining, 'overlap') ?? MAP_FILTERS[0];
}

async function planted(
  detector: Detector,
  { heldOut, images = IMAGES, plantings, seed, onProgress, signal }: ChooseFilterOptions,
): Promise<Sample[]> {
  const { engine, state } = detector;
  const { side } = state.networks;
  const resizer = new Resizer(engine, side);
  const total = Math.min(images, heldOut.count);
  const samples: Sample[] = [];
  try {
    for (let i = 0; i < total; i++) {
      signal?.throwIfAborted();
      const pixels = await resizer.resize(await heldOut.image(Math.floor((i * heldOut.count) / total)));
      const image = unpackPixels(pixels, side, side);
      const { gridMap: normal } = await detector.predict(image);
      const changed: { map: Float32Array; mask: Uint8Array }[] = [];
      for (const { image: defective, mask } of plantDefects(image, i, { plantings, seed }))
        changed.push({ map: (await detector.predict(defective)).gridMap, mask });
      samples.push({ normal, planted: changed });
      onProgress?.(i + 1, total);
    }
  } finally {
    resizer.destroy();
  }
  return samples;
}

async function judgeAll(
  detector: Detector,
  samples: readonly Sample[],
  filterOf: FilterOf,
  signal: AbortSignal | undefined,
): Promise<Judged[]> {
  const { side } = detector.state.networks;
  const judged: Judged[] = [];
  for (const [i, sample] of samples.entries()) {
    signal?.throwIfAborted();
    const filter = filterOf(sample, i);
    const place = async (gridMap: Float32Array, mask?: Uint8Array): Promise<ScoredMap> => ({
      width: side,
      height: side,
      map: await detector.place(filter(gridMap), side, side),
      regions: mask ? componentRegions(mask, side, side) : [],
    });
    const normal = await place(sample.normal);
    const maps: ScoredMap[] = [];
    for (const { map, mask } of sample.planted) maps.push(await place(map, mask));
    judged.push({
      normal: mapScore(normal.map),
      planted: maps.map(({ map }) => mapScore(map)),
      overlap: pixelMetrics([normal, ...maps])?.area(FPR_LIMIT) ?? 0,
    });
  }
  return judged;
}

function row(kind: MapFilterKind, judged: readonly Judged[], none: readonly Judged[], seed: number): FilterRow {
  const every = Uint32Array.from(judged.keys());
  const gain = (figure: (of: readonly Judged[], indices: Uint32Array) => number) =>
    bootstrapInterval(judged.length, (indices) => figure(judged, indices) - figure(none, indices), { seed });
  return {
    kind,
    auroc: separation(judged, every),
    overlap: overlap(judged, every),
    gain: { auroc: gain(separation), overlap: gain(overlap) },
  };
}

function separation(judged: readonly Judged[], indices: Uint32Array): number {
  const scores: number[] = [];
  const labels: boolean[] = [];
  for (const i of indices) {
    const { normal, planted } = judged[i]!;
    scores.push(normal, ...planted);
    labels.push(false, ...planted.map(() => true));
  }
  return auroc(scores, labels) ?? 0;
}

function overlap(judged: readonly Judged[], indices: Uint32Array): number {
  return meanAt(
    judged.map((each) => each.overlap),
    indices,
  );
}
