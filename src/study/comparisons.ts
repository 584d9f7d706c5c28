import { GOOD } from '../data/dataset.ts';
import { Random } from '../math/random.ts';
import { type Arm, armName, isQuantizedArm, type Treatment } from './arms.ts';
import type { CellResult } from './cells.ts';

/** Paired differences are resampled so often. */
const RESAMPLINGS = 2000;

/** As many data sets are named one by one; more would hide what they say together. */
export const FEW_SETS = 6;

/** A difference with its 95 % paired bootstrap interval over test images, in points of per cent. */
export interface Interval {
  readonly difference: number;
  readonly low: number;
  readonly high: number;
}

/** A difference of two arms in image AUROC: mean over data sets of the mean over seeds of a - b. */
export interface Comparison extends Interval {
  readonly a: string;
  readonly b: string;
  readonly pairs: number;
  /** Means over seeds of every data set. */
  readonly sets: readonly (Interval & { readonly set: string })[];
}

/** What results were measured of, each once, in their order. */
export function treatmentsIn(results: readonly CellResult[]): Treatment[] {
  return [
    ...new Map(
      results.map(({ arm, recalibrated }) => [armName({ arm, recalibrated }), { arm, recalibrated }]),
    ).values(),
  ];
}

/** A treatment's cells by set and seed. @param arm as {@link armName} has it */
function cellsOf(results: readonly CellResult[], arm: string): ReadonlyMap<string, CellResult> {
  return new Map(results.flatMap((cell) => (armName(cell) === arm ? [[`${cell.set}/${cell.seed}`, cell]] : [])));
}

/** Image AUROC of weighted images; for LOCO the mean over its kinds of anomaly. It is taken thousands of times per cell. */
class WeightedAuroc {
  /** Images by ascending score. */
  readonly #order: Uint32Array;
  /** In that order: 0 for good images, else the number of their kind. */
  readonly #kinds: Uint8Array;
  /** In that order: 1 where the next score is another one. */
  readonly #ends: Uint8Array;
  readonly #kindCount: number;

  constructor({ images, layout }: CellResult) {
    const order = images.map((_, i) => i).sort((a, b) => images[a]![1] - images[b]![1]);
    const bad = distinct(images.map(([defect]) => defect)).filter((defect) => defect !== GOOD);
    const isByKind = layout === 'mvtec-loco' && bad.length > 0;
    const kindOf = (defect: string) => (isByKind ? bad.indexOf(defect) + 1 : Number(defect !== GOOD));
    this.#order = Uint32Array.from(order);
    this.#kinds = Uint8Array.from(order, (i) => kindOf(images[i]![0]));
    this.#ends = Uint8Array.from(order, (i, place) => Number(images[order[place + 1] ?? -1]?.[1] !== images[i]![1]));
    this.#kindCount = isByKind ? bad.length : 1;
  }

  /** @param weights how often each image counts */
  of(weights: ArrayLike<number>): number | undefined {
    let sum = 0;
    for (let kind = 1; kind <= this.#kindCount; kind++) {
      const area = this.#area(weights, kind);
      if (area === undefined) return undefined;
      sum += area;
    }
    return sum / this.#kindCount;
  }

  #area(weights: ArrayLike<number>, kind: number): number | undefined {
    const [order, kinds, ends] = [this.#order, this.#kinds, this.#ends];
    let below = 0;
    let area = 0;
    let positives = 0;
    // Of the images of one score.
    let good = 0;
    let hits = 0;
    for (let i = 0; i < order.length; i++) {
      const weight = weights[order[i]!]!;
      if (kinds[i] === 0) good += weight;
      else if (kinds[i] === kind) hits += weight;
      if (ends[i] === 0) continue;
      area += hits * (below + good / 2);
      below += good;
      positives += hits;
      good = 0;
      hits = 0;
    }
    return below > 0 && positives > 0 ? area / (below * positives) : undefined;
  }
}

/**
 * Paired difference of two arms, by their names in results (`armName`): both are scored on the same resampled test images, in every set and seed that has both.
 * @returns undefined when no set has both
 */
