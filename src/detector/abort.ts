/** What may be stopped. */
export interface AbortOptions {
  /** Aborting rejects with its reason; what is under way on the device ends unseen. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * The result of work, unless a signal is aborted before it is there.
 * @param dispose frees a result that comes too late
 * @throws the signal's reason
 */
export async function unlessAborted<T>(
  signal: AbortSignal | undefined,
  work: Promise<T>,
  dispose?: (late: T) => void,
): Promise<T> {
  if (!signal) return work;
  let stop = () => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason);
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([aborted, work]);
  } catch (error) {
    work.then(dispose, () => {});
    throw error;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
