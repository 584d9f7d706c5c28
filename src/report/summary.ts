import { type Evaluation, FPR_LIMITS, type ImageResult, type Metrics, type Verdicts } from '../evaluation/evaluate.ts';
import { toCsv } from './csv.ts';
import { listedKinds } from './kinds.ts';
import { metricsTable, type TableValue } from './table.ts';

const percent = (value: number | undefined) => (value === undefined ? undefined : Number((100 * value).toFixed(2)));

/** Table of an evaluation for a terminal: a row per defect kind, the largest ones of many, then all together, in percent. */
export function evaluationTable({ metrics }: Evaluation): string {
  const name = metrics.overlap?.metric ?? 'AU-PRO';
  const row = (label: string, images: number, auroc: number | undefined, areas: readonly number[] | undefined) => {
    const values: Record<string, TableValue> = { defect: label, images, AUROC: percent(auroc) };
    FPR_LIMITS.forEach((limit, k) => {
      values[`${name} ${limit}`] = percent(areas?.[k]);
    });
    return values;
  };
  const rows = listedKinds(metrics.defects).listed.map(({ defect, images, auroc, overlap }) =>
    row(defect, images, auroc, overlap?.areas),
  );
  rows.push(row('all', metrics.badImages, metrics.auroc, metrics.overlap?.areas));
  return metricsTable(rows, { digits: 2 });
}

/** The remaining figures, a line each. */
export function evaluationNotes({ metrics }: Evaluation): string[] {
  const { image, pixel, branches, verdicts, goodImages, badImages } = metrics;
  const { others } = listedKinds(metrics.defects);
  const show = (value: number | undefined) => (value === undefined ? '-' : (100 * value).toFixed(2));
  return [
    ...(others > 0 ? [`${others} kinds of defects with fewer images are not listed; all counts them`] : []),
    `${goodImages} good and ${badImages} defective images`,
    ...(image
      ? [`image AP ${show(image.ap)}, F1-max ${show(image.f1Max)} at score ${image.f1Threshold.toFixed(4)}`]
      : []),
    ...(pixel ? [`pixel AUROC ${show(pixel.auroc)}, pixel AP ${show(pixel.ap)}`] : []),
    `AUROC of the maps alone: student ${show(branches.studentTeacher)}, autoencoder ${show(branches.autoencoder)}`,
    ...(verdicts ? [`own threshold: ${falseAlarmText(verdicts)}, ${show(verdicts.missed)} % of defects missed`] : []),
  ];
}

function falseAlarmText({ falseAlarms, falseAlarmInterval: interval, promised }: Verdicts): string {
  const show = (value: number | undefined) => (value === undefined ? '-' : (100 * value).toFixed(2));
  const seen = interval && `95 % interval ${show(interval.low)} .. ${show(interval.high)}`;
  const told = [seen, promised !== undefined && `at most ${show(promised)} promised`].filter(Boolean).join('; ');
  return `${show(falseAlarms)} % false alarms${told ? ` (${told})` : ''}`;
}

/** A row per data set, and their mean. */
export function collectionTable(all: readonly { readonly name: string; readonly metrics: Metrics }[]): string {
  const rows = all.map(({ name, metrics }) => ({
    'data set': name,
    AUROC: percent(metrics.auroc),
    AP: percent(metrics.image?.ap),
    'AU-PRO 0.3': percent(metrics.overlap?.areas[0]),
  }));
  const mean = (column: 'AUROC' | 'AP' | 'AU-PRO 0.3') => {
    const values = rows.flatMap((row) => row[column] ?? []);
    return values.length === 0 ? undefined : values.reduce((a, b) => a + b, 0) / values.length;
  };
  rows.push({ 'data set': 'mean', AUROC: mean('AUROC'), AP: mean('AP'), 'AU-PRO 0.3': mean('AU-PRO 0.3') });
  return metricsTable(rows, { digits: 2 });
}

/** Scores as CSV, a line per image. */
export function scoresCsv(results: readonly ImageResult[]): string {
  const rows = results.map(({ name, defect, score, isAnomalous, studentTeacher, autoencoder }) => ({
    image: name,
    defect,
    score,
    anomalous: isAnomalous,
    student_teacher: studentTeacher,
    autoencoder,
  }));
  return toCsv(['image', 'defect', 'score', 'anomalous', 'student_teacher', 'autoencoder'], rows);
}
