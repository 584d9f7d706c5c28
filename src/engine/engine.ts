import { assertLimits } from './adapter.ts';
import { type Caps, detectCaps } from './caps.ts';
import { type CompileOptions, compile } from './compile.ts';
import { DeviceLostError } from './errors.ts';
import { type Parameter, size } from './graph.ts';
import { PipelineCache, type RequestOptions } from './pipelines.ts';
import type { Dispatch, Plan } from './plan.ts';
import { scoped } from './scopes.ts';
import { shippedTuning } from './shippedTuning.ts';
import type { Tuning } from './tuning.ts';
import type { AddedVariants, ExcludedVariants } from './variants.ts';

export interface EngineOptions {
  readonly device: GPUDevice;
  /** Detected from the device when absent; tests mask it to force fallbacks. */
  readonly caps?: Caps;
  /** Measured choices of variants; those that the package brings by default. */
  readonly tuning?: Tuning;
  /** Further variants of ops, by op name: preferred to the ops' own where they suit. @see AddedVariants */
  readonly variants?: AddedVariants;
  /** Variants that are not used here, such as those that {@link doctor} found wrong on this adapter. */
  readonly excluded?: ExcludedVariants;
  /** Bytes of memory that a plan may need at most; WebGPU itself does not tell what there is. */
  readonly memoryBytes?: number;
  /** Templates that replace kernels of the same file name, such as `conv2d_tile.wgsl`. */
  readonly shaders?: ReadonlyMap<string, string>;
  /** Called with what a plan dispatches, when it has been compiled. */
  readonly onPlan?: (dispatches: readonly Dispatch[]) => void;
  /** Called with every shader's name and WGSL as it runs, after expansion. */
  readonly onShader?: (name: string, wgsl: string) => void;
}

/**
 * Everything that hangs off one GPUDevice: its capabilities, compiled pipelines and the parameters' buffers. The device
 * belongs to the caller and is never destroyed here.
 */
export class Engine {
  readonly device: GPUDevice;
  readonly caps: Caps;
  readonly pipelines: PipelineCache;
  readonly tuning: Tuning;
  readonly variants: AddedVariants;
  readonly excluded: ExcludedVariants;
  readonly memoryBytes: number;
  readonly shaders: ReadonlyMap<string, string>;
  readonly #onPlan: EngineOptions['onPlan'];
  readonly #parameters = new Map<Parameter, GPUBuffer>();
  #lost: string | undefined;

  /** @throws UserError when the device lacks a limit that the kernels need */
  constructor(options: EngineOptions) {
    const { device, caps, tuning, variants, excluded, memoryBytes, shaders, onPlan, onShader } = options;
    this.device = device;
    this.caps = caps ?? detectCaps(device);
    assertLimits(this.caps);
    this.#onPlan = onPlan;
    this.variants = variants ?? {};
    this.excluded = excluded ?? new Set();
    this.memoryBytes = memoryBytes ?? Number.POSITIVE_INFINITY;
    this.shaders = shaders ?? new Map();
    this.tuning = tuning ?? shippedTuning(this.caps);
    this.pipelines = new PipelineCache(device, onShader);
    device.lost.then((info) => {
      this.#lost = info.message || info.reason;
    });
  }

  /** @throws DeviceLostError once the device is lost */
  assertUsable(): void {
    if (this.#lost !== undefined) throw new DeviceLostError(`the GPU device was lost: ${this.#lost}`);
  }

  /** What shaders of kernels depend on besides the kernels. */
  get requestOptions(): RequestOptions {
    return { replacements: this.shaders, mostWorkgroups: this.caps.limits.maxComputeWorkgroupsPerDimension };
  }

  /** Compiles a graph into a plan. @throws ShapeError, ShaderError, OutOfMemoryError, DeviceError */
  async compile(options: CompileOptions): Promise<Plan> {
    const plan = await compile(this, options);
    this.#onPlan?.(plan.dispatches);
    return plan;
  }

  /**
   * Submits commands, recorded at once. What the device refuses rejects the promise, and concerns nobody else on the device.
   * @param parts submitted one after the other: a GPU begins with one while the host records the next
   * @throws DeviceError, OutOfMemoryError as the promise's rejection
   */
  submit(what: string, ...parts: readonly ((encoder: GPUCommandEncoder) => void)[]): Promise<void> {
    return scoped(this.device, what, () => {
      for (const encode of parts) {
        const encoder = this.device.createCommandEncoder({ label: what });
        encode(encoder);
        this.device.queue.submit([encoder.finish()]);
      }
    }).accepted;
  }

  /** Whether the parameter has a buffer on this device already. */
  hasParameter(parameter: Parameter): boolean {
    return this.#parameters.has(parameter);
  }

  /** The parameter's buffer on this device, made and filled on first use. */
  parameterBuffer(parameter: Parameter): GPUBuffer {
    const known = this.#parameters.get(parameter);
    if (known) return known;
    const buffer = this.device.createBuffer({
      label: parameter.name,
      size: Math.max(4, size(parameter.type) * 4),
      usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
    });
    this.#parameters.set(parameter, buffer);
    this.upload(parameter);
    return buffer;
  }

  /** Copies the parameter's host data to the device. Plans that fold it need {@link Plan.prepare} afterwards. */
  upload(parameter: Parameter): void {
    const { data } = parameter;
    const buffer = this.parameterBuffer(parameter);
    this.device.queue.writeBuffer(buffer, 0, data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
  }

  /** Copies parameters from the device into their host data, in one submission. */
  async download(parameters: Iterable<Parameter>): Promise<void> {
    const list = [...parameters].filter((parameter) => this.#parameters.has(parameter));
    const total = list.reduce((sum, parameter) => sum + size(parameter.type) * 4, 0);
    if (total === 0) return;
    let staging: GPUBuffer | undefined;
    await this.submit('the reading of parameters', (encoder) => {
      staging = this.device.createBuffer({ size: total, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
      let offset = 0;
      for (const parameter of list) {
        const bytes = size(parameter.type) * 4;
        encoder.copyBufferToBuffer(this.#parameters.get(parameter)!, 0, staging, offset, bytes);
        offset += bytes;
      }
    });
    await this.map(staging!);
    const mapped = staging!.getMappedRange();
    let offset = 0;
    for (const parameter of list) {
      const length = size(parameter.type);
      const view =
        parameter.type.dtype === 'f32'
          ? new Float32Array(mapped, offset, length)
          : new Uint32Array(mapped, offset, length);
      parameter.data = view.slice();
      offset += length * 4;
    }
    staging!.destroy();
  }

  /** Frees the device copies of parameters. */
  release(parameters: Iterable<Parameter>): void {
    for (const parameter of parameters) {
      this.#parameters.get(parameter)?.destroy();
      this.#parameters.delete(parameter);
    }
  }

  /** Maps a staging buffer for reading. @throws DeviceLostError */
  async map(staging: GPUBuffer): Promise<void> {
    try {
      await staging.mapAsync(GPUMapMode.READ);
    } catch (error) {
      // Give `device.lost` a turn: a lost device is the usual reason.
      await new Promise((resolve) => setTimeout(resolve, 0));
      this.assertUsable();
      throw error;
    }
  }

  /** Frees all parameter buffers. Plans are destroyed by their owners, the device by its own. */
  destroy(): void {
    this.release([...this.#parameters.keys()]);
  }
}
