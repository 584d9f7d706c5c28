import { DestroyedError } from './errors.ts';

/** Free buffers that are kept. */
const KEPT = 8;
/** A free buffer serves what takes at least this part of it. */
const LEAST_USE = 0.5;

/** What maps a buffer, and makes one. @see Engine */
interface Mapper {
  readonly device: GPUDevice;
  map(staging: GPUBuffer): Promise<void>;
}

/** Buffers through which results reach the host. Some wait for the next result, so that a replay makes none. */
export class StagingPool {
  readonly #engine: Mapper;
  readonly #free: GPUBuffer[] = [];
  #destroyed = false;

  constructor(engine: Mapper) {
    this.#engine = engine;
  }

  /**
   * Reads what commands copy into a buffer. It is free again afterwards, or gone where that fails.
   * @param submit submits commands that fill the buffer, at once; rejects when the device refuses them
   * @param take copies out of the mapped memory, which is not there afterwards
   * @throws DestroyedError, or what `submit` throws
   */
  async read<T>(
    bytes: number,
    submit: (staging: GPUBuffer) => Promise<void>,
    take: (mapped: ArrayBuffer) => T,
  ): Promise<T> {
    const staging = this.#take(bytes);
    try {
      const accepted = submit(staging);
      const mapped = this.#engine.map(staging);
      mapped.catch(() => {});
      await accepted;
      await mapped;
      const result = take(staging.getMappedRange());
      staging.unmap();
      this.#keep(staging);
      return result;
    } catch (error) {
      staging.destroy();
      throw error;
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
    return this.#engine.device.createBuffer({ size: bytes, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  }

  #keep(staging: GPUBuffer): void {
    if (this.#destroyed) staging.destroy();
    else this.#free.push(staging);
    if (this.#free.length > KEPT) this.#free.shift()!.destroy();
  }
}
