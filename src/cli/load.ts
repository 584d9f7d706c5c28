import type { Arguments } from './arguments.ts';

/** A module of `commands/`. */
export interface Runnable {
  run(args: Arguments, signal: AbortSignal): Promise<void>;
}

/** What loads each command, by its name: a command line loads the one that it runs. */
export const LOADERS: Readonly<Record<string, () => Promise<Runnable>>> = {
  demo: () => import('./commands/demo.ts'),
  generate: () => import('./commands/generate.ts'),
  data: () => import('./commands/data.ts'),
  fit: () => import('./commands/fit.ts'),
  distill: () => import('./commands/distill.ts'),
  predict: () => import('./commands/predict.ts'),
  eval: () => import('./commands/eval.ts'),
  attention: () => import('./commands/attention.ts'),
  bias: () => import('./commands/bias.ts'),
  info: () => import('./commands/info.ts'),
  maps: () => import('./commands/maps.ts'),
  threshold: () => import('./commands/threshold.ts'),
  report: () => import('./commands/report.ts'),
  web: () => import('./commands/web.ts'),
  run: () => import('./commands/run.ts'),
  quantize: () => import('./commands/quantize.ts'),
  allocate: () => import('./commands/allocate.ts'),
  recalibrate: () => import('./commands/recalibrate.ts'),
  sensitivity: () => import('./commands/sensitivity.ts'),
  study: () => import('./commands/study.ts'),
  'study-worker': () => import('./commands/studyWorker.ts'),
  devices: () => import('./commands/devices.ts'),
  doctor: () => import('./commands/doctor.ts'),
  tune: () => import('./commands/tune.ts'),
  bench: () => import('./commands/bench.ts'),
  'bench kernels': () => import('./commands/benchKernels.ts'),
  'bench models': () => import('./commands/benchModels.ts'),
  estimate: () => import('./commands/estimate.ts'),
  'import-teacher': () => import('./commands/importTeacher.ts'),
  'import-detector': () => import('./commands/importDetector.ts'),
  export: () => import('./commands/export.ts'),
  completion: () => import('./commands/completion.ts'),
};
