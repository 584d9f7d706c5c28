/** The charts of a study by what they draw: known without loading what draws them. */
export const CHART_FILES = [
  { y: 'auroc', x: 'weightBytes', file: 'pareto-auroc-bytes.svg' },
  { y: 'auroc', x: 'relativeTime', file: 'pareto-auroc-latency.svg' },
  { y: 'overlap', x: 'weightBytes', file: 'pareto-overlap-bytes.svg' },
  { y: 'overlap', x: 'relativeTime', file: 'pareto-overlap-latency.svg' },
] as const;
