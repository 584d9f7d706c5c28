import type { Engine } from '../engine/engine.ts';
import { DestroyedError } from '../engine/errors.ts';
import { BUFFER_USAGE, TEXTURE_USAGE } from '../engine/flags.ts';
import type { Node } from '../engine/graph.ts';
import type { Plan } from '../engine/plan.ts';
import { UserError } from '../errors.ts';
import { HeatmapPass, type HeatmapStyle, type HeatmapTarget } from '../imaging/heatmapPass.ts';
import {
  checkTexture,
  IMAGE_FORMATS,
  type ImageFormat,
  layerOf,
  type TextureImage,
  TextureReader,
} from '../imaging/textures.ts';
import { swapRedBlue } from '../kernels/swapRedBlue.ts';

/** Where {@link PreparedImage.encode} reads and writes. Resources are those of the engine's device, not destroyed. */
export interface EncodeBindings {
  /**
   * A texture of the prepared format with COPY_SRC or TEXTURE_BINDING usage, or one image of it; a buffer [height, width] of its
   * texels with COPY_SRC usage; for the format `external` a VideoFrame or a GPUExternalTexture, as it is now.
   */
  readonly image: TextureImage | GPUBuffer | VideoFrame | GPUExternalTexture;
  /**
   * Receives the anomaly map [mapHeight, mapWidth], NaN outside of the detector's region: a buffer of f32, or an `r32float`
   * texture; COPY_DST usage.
   */
  readonly map?: GPUBuffer | TextureImage;
  /** Receives the score, the map's maximum, as one f32: NaN or infinite where the map is. COPY_DST usage. */
  readonly score?: GPUBuffer;
  /** Receives the map in colors. Range and threshold are the detector's by default. */
  readonly heatmap?: HeatmapTarget;
}

/** Sizes in pixels, and formats, of what is encoded. */
export interface EncodeSizes {
  readonly width: number;
  readonly height: number;
  /** The image's own size by default. */
  readonly mapWidth?: number | undefined;
  readonly mapHeight?: number | undefined;
  /** Of images; `rgba8unorm` by default. */
  readonly format?: ImageFormat | undefined;
  /** Of the textures that heat maps are blended into; without it none can be. */
  readonly heatmapFormat?: GPUTextureFormat | undefined;
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
  readonly #engine: Engine;
  readonly #plans: PreparedPlans;
  readonly #style: HeatmapStyle;
  readonly #release: () => void;
  #reader: TextureReader | undefined;
  #heatmap: HeatmapPass | undefined;
  #destroyed = false;

  /** @internal use {@link Detector.prepare} */
  constructor(engine: Engine, plans: PreparedPlans, style: HeatmapStyle, release: () => void) {
    this.#engine = engine;
    this.#plans = plans;
    this.#style = style;
    this.#release = release;
  }

  /** @internal Compiles what textures need beside the plans. */
  async compile(): Promise<void> {
    const { sizes, place } = this.#plans;
    const { width, height, mapWidth = width, mapHeight = height, format = 'rgba8unorm', heatmapFormat } = sizes;
    const size = { width, height, stride: paddedRow(width) };
    this.#reader = await TextureReader.make(this.#engine, size, format);
    if (heatmapFormat === undefined) return;
    const maps = { width: mapWidth, height: mapHeight, format: heatmapFormat };
    this.#heatmap = await HeatmapPass.make(this.#engine, maps, place.outputBinding('map'));
  }

