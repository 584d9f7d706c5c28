import { setTimeout } from 'node:timers/promises';
import { type Peer, type PeerMaker, worstDifference } from './peer.ts';

/** What is known of one peer. Times in milliseconds are those of whole runs. */
export interface PeerRow {
  readonly name: string;
  readonly median?: number;
  readonly p5?: number;
  readonly p95?: number;
  readonly runs: number;
  readonly imagesPerSecond?: number;
  /** Largest difference to the first peer that ran, relative to its largest value; absent where it is infinite. */
  readonly difference?: number;
  /** Why there are no times, or why they are not those of the same computation. */
  readonly error?: string;
}

export interface CompareOptions {
  /** Timed runs of each peer. */
  readonly rounds: number;
  /** For everything. A peer that has used up its share of what is left after the warm-up is not run again. */
  readonly seconds: number;
  /** Images that one run takes. */
  readonly batch: number;
  /** Milliseconds that the warm-up of a peer takes at least, since idle clocks need that long to come up; 500. */
  readonly warmUp?: number;
  /**
   * Called before and after everything that may end the process. Times are those of the warm-up until the interleaved rounds
   * are over.
   */
  onProgress?(rows: readonly PeerRow[], versions: Readonly<Record<string, string>>): void;
}

/** Runs of the warm-up, unless they take more milliseconds than `most`. */
const WARM_UP = { runs: 10, milliseconds: 500, most: 3000 } as const;
/** Milliseconds that a run is waited for, even if the time is over. */
const LEAST_WAIT = 10_000;
const TOLERANCE = 1e-4;

interface Entry {
  readonly name: string;
  peer?: Peer;
  times: number[];
  difference?: number;
  error?: string;
}

/**
 * Opens peers one after the other, compares what they compute with the first one that runs, and times them interleaved. One
 * that cannot be opened, fails or hangs becomes a row with its error; one that computes something else is timed, and says so.
 */
export async function comparePeers(makers: readonly PeerMaker[], options: CompareOptions): Promise<PeerRow[]> {
  const { rounds, batch, warmUp: least = WARM_UP.milliseconds } = options;
  const end = performance.now() + options.seconds * 1000;
  const left = () => Math.max(LEAST_WAIT, end - performance.now());
  const entries = makers.map(({ name }): Entry => ({ name, times: [], error: 'was not reached' }));
  const versions: Record<string, string> = {};
  const report = () =>
    options.onProgress?.(
      entries.map((entry) => toRow(entry, batch)),
      versions,
    );
  let expected: Float32Array | undefined;
  for (const [i, entry] of entries.entries()) {
    if (performance.now() > end) {
      entry.error = 'was not reached before the time was over';
      continue;
    }
    entry.error = 'ended the process when it was opened';
    report();
    try {
      const peer = await within(left(), makers[i]!.open());
      Object.assign(versions, peer.versions);
      const result = await within(left(), peer.run());
      expected ??= result.slice();
      const difference = worstDifference(result, expected);
      const tolerance = peer.tolerance ?? TOLERANCE;
      await warmUp(peer, entry.times, least, left);
      if (Number.isFinite(difference)) entry.difference = difference;
      if (difference <= tolerance) delete entry.error;
      else entry.error = `differs by ${difference.toExponential(1)} of the largest value, ${tolerance} is allowed`;
      entry.peer = peer;
    } catch (error) {
      entry.error = messageOf(error);
    }
    report();
  }
  await timeInterleaved(
    entries.filter(({ peer }) => peer),
    { rounds, end },
  );
  report();
  return entries.map((entry) => toRow(entry, batch));
}

async function warmUp(peer: Peer, times: number[], least: number, left: () => number): Promise<void> {
  const start = performance.now();
  for (;;) {
    const before = performance.now();
    await within(left(), peer.run());
    times.push(performance.now() - before);
    const elapsed = performance.now() - start;
    if ((times.length >= WARM_UP.runs && elapsed >= least) || elapsed >= WARM_UP.most) return;
  }
}

/** One run of each in turn, since the speed of a machine drifts; every one is run at least once. */
async function timeInterleaved(entries: readonly Entry[], { rounds, end }: { rounds: number; end: number }) {
  const share = Math.max(0, end - performance.now()) / Math.max(1, entries.length);
  const used = entries.map(() => 0);
  const failed = new Set<Entry>();
  const warmUps = entries.map(({ times }) => times);
  for (const entry of entries) entry.times = [];
  for (let round = 0; round < rounds; round++) {
    for (const [i, entry] of entries.entries()) {
      if (failed.has(entry) || (round > 0 && used[i]! >= share)) continue;
      const start = performance.now();
      try {
        await within(Math.max(LEAST_WAIT, end - start), entry.peer!.run());
        entry.times.push(performance.now() - start);
      } catch (error) {
        entry.error = messageOf(error);
        failed.add(entry);
      }
      used[i]! += performance.now() - start;
      if (entry.peer!.rest) await setTimeout(entry.peer!.rest);
    }
  }
  // Better the times of the warm-up than none.
  for (const [i, entry] of entries.entries()) if (entry.times.length === 0) entry.times = warmUps[i]!;
}

/** @throws Error when the time is over first; what was waited for goes on */
async function within<T>(milliseconds: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<never>((_, reject) => {
    const message = `took longer than ${(milliseconds / 1000).toFixed(0)} s`;
    timer = globalThis.setTimeout(() => reject(new Error(message)), milliseconds);
  });
  try {
    return await Promise.race([work, over]);
  } finally {
    clearTimeout(timer);
  }
}

/** The first line, since places in source files follow in native errors; without this machine's folders. */
function messageOf(error: unknown): string {
  const [line] = String((error as Error)?.message ?? error).split('\n');
  return line!.replaceAll(`${process.cwd()}/`, '');
}

function toRow({ name, times, difference, error }: Entry, batch: number): PeerRow {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (q: number) => sorted[Math.round(q * (sorted.length - 1))]!;
  return {
    name,
    ...(sorted.length > 0 && { median: at(0.5), p5: at(0.05), p95: at(0.95) }),
    runs: sorted.length,
    ...(sorted.length > 0 && { imagesPerSecond: (1000 * batch) / at(0.5) }),
    ...(difference !== undefined && { difference }),
    ...(error !== undefined && { error }),
  };
}
