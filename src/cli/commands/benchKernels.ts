import type { Engine } from '../../engine/engine.ts';
import { WEIGHT_BITS } from '../../formats/weightCodes.ts';
import { convOutput } from '../../kernels/conv2dShape.ts';
import {
  BENCH_KERNELS,
  type BenchKernel,
  benchKernel,
  type ConvShape,
  type KernelBenchOptions,
  type KernelBenchResult,
  type SkippedVariant,
  shapeText,
  variantNames,
} from '../../measure/kernels.ts';
import { measurePeaks, type Peaks } from '../../measure/peak.ts';
import { boundOf, peakOf } from '../../measure/roofline.ts';
import { assertOutputs, writeAtomically } from '../../node/output.ts';
import { barChart } from '../../report/barChart.ts';
import { toCsv } from '../../report/csv.ts';
import { metricsTable } from '../../report/table.ts';
import { type Arguments, readPrecision, readWidths, UsageError, wholeNumber } from '../arguments.ts';
import { gigas, peaksText, reportHead, writeJson } from '../benchReport.ts';
import { printText } from '../print.ts';
import { inputFiles, MEASURING, notice, withEngine } from '../withEngine.ts';

const STORAGES = ['u8', 'u4', 'f16', 'f32'] as const;
/** The largest layers of PDN-S and PDN-XS at 128 px. */
const DEFAULT_SHAPES = ['1,128,62,62:256,4,4', '1,32,62,62:64,4,4'];

/** Variants on shapes of one's own. */
export async function run(args: Arguments, signal: AbortSignal): Promise<void> {
  const named = args.text('kernel');
  const [names, stray] = named === undefined ? args.positionals : [named, args.positionals[0]];
  if (names === undefined)
    throw new UsageError('bench kernels needs conv2d, qconv2d or both.', 'raad bench kernels conv2d,qconv2d');
  if (stray !== undefined)
    throw new UsageError(
      `${stray} does not go with ${named === undefined ? names : '--kernel'}.`,
      'See `raad bench kernels --help`.',
    );
  const chosen = readOptions(args, names);
  const [csv, json, svg] = ['csv', 'json', 'svg'].map((name) => args.text(name));
  await assertOutputs([csv, json, svg], inputFiles(args));
  await withEngine(
    args,
    async (engine) => {
      assertVariants(engine, chosen);
      const peaks = await measurePeaks(engine);
      printText(peaksText(peaks));
      const results = await benchKernel(engine, { ...chosen, onSkip: (skipped) => notice(skipText(skipped)), signal });
      const rows = results.map((result) => toRow(result, peaks));
      // A notice tells where not all channels were checked.
      printText(metricsTable(rows.map(shown), { columns: COLUMNS.slice(0, -1), digits: 3 }));
      for (const text of sampled(results)) notice(text);
      if (csv) await writeAtomically(csv, toCsv(COLUMNS, rows));
      if (json) {
        const { shapes, rounds, warmUp } = chosen;
        const settings = { shapes: shapes.map(shapeText), rounds, warmUp };
        await writeJson(json, { ...(await reportHead(args, engine.caps)), settings, peaks, results: rows });
      }
      if (svg) await writeAtomically(svg, chart(engine, rows, peaks));
    },
    { toggles: MEASURING },
  );
}

function readOptions(args: Arguments, names: string): Omit<KernelBenchOptions, 'onSkip' | 'signal'> {
  const kernels = readNames(args.text('kernel') === undefined ? 'the kernel' : '--kernel', names, BENCH_KERNELS);
  const shapes = (args.texts('shape').length > 0 ? args.texts('shape') : DEFAULT_SHAPES).map(readShape);
  const activations = readNames('--activations', args.text('activations') ?? 'u8', STORAGES);
  const bits = readWidths('bits', args.text('bits') ?? '8,4', WEIGHT_BITS);
  const groupSize = args.number('group-size');
  if (groupSize !== undefined) assertGroups(groupSize, shapes);
  const variants = args.text('variants') ?? 'all';
  return {
    kernels,
    shapes,
    bits,
    activations,
    precision: readPrecision(args),
    rounds: wholeNumber(args, 'rounds', 10, 1),
    warmUp: wholeNumber(args, 'warm-up', 3, 0),
    groupSize,
    variants: variants === 'all' ? undefined : variants.split(','),
  };
}

function readNames<T extends string>(what: string, text: string, known: readonly T[]): T[] {
  const names = text.split(',').map((name) => {
    const found = known.find((each) => each === name);
    if (!found) throw new UsageError(`${what} ${name} is not known.`, `Use some of: ${known.join(', ')}.`);
    return found;
  });
  return [...new Set(names)];
}

