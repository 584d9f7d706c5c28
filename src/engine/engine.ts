import { UserError } from '../errors.ts';
import { assertLimits } from './adapter.ts';
import { type Caps, detectCaps } from './caps.ts';
import { type CompileOptions, compile } from './compile.ts';
import { DestroyedError, DeviceLostError, ShaderError } from './errors.ts';
import { expand } from './expand.ts';
import { BUFFER_USAGE, MAP_READ } from './flags.ts';
import { type Parameter, size } from './graph.ts';
import type { Owner } from './host.ts';
import { PipelineCache, type RequestOptions } from './pipelines.ts';
import type { Dispatch, Plan } from './plan.ts';
import { scoped } from './scopes.ts';
import { loadShader, type ShaderSource } from './shaderText.ts';
import { shippedTuning } from './shippedTuning.ts';
import { StagingPool } from './staging.ts';
import { adapterIdentity, Tuning } from './tuning.ts';
import type { AddedVariants, ExcludedVariants } from './variants.ts';

export interface EngineOptions {
  readonly device: GPUDevice;
  /** Detected from the device when absent; tests mask it to force fallbacks. */
  readonly caps?: Caps | undefined;
  /** Measured choices of variants; those that the package brings by default. */
  readonly tuning?: Tuning | undefined;
  /** Further variants of ops, by op name: preferred to the ops' own where they suit. @see AddedVariants */
  readonly variants?: AddedVariants | undefined;
  /** Variants that are not used here, such as those that {@link doctor} found wrong on this adapter. */
  readonly excluded?: ExcludedVariants | undefined;
  /** Bytes of memory that a plan may need at most; WebGPU itself does not tell what there is. */
  readonly memoryBytes?: number | undefined;
  /** Templates that replace kernels of the same file name, such as `conv2d_tile.wgsl`. */
  readonly shaders?: ReadonlyMap<string, string> | undefined;
  /** Called with one sentence for what makes a device much slower than it could be. */
  readonly onWarning?: ((message: string) => void) | undefined;
  /** Called with what a plan dispatches, when it has been compiled. */
  readonly onPlan?: ((dispatches: readonly Dispatch[]) => void) | undefined;
  /** Called with every shader's name and WGSL as it runs, after expansion. */
  readonly onShader?: ((name: string, wgsl: string) => void) | undefined;
}

/** A browser may take so long from rejecting what is under way to telling that the device is lost. */
const LOSS_MILLISECONDS = 500;

const SLOW_WITHOUT_SUBGROUPS =
  "the device of this software adapter was made without the feature 'subgroups', so that kernels run up to ten times slower; request it where the adapter has it.";

/**
 * Everything that hangs off one GPUDevice: its capabilities, compiled pipelines and the parameters' buffers. The device
 * belongs to the caller and is never destroyed here.
 */
export class Engine implements Owner {
  readonly device: GPUDevice;
  readonly caps: Caps;
  readonly pipelines: PipelineCache;
  readonly tuning: Tuning;
  /** Resolves when {@link tuning} holds what the package brings. {@link compile} waits for it. */
  readonly ready: Promise<void>;
  readonly variants: AddedVariants;
  readonly excluded: ExcludedVariants;
  readonly memoryBytes: number;
  readonly shaders: ReadonlyMap<string, string>;
  readonly #onPlan: EngineOptions['onPlan'];
  readonly #parameters = new Map<Parameter, GPUBuffer>();
  /** Resolves when the device is lost: what is under way then rejects with that error. */
  readonly lost: Promise<DeviceLostError>;
  #lost: DeviceLostError | undefined;
  #destroyed = false;

  /** @throws UserError when the device lacks a limit that the kernels need */
  constructor(options: EngineOptions) {
    const { device, caps, tuning, variants, excluded, memoryBytes, shaders, onWarning, onPlan, onShader } = options;
    this.device = device;
    this.caps = caps ?? detectCaps(device);
    assertLimits(this.caps);
    this.#onPlan = onPlan;
    this.variants = variants ?? {};
    this.excluded = excluded ?? new Set();
    this.memoryBytes = memoryBytes ?? Number.POSITIVE_INFINITY;
    this.shaders = shaders ?? new Map();
    this.tuning = tuning ?? new Tuning(adapterIdentity(this.caps));
    this.ready = tuning ? Promise.resolve() : this.#loadShipped(onWarning);
    this.pipelines = new PipelineCache(device, onShader);
    this.lost = device.lost.then(({ message, reason }) => {
      const how = reason === 'destroyed' ? 'its owner destroyed it' : message || 'no reason was given';
      this.#lost = new DeviceLostError(`the GPU device was lost: ${how}.`, reason);
      return this.#lost;
    });
    if (this.caps.isCpu && !this.caps.subgroups) onWarning?.(SLOW_WITHOUT_SUBGROUPS);
  }

