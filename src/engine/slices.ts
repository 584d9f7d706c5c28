import { UserError } from '../errors.ts';
import type { Host } from './host.ts';
import type { Plan } from './plan.ts';

/** How much longer than it was a dispatch is taken to be at most, after one measurement. */
const GROWTH = 1.1;

/**
 * Runs plans in submissions of a few milliseconds and waits behind each, so that whatever else uses the device, such as the frames
 * of a page, gets its turn in between. How long dispatches take is learned on the way: in the first run of a plan each is
 * submitted alone. A dispatch that takes longer by itself is not divided.
 */
export class Slicer {
  readonly #host: Host;
  /** Milliseconds of the dispatches of each plan. */
  readonly #times = new WeakMap<Plan, Float64Array>();

  constructor(host: Host) {
    this.#host = host;
  }

  /**
   * One run of a plan, which nobody else may run meanwhile.
   * @param most milliseconds of a submission
   * @throws DeviceError, DeviceLostError, OutOfMemoryError
   * @throws UserError for a time that is none
   */
  async run(plan: Plan, what: string, most: number): Promise<void> {
    if (!(most > 0))
      throw new UserError(`maxMilliseconds ${most} cannot be used.`, 'Give a number above 0, such as 4.');
    const count = plan.dispatches.length;
    const times = this.#times.get(plan) ?? new Float64Array(count).fill(Number.POSITIVE_INFINITY);
    this.#times.set(plan, times);
    for (let from = 0, to = 0; from < count; from = to) {
      let expected = times[to++]!;
      while (to < count && expected + times[to]! <= most) expected += times[to++]!;
      const measured = await this.#submit(what, (encoder) => plan.encodeSome(encoder, from, to));
      // Waiting for others is measured, too, so that the least says most.
      const share = Math.min(GROWTH, measured / expected);
      for (let i = from; i < to; i++) times[i] = times[i] === Number.POSITIVE_INFINITY ? measured : times[i]! * share;
    }
  }

  /** @returns milliseconds until the device was done */
  async #submit(what: string, encode: (encoder: GPUCommandEncoder) => void): Promise<number> {
    const host = this.#host;
    host.assertUsable();
    const start = performance.now();
    const accepted = host.submit(what, encode);
    try {
      await Promise.all([accepted, host.device.queue.onSubmittedWorkDone()]);
    } catch (error) {
      throw await host.failure(error);
    }
    return performance.now() - start;
  }
}

/** How work shares the device with others. */
export interface SliceOptions {
  /** Milliseconds of the device's time that are submitted at once; all of a run without it. @see Slicer */
  readonly maxMilliseconds?: number | undefined;
}
