import type { ImageSource } from '../../data/image.ts';
import type { Detector } from '../../detector/detector.ts';
import type { Engine } from '../../engine/engine.ts';
import { WEIGHT_BITS } from '../../formats/weightCodes.ts';
import { ALLOCATIONS, type Allocation, type AllocationMethod, allocate, checkAllocation } from '../../hqs/allocate.ts';
import { planTimer } from '../../hqs/latencies.ts';
import type { SizeLimit } from '../../hqs/limits.ts';
import {
  autoencoderScores,
  CONTRIBUTIONS,
  checkScoring,
  type LayerScore,
  layerScores,
  ompqScores,
} from '../../hqs/scores.ts';
import { type RepeatedAllocation, widthDifferences } from '../../hqs/stability.ts';
import { allocateByTime, type PlanTimer, type TimedAllocation } from '../../hqs/timeBudget.ts';
import { extent } from '../../math/extent.ts';
import { datasetFiles } from '../../node/datasets.ts';
import { assertOutputs, writeAtomically } from '../../node/output.ts';
import { bitPlanText, CODE_BITS, type CodeBits, type LayerPlan } from '../../quantization/bitPlan.ts';
import { barChart } from '../../report/barChart.ts';
import { metricsTable } from '../../report/table.ts';
import {
  type Arguments,
  readActivations,
  readSeed,
  readWidths,
  seedOf,
  UsageError,
  wholeNumber,
} from '../arguments.ts';
import { assertFloat, openModel, openModelDataset, readModelFile } from '../modelData.ts';
import { printLine, printText } from '../print.ts';
import { type Progress, startProgress } from '../progress.ts';
import { checkTimedOptions, readTimeBudget, timeText } from '../timeBudget.ts';
import { inputFiles, MEASURING, withEngine } from '../withEngine.ts';

export async function run(args: Arguments, signal: AbortSignal): Promise<void> {
  const [model, folder] = args.positionals;
  const output = args.text('output');
  if (!model || !output || (!folder && !args.text('good')))
    throw new UsageError('allocate needs a model, a data set and -o.', 'raad allocate MODEL DATA -o plan.json');
  const method: AllocationMethod = args.choice('method', ALLOCATIONS) ?? 'hqs';
  const activations = readActivations(args, CODE_BITS);
  const limit = readLimit(args);
  const budget = readTimeBudget(args);
  const choices = readChoices(args);
  const scoring = {
    map: args.choice('map', ['attention', 'ridge', 'cka']) ?? 'attention',
    seed: readSeed(args),
    images: wholeNumber(args, 'max-images', 64, 1),
    plantings: wholeNumber(args, 'plantings', 2, 1),
  } as const;
  const contribution = args.choice('contribution', CONTRIBUTIONS);
  const own = (args.choice('autoencoder', ['fixed', 'own']) ?? 'fixed') === 'own';
  const which: ImageChoice = args.choice('images', IMAGE_CHOICES) ?? 'held-out';
  const repeats = wholeNumber(args, 'repeats', 0, 0);
  seedOf('seed', scoring.seed + 2 * repeats);
  if (budget !== undefined) checkTimedOptions(args, method, repeats);
  const chart = args.text('chart');
  checkScoring({ map: scoring.map, contribution });
  const state = await readModelFile(model);
  assertFloat(state, model);
  if (budget === undefined) checkAllocation({ networks: state.networks, method, ...choices, limit });
  const set = await openModelDataset(args, folder, state, signal);
  await assertOutputs([output, chart], [model, ...datasetFiles(set), ...inputFiles(args)]);
  const work = async (engine: Engine) => {
    const { detector, data } = await openModel(engine, state, set);
    const allocateFor = async (images: ImageChoice, seed: number): Promise<Allocation | TimedAllocation> => {
      const common = {
        detector,
        normal: chosenImages(images, data),
        reference: data.train,
        ...scoring,
        seed,
        contribution,
        signal,
      };
      const scores: LayerScore[] = method === 'ompq' ? await ompqScores(common) : await layerScores(common);
      if (own && method !== 'ompq') scores.push(...onOneScale(await autoencoderScores(common), scores));
      const options = { networks: detector.state.networks, scores, method, activations, seed };
      if (budget !== undefined) return allocateByTime(options, budget, timerOf(detector, activations, signal));
      return allocate({ ...options, ...choices, limit });
    };
    const allocation = await allocateFor(which, scoring.seed);
    await writeAtomically(output, bitPlanText(allocation.plan, detector.state.networks));
    printText(table(allocation));
    printLine(`${output}: ${allocation.bytes} bytes, ${allocation.averageBits.toFixed(3)} bits on average`);
    if ('allowed' in allocation) printLine(timeText(allocation));
    if (chart) {
      const bars = allocation.rows.flatMap(({ layer, score, low, high, bits }) =>
        Number.isNaN(score) ? [] : [{ label: `${layer}: ${bits} bits`, value: score, low, high }],
      );
      await writeAtomically(
        chart,
        barChart(bars, { title: `${set.dataset.name}: ${scoring.map} scores`, unit: contribution ?? 'separability' }),
      );
    }
    const repeated: RepeatedAllocation[] = [];
    for (let k = 0; k < repeats; k++) {
      for (const [h, half] of (['first-half', 'second-half'] as const).entries()) {
        // Each has planted defects of its own.
        const seed = scoring.seed + 2 * k + h;
        repeated.push({ name: `${half}, seed ${seed}`, allocation: await allocateFor(half, seed) });
      }
    }
    if (repeats > 0) printText(stability(repeated));
    detector.destroy();
  };
  await withEngine(args, work, budget === undefined ? {} : { toggles: MEASURING });
}

