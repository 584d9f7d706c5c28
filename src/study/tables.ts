import { GOOD } from '../data/dataset.ts';
import { Random } from '../data/random.ts';
import { toCsv } from '../report/csv.ts';
import type { Cell } from '../report/table.ts';
import { type CellResult, cellId } from './cells.ts';

/** Paired differences are resampled so often. */
const RESAMPLINGS = 2000;

/** A difference of two arms in image AUROC, in points of per cent. */
export interface Comparison {
  readonly a: string;
  readonly b: string;
  /** Mean over data sets of the mean over seeds of a - b. */
  readonly difference: number;
  /** 95 % paired bootstrap interval over test images. */
  readonly low: number;
  readonly high: number;
  readonly sets: number;
  readonly pairs: number;
}

/** Arm of a cell with what was done to it: `hqs`, `hqs+recalibrated`. */
export function armName({ arm, recalibrated }: Pick<CellResult, 'arm' | 'recalibrated'>): string {
  return recalibrated ? `${arm}+recalibrated` : arm;
}

/** Image AUROC of weighted images; for LOCO the mean over its kinds of anomaly. */
class WeightedAuroc {
  readonly #order: readonly number[];
  readonly #scores: readonly number[];
  readonly #kinds: readonly (readonly boolean[])[];
  readonly #good: readonly boolean[];

  constructor({ images, layout }: CellResult) {
    this.#scores = images.map(([, score]) => score);
    this.#order = images.map((_, i) => i).sort((a, b) => this.#scores[a]! - this.#scores[b]!);
    this.#good = images.map(([defect]) => defect === GOOD);
    const kinds =
      layout === 'mvtec-loco' ? [...new Set(images.map(([defect]) => defect))].filter((k) => k !== GOOD) : [];
    this.#kinds =
      kinds.length > 0
        ? kinds.map((kind) => images.map(([defect]) => defect === kind))
        : [images.map(([defect]) => defect !== GOOD)];
  }

  /** @param weights how often each image counts */
  of(weights: ArrayLike<number>): number | undefined {
    const values = this.#kinds.map((bad) => this.#area(weights, bad));
    return values.some((value) => value === undefined)
      ? undefined
      : values.reduce((sum: number, value) => sum + value!, 0) / values.length;
  }

  #area(weights: ArrayLike<number>, bad: readonly boolean[]): number | undefined {
    const order = this.#order;
    let below = 0;
    let area = 0;
    let positives = 0;
    for (let i = 0; i < order.length; ) {
      let good = 0;
      let hits = 0;
      const score = this.#scores[order[i]!]!;
      for (; i < order.length && this.#scores[order[i]!]! === score; i++) {
        const image = order[i]!;
        if (this.#good[image]) good += weights[image]!;
        else if (bad[image]) hits += weights[image]!;
      }
      area += hits * (below + good / 2);
      below += good;
      positives += hits;
    }
    return below > 0 && positives > 0 ? area / (below * positives) : undefined;
  }
}

/**
 * Paired difference of two arms: both are scored on the same resampled test images, in every set and seed that has both.
 * @returns undefined when no set has both
 */
export function compareArms(results: readonly CellResult[], a: string, b: string): Comparison | undefined {
  const by = (arm: string) => new Map(results.filter((r) => armName(r) === arm).map((r) => [`${r.set}/${r.seed}`, r]));
  const [left, right] = [by(a), by(b)];
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
  const difference = (weightsOf: (count: number) => ArrayLike<number>): number | undefined => {
    const perSet: number[] = [];
    for (const { count, pairs } of sets.values()) {
      const weights = weightsOf(count);
      const values = pairs.map(([x, y]) => [x.of(weights), y.of(weights)] as const);
      if (values.some(([x, y]) => x === undefined || y === undefined)) return undefined;
      perSet.push(mean(values.map(([x, y]) => 100 * (x! - y!))));
    }
    return mean(perSet);
  };
  const observed = difference((count) => new Uint8Array(count).fill(1));
  if (observed === undefined) return undefined;
  const random = new Random(0);
  const samples: number[] = [];
  for (let k = 0; k < RESAMPLINGS; k++) {
    const value = difference((count) => {
      const weights = new Uint16Array(count);
      for (let i = 0; i < count; i++) weights[random.integer(count)]!++;
      return weights;
    });
    if (value !== undefined) samples.push(value);
  }
  samples.sort((x, y) => x - y);
  const at = (share: number) => samples[Math.round(share * (samples.length - 1))] ?? Number.NaN;
  const pairs = [...sets.values()].reduce((sum, set) => sum + set.pairs.length, 0);
  return { a, b, difference: observed, low: at(0.025), high: at(0.975), sets: sets.size, pairs };
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
  /** Time of the float detector in the same runs, divided by the arm's. */
  readonly speedUp: number | undefined;
  readonly memoryBytes: number | undefined;
}

