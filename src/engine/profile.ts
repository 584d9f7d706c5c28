import type { Engine } from './engine.ts';
import { OutOfMemoryError, UnsupportedError } from './errors.ts';
import { BUFFER_USAGE } from './flags.ts';
import type { Dispatch, Plan } from './plan.ts';

export interface DispatchTiming {
  readonly dispatch: Dispatch;
  /** Milliseconds of every repetition. */
  readonly times: readonly number[];
  /** Milliseconds from the start of the run in the last repetition (in place only). */
  readonly start: number;
}

export interface ProfileOptions {
  /** Repetitions; 10. */
  readonly rounds?: number;
  /**
   * `inPlace`: all dispatches in their order, each in a pass of its own, so that caches hold what the dispatch before left.
   * `isolated`: every dispatch by itself, again and again.
   */
  readonly mode: 'inPlace' | 'isolated';
}

/** Timestamps that one query set may hold. */
const MOST_QUERIES = 4096;

/**
 * Times every dispatch of a plan by timestamp queries. Inputs keep their last values.
 * @throws UnsupportedError without the feature `timestamp-query`
 */
export async function profile(
  engine: Engine,
  plan: Plan,
  { rounds = 10, mode }: ProfileOptions,
): Promise<DispatchTiming[]> {
  if (!engine.caps.timestampQuery) {
    throw new UnsupportedError('this adapter has no timestamp queries, so single dispatches cannot be timed.');
  }
  const { device } = engine;
  const { dispatches } = plan;
  if (2 * dispatches.length > MOST_QUERIES) {
    throw new OutOfMemoryError(
      `a plan of ${dispatches.length} dispatches is too long to be timed.`,
      'Time a part of it.',
    );
  }
  const bytes = dispatches.length * 16;
  const queries = device.createQuerySet({ type: 'timestamp', count: 2 * dispatches.length });
  const resolved = device.createBuffer({ size: bytes, usage: BUFFER_USAGE.QUERY_RESOLVE | BUFFER_USAGE.COPY_SRC });
  const staging = device.createBuffer({ size: bytes, usage: BUFFER_USAGE.MAP_READ | BUFFER_USAGE.COPY_DST });
  const times: number[][] = dispatches.map(() => []);
  let starts: number[] = [];
  try {
    // The first round warms caches and is not counted.
    for (let round = 0; round <= rounds; round++) {
      if (mode === 'inPlace') {
        const encoder = device.createCommandEncoder();
        dispatches.forEach((_, i) => {
          plan.encodeDispatch(encoder, i, {
            querySet: queries,
            beginningOfPassWriteIndex: 2 * i,
            endOfPassWriteIndex: 2 * i + 1,
          });
        });
        device.queue.submit([encoder.finish()]);
      } else {
        for (let i = 0; i < dispatches.length; i++) {
          const encoder = device.createCommandEncoder();
          plan.encodeDispatch(encoder, i, {
            querySet: queries,
            beginningOfPassWriteIndex: 2 * i,
            endOfPassWriteIndex: 2 * i + 1,
          });
          device.queue.submit([encoder.finish()]);
          await engine.idle();
        }
      }
      const encoder = device.createCommandEncoder();
      encoder.resolveQuerySet(queries, 0, 2 * dispatches.length, resolved, 0);
      encoder.copyBufferToBuffer(resolved, 0, staging, 0, bytes);
      device.queue.submit([encoder.finish()]);
      await engine.map(staging);
      const stamps = new BigUint64Array(staging.getMappedRange().slice(0));
      staging.unmap();
      if (round === 0) continue;
      dispatches.forEach((_, i) => {
        times[i]!.push(Number(stamps[2 * i + 1]! - stamps[2 * i]!) / 1e6);
      });
      starts = dispatches.map((_, i) => Number(stamps[2 * i]! - stamps[0]!) / 1e6);
    }
  } finally {
    queries.destroy();
    resolved.destroy();
    staging.destroy();
  }
  return dispatches.map((dispatch, i) => ({ dispatch, times: times[i]!, start: starts[i]! }));
}

/** A profile in the format of chrome://tracing and Perfetto. Times are those of the last repetition. */
export function chromeTrace(timings: readonly DispatchTiming[], name: string): string {
  const events = timings.map(({ dispatch, times, start }) => ({
    name: dispatch.label,
    cat: dispatch.node.op.name,
    ph: 'X',
    ts: start * 1000,
    dur: times[times.length - 1]! * 1000,
    pid: 1,
    tid: 1,
    args: { kernel: dispatch.kernel, grid: dispatch.grid.join(' x ') },
  }));
  const process = { name: 'process_name', ph: 'M', pid: 1, args: { name } };
  return JSON.stringify({ traceEvents: [process, ...events] });
}
