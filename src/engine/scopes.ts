import { DeviceError, OutOfMemoryError } from './errors.ts';

/**
 * Makes device calls and finds out whether the device accepted them. The calls are synchronous, so that the scopes of concurrent
 * callers never mix.
 * @param what the subject of the error's sentence
 * @returns what the calls returned, and a promise that is rejected with an {@link OutOfMemoryError} or a {@link DeviceError}
 */
export function scoped<T>(device: GPUDevice, what: string, calls: () => T): { result: T; accepted: Promise<void> } {
  device.pushErrorScope('out-of-memory');
  device.pushErrorScope('internal');
  device.pushErrorScope('validation');
  let scopes: Promise<GPUError | null>[] = [];
  try {
    return { result: calls(), accepted: settle() };
  } catch (error) {
    settle().catch(() => {});
    throw error;
  }

  function settle(): Promise<void> {
    scopes = [device.popErrorScope(), device.popErrorScope(), device.popErrorScope()];
    const accepted = check();
    // The caller awaits it together with other promises: it may be late.
    accepted.catch(() => {});
    return accepted;
  }

  async function check(): Promise<void> {
    const [validation, internal, memory] = await Promise.all(scopes);
    if (memory) {
      throw new OutOfMemoryError(
        `${what} needs more GPU memory than the device has left.`,
        'Use a smaller batch or resolution.',
      );
    }
    const refused = validation ?? internal;
    if (refused) throw new DeviceError(`the device refused ${what}: ${refused.message}`);
  }
}