const distinct = <T>(values: readonly T[]): T[] => [...new Set(values)];

/** Mean over data sets of means over seeds; values that are undefined are left out. */
function meanOfSets(results: readonly CellResult[], value: (result: CellResult) => number | undefined) {
  const average = (values: readonly number[]) =>
    values.length > 0 ? values.reduce((a, b) => a + b, 0) / values.length : undefined;
  const sets = distinct(results.map(({ set }) => set)).map((set) =>
    average(results.filter((result) => result.set === set).flatMap((result) => value(result) ?? [])),
  );
  return average(sets.flatMap((each) => each ?? []));
}

/** One row per arm, in the order of the results. */
export function summariseArms(results: readonly CellResult[]): ArmSummary[] {
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
      speedUp: meanOfSets(own, ({ timing }) => timing.floatMilliseconds / timing.milliseconds),
      memoryBytes: meanOfSets(own, ({ memoryBytes }) => memoryBytes),
    };
  });
}

/** Every cell as a line of CSV. */
export function studyCsv(results: readonly CellResult[]): string {
  const rows = results.map(
    (result): Record<string, Cell> => ({
      set: result.set,
      layout: result.layout,
      seed: result.seed,
      arm: result.arm,
      recalibrated: Number(result.recalibrated),
      ...result.metrics,
      ...result.size,
      milliseconds: result.timing.milliseconds,
      floatMilliseconds: result.timing.floatMilliseconds,
      memoryBytes: result.memoryBytes,
      adapter: result.adapter,
    }),
  );
  return toCsv(distinct(rows.flatMap((row) => Object.keys(row))), rows);
}

function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map((_, i) => (i === 0 ? '---' : '---:'))), ...rows.map(line)].join('\n');
}

const fixed = (value: number | undefined, digits: number) => (value === undefined ? '-' : value.toFixed(digits));

/** What a comparison says, in words. */
export function verdict({ low, high }: Pick<Comparison, 'low' | 'high'>): string {
  if (low > 0) return 'better';
  return high < 0 ? 'worse' : 'no difference shown';
}

const QUESTIONS: readonly (readonly [
  title: string,
  pairs: (arms: readonly string[]) => (readonly [string, string])[],
])[] = [
  [
    'Does quantising cost anything (before recalibration, against float)?',
    (arms) => arms.filter((arm) => isPlan(arm) && !arm.includes('+')).map((arm) => [arm, 'float']),
  ],
  [
    'After recalibration, against float with the same extra iterations',
    (arms) => arms.filter((arm) => isPlan(arm) && arm.includes('+')).map((arm) => [arm, 'float+recalibrated']),
  ],
  [
    'Does recalibration help the same bit plan?',
    (arms) => arms.filter((arm) => arm.includes('+')).map((arm) => [arm, arm.replace('+recalibrated', '')]),
  ],
  [
    'Does HQS beat its controls at equal size?',
    (arms) =>
      ['', '+recalibrated'].flatMap((suffix) =>
        ['uniform', 'reversed', 'random', 'ompq']
          .filter((arm) => arms.includes(arm + suffix))
          .map((arm): readonly [string, string] => [`hqs${suffix}`, arm + suffix]),
      ),
  ],
  [
    'Filters of the float map, against the plain one',
    (arms) => ['blur', 'locations'].filter((arm) => arms.includes(arm)).map((arm) => [arm, 'float']),
  ],
];

function isPlan(arm: string): boolean {
  return !/^(float|blur|locations)/.test(arm);
}

/** Comparisons of a study, by question. */
export function studyComparisons(
  results: readonly CellResult[],
): { readonly question: string; readonly comparisons: readonly Comparison[] }[] {
  const arms = distinct(results.map(armName));
  return QUESTIONS.map(([question, pairs]) => ({
    question,
    comparisons: pairs(arms).flatMap(([a, b]) => compareArms(results, a, b) ?? []),
  })).filter(({ comparisons }) => comparisons.length > 0);
}