/** @throws UsageError unless it is `N,CI,H,W:CO,KH,KW` or that with `:stride,padding` */
function readShape(text: string): ConvShape {
  const fix = 'Write N,CI,H,W:CO,KH,KW or N,CI,H,W:CO,KH,KW:stride,padding, such as 1,128,62,62:256,4,4.';
  const fail = (what: string): never => {
    throw new UsageError(`--shape ${text} ${what}.`, fix);
  };
  const parts = text.split(':').map((part) => part.split(',').map((each) => (/^\d+$/.test(each) ? Number(each) : -1)));
  const lengths = parts.map((part) => part.length).join();
  if (lengths !== '4,3' && lengths !== '4,3,2') fail('is no shape');
  const [input, kernel, [stride, padding] = [1, 0]] = parts as [
    ConvShape['input'],
    ConvShape['kernel'],
    [number, number]?,
  ];
  if (padding < 0 || [...input, ...kernel, stride].some((each) => each < 1)) fail('has a number that cannot be used');
  const sides = [input[2], input[3]].map((side, i) => convOutput(side, kernel[i + 1]!, stride, padding));
  if (sides.some((side) => side < 1)) fail('has a kernel that is larger than the padded input');
  return { input, kernel, stride, padding };
}

function assertGroups(groupSize: number, shapes: readonly ConvShape[]): void {
  for (const { input } of shapes) {
    const isWhole = groupSize === input[1] || (groupSize >= 4 && groupSize % 4 === 0);
    if (!isWhole || input[1] % groupSize !== 0)
      throw new UsageError(
        `--group-size ${groupSize} does not divide ${input[1]} input channels into groups.`,
        'Give a multiple of 4 that divides the channels of every shape.',
      );
  }
}

function assertVariants(engine: Engine, { kernels, variants }: Pick<KernelBenchOptions, 'kernels' | 'variants'>): void {
  const known = kernels.map((kernel): [BenchKernel, string[]] => [kernel, variantNames(engine, kernel)]);
  const unknown = variants?.find((name) => !known.some(([, names]) => names.includes(name)));
  if (unknown === undefined) return;
  const lists = known.map(([kernel, names]) => `${kernel} has ${names.join(', ')}`);
  throw new UsageError(`there is no variant '${unknown}'.`, `${lists.join('; ')}.`);
}

function skipText({ kernel, shape, bits, activations, variant, because, reason }: SkippedVariant): string {
  const which = `${kernel} ${variant} is left out for ${shapeText(shape)}, w${bits} ${activations}`;
  return reason ? `${which}: ${reason}` : `${which}: it does not support this ${because}.`;
}

const COLUMNS = [
  'shape',
  'kernel',
  'bits',
  'activations',
  'variant',
  'median ms',
  'p5 ms',
  'p95 ms',
  'GOP/s',
  'GB/s',
  'error',
  'exact',
  '% of peak',
  'peak',
  'bound by',
  '% of bound',
  'executed GOP/s',
  'weight bytes',
  'memory bytes',
  'checked channels',
] as const;

function toRow(result: KernelBenchResult, peaks: Peaks) {
  const { kernel, bits, activations, variant, median, p5, p95, flops, bytes, error, ceiling, work } = result;
  const rate = gigas(flops, median);
  const bound = boundOf({ ...work, milliseconds: median }, peaks);
  const peak = peakOf(ceiling, peaks);
  return {
    shape: shapeText(result.shape),
    kernel,
    bits,
    activations,
    variant,
    'median ms': median,
    'p5 ms': p5,
    'p95 ms': p95,
    'GOP/s': rate,
    'GB/s': gigas(bytes, median),
    error,
    exact: result.isExact,
    '% of peak': peak > 0 ? (100 * rate) / peak : undefined,
    peak: ceiling,
    'bound by': bound.by,
    '% of bound': 100 * bound.share,
    'executed GOP/s': gigas(work.executed, median),
    'weight bytes': result.weightBytes,
    'memory bytes': result.memoryBytes,
    'checked channels': result.checkedChannels,
  };
}
type Row = ReturnType<typeof toRow>;

/** A row as the table shows it. */
function shown({ error, exact, ...row }: Row) {
  return {
    ...row,
    error: error === 0 ? '0' : error.toExponential(1),
    exact: exact === undefined ? undefined : exact ? 'yes' : 'no',
  };
}

/** Which errors are those of some channels only. */
function sampled(results: readonly KernelBenchResult[]): Set<string> {
  return new Set(
    results
      .filter(({ shape, checkedChannels }) => checkedChannels < shape.kernel[0])
      .map(({ shape, checkedChannels }) => {
        return `errors of ${shapeText(shape)} are taken over ${checkedChannels} of ${shape.kernel[0]} output channels.`;
      }),
  );
}

function chart(engine: Engine, rows: readonly Row[], peaks: Peaks): string {
  const bars = rows.map((row) => ({
    label: `${row.shape} ${row.kernel} w${row.bits} ${row.activations} ${row.variant}`,
    value: row['GOP/s'],
  }));
  const used = new Set(rows.map(({ peak }) => peak));
  const limits = [
    { value: peaks.f32GFlops, label: 'f32 peak', shown: used.has('f32') },
    { value: peaks.dot4I8GOps, label: 'dot4I8Packed peak', shown: used.has('dot4I8Packed') },
  ].filter((limit) => limit.shown);
  return barChart(bars, { title: engine.caps.description, unit: 'GOP/s', limits });
}
