import type { RgbImage } from '../data/image.ts';
import { UserError } from '../errors.ts';
import { unlessAborted } from './abort.ts';

/** An image, one that is being read, or what reads it when its turn comes. */
export type Frame = RgbImage | Promise<RgbImage> | (() => RgbImage | Promise<RgbImage>);
export type Frames = Iterable<Frame> | AsyncIterable<Frame>;

/** How a stream of images is scored. */
export interface StreamOptions {
  /** Batches under way at a time, from reading to reading back; by default 3, and 2 on CPU adapters: one computes, one is read. */
  readonly inFlight?: number | undefined;
  /**
   * Images that go through the networks together, where they come fast enough; by default 1, and on CPU adapters as many as have the
   * pixels of one of 362 px, at most 8: small networks leave their cores idle between dispatches.
   */
  readonly batch?: number | undefined;
  /** Ends the stream with its reason; what is under way ends unseen. */
  readonly signal?: AbortSignal | undefined;
}

/** A detector, as far as a stream needs one. */
export interface Scorer<P> {
  readonly engine: { readonly caps: { readonly isCpu: boolean } };
  predict(image: RgbImage): Promise<P>;
  predictBatch(images: readonly RgbImage[]): Promise<P[]>;
}

/** Pixels of a batch on CPU adapters, and its most images. */
const BATCH_PIXELS = 8 * 128 * 128;
const MOST_BATCH = 8;

function defaultsOf(isCpu: boolean, side: number | undefined) {
  if (!isCpu) return { inFlight: 3, batch: 1 };
  const fitting = side === undefined ? 1 : Math.floor(BATCH_PIXELS / side ** 2);
  return { inFlight: 2, batch: Math.min(Math.max(fitting, 1), MOST_BATCH) };
}

/**
 * @param side of the networks' input, pixels; undefined for a detector that does not look at several images together
 * @see Detector.stream
 */
export async function* streamPredictions<P>(
  detector: Scorer<P>,
  side: number | undefined,
  frames: Frames,
  options: StreamOptions,
): AsyncGenerator<P, void, undefined> {
  const { isCpu } = detector.engine.caps;
  const defaults = defaultsOf(isCpu, side);
  const { inFlight = defaults.inFlight, batch = defaults.batch, signal } = options;
  checkCount('inFlight', inFlight);
  checkCount('batch', batch);
  signal?.throwIfAborted();
  const source = Symbol.asyncIterator in frames ? frames[Symbol.asyncIterator]() : frames[Symbol.iterator]();
  const running: Promise<Scored<P>>[] = [];
  let group: Promise<RgbImage>[] = [];
  let next: Promise<IteratorResult<Frame>> | undefined;
  let isEnded = false;
  /** How the source ended. */
  let end: Scored<P> = { results: [] };
  const start = () => {
    // Two batches on the same cores only take each other's caches.
    const before = isCpu ? running.at(-1) : undefined;
    running.push(predictGroup(detector, group, batch, before));
    group = [];
  };
  try {
    while (!isEnded || running.length > 0) {
      if (isEnded || running.length >= inFlight) {
        yield* resultsOf(await unlessAborted(signal, running.shift()!));
        continue;
      }
      next ??= handled(Promise.resolve(source.next()));
      // A camera may take its time: neither what has been scored nor, while nothing computes, what has been read waits for its next frame.
      const first = running[0] ?? (group.length > 0 ? soon() : undefined);
      const ready = next.then(
        () => true,
        () => true,
      );
      const waited = [ready, ...(first ? [first.then(() => false)] : [])];
      if (!(await unlessAborted(signal, Promise.race(waited)))) {
        if (running.length > 0) yield* resultsOf(await running.shift()!);
        else start();
        continue;
      }
      try {
        const { done, value } = await next;
        if (done) isEnded = true;
        else group.push(handled(begin(value)));
      } catch (reason) {
        end = { results: [], failure: { reason } };
        isEnded = true;
      }
      next = undefined;
      if (group.length === batch || (isEnded && group.length > 0)) start();
    }
    yield* resultsOf(end);
  } finally {
    if (!isEnded) handled(Promise.resolve(source.return?.()));
    await Promise.allSettled(running);
  }
}

/** Predictions of a batch, up to the first image that could not be read or scored. */
interface Scored<P> {
  readonly results: readonly P[];
  readonly failure?: { readonly reason: unknown };
}

/** A batch that is not full goes through the plan of one image, rather than one that is compiled for its length. */
async function predictGroup<P>(
  detector: Scorer<P>,
  group: readonly Promise<RgbImage>[],
  batch: number,
  before: Promise<unknown> | undefined,
): Promise<Scored<P>> {
  const read = untilFailure(await Promise.allSettled(group));
  await before;
  const images = read.results;
  if (images.length === batch) {
    try {
      return { results: await detector.predictBatch(images) };
    } catch (reason) {
      if (batch === 1 || !(reason instanceof UserError)) return { results: [], failure: { reason } };
      // One of them is refused: those before it are scored.
    }
  }
  const scored = untilFailure(await Promise.allSettled(images.map((image) => detector.predict(image))));
  return scored.failure ? scored : { ...read, results: scored.results };
}

function untilFailure<T>(settled: readonly PromiseSettledResult<T>[]): Scored<T> {
  const results: T[] = [];
  for (const each of settled) {
    if (each.status === 'rejected') return { results, failure: { reason: each.reason } };
    results.push(each.value);
  }
  return { results };
}

async function begin(frame: Frame): Promise<RgbImage> {
  return typeof frame === 'function' ? frame() : frame;
}

function* resultsOf<P>({ results, failure }: Scored<P>): Generator<P, void, undefined> {
  yield* results;
  if (failure) throw failure.reason;
}

/** After what is ready has been taken. */
function soon(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}

/** It is awaited later, or not at all. */
function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

function checkCount(name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 1)
    throw new UserError(`stream: ${name} ${value} cannot be.`, 'Give a whole number from 1 on.');
}