  async #loadShipped(onWarning: EngineOptions['onWarning']): Promise<void> {
    try {
      this.tuning.addMissing(await shippedTuning(this.caps));
    } catch (error) {
      onWarning?.(`measured choices of kernels cannot be loaded, so that others run: ${(error as Error).message}.`);
    }
  }

  /** @throws DeviceLostError once the device is lost @throws DestroyedError after {@link destroy} */
  assertUsable(): void {
    if (this.#lost) throw this.#lost;
    if (this.#destroyed) throw new DestroyedError('this engine has been destroyed.');
  }

  /**
   * What a failure of the device really is. Browsers reject what is under way before they tell that the device is lost.
   * @returns a {@link DeviceLostError} if it is, else the failure
   */
  async failure(error: unknown): Promise<unknown> {
    // These have reasons of their own.
    const isKnown = error instanceof UserError || (error instanceof ShaderError && error.cause === undefined);
    if (isKnown || error instanceof DestroyedError) return error;
    const tooLate = new Promise<undefined>((resolve) => {
      const timer = setTimeout(resolve, LOSS_MILLISECONDS);
      this.lost.then(() => clearTimeout(timer));
    });
    const lost = await Promise.race([this.lost, tooLate]);
    return lost ?? error;
  }

  /** What shaders of kernels depend on besides the kernels. */
  get requestOptions(): RequestOptions {
    return { replacements: this.shaders, mostWorkgroups: this.caps.limits.maxComputeWorkgroupsPerDimension };
  }

  /** The WGSL of a template that includes no snippets, for pipelines that belong to no plan. */
  async shaderCode(source: ShaderSource, defines: Readonly<Record<string, number>>): Promise<string> {
    return expand(await loadShader(source), { defines });
  }

  /** Compiles a graph into a plan. @throws ShapeError, ShaderError, OutOfMemoryError, DeviceError */
  async compile(options: CompileOptions): Promise<Plan> {
    await this.ready;
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
    const { accepted } = scoped(this.device, what, () => {
      for (const encode of parts) {
        const encoder = this.device.createCommandEncoder({ label: what });
        encode(encoder);
        this.device.queue.submit([encoder.finish()]);
      }
    });
    const typed = accepted.catch(async (error) => Promise.reject(await this.failure(error)));
    // Like `accepted`, it may be awaited late.
    typed.catch(() => {});
    return typed;
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
      usage: BUFFER_USAGE.STORAGE | BUFFER_USAGE.COPY_SRC | BUFFER_USAGE.COPY_DST,
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
    const staging = new StagingPool(this);
    const submit = (target: GPUBuffer) =>
      this.submit('the reading of parameters', (encoder) => {
        let offset = 0;
        for (const parameter of list) {
          const bytes = size(parameter.type) * 4;
          encoder.copyBufferToBuffer(this.#parameters.get(parameter)!, 0, target, offset, bytes);
          offset += bytes;
        }
      });
    try {
      await staging.read(total, submit, (mapped) => {
        let offset = 0;
        for (const parameter of list) {
          const length = size(parameter.type);
          const Type = parameter.type.dtype === 'f32' ? Float32Array : Uint32Array;
          parameter.data = new Type(mapped, offset, length).slice();
          offset += length * 4;
        }
      });
    } finally {
      staging.destroy();
    }
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
      await staging.mapAsync(MAP_READ);
    } catch (error) {
      throw await this.failure(error);
    }
  }

  /** Resolves when the device has done what was submitted up to now. @throws DeviceLostError */
  async idle(): Promise<void> {
    try {
      await this.device.queue.onSubmittedWorkDone();
    } catch (error) {
      throw await this.failure(error);
    }
  }

  /** Frees all parameter buffers. Plans are destroyed by their owners, the device by its own. */
  destroy(): void {
    this.#destroyed = true;
    this.release([...this.#parameters.keys()]);
  }
}