function timerOf({ engine, state }: Detector, activations: CodeBits, signal: AbortSignal): PlanTimer {
  let progress: Progress | undefined;
  return planTimer(engine, {
    state,
    activations,
    onMeasured: (done, total) => {
      progress ??= startProgress('latencies', total, 'convolutions');
      progress.update(done);
      if (done === total) progress.stop();
    },
    signal,
  });
}

/** Scores of the autoencoder, whose unit is another, spread over the range of those of teacher and student. */
function onOneScale(scores: readonly LayerScore[], others: readonly LayerScore[]): LayerScore[] {
  const { low, high } = extent(scores.map(({ score }) => score));
  const { low: from, high: to } = extent(others.map(({ score }) => score));
  const place = (value: number) => (high > low ? from + ((value - low) / (high - low)) * (to - from) : to);
  return scores.map((each) => ({ ...each, score: place(each.score), low: place(each.low), high: place(each.high) }));
}

const IMAGE_CHOICES = ['held-out', 'train', 'first-half', 'second-half'] as const;
type ImageChoice = (typeof IMAGE_CHOICES)[number];

function chosenImages(
  which: ImageChoice,
  { train, heldOut }: { readonly train: ImageSource; readonly heldOut: ImageSource },
): ImageSource {
  if (which === 'held-out') return heldOut;
  if (which === 'train') return train;
  const total = train.count + heldOut.count;
  const at = (i: number) => (i < train.count ? train.image(i) : heldOut.image(i - train.count));
  // Every second image: a folder's order may follow the time of day.
  const first = which === 'first-half' ? 0 : 1;
  return { count: Math.floor((total + 1 - first) / 2), image: (i) => at(2 * i + first) };
}

function readChoices(args: Arguments) {
  const mode = args.choice('mode', ['psi', 'budget']);
  const thresholds = args.text('thresholds')?.split(',').map(Number);
  if (thresholds?.some((value) => !(value >= 0 && value <= 1)))
    throw new UsageError(`--thresholds ${args.text('thresholds')} cannot be used.`, 'Give numbers from 0 to 1.');
  const text = args.text('bits');
  const bits = text
    ?.split(',')
    .flatMap((each) => readWidths<LayerPlan['weights']>('bits', each, [...WEIGHT_BITS, 16, 32]));
  return { mode, thresholds, bits };
}

function readLimit(args: Arguments): SizeLimit | undefined {
  const averageBits = args.number('average-bits');
  const bytes = args.number('bytes');
  if (averageBits !== undefined && bytes !== undefined)
    throw new UsageError('both --average-bits and --bytes were given.', 'Give one of them.');
  if (averageBits !== undefined) return { averageBits };
  return bytes === undefined ? undefined : { bytes };
}

function table({ rows }: Allocation): string {
  const number = (value: number) => (Number.isNaN(value) ? undefined : value);
  return metricsTable(
    rows.map(({ layer, names, score, low, high, bits, bytes }) => ({
      layer: names.length > 1 ? `${layer} (${names.map((name) => name.split('.')[0]).join(', ')})` : layer,
      score: number(score),
      low: number(low),
      high: number(high),
      bits,
      bytes,
    })),
  );
}

/** Scores and widths of every repetition, and what they say together. */
function stability(repeated: readonly RepeatedAllocation[]): string {
  const rows = repeated.map(({ name, allocation }) => ({
    repetition: name,
    ...Object.fromEntries(
      allocation.rows.flatMap(({ layer, score, low, high, bits }) =>
        Number.isNaN(score)
          ? []
          : [[layer, `${score.toFixed(3)} [${low.toFixed(3)}, ${high.toFixed(3)}] ${bits} bits`]],
      ),
    ),
  }));
  const differences = widthDifferences(repeated);
  const clear = differences.filter(({ overlap }) => !overlap);
  const pairs = (repeated.length * (repeated.length - 1)) / 2;
  return [
    metricsTable(rows),
    `${pairs} pairs of repetitions: ${differences.length} times a layer has another width, ${clear.length} of them with intervals that do not overlap.`,
    ...clear.map(({ layer, a, b, bits }) => `${layer}: ${bits[0]} bits (${a}) and ${bits[1]} bits (${b})`),
  ].join('\n');
}
