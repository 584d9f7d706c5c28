/**
 * Dawn's Node binding polls the device from `setImmediate` as long as a promise is pending, which keeps one core busy. Where
 * the adapter computes on those cores that halves its speed, so the polls are spaced.
 */

/** Polls that follow at once, for short waits to stay short. */
const EAGER_POLLS = 4;
/** A pause in polling after which the next wait counts as a new one, milliseconds. */
const NEW_WAIT = 4;
const POLL_INTERVAL = 1;

let users = 0;
let original: typeof setImmediate | undefined;

function isDawnPoll(callback: unknown, args: readonly unknown[]): boolean {
  return (
    args.length === 0 &&
    typeof callback === 'function' &&
    callback.name === '' &&
    Function.prototype.toString.call(callback).includes('[native code]')
  );
}

/** Starts spacing the polls. @returns a function that ends it; several users may overlap */
export function paceDevicePolls(): () => void {
  if (users++ === 0) {
    const immediate = globalThis.setImmediate;
    original = immediate;
    let polls = 0;
    let last = 0;
    const paced = (callback: (...args: unknown[]) => void, ...args: unknown[]) => {
      if (!isDawnPoll(callback, args)) return immediate(callback, ...args);
      const now = performance.now();
      polls = now - last > NEW_WAIT ? 1 : polls + 1;
      last = now;
      return polls <= EAGER_POLLS ? immediate(callback) : setTimeout(callback, POLL_INTERVAL);
    };
    globalThis.setImmediate = Object.assign(paced, immediate) as unknown as typeof setImmediate;
  }
  let ended = false;
  return () => {
    if (ended) return;
    ended = true;
    if (--users === 0 && original) {
      globalThis.setImmediate = original;
      original = undefined;
    }
  };
}
