import type { ImageSource } from '../data/image.ts';
import { newFilter, withFilter } from '../detector/calibrate.ts';
import type { Detector } from '../detector/detector.ts';
import { MAP_FILTERS, type MapFilter, type MapFilterKind } from '../detector/mapFilter.ts';
import { chooseFilter, type FilterChoice } from '../evaluation/chooseFilter.ts';
import { metricsTable } from '../report/table.ts';
import type { Arguments } from './arguments.ts';
import { printText } from './print.ts';
import { startProgress } from './progress.ts';
import { notice } from './withEngine.ts';

/** What `--maps` takes. */
export type MapsOption = MapFilterKind | 'auto';

/** The option --maps. @throws UsageError */
export function readMaps(args: Arguments): MapsOption | undefined {
  return args.choice('maps', ['auto', ...MAP_FILTERS]);
}

/**
 * The same detector with the filter of its map that was asked for; `auto` chooses one and prints what each would give.
 * @param heldOut normal images that the detector was not trained on
 * @throws UserError for fewer images than the filter takes
 */
export async function applyMaps(
  detector: Detector,
  maps: MapsOption,
  heldOut: ImageSource,
  { alpha, signal }: { readonly alpha?: number | undefined; readonly signal: AbortSignal },
): Promise<Detector> {
  const filter = await filterFor(maps, detector.state.networks.mapSide, async () => detector, heldOut, signal);
  return withFilter(detector, filter, heldOut, { alpha, onNotice: notice, signal });
}

/**
 * The filter that was asked for, which has learned nothing yet.
 * @param mapSide of the detector's networks
 * @param calibrated gives the detector, for `auto` to look at
 */
export async function filterFor(
  maps: MapsOption,
  mapSide: number,
  calibrated: () => Promise<Detector>,
  heldOut: ImageSource,
  signal: AbortSignal,
): Promise<MapFilter | undefined> {
  const kind = maps === 'auto' ? await chosenKind(await calibrated(), heldOut, signal) : maps;
  return kind === 'none' ? undefined : newFilter(kind, mapSide);
}

async function chosenKind(detector: Detector, heldOut: ImageSource, signal: AbortSignal): Promise<MapFilterKind> {
  const progress = startProgress('choosing a map filter', Math.min(32, heldOut.count), 'images');
  try {
    const choice = await chooseFilter({
      detector,
      heldOut,
      seed: detector.state.provenance.seed,
      onProgress: (done) => progress.update(done),
      signal,
    });
    progress.stop();
    printText(choiceTable(choice));
    return choice.chosen;
  } finally {
    progress.stop();
  }
}

const points = (value: number) => (100 * value).toFixed(2);
const interval = ({ low, high }: { readonly low: number; readonly high: number }) =>
  `${points(low)} .. ${points(high)}`;

/** A row for each filter, on held-out normal images with and without planted defects. */
function choiceTable({ rows, chosen, images }: FilterChoice): string {
  const table = metricsTable(
    rows.map(({ kind, auroc, overlap, gain }) => ({
      maps: kind === chosen ? `${kind} *` : kind,
      AUROC: points(auroc),
      'gain of AUROC': kind === 'none' ? undefined : interval(gain.auroc),
      'AU-PRO': points(overlap),
      'gain of AU-PRO': kind === 'none' ? undefined : interval(gain.overlap),
    })),
  );
  return `${table}\n  on ${images} held-out images and planted defects; gains over none are 95 % intervals; * is taken`;
}