export function compareArms(results: readonly CellResult[], a: string, b: string): Comparison | undefined {
  const [left, right] = [cellsOf(results, a), cellsOf(results, b)];
  const sets = new Map<string, { count: number; pairs: (readonly [WeightedAuroc, WeightedAuroc])[] }>();
  for (const [key, result] of left) {
    const other = right.get(key);
    if (!other || other.images.length !== result.images.length) continue;
    const set = sets.get(result.set) ?? { count: result.images.length, pairs: [] };
    set.pairs.push([new WeightedAuroc(result), new WeightedAuroc(other)]);
    sets.set(result.set, set);
  }
  if (sets.size === 0) return undefined;
  const mean = (values: readonly number[]) => values.reduce((x, y) => x + y, 0) / values.length;
  /** By data set. */
  const differences = (weightsOf: (count: number) => ArrayLike<number>): number[] | undefined => {
    const perSet: number[] = [];
    for (const { count, pairs } of sets.values()) {
      const weights = weightsOf(count);
      const values = pairs.map(([x, y]) => [x.of(weights), y.of(weights)] as const);
      if (values.some(([x, y]) => x === undefined || y === undefined)) return undefined;
      perSet.push(mean(values.map(([x, y]) => 100 * (x! - y!))));
    }
    return perSet;
  };
  const observed = differences((count) => new Uint8Array(count).fill(1));
  if (observed === undefined) return undefined;
  const random = new Random(0);
  const samples: number[][] = [];
  for (let k = 0; k < RESAMPLINGS; k++) {
    const sample = differences((count) => {
      const weights = new Uint16Array(count);
      for (let i = 0; i < count; i++) weights[random.integer(count)]!++;
      return weights;
    });
    if (sample) samples.push(sample);
  }
  const interval = (value: (perSet: readonly number[]) => number): Interval => {
    const sorted = Float64Array.from(samples, value).sort();
    const at = (share: number) => sorted[Math.round(share * (sorted.length - 1))] ?? Number.NaN;
    return { difference: value(observed), low: at(0.025), high: at(0.975) };
  };
  return {
    a,
    b,
    ...interval(mean),
    pairs: [...sets.values()].reduce((sum, set) => sum + set.pairs.length, 0),
    sets: [...sets.keys()].map((set, i) => ({ set, ...interval((perSet) => perSet[i]!) })),
  };
}

/** Means of one arm over data sets of means over seeds. Metrics in per cent. */
export interface ArmSummary {
  readonly arm: string;
  readonly cells: number;
  readonly auroc: number | undefined;
  readonly ap: number | undefined;
  readonly pixelAuroc: number | undefined;
  readonly pixelAp: number | undefined;
  readonly overlap: number | undefined;
  readonly biasIndex: number | undefined;
  readonly weightBytes: number | undefined;
  /** The float detector's bytes of weights, divided by the arm's. */
  readonly smaller: number | undefined;
  readonly averageBits: number | undefined;
  readonly milliseconds: number | undefined;
  /** Time per image divided by the float detector's, measured in turns with it: it holds on machines whose speed drifts. */
  readonly relativeTime: number | undefined;
  readonly memoryBytes: number | undefined;
}

export const distinct = <T>(values: readonly T[]): T[] => [...new Set(values)];

/** Mean over data sets of means over seeds; values that are undefined are left out. */
export function meanOfSets(results: readonly CellResult[], value: (result: CellResult) => number | undefined) {
  const average = (values: readonly number[]) =>
    values.length > 0 ? values.reduce((a, b) => a + b, 0) / values.length : undefined;
  const sets = distinct(results.map(({ set }) => set)).map((set) =>
    average(results.filter((result) => result.set === set).flatMap((result) => value(result) ?? [])),
  );
  return average(sets.flatMap((each) => each ?? []));
}