  /**
   * Records image -> map into somebody's command encoder: nothing is submitted and nothing goes through the queue, so it
   * can stand anywhere in a frame outside of a pass, and frames may be in flight one behind the other. The host does not see the
   * map: `mapScore` scores one that was read back, and refuses values that are not finite.
   * @throws DestroyedError, DeviceLostError
   * @throws UserError for textures and buffers of other sizes, formats or usages; nothing is recorded then
   */
  encode(encoder: GPUCommandEncoder, bindings: EncodeBindings): void {
    this.#engine.assertUsable();
    if (this.#destroyed) throw new DestroyedError('what was prepared for these sizes has been destroyed.');
    const { map, score } = bindings;
    const { resize, networks, place } = this.#plans;
    const heatmap = bindings.heatmap && { ...this.#style, ...bindings.heatmap };
    this.#checkResults(bindings);
    if (heatmap) this.#pass().check(heatmap);
    this.#encodeImage(encoder, bindings.image);
    resize.encode(encoder);
    resize.copyOutput(encoder, 'pixels', networks.inputBuffer('image'));
    networks.encode(encoder);
    networks.copyOutput(encoder, 'combined', place.inputBuffer('gridMap'));
    place.encode(encoder);
    if (map) this.#encodeMap(encoder, map);
    if (score) place.copyOutput(encoder, 'score', score);
    if (heatmap) this.#pass().encode(encoder, heatmap);
  }

  /** Frees what nobody else uses; may be called more than once. Commands that were submitted before still run. */
  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    this.#heatmap?.destroy();
    this.#release();
  }

  [Symbol.dispose](): void {
    this.destroy();
  }

  get #mapSize() {
    const { width, height, mapWidth = width, mapHeight = height } = this.#plans.sizes;
    return { width: mapWidth, height: mapHeight };
  }

  #pass(): HeatmapPass {
    if (!this.#heatmap)
      throw new UserError('encode: no heat map was prepared for.', 'Give prepare the heatmapFormat of its texture.');
    return this.#heatmap;
  }

  #checkResults({ map, score }: EncodeBindings): void {
    const size = this.#mapSize;
    if (map && isBuffer(map)) checkBuffer('map', map, 4 * size.width * size.height, 'COPY_DST');
    else if (map) checkTexture('map', map, { format: 'r32float', size, usages: ['COPY_DST'] });
    if (score) checkBuffer('score', score, 4, 'COPY_DST');
  }

  /** Into the input of the resize, rows of whole 256 bytes. */
  #encodeImage(encoder: GPUCommandEncoder, image: EncodeBindings['image']): void {
    const { sizes, resize } = this.#plans;
    const { width, height, format = 'rgba8unorm' } = sizes;
    const target = resize.inputBuffer('image');
    const bytesPerRow = 4 * paddedRow(width);
    if (isBuffer(image)) {
      if (format === 'external')
        throw new UserError("encode: 'image' is a buffer, expected a frame.", 'Prepare for the format of its texels.');
      checkBuffer('image', image, 4 * width * height, 'COPY_SRC');
      copyRows(encoder, { from: image, to: target, rows: height, bytes: 4 * width, stride: bytesPerRow });
      return;
    }
    if (format === 'external') {
      this.#reader!.encode(encoder, this.#external(image), target);
      return;
    }
    const layer = image as TextureImage;
    checkTexture('image', layer, { format, size: { width, height }, usages: ['COPY_SRC', 'TEXTURE_BINDING'] });
    const { texture, mipLevel, arrayLayer } = layerOf(layer);
    if (texture.usage & TEXTURE_USAGE.COPY_SRC) {
      const source = { texture, mipLevel, origin: [0, 0, arrayLayer] };
      encoder.copyTextureToBuffer(source, { buffer: target, bytesPerRow, rowsPerImage: height }, [width, height]);
    } else this.#reader!.encode(encoder, layer, target);
  }

  #external(image: EncodeBindings['image']): GPUExternalTexture {
    if (typeof GPUExternalTexture !== 'undefined' && image instanceof GPUExternalTexture) return image;
    const { width, height } = this.#plans.sizes;
    if (typeof VideoFrame === 'undefined' || !(image instanceof VideoFrame))
      throw new UserError("encode: 'image' is no frame.", 'Pass a VideoFrame or a GPUExternalTexture.');
    const { displayWidth, displayHeight, format } = image;
    if (format === null && displayWidth === 0)
      throw new UserError('encode: the frame has been closed.', 'Close it when it has been encoded.');
    if (displayWidth !== width || displayHeight !== height)
      throw new UserError(
        `encode: the frame is ${displayWidth}x${displayHeight}, expected ${width}x${height}.`,
        'Prepare for the size of the frames.',
      );
    return this.#engine.device.importExternalTexture({ source: image });
  }

  #encodeMap(encoder: GPUCommandEncoder, map: GPUBuffer | TextureImage): void {
    const { place } = this.#plans;
    if (isBuffer(map)) {
      place.copyOutput(encoder, 'map', map);
      return;
    }
    const { width, height } = this.#mapSize;
    const { texture, mipLevel, arrayLayer } = layerOf(map);
    const { buffer, offset = 0 } = place.outputBinding('map');
    // Rows of several that are copied at once are whole 256 bytes.
    const rows = paddedRow(width) === width ? height : 1;
    for (let y = 0; y < height; y += rows) {
      encoder.copyBufferToTexture(
        { buffer, offset: offset + 4 * y * width, ...(rows > 1 && { bytesPerRow: 4 * width, rowsPerImage: rows }) },
        { texture, mipLevel, origin: [0, y, arrayLayer] },
        [width, rows],
      );
    }
  }
}

