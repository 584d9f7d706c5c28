import type { RgbImage } from '../data/image.ts';
import { UserError } from '../errors.ts';
import { unlessAborted } from './abort.ts';

/** An image, one that is being read, or what reads it when its turn comes. */
export type Frame = RgbImage | Promise<RgbImage> | (() => RgbImage | Promise<RgbImage>);
export type Frames = Iterable<Frame> | AsyncIterable<Frame>;

/** How a stream of images is scored. */
export interface StreamOptions {
  /** Batches under way at a time, from reading to reading back; by default 3, and 2 on CPU adapters, which compute on the host's cores. */
  readonly inFlight?: number | undefined;
  /** Images that go through the networks together; 1. */
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

const IN_FLIGHT = { gpu: 3, cpu: 2 } as const;

/** @see Detector.stream */
export async function* streamPredictions<P>(
  detector: Scorer<P>,
  frames: Frames,
  options: StreamOptions,
): AsyncGenerator<P, void, undefined> {
  const { inFlight = IN_FLIGHT[detector.engine.caps.isCpu ? 'cpu' : 'gpu'], batch = 1, signal } = options;
  checkCount('inFlight', inFlight);
  checkCount('batch', batch);
  signal?.throwIfAborted();
  const source = Symbol.asyncIterator in frames ? frames[Symbol.asyncIterator]() : frames[Symbol.iterator]();
  const running: Promise<readonly P[]>[] = [];
  let group: Promise<RgbImage>[] = [];
  let next: Promise<IteratorResult<Frame>> | undefined;
  let isEnded = false;
  const start = () => {
    running.push(handled(predictGroup(detector, group, batch)));
    group = [];
  };
  try {
    while (!isEnded || running.length > 0) {
      if (isEnded || running.length >= inFlight) {
        yield* await unlessAborted(signal, running.shift()!);
        continue;
      }
      next ??= handled(Promise.resolve(source.next()));
      // A camera may take its time: what has been scored meanwhile does not wait for its next frame.
      const waited = [next.then(() => true), ...running.slice(0, 1).map((first) => first.then(() => false))];
      if (!(await unlessAborted(signal, Promise.race(waited)))) {
        yield* await running.shift()!;
        continue;
      }
      const { done, value } = await next;
      next = undefined;
      if (done) isEnded = true;
      else group.push(handled(begin(value)));
      if (group.length === batch || (isEnded && group.length > 0)) start();
    }
  } finally {
    if (!isEnded) handled(Promise.resolve(source.return?.()));
    await Promise.allSettled(running);
  }
}

/** A batch that is not full goes through the plan of one image, rather than one that is compiled for its length. */
async function predictGroup<P>(
  detector: Scorer<P>,
  group: readonly Promise<RgbImage>[],
  batch: number,
): Promise<readonly P[]> {
  const images = await Promise.all(group);
  if (images.length === batch) return detector.predictBatch(images);
  return Promise.all(images.map((image) => detector.predict(image)));
}

async function begin(frame: Frame): Promise<RgbImage> {
  return typeof frame === 'function' ? frame() : frame;
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