/** One row per arm, in the order of the results. */
export function summarizeArms(results: readonly CellResult[]): ArmSummary[] {
  const floatBytes = new Map(
    results.flatMap(({ set, seed, arm, size }) =>
      arm === 'float' ? [[`${set}/${seed}`, size.weightBytes] as const] : [],
    ),
  );
  const percent = (value: number | undefined) => (value === undefined ? undefined : 100 * value);
  return distinct(results.map(armName)).map((arm) => {
    const own = results.filter((result) => armName(result) === arm);
    const metric = (name: keyof CellResult['metrics']) => percent(meanOfSets(own, ({ metrics }) => metrics[name]));
    return {
      arm,
      cells: own.length,
      auroc: metric('auroc'),
      ap: metric('ap'),
      pixelAuroc: metric('pixelAuroc'),
      pixelAp: metric('pixelAp'),
      overlap: metric('overlap'),
      biasIndex: meanOfSets(own, ({ metrics }) => metrics.biasIndex),
      weightBytes: meanOfSets(own, ({ size }) => size.weightBytes),
      smaller: meanOfSets(own, ({ set, seed, size }) => {
        const bytes = floatBytes.get(`${set}/${seed}`);
        return bytes && bytes / size.weightBytes;
      }),
      averageBits: meanOfSets(own, ({ size }) => size.averageBits),
      milliseconds: meanOfSets(own, ({ timing }) => timing.milliseconds),
      relativeTime: meanOfSets(own, ({ timing }) => timing.milliseconds / timing.floatMilliseconds),
      memoryBytes: meanOfSets(own, ({ memoryBytes }) => memoryBytes),
    };
  });
}

/** What a comparison says, in words. */
export function verdict({ low, high }: Pick<Comparison, 'low' | 'high'>): string {
  if (low > 0) return 'better';
  return high < 0 ? 'worse' : 'no difference shown';
}

/** Arms of one set and seed whose layers have the same widths: their cells are one experiment. */
export interface EqualPlans {
  readonly set: string;
  readonly seed: number;
  readonly arms: readonly Arm[];
}

/** Groups of at least two arms with equal plans. */
export function equalPlans(results: readonly CellResult[]): EqualPlans[] {
  const groups = new Map<string, { set: string; seed: number; arms: Arm[] }>();
  for (const { set, seed, arm, recalibrated, bits } of results) {
    if (recalibrated || !isQuantizedArm(arm)) continue;
    const key = JSON.stringify([set, seed, bits]);
    const group = groups.get(key) ?? { set, seed, arms: [] };
    group.arms.push(arm);
    groups.set(key, group);
  }
  return [...groups.values()].filter(({ arms }) => arms.length > 1);
}

/** Kendall's rank correlation of depth and bits over the layers of teacher and student. */
export function depthCorrelation({ bits }: CellResult): number {
  const widths = Object.entries(bits).filter(([name]) => name.startsWith('teacher.'));
  let sum = 0;
  let pairs = 0;
  for (let i = 0; i < widths.length; i++) {
    for (let j = i + 1; j < widths.length; j++) {
      sum += Math.sign(widths[j]![1] - widths[i]![1]);
      pairs++;
    }
  }
  return pairs > 0 ? sum / pairs : 0;
}

/** An arm's bias index beside another's, over the sets and seeds that have both. */
export interface BiasChange {
  readonly arm: string;
  /** Means over data sets of means over seeds. */
  readonly before: number;
  readonly after: number;
  /** Pairs whose index is lower than before. */
  readonly fallen: number;
  readonly pairs: number;
}

/** @returns undefined when no set and seed has the bias index of both */
export function compareBias(results: readonly CellResult[], arm: string, from: string): BiasChange | undefined {
  const index = ({ metrics }: CellResult) => metrics.biasIndex;
  const withIndex = results.filter((result) => index(result) !== undefined);
  const [left, right] = [cellsOf(withIndex, from), cellsOf(withIndex, arm)];
  const keys = [...right.keys()].filter((key) => left.has(key));
  const mean = (side: ReadonlyMap<string, CellResult>) =>
    meanOfSets(
      keys.map((key) => side.get(key)!),
      index,
    );
  const [before, after] = [mean(left), mean(right)];
  if (before === undefined || after === undefined) return undefined;
  const fallen = keys.filter((key) => index(right.get(key)!)! < index(left.get(key)!)!).length;
  return { arm, before, after, fallen, pairs: keys.length };
}