const isBuffer = (resource: object): resource is GPUBuffer => 'mapState' in resource;

function checkBuffer(name: string, buffer: GPUBuffer, bytes: number, usage: 'COPY_SRC' | 'COPY_DST'): void {
  const { size, mapState } = buffer;
  if (!isBuffer(buffer)) throw new UserError(`encode: '${name}' is no buffer.`, 'Pass a GPUBuffer.');
  if (size < bytes)
    throw new UserError(`encode: the buffer '${name}' has ${size} bytes, ${bytes} are needed.`, 'Make it larger.');
  if (!(buffer.usage & BUFFER_USAGE[usage]))
    throw new UserError(
      `encode: the buffer '${name}' was made without ${usage}.`,
      `Make it with usage GPUBufferUsage.${usage}.`,
    );
  if (mapState !== 'unmapped')
    throw new UserError(`encode: the buffer '${name}' is mapped.`, 'Unmap it, or wait until it has been read.');
}

interface Rows {
  readonly from: GPUBuffer;
  readonly to: GPUBuffer;
  readonly rows: number;
  /** Of a row of `from`. */
  readonly bytes: number;
  /** From one row of `to` to the next. */
  readonly stride: number;
}

function copyRows(encoder: GPUCommandEncoder, { from, to, rows, bytes, stride }: Rows): void {
  if (stride === bytes) encoder.copyBufferToBuffer(from, 0, to, 0, rows * bytes);
  else for (let y = 0; y < rows; y++) encoder.copyBufferToBuffer(from, y * bytes, to, y * stride, bytes);
}

/** Pixels per row of a texture copy: rows of buffers are multiples of 256 bytes. */
export function paddedRow(width: number): number {
  return Math.ceil(width / 64) * 64;
}

/** @throws UserError for sizes and formats that are none */
export function checkSizes(sizes: EncodeSizes): void {
  const { width, height, mapWidth = width, mapHeight = height, format = 'rgba8unorm' } = sizes;
  for (const [name, value] of Object.entries({ width, height, mapWidth, mapHeight })) {
    if (!Number.isSafeInteger(value) || value < 1)
      throw new UserError(`prepare: ${name} ${value} cannot be used.`, 'Give whole numbers of pixels.');
  }
  if (!IMAGE_FORMATS.includes(format))
    throw new UserError(`prepare: images of format ${format} cannot be read.`, `Use ${IMAGE_FORMATS.join(', ')}.`);
}

/** What makes pixels of texels of a format, if anything has to be done. */
export function pixelsOf({ format = 'rgba8unorm' }: EncodeSizes): ((texels: Node) => Node) | undefined {
  return format.startsWith('bgra') ? swapRedBlue : undefined;
}

export function describeSizes({ width, height, mapWidth = width, mapHeight = height }: EncodeSizes): string {
  return `image ${width}x${height} to map ${mapWidth}x${mapHeight}`;
}
