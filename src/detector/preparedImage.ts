import { DestroyedError } from '../engine/errors.ts';
import type { Plan } from '../engine/plan.ts';
import { UserError } from '../errors.ts';

/** Where {@link PreparedImage.encode} reads and writes. */
export interface EncodeBindings {
  /** An `rgba8unorm` texture with COPY_SRC usage, or a buffer of RGBA bytes [height, width, 4] with COPY_SRC usage. */
  readonly image: GPUTexture | GPUBuffer;
  /** Receives the anomaly map as f32 [mapHeight, mapWidth]; COPY_DST usage. */
  readonly map: GPUBuffer;
  /** Receives the score, the map's maximum, as one f32: NaN or infinite where the map is. COPY_DST usage. */
  readonly score?: GPUBuffer;
}

/** Sizes of the images that are encoded, in pixels. */
export interface EncodeSizes {
  readonly width: number;
  readonly height: number;
  /** The image's own size by default. */
  readonly mapWidth?: number;
  readonly mapHeight?: number;
}

export interface PreparedPlans {
  readonly sizes: EncodeSizes;
  readonly resize: Plan;
  readonly networks: Plan;
  readonly place: Plan;
}

/**
 * A detector's commands for images and maps of fixed sizes. What they need stays on the device until this is destroyed, or the
 * detector is.
 */
export class PreparedImage {
  readonly #plans: PreparedPlans;
  readonly #release: () => void;
  #destroyed = false;

  /** @internal use {@link Detector.prepare} */
  constructor(plans: PreparedPlans, release: () => void) {
    this.#plans = plans;
    this.#release = release;
  }

  /**
   * Records image -> map into somebody's command encoder: nothing is submitted and nothing goes through the queue, so it
   * can stand anywhere in a frame outside of a pass. The host does not see the map: `mapScore` scores one that was read back,
   * and refuses values that are not finite.
   * @throws DestroyedError
   * @throws UserError for a texture or buffers that do not have the prepared sizes
   */
  encode(encoder: GPUCommandEncoder, { image, map, score }: EncodeBindings): void {
    const { sizes, resize, networks, place } = this.#plans;
    const { width, height, mapWidth = width, mapHeight = height } = sizes;
    if (this.#destroyed) throw new DestroyedError('what was prepared for these sizes has been destroyed.');
    checkBuffer('map', map, 4 * mapWidth * mapHeight);
    if (score) checkBuffer('score', score, 4);
    const source = resize.inputBuffer('image');
    const bytesPerRow = paddedRow(width) * 4;
    if ('createView' in image) {
      if (image.format !== 'rgba8unorm' || image.width !== width || image.height !== height) {
        throw new UserError(
          `encode: the texture is ${image.format} ${image.width}x${image.height}, expected rgba8unorm ${width}x${height}.`,
          'Render or copy into such a texture first.',
        );
      }
      encoder.copyTextureToBuffer({ texture: image }, { buffer: source, bytesPerRow, rowsPerImage: height }, [
        width,
        height,
      ]);
    } else {
      checkBuffer('image', image, 4 * width * height);
      if (bytesPerRow === width * 4) encoder.copyBufferToBuffer(image, 0, source, 0, width * height * 4);
      else {
        for (let y = 0; y < height; y++)
          encoder.copyBufferToBuffer(image, y * width * 4, source, y * bytesPerRow, width * 4);
      }
    }
    resize.encode(encoder);
    copyOutput(encoder, resize, 'pixels', networks.inputBuffer('image'), 0);
    networks.encode(encoder);
    copyOutput(encoder, networks, 'combined', place.inputBuffer('cells'), 0);
    place.encode(encoder);
    copyOutput(encoder, place, 'map', map, 0);
    if (score) copyOutput(encoder, place, 'score', score, 0);
  }

  /** Frees what nobody else uses; may be called more than once. Commands that were submitted before still run. */
  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    this.#release();
  }

  [Symbol.dispose](): void {
    this.destroy();
  }
}

function checkBuffer(name: string, { size }: GPUBuffer, bytes: number): void {
  if (size < bytes)
    throw new UserError(`encode: the buffer '${name}' has ${size} bytes, ${bytes} are needed.`, 'Make it larger.');
}

/** Pixels per row of a texture copy: rows of buffers are multiples of 256 bytes. */
export function paddedRow(width: number): number {
  return Math.ceil(width / 64) * 64;
}

export function describeSizes({ width, height, mapWidth = width, mapHeight = height }: EncodeSizes): string {
  return `image ${width}x${height} to map ${mapWidth}x${mapHeight}`;
}

/** Records the copy of a whole output to a place of a buffer, bytes. */
export function copyOutput(encoder: GPUCommandEncoder, plan: Plan, name: string, target: GPUBuffer, at: number): void {
  const { buffer, offset = 0, size } = plan.outputBinding(name);
  encoder.copyBufferToBuffer(buffer, offset, target, at, size!);
}
