/** The global of browsers that give turns by themselves, which the DOM's types do not have yet. */
interface Scheduler {
  yield?(): Promise<void>;
}

/** Resolves in another task of the event loop, without the delay that timers have. */
export function nextTask(): Promise<void> {
  const { scheduler } = globalThis as { readonly scheduler?: Scheduler };
  if (scheduler?.yield) return scheduler.yield();
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(undefined);
  });
}

/** Milliseconds after which others get their turn: half of what a page counts as a long task. */
const LONG = 25;

/** Keeps long work of the host in tasks that leave a page responsive. */
export class Turns {
  #since = performance.now();

  /** Resolves at once, or in another task when this one has taken long. */
  async take(): Promise<void> {
    if (performance.now() - this.#since < LONG) return;
    await nextTask();
    this.#since = performance.now();
  }
}
