import { GOOD } from '../data/dataset.ts';
import type { RunRecord, StepRecord } from '../study/record.ts';
import { counted, duration, fixed, isNumber, threeDigits } from './format.ts';
import { formatScore } from './heatmap.ts';

/** How many images of each kind a step's threshold gets wrong. */
export interface ThresholdCounts {
  readonly good: number;
  readonly defective: number;
  /** Absent without a threshold. */
  readonly mistakes?: { readonly falseAlarms: number; readonly missed: number };
}

/** Counts a step's verdicts from its scores. */
export function thresholdCounts({ result, threshold }: StepRecord): ThresholdCounts {
  const good = result.images.filter(([defect]) => defect === GOOD);
  const defective = result.images.filter(([defect]) => defect !== GOOD);
  const counts = { good: good.length, defective: defective.length };
  if (!threshold) return counts;
  const isAnomalous = ([, score]: readonly [string, number]) => score > threshold.value;
  const found = defective.filter(isAnomalous).length;
  return { ...counts, mistakes: { falseAlarms: good.filter(isAnomalous).length, missed: defective.length - found } };
}

/** What the run reached, in sentences. */
export function summarySentences(record: RunRecord): string[] {
  const find = (step: StepRecord['step']) => record.steps.find((each) => each.step === step);
  const [float, quantized, recalibrated] = [find('float'), find('quantized'), find('recalibrated')];
  const last = recalibrated ?? quantized;
  const sentences: string[] = [];
  if (float && last) {
    const ratio = float.result.size.weightBytes / last.result.size.weightBytes;
    const auroc = difference(float, last);
    const change =
      auroc === undefined
        ? ''
        : auroc === 0
          ? ' and keeps the image AUROC'
          : ` and ${auroc < 0 ? 'loses' : 'gains'} ${points(auroc)} of image AUROC`;
    sentences.push(`The integer network takes 1/${fixed(ratio, 1)} of the bytes${change}.`);
    const { milliseconds, floatMilliseconds } = last.result.timing;
    const faster = floatMilliseconds / milliseconds;
    const speed =
      faster >= 1 ? `${threeDigits(faster)} times as fast as` : `${threeDigits(1 / faster)} times as slow as`;
    sentences.push(
      `It takes ${duration(milliseconds)} per image, ${speed} the float network with ${duration(floatMilliseconds)}, measured in turns.`,
    );
  }
  const lost = float && quantized && difference(float, quantized);
  const regained = quantized && recalibrated && difference(quantized, recalibrated);
  if (lost !== undefined && regained !== undefined && lost < 0) {
    if (regained > 0)
      sentences.push(
        `Quantizing alone cost ${points(lost)} of image AUROC, and recalibrating regained ${points(regained)}.`,
      );
    else sentences.push(`Quantizing alone cost ${points(lost)} of image AUROC, and recalibrating regained none.`);
  }
  const verdicts = record.steps.at(-1);
  const counts = verdicts && thresholdCounts(verdicts);
  if (verdicts?.threshold && counts?.mistakes) {
    const { falseAlarms, missed } = counts.mistakes;
    sentences.push(
      `At the threshold ${formatScore(verdicts.threshold.value)}, taken from ${verdicts.threshold.images} held-out good images, it misses ${missed} of ${counted(counts.defective, 'defective image')} and raises a false alarm on ${falseAlarms} of ${counted(counts.good, 'good image')}.`,
    );
  }
  return sentences;
}

/** Image AUROC gained in tenths of points, of the figures as they are shown. */
function difference(from: StepRecord, to: StepRecord): number | undefined {
  const [a, b] = [from.result.metrics.auroc, to.result.metrics.auroc];
  return isNumber(a) && isNumber(b) ? Math.round(1000 * b) - Math.round(1000 * a) : undefined;
}

function points(tenths: number): string {
  return `${fixed(Math.abs(tenths) / 10, 1)} points`;
}

/** Commands that repeat a run and its report, in parts that belong together. */
export function commandLines({ seed, settings }: RunRecord): string[][] {
  const { fit, recalibration, scoring, penalty } = settings;
  const options: readonly (readonly [name: string, value: string | number | undefined])[] = [
    ['seed', seed],
    ['size', fit.size],
    ['resolution', fit.resolution],
    ['iterations', fit.iterations],
    ['batch', fit.batch],
    ['lr', fit.learningRate],
    ['map', scoring?.map],
    ['contribution', scoring?.contribution],
    ['recalibrate-iterations', recalibration?.iterations],
    ['recalibrate-lr', recalibration?.learningRate],
    ['penalty', penalty === 'generated' ? undefined : penalty],
  ];
  const given = options.flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name} ${shellWord(String(value))}`],
  );
  return [['raad run DATA', '-o DIR', ...given], ['raad report DIR']];
}

function shellWord(text: string): string {
  return /^[\w./:@%+,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