/** Kendall's rank correlation of depth and bits over the layers of teacher and student. */
function depthCorrelation({ bits }: CellResult): number {
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

/** The whole study as Markdown: means, differences, every cell's figures, and bit plans. */
export function studyMarkdown(results: readonly CellResult[]): string {
  const sets = distinct(results.map(({ set }) => set));
  const seeds = distinct(results.map(({ seed }) => seed)).sort((a, b) => a - b);
  const collections = distinct(results.map(({ layout }) => layout));
  const parts = [
    '# Study: bit plans and recalibration',
    `${results.length} cells: ${sets.length} data sets (${sets.join(', ')}), seeds ${seeds.join(', ')}; adapter ${distinct(results.map(({ adapter }) => adapter)).join(', ')}. All arms of a data set and seed start from one float checkpoint and one order of images. Means are over data sets of means over seeds.`,
    '## Means by arm',
    summaryTable(summariseArms(results)),
    ...(collections.length > 1
      ? collections.flatMap((layout) => [
          `### ${layout}`,
          summaryTable(summariseArms(results.filter((result) => result.layout === layout))),
        ])
      : []),
    '## By data set',
    ...(['auroc', 'overlap'] as const).flatMap((metric) => setsTable(results, metric)),
    '## What helps and what does not',
    'Differences of image AUROC in points, each pair on the same test images; in brackets the 95 % bootstrap interval over test images. "No difference shown" means that the interval holds zero.',
    ...studyComparisons(results).flatMap(({ question, comparisons }) => [
      `### ${question}`,
      markdownTable(
        ['comparison', 'difference', '95 % interval', 'verdict', 'pairs'],
        comparisons.map((each) => [
          `${each.a} - ${each.b}`,
          fixed(each.difference, 2),
          `[${fixed(each.low, 2)}, ${fixed(each.high, 2)}]`,
          verdict(each),
          String(each.pairs),
        ]),
      ),
    ]),
    '### Do deep layers get more bits?',
    depthSection(results),
    '### Does the bias index fall?',
    biasSection(results),
    '### Does the integer network do what its simulation promises?',
    agreementSection(results),
    '## Bit plans',
    plansTable(results),
    '## Every cell',
    cellsTable(results),
  ];
  return `${parts.join('\n\n')}\n`;
}

function summaryTable(rows: readonly ArmSummary[]): string {
  return markdownTable(
    [
      'arm',
      'cells',
      'AUROC',
      'AP',
      'pixel AUROC',
      'pixel AP',
      'AU-PRO',
      'bias index',
      'weights KB',
      'smaller than float',
      'bits',
      'ms',
      'speed against float',
      'memory MB',
    ],
    rows.map((row) => [
      row.arm,
      String(row.cells),
      fixed(row.auroc, 2),
      fixed(row.ap, 2),
      fixed(row.pixelAuroc, 2),
      fixed(row.pixelAp, 2),
      fixed(row.overlap, 2),
      fixed(row.biasIndex, 3),
      fixed(row.weightBytes && row.weightBytes / 1000, 0),
      fixed(row.smaller, 2),
      fixed(row.averageBits, 2),
      fixed(row.milliseconds, 1),
      fixed(row.speedUp, 2),
      fixed(row.memoryBytes && row.memoryBytes / 1e6, 2),
    ]),
  );
}

const METRIC_NAMES = {
  auroc: 'Image AUROC',
  overlap: 'AU-PRO (AU-sPRO for LOCO) up to a false-positive rate of 0.3',
} as const;

/** Means over seeds: a row per data set, grouped by collection with their mean, a column per arm. */
function setsTable(results: readonly CellResult[], metric: keyof typeof METRIC_NAMES): string[] {
  const arms = distinct(results.map(armName));
  const row = (label: string, own: readonly CellResult[]) => [
    label,
    ...arms.map((arm) => {
      const value = meanOfSets(
        own.filter((result) => armName(result) === arm),
        ({ metrics }) => metrics[metric],
      );
      return fixed(value === undefined ? undefined : 100 * value, 2);
    }),
  ];
  const rows = distinct(results.map(({ layout }) => layout)).flatMap((layout) => {
    const own = results.filter((result) => result.layout === layout);
    const sets = distinct(own.map(({ set }) => set));
    const each = sets.map((set) =>
      row(
        set,
        own.filter((result) => result.set === set),
      ),
    );
    return sets.length > 1 ? [...each, row(`**${layout}: mean of ${sets.length}**`, own)] : each;
  });
  const all = distinct(results.map(({ set }) => set)).length;
  return [
    `### ${METRIC_NAMES[metric]}`,
    markdownTable(['data set', ...arms], all > 1 ? [...rows, row(`**mean of ${all}**`, results)] : rows),
  ];
}

function depthSection(results: readonly CellResult[]): string {
  const plans = results.filter((result) => result.arm === 'hqs' && !result.recalibrated);
  if (plans.length === 0) return 'No cell of HQS is done.';
  const correlations = plans.map(depthCorrelation);
  const rising = correlations.filter((value) => value > 0).length;
  const falling = correlations.filter((value) => value < 0).length;
  const mean = correlations.reduce((a, b) => a + b, 0) / correlations.length;
  return `Of ${plans.length} plans of HQS, ${rising} give deeper layers of teacher and student more bits and ${falling} fewer (sign of the rank correlation of depth and width; mean correlation ${mean.toFixed(2)}).`;
}

function biasSection(results: readonly CellResult[]): string {
  const float = summariseArms(results).find(({ arm }) => arm === 'float')?.biasIndex;
  if (float === undefined) return 'No cell of float is done.';
  const rows = summariseArms(results).filter(({ arm, biasIndex }) => arm !== 'float' && biasIndex !== undefined);
  const falls = (arm: string) => {
    const own = results.filter((result) => armName(result) === arm);
    const pairs = own.flatMap((result) => {
      const before = results.find((r) => armName(r) === 'float' && r.set === result.set && r.seed === result.seed);
      return before?.metrics.biasIndex !== undefined && result.metrics.biasIndex !== undefined
        ? [result.metrics.biasIndex < before.metrics.biasIndex]
        : [];
    });
    return `${pairs.filter(Boolean).length} of ${pairs.length}`;
  };
  return [
    `Float: ${float.toFixed(3)}. Variance over location of the mean normal map, divided by the variance of all normal maps.`,
    markdownTable(
      ['arm', 'bias index', 'change', 'falls in'],
      rows.map(({ arm, biasIndex }) => [arm, fixed(biasIndex, 3), fixed(biasIndex! - float, 3), falls(arm)]),
    ),
  ].join('\n\n');
}

function agreementSection(results: readonly CellResult[]): string {
  const gaps = results.flatMap(({ metrics: { auroc, simulatedAuroc } }) =>
    auroc === undefined || simulatedAuroc === undefined ? [] : [100 * Math.abs(auroc - simulatedAuroc)],
  );
  if (gaps.length === 0) return 'No recalibrated cell is done.';
  return `Image AUROC on integer kernels and simulated in float (fake-quantised), ${gaps.length} recalibrated cells: they differ by ${Math.max(...gaps).toFixed(3)} points at most.`;
}

/** Bits per layer; a plan of equal widths in teacher and student is written once. */
function plansTable(results: readonly CellResult[]): string {
  const plans = results.filter((result) => isPlan(result.arm) && !result.recalibrated);
  const list = (bits: Readonly<Record<string, number>>, network: string) =>
    Object.entries(bits)
      .filter(([name]) => name.startsWith(`${network}.`))
      .map(([, width]) => width)
      .join(' ');
  return markdownTable(
    ['cell', 'teacher', 'student', 'autoencoder', 'bits'],
    plans.map((result) => [
      cellId(result),
      ...['teacher', 'student', 'autoencoder'].map((network) => list(result.bits, network)),
      fixed(result.size.averageBits, 2),
    ]),
  );
}

function cellsTable(results: readonly CellResult[]): string {
  const percent = (value: number | undefined) => fixed(value === undefined ? undefined : 100 * value, 2);
  return markdownTable(
    [
      'cell',
      'AUROC',
      'AP',
      'pixel AUROC',
      'pixel AP',
      'AU-PRO',
      'bias index',
      'simulated AUROC',
      'weight bytes',
      'ms',
      'float ms',
    ],
    results.map(({ id, metrics, size, timing }) => [
      id,
      percent(metrics.auroc),
      percent(metrics.ap),
      percent(metrics.pixelAuroc),
      percent(metrics.pixelAp),
      percent(metrics.overlap),
      fixed(metrics.biasIndex, 3),
      percent(metrics.simulatedAuroc),
      String(size.weightBytes),
      fixed(timing.milliseconds, 1),
      fixed(timing.floatMilliseconds, 1),
    ]),
  );
}
