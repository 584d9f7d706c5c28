import shader from '../../shaders/heatmap.wgsl';
import type { Engine } from '../engine/engine.ts';
import { DeviceLostError } from '../engine/errors.ts';
import { BUFFER_USAGE } from '../engine/flags.ts';
import { UserError } from '../errors.ts';
import { INFERNO } from '../math/inferno.ts';
import { checkTexture, compileModule, type TextureImage, viewOf } from './textures.ts';

/** How a heat map is drawn. */
export interface HeatmapStyle {
  /** Map values of the coldest and the hottest color. */
  readonly range: readonly [low: number, high: number];
  /** Where the white line is drawn; none without it. */
  readonly threshold?: number | undefined;
  /** 0 to 1; 1 by default. */
  readonly opacity?: number;
}

/** A heat map over what a texture holds. */
export interface HeatmapTarget extends Partial<HeatmapStyle> {
  /** Of the prepared format, with RENDER_ATTACHMENT usage; blended into. */
  readonly target: TextureImage;
  /** The part of it that the map is stretched over, in pixels: [x, y, width, height]. All by default. */
  readonly viewport?: readonly [number, number, number, number];
}

/** Styles whose buffers are kept: one is in use, and a slider may come back to the last. */
const KEPT_STYLES = 8;
/** A threshold that no value of a map is near. */
const NO_LINE = 3e38;

/** Draws maps of one size into textures of one format. */
export class HeatmapPass {
  readonly #device: GPUDevice;
  readonly #format: GPUTextureFormat;
  readonly #pipeline: GPURenderPipeline;
  readonly #map: GPUBufferBinding;
  readonly #colors: GPUBuffer;
  readonly #groups = new Map<string, GPUBindGroup>();

  private constructor(device: GPUDevice, format: GPUTextureFormat, pipeline: GPURenderPipeline, map: GPUBufferBinding) {
    this.#device = device;
    this.#format = format;
    this.#pipeline = pipeline;
    this.#map = map;
    const words = Uint32Array.from({ length: 256 }, (_, i) => {
      return INFERNO[3 * i]! | (INFERNO[3 * i + 1]! << 8) | (INFERNO[3 * i + 2]! << 16);
    });
    this.#colors = filled(device, BUFFER_USAGE.STORAGE, words);
  }

  /**
   * @param map [height, width] f32
   * @throws UserError for a format that cannot be blended into
   */
  static async make(
    engine: Engine,
    { width, height, format }: { readonly width: number; readonly height: number; readonly format: GPUTextureFormat },
    map: GPUBufferBinding,
  ): Promise<HeatmapPass> {
    const { device } = engine;
    const defines = { WIDTH: width, HEIGHT: height, SRGB: Number(format.endsWith('-srgb')) };
    const module = await compileModule(engine, 'heatmap.wgsl', shader, defines);
    const over = (srcFactor: GPUBlendFactor): GPUBlendComponent => ({ srcFactor, dstFactor: 'one-minus-src-alpha' });
    let pipeline: GPURenderPipeline;
    try {
      pipeline = await device.createRenderPipelineAsync({
        label: 'heatmap',
        layout: 'auto',
        vertex: { module, entryPoint: 'corner' },
        fragment: {
          module,
          entryPoint: 'color',
          targets: [{ format, blend: { color: over('src-alpha'), alpha: over('one') } }],
        },
      });
    } catch (error) {
      const failure = await engine.failure(error);
      if (failure instanceof DeviceLostError) throw failure;
      throw new UserError(
        `prepare: heat maps cannot be blended into ${format}: ${(failure as Error).message}`,
        'Use a color format such as rgba8unorm or bgra8unorm.',
      );
    }
    return new HeatmapPass(device, format, pipeline, map);
  }

  /** @throws UserError for a target or a style that cannot be drawn */
  check({ target, viewport, range, threshold = 0, opacity = 1 }: HeatmapTarget & HeatmapStyle): void {
    const { width, height } = checkTexture('heatmap', target, { format: this.#format, usages: ['RENDER_ATTACHMENT'] });
    const [low, high] = range;
    if (!(Number.isFinite(low) && Number.isFinite(high) && high > low && Number.isFinite(threshold)))
      throw new UserError(
        `encode: the color range ${low} to ${high} with threshold ${threshold} cannot be drawn.`,
        'Give finite numbers with low below high.',
      );
    if (!(opacity >= 0 && opacity <= 1))
      throw new UserError(`encode: the opacity ${opacity} cannot be drawn.`, 'Give a number from 0 to 1.');
    if (!viewport) return;
    const [x, y, w, h] = viewport;
    if (!(x >= 0 && y >= 0 && w > 0 && h > 0 && x + w <= width && y + h <= height))
      throw new UserError(
        `encode: the viewport ${viewport.join(', ')} is not inside of a target of ${width}x${height}.`,
        'Give x, y, width and height in its pixels.',
      );
  }

  /** Records what {@link check} has let pass. */
  encode(encoder: GPUCommandEncoder, { target, viewport, ...style }: HeatmapTarget & HeatmapStyle): void {
    const pass = encoder.beginRenderPass({
      colorAttachments: [{ view: viewOf(target), loadOp: 'load', storeOp: 'store' }],
    });
    pass.setPipeline(this.#pipeline);
    pass.setBindGroup(0, this.#groupOf(style));
    if (viewport) pass.setViewport(...viewport, 0, 1);
    pass.draw(3);
    pass.end();
  }

  destroy(): void {
    this.#colors.destroy();
    this.#groups.clear();
  }

  /** A style is a small buffer that is filled when it is made: so nothing has to go through the queue. */
  #groupOf({ range: [low, high], threshold = NO_LINE, opacity = 1 }: HeatmapStyle): GPUBindGroup {
    const values = Float32Array.of(low, high, threshold, opacity);
    const key = values.join();
    const known = this.#groups.get(key);
    this.#groups.delete(key);
    const group =
      known ??
      this.#device.createBindGroup({
        layout: this.#pipeline.getBindGroupLayout(0),
        entries: [
          { binding: 0, resource: this.#map },
          { binding: 1, resource: { buffer: this.#colors } },
          { binding: 2, resource: { buffer: filled(this.#device, BUFFER_USAGE.UNIFORM, values) } },
        ],
      });
    this.#groups.set(key, group);
    // Commands that were not submitted yet may need one that is dropped here: the collector frees it behind them.
    if (this.#groups.size > KEPT_STYLES) this.#groups.delete(this.#groups.keys().next().value!);
    return group;
  }
}

function filled(device: GPUDevice, usage: number, values: Float32Array | Uint32Array): GPUBuffer {
  const buffer = device.createBuffer({ size: values.byteLength, usage, mappedAtCreation: true });
  new Uint8Array(buffer.getMappedRange()).set(new Uint8Array(values.buffer));
  buffer.unmap();
  return buffer;
}
