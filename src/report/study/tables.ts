import { armName, isQuantizedArm } from '../../study/arms.ts';
import { type CellResult, cellId } from '../../study/cells.ts';
import {
  type ArmSummary,
  type Comparison,
  compareBias,
  distinct,
  equalPlans,
  FEW_SETS,
  type Interval,
  meanOfSets,
  summarizeArms,
  verdict,
} from '../../study/comparisons.ts';
import { AVERAGE_BITS, type StudySettings } from '../../study/settings.ts';
import { recalibrateSettings } from '../../train/recalibrate.ts';
import { toCsv } from '../csv.ts';
import { markdown } from '../markup.ts';
import type { TableValue } from '../table.ts';
import { studyAnswers } from './answers.ts';
import { studyComparisons } from './questions.ts';

/** Every cell as a line of CSV. */
export function studyCsv(results: readonly CellResult[]): string {
  const rows = results.map(
    (result): Record<string, TableValue> => ({
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
  const line = (fields: readonly string[]) => `| ${fields.join(' | ')} |`;
  return [line(head), line(head.map((_, i) => (i === 0 ? '---' : '---:'))), ...rows.map(line)].join('\n');
}

const fixed = (value: number | undefined, digits: number) => (value === undefined ? '-' : value.toFixed(digits));

/** What stands beside the results. */
export interface StudyContext {
  readonly settings?: (StudySettings & { readonly penalty: string }) | undefined;
  /** Addresses of the charts, relative to the text. */
  readonly charts?: readonly string[] | undefined;
}

/** The whole study as Markdown: answers, means, differences, every cell's figures, and bit plans. */
export function studyMarkdown(cells: readonly CellResult[], { settings, charts = [] }: StudyContext = {}): string {
  const results = cells.map(inMarkdown);
  const sets = distinct(results.map(({ set }) => set));
  const seeds = distinct(results.map(({ seed }) => seed)).sort((a, b) => a - b);
  const collections = distinct(results.map(({ layout }) => layout));
  const parts = [
    '# Study: bit plans and recalibration',
    `${results.length} cells: ${sets.length} data sets (${sets.join(', ')}), seeds ${seeds.join(', ')}; adapter ${distinct(results.map(({ adapter }) => adapter)).join(', ')}. All arms of a data set and seed start from one float checkpoint and one order of images. Means are over data sets of means over seeds.`,
    ...(settings ? [settingsSentence(settings, results)] : []),
    '## In short',
    'Differences in points of image AUROC, means over data sets of means over seeds, in brackets the 95 % paired bootstrap interval over test images; "beats" means that the interval lies above zero.',
    studyAnswers(results)
      .map((answer) => `* ${answer}`)
      .join('\n'),
    '## Means by arm',
    summaryTable(summarizeArms(results)),
    ...(collections.length > 1
      ? collections.flatMap((layout) => [
          `### ${markdown(layout)}`,
          summaryTable(summarizeArms(results.filter((result) => result.layout === layout))),
        ])
      : []),
    ...(charts.length > 0
      ? [
          '## Quality against size and time',
          'Bars from the worst to the best seed.',
          charts.map((address) => `![${basename(address)}](${address})`).join('\n'),
        ]
      : []),
    '## By data set',
    ...(['auroc', 'overlap'] as const).flatMap((metric) => setsTable(results, metric)),
    '## What helps and what does not',
    'Differences of image AUROC in points, each pair on the same test images; in brackets the 95 % bootstrap interval over test images. "No difference shown" means that the interval holds zero.',
    ...studyComparisons(results).flatMap(({ question, comparisons }) => [
      `### ${question}`,
      comparisonsTable(comparisons, distinct(results.map(({ set }) => set))),
    ]),
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

/** A result whose names can stand in Markdown. */
function inMarkdown(result: CellResult): CellResult {
  const [id, set, adapter] = [result.id, result.set, result.adapter].map(markdown);
  return { ...result, id: id!, set: set!, adapter: adapter! };
}

function basename(address: string): string {
  return address.replace(/^.*\//, '').replace(/\.\w+$/, '');
}

function settingsSentence(
  { fit, recalibration, scoring = {}, averageBits, timeShare, penalty }: NonNullable<StudyContext['settings']>,
  results: readonly CellResult[],
): string {
  const { size, resolution, iterations, batch, learningRate } = fit;
  const recalibrated = recalibrateSettings(fit, recalibration);
  return [
    `PDN-${size.toUpperCase()} at ${resolution} px, trained for ${iterations} steps of ${batch} images at ${learningRate}, recalibrated for ${recalibrated.iterations} of ${recalibrated.batch} at ${recalibrated.learningRate}; penalty images: ${markdown(penalty)}.`,
    `HQS scores layers by ${scoring.map ?? 'attention'} and ${scoring.contribution ?? 'separability'}; the arm budget has ${averageBits ?? AVERAGE_BITS} bits on average; activations have 8.`,
    ...(results.some(({ arm }) => arm === 'time')
      ? [
          `The arm time ${timeShare === undefined ? 'lies midway between the fastest widths and float' : `has ${(100 * timeShare).toFixed(0)} % of float's time`} on the adapter.`,
        ]
      : []),
  ].join(' ');
}

/** Differences, and where data sets are few, those of each by itself. */
function comparisonsTable(comparisons: readonly Comparison[], sets: readonly string[]): string {
  const named = sets.length > 1 && sets.length <= FEW_SETS ? sets : [];
  const difference = (each: Interval | undefined) =>
    each ? `${fixed(each.difference, 2)} [${fixed(each.low, 2)}, ${fixed(each.high, 2)}]` : '-';
  return markdownTable(
    ['comparison', 'difference', 'verdict', 'pairs', ...named],
    comparisons.map((each) => [
      `${each.a} - ${each.b}`,
      difference(each),
      verdict(each),
      String(each.pairs),
      ...named.map((name) => difference(each.sets.find(({ set }) => set === name))),
    ]),
  );
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
      'time, float = 1',
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
      fixed(row.relativeTime, 2),
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
    return sets.length > 1 ? [...each, row(`**${markdown(layout)}: mean of ${sets.length}**`, own)] : each;
  });
  const all = distinct(results.map(({ set }) => set)).length;
  return [
    `### ${METRIC_NAMES[metric]}`,
    markdownTable(['data set', ...arms], all > 1 ? [...rows, row(`**mean of ${all}**`, results)] : rows),
  ];
}

function biasSection(results: readonly CellResult[]): string {
  const changes = distinct(results.map(armName)).flatMap((arm) =>
    arm === 'float' ? [] : (compareBias(results, arm, 'float') ?? []),
  );
  if (changes.length === 0) return 'No pair of a cell and its float cell is done.';
  return [
    'Variance over location of the mean normal map, divided by the variance of all normal maps.',
    markdownTable(
      ['arm', 'float', 'bias index', 'change', 'falls in'],
      changes.map(({ arm, before, after, fallen, pairs }) => [
        arm,
        fixed(before, 3),
        fixed(after, 3),
        fixed(after - before, 3),
        `${fallen} of ${pairs}`,
      ]),
    ),
  ].join('\n\n');
}

function agreementSection(results: readonly CellResult[]): string {
  const gaps = results.flatMap(({ metrics: { auroc, simulatedAuroc } }) =>
    auroc === undefined || simulatedAuroc === undefined ? [] : [100 * Math.abs(auroc - simulatedAuroc)],
  );
  if (gaps.length === 0) return 'No recalibrated cell is done.';
  return `Image AUROC on integer kernels and simulated in float (fake-quantized), ${gaps.length} recalibrated cells: they differ by ${Math.max(...gaps).toFixed(3)} points at most.`;
}

/** Bits per layer, and which arms have the same. */
function plansTable(results: readonly CellResult[]): string {
  const plans = results.filter(({ arm, recalibrated }) => isQuantizedArm(arm) && !recalibrated);
  const list = (bits: Readonly<Record<string, number>>, network: string) =>
    Object.entries(bits)
      .filter(([name]) => name.startsWith(`${network}.`))
      .map(([, width]) => width)
      .join(' ');
  const table = markdownTable(
    ['cell', 'teacher', 'student', 'autoencoder', 'bits'],
    plans.map((result) => [
      cellId(result),
      ...['teacher', 'student', 'autoencoder'].map((network) => list(result.bits, network)),
      fixed(result.size.averageBits, 2),
    ]),
  );
  const equal = equalPlans(results).map(({ set, seed, arms }) => `${set}/${seed}: ${arms.join(', ')}`);
  return equal.length > 0 ? `${table}\n\nEqual plans, whose cells are one experiment: ${equal.join('; ')}.` : table;
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
