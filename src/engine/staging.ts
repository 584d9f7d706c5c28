import { DestroyedError } from './errors.ts';
import { BUFFER_USAGE } from './flags.ts';
import type { Host } from './host.ts';

/** Free buffers that are kept. */
const KEPT = 8;
/** A free buffer serves what takes at least this part of it. */
const LEAST_USE = 0.5;

/** Buffers through which results reach the host. Some wait for the next result, so that a replay makes none. */
export class StagingPool {
  readonly #host: Pick<Host, 'device' | 'map' | 'failure'>;
  readonly #free: GPUBuffer[] = [];
  #destroyed = false;

  constructor(host: Pick<Host, 'device' | 'map' | 'failure'>) {
    this.#host = host;
  }

  /**
   * Reads what commands copy into a buffer. It is free again afterwards, or gone where that fails.
   * @param submit submits commands that fill the buffer, at once; rejects when the device refuses them
   * @param take copies out of the mapped memory, which is not there afterwards
   * @throws DestroyedError, DeviceLostError, or what `submit` throws
   */
  async read<T>(
    bytes: number,
    submit: (staging: GPUBuffer) => Promise<void>,
    take: (mapped: ArrayBuffer) => T,
  ): Promise<T> {
    const staging = this.#take(bytes);
    try {
      const accepted = submit(staging);
      const mapped = this.#host.map(staging);
      mapped.catch(() => {});
      await accepted;
      await mapped;
      const result = take(staging.getMappedRange());
      staging.unmap();
      this.#keep(staging);
      return result;
    } catch (error) {
      staging.destroy();
      // Memory that is mapped goes with its device.
      throw await this.#host.failure(error);
    }
  }

  /** Frees what is not in use now; the rest once it has been read. */
  destroy(): void {
    this.#destroyed = true;
    for (const buffer of this.#free.splice(0)) buffer.destroy();
  }

  #take(bytes: number): GPUBuffer {
    if (this.#destroyed) throw new DestroyedError('results cannot be read from what has been destroyed.');
    const at = this.#free.findIndex(({ size }) => size >= bytes && bytes >= LEAST_USE * size);
    if (at >= 0) return this.#free.splice(at, 1)[0]!;
    return this.#host.device.createBuffer({ size: bytes, usage: BUFFER_USAGE.MAP_READ | BUFFER_USAGE.COPY_DST });
  }

  #keep(staging: GPUBuffer): void {
    if (this.#destroyed) staging.destroy();
    else this.#free.push(staging);
    if (this.#free.length > KEPT) this.#free.shift()!.destroy();
  }
}
