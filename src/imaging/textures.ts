import shader from '../../shaders/image_from_texture.wgsl';
import type { Engine } from '../engine/engine.ts';
import { ShaderError } from '../engine/errors.ts';
import { TEXTURE_USAGE } from '../engine/flags.ts';
import type { ShaderSource } from '../engine/shaderText.ts';
import { UserError } from '../errors.ts';

/** How the pixels of images lie in textures; `external`: in frames of a video, as `importExternalTexture` takes them. */
export const IMAGE_FORMATS = ['rgba8unorm', 'rgba8unorm-srgb', 'bgra8unorm', 'bgra8unorm-srgb', 'external'] as const;
export type ImageFormat = (typeof IMAGE_FORMATS)[number];

/** One image of a texture: what a view of a single mip level and array layer shows. */
export interface TextureLayer {
  readonly texture: GPUTexture;
  /** 0 by default. */
  readonly mipLevel?: number;
  /** 0 by default. */
  readonly arrayLayer?: number;
}

export type TextureImage = GPUTexture | TextureLayer;

/** A texture with the one of its images that is meant. */
export function layerOf(image: TextureImage): Required<TextureLayer> {
  const { texture, mipLevel = 0, arrayLayer = 0 } = 'texture' in image ? image : { texture: image };
  return { texture, mipLevel, arrayLayer };
}

interface Expected {
  readonly format: GPUTextureFormat;
  /** Any size without it. */
  readonly size?: { readonly width: number; readonly height: number };
  /** Usages by name, of which it needs one. */
  readonly usages: readonly (keyof typeof TEXTURE_USAGE)[];
}

/**
 * Everything that a device would refuse a texture for.
 * @returns the size of its image
 * @throws UserError
 */
export function checkTexture(name: string, image: TextureImage, { format, size, usages }: Expected) {
  if (!('texture' in image) && !('createView' in image))
    throw new UserError(
      `encode: '${name}' is no texture.`,
      'Pass a GPUTexture, or { texture, mipLevel, arrayLayer } in place of a view, which does not tell what it shows.',
    );
  const { texture, mipLevel, arrayLayer } = layerOf(image);
  const { dimension, mipLevelCount, depthOrArrayLayers, sampleCount, usage } = texture;
  const isThere = (at: number, count: number) => Number.isSafeInteger(at) && at >= 0 && at < count;
  if (!isThere(mipLevel, mipLevelCount) || !isThere(arrayLayer, depthOrArrayLayers))
    throw new UserError(
      `encode: the texture '${name}' has no mip level ${mipLevel} of layer ${arrayLayer}.`,
      `It has ${mipLevelCount} and ${depthOrArrayLayers}.`,
    );
  const width = Math.max(1, texture.width >> mipLevel);
  const height = Math.max(1, texture.height >> mipLevel);
  if (texture.format !== format || (size && (width !== size.width || height !== size.height)))
    throw new UserError(
      `encode: the texture '${name}' is ${texture.format} ${width}x${height}, expected ${format}${size ? ` ${size.width}x${size.height}` : ''}.`,
      'Prepare for this format and size, or render into such a texture.',
    );
  if (dimension !== '2d' || sampleCount !== 1)
    throw new UserError(
      `encode: the texture '${name}' is ${dimension} with ${sampleCount} samples.`,
      'Use a two-dimensional texture with one sample.',
    );
  if (!usages.some((each) => usage & TEXTURE_USAGE[each]))
    throw new UserError(
      `encode: the texture '${name}' was made without ${usages.join(' or ')}.`,
      `Make it with usage GPUTextureUsage.${usages[0]}.`,
    );
  return { width, height };
}

/** Compiles a module whose template needs no snippets. @throws ShaderError, DeviceLostError */
export async function compileModule(
  engine: Engine,
  name: string,
  source: ShaderSource,
  defines: Readonly<Record<string, number>>,
): Promise<GPUShaderModule> {
  const code = await engine.shaderCode(source, defines);
  const { device } = engine;
  device.pushErrorScope('validation');
  const module = device.createShaderModule({ label: name, code });
  const report = await device.popErrorScope().catch(async (error) => Promise.reject(await engine.failure(error)));
  if (report) throw new ShaderError(`${name}: ${report.message}`);
  return module;
}

/** Writes the texels of textures, or of frames, into a buffer of pixel words. */
export class TextureReader {
  readonly #device: GPUDevice;
  readonly #pipeline: GPUComputePipeline;
  readonly #groups: readonly [number, number];

  private constructor(device: GPUDevice, pipeline: GPUComputePipeline, groups: readonly [number, number]) {
    this.#device = device;
    this.#pipeline = pipeline;
    this.#groups = groups;
  }

  /** @param stride words of a row of the buffer @throws ShaderError, DeviceLostError */
  static async make(
    engine: Engine,
    { width, height, stride }: { readonly width: number; readonly height: number; readonly stride: number },
    format: ImageFormat,
  ): Promise<TextureReader> {
    const isExternal = format === 'external';
    const defines = {
      WIDTH: width,
      HEIGHT: height,
      STRIDE: stride,
      EXTERNAL: Number(isExternal),
      BGRA: Number(format.startsWith('bgra')),
      SRGB: Number(format.endsWith('-srgb')),
    };
    const module = await compileModule(engine, 'image_from_texture.wgsl', shader, defines);
    const pipeline = await engine.device
      .createComputePipelineAsync({
        label: 'image_from_texture',
        layout: 'auto',
        compute: { module, entryPoint: 'main' },
      })
      .catch(async (error) => Promise.reject(await engine.failure(error)));
    return new TextureReader(engine.device, pipeline, [Math.ceil(width / 8), Math.ceil(height / 8)]);
  }

  encode(encoder: GPUCommandEncoder, source: TextureImage | GPUExternalTexture, target: GPUBuffer): void {
    const group = this.#device.createBindGroup({
      layout: this.#pipeline.getBindGroupLayout(0),
      entries: [
        { binding: 0, resource: 'texture' in source || 'createView' in source ? viewOf(source) : source },
        { binding: 1, resource: { buffer: target } },
      ],
    });
    const pass = encoder.beginComputePass();
    pass.setPipeline(this.#pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(...this.#groups);
    pass.end();
  }
}

/** A view of one image of a texture. */
export function viewOf(image: TextureImage): GPUTextureView {
  const { texture, mipLevel, arrayLayer } = layerOf(image);
  return texture.createView({
    dimension: '2d',
    baseMipLevel: mipLevel,
    mipLevelCount: 1,
    baseArrayLayer: arrayLayer,
    arrayLayerCount: 1,
  });
}
