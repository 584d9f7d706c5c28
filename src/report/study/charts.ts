import { armName } from '../../study/arms.ts';
import type { CellResult } from '../../study/cells.ts';
import { summarizeArms } from '../../study/comparisons.ts';
import { type ParetoPoint, paretoChart } from '../pareto.ts';
import { CHART_FILES } from './chartFiles.ts';

/** Pareto plots of a study's arms: AUROC and AU-PRO against bytes and against measured latency, as a share of the float detector's in the same run. @returns SVG by file name */
export function studyCharts(results: readonly CellResult[]): Map<string, string> {
  const arms = summarizeArms(results);
  const charts = new Map<string, string>();
  for (const { y, x, file } of CHART_FILES) {
    const points = arms.flatMap((arm): ParetoPoint[] => {
      const cost = arm[x];
      const quality = arm[y];
      if (cost === undefined || quality === undefined) return [];
      return [{ label: arm.arm, x: cost, y: quality / 100, ...spread(results, arm.arm, y) }];
    });
    if (points.length > 0) charts.set(file, paretoChart(points, { x, y }));
  }
  return charts;
}

/** Smallest and largest mean over data sets among the seeds. */
function spread(
  results: readonly CellResult[],
  arm: string,
  metric: 'auroc' | 'overlap',
): Pick<ParetoPoint, 'low' | 'high'> {
  const own = results.filter((result) => armName(result) === arm);
  const sets = new Set(own.map(({ set }) => set)).size;
  const means = [...new Set(own.map(({ seed }) => seed))].flatMap((seed) => {
    const values = own.filter((result) => result.seed === seed).flatMap(({ metrics }) => metrics[metric] ?? []);
    const complete = own.filter((result) => result.seed === seed).length === sets && values.length > 0;
    return complete ? [values.reduce((a, b) => a + b, 0) / values.length] : [];
  });
  return means.length > 1 ? { low: Math.min(...means), high: Math.max(...means) } : {};
}
