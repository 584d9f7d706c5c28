import type { Engine } from './engine.ts';
import type { Plan } from './plan.ts';

/** One sample repeats a run until it takes about so long, milliseconds; the host's share is then small. */
export const SAMPLE = 8;
const MOST_REPEATS = 64;

/** How often a sample should repeat a run of so many milliseconds. */
export function repeatsFor(milliseconds: number): number {
  return Math.min(MOST_REPEATS, Math.max(1, Math.round(SAMPLE / milliseconds)));
}

/** Runs a plan so many times in one submission. @returns milliseconds of one run, until the device is done */
export async function timeRuns(engine: Engine, plan: Plan, runs = 1): Promise<number> {
  const { queue } = engine.device;
  const encoder = engine.device.createCommandEncoder();
  for (let i = 0; i < runs; i++) plan.encode(encoder);
  const start = performance.now();
  queue.submit([encoder.finish()]);
  await queue.onSubmittedWorkDone();
  return (performance.now() - start) / runs;
}
