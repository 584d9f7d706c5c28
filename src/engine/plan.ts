import type { Allocation } from './bind.ts';
import { DestroyedError, ShapeError } from './errors.ts';
import { describe, type Node, type Parameter, size, type TensorType } from './graph.ts';
import type { Host } from './host.ts';
import type { Layout } from './layout.ts';
import { StagingPool } from './staging.ts';

export interface Dispatch {
  readonly label: string;
  /** Cache key of its pipeline: shader name and specialization. */
  readonly kernel: string;
  readonly variant: string;
  readonly grid: readonly [number, number, number];
  readonly node: Node;
}

/** A dispatch that is ready to be recorded. */
export interface Step extends Dispatch {
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
}

export type TypedArray = Float32Array | Uint32Array;

/** What a plan is made of. @see compile */
export interface PlanParts {
  readonly layout: Layout;
  /** The plan's from now on. */
  readonly allocation: Allocation;
  readonly prologue: readonly Step[];
  readonly steps: readonly Step[];
  /** WGSL by pipeline key. */
  readonly shaders: ReadonlyMap<string, string>;
}

/**
 * Where a GPU's run is cut into submissions. In Node a dispatch costs the host 4 to 8 us: the GPU begins after the first few, and
 * every part keeps it busy while the next is recorded.
 */
const CUTS = [4, 16] as const;

/** A compiled graph: memory, bind groups and pipelines are fixed, a run records and submits one compute pass. */
export class Plan {
  readonly #host: Host;
  readonly #parts: PlanParts;
  /** The steps of a run, cut into submissions. */
  readonly #submissions: readonly (readonly Step[])[];
  readonly #staging: StagingPool;
  #destroyed = false;

  /** @internal use {@link compile} */
  constructor(host: Host, parts: PlanParts) {
    this.#host = host;
    this.#parts = parts;
    const cuts = host.caps.isCpu ? [] : CUTS.filter((cut) => cut < parts.steps.length);
    this.#submissions = [0, ...cuts].map((start, i) => parts.steps.slice(start, cuts[i]));
    this.#staging = new StagingPool(host);
  }

  /** What a run dispatches, in order. */
  get dispatches(): readonly Dispatch[] {
    return this.#parts.steps;
  }

  /** What runs once, when parameters are uploaded. */
  get prologue(): readonly Dispatch[] {
    return this.#parts.prologue;
  }

  /** WGSL by pipeline key. */
  get shaders(): ReadonlyMap<string, string> {
    return this.#parts.shaders;
  }

  get parameters(): ReadonlySet<Parameter> {
    return this.#parts.allocation.parameters;
  }

  /** Bytes of GPU memory for the parameters, which other plans may share. */
  get parameterBytes(): number {
    return [...this.parameters].reduce((sum, { type }) => sum + 4 * size(type), 0);
  }

  /** Bytes of GPU memory for intermediate values. */
  get memoryBytes(): number {
    return this.#parts.layout.slabBytes.reduce((sum, bytes) => sum + bytes, 0);
  }

  /**
   * Recomputes what depends on parameters alone; call after {@link Engine.upload}. Runs that are started afterwards use the new
   * values, whether the promise is awaited or not.
   * @throws DeviceError, OutOfMemoryError as the promise's rejection
   */
  prepare(): Promise<void> {
    const { prologue } = this.#parts;
    if (prologue.length === 0) return Promise.resolve();
    return this.#host.submit('the preparation of a plan', (encoder) => record(encoder, prologue));
  }

  inputBuffer(name: string): GPUBuffer {
    return this.#input(name).buffer;
  }

  /** Where a named output lies after a run: a range of a buffer that the plan owns. */
  outputBinding(name: string): GPUBufferBinding {
    return this.#output(name).binding;
  }

  /** Records the copy of a whole output to a place of a buffer, bytes. */
  copyOutput(encoder: GPUCommandEncoder, name: string, target: GPUBuffer, at = 0): void {
    const { buffer, offset = 0, size } = this.outputBinding(name);
    encoder.copyBufferToBuffer(buffer, offset, target, at, size!);
  }

  outputType(name: string): TensorType {
    return this.#output(name).type;
  }

  /** Copies host data into an input through the queue. @throws ShapeError on a wrong length */
  write(name: string, data: TypedArray): void {
    const { buffer, type } = this.#input(name);
    if (data.length !== size(type)) {
      throw new ShapeError(`input '${name}': ${data.length} values given for ${describe(type)}.`);
    }
    this.#host.device.queue.writeBuffer(buffer, 0, data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
  }

  /** Records one run into somebody's encoder. Nothing goes through the queue. @throws DestroyedError */
  encode(encoder: GPUCommandEncoder): void {
    this.#assertUsable();
    record(encoder, this.#parts.steps);
  }

  /**
   * One run in the parts in which it is submitted soonest: on GPUs a long run begins before all of it is recorded.
   * @see Engine.submit
   */
  encodeParts(): ((encoder: GPUCommandEncoder) => void)[] {
    this.#assertUsable();
    return this.#submissions.map((steps) => (encoder) => record(encoder, steps));
  }

  /** Records the dispatches of a run from one up to another, exclusive. @throws DestroyedError */
  encodeSome(encoder: GPUCommandEncoder, from: number, to: number): void {
    this.#assertUsable();
    record(encoder, this.#parts.steps.slice(from, to));
  }

  /** Records one dispatch of a run in a pass of its own, for profiling. */
  encodeDispatch(encoder: GPUCommandEncoder, index: number, timestampWrites?: GPUComputePassTimestampWrites): void {
    record(encoder, [this.#parts.steps[index]!], timestampWrites);
  }

  /**
   * Runs once and reads the named outputs (none by default). Inputs not given keep their last value.
   * @throws DeviceError, OutOfMemoryError when the device refuses the run
   * @throws DeviceLostError
   */
  async run(
    inputs: Readonly<Record<string, TypedArray>> = {},
    read: readonly string[] = [],
  ): Promise<Record<string, TypedArray>> {
    const [first, ...others] = this.encodeParts();
    const start = (encoder: GPUCommandEncoder) => {
      for (const [name, data] of Object.entries(inputs)) this.write(name, data);
      first!(encoder);
    };
    return this.#submitAndRead(read, [start, ...others]);
  }

  /** Reads outputs of the last run. */
  read(names: readonly string[]): Promise<Record<string, TypedArray>> {
    return this.#submitAndRead(names, [() => {}]);
  }

  async #submitAndRead(
    names: readonly string[],
    parts: readonly ((encoder: GPUCommandEncoder) => void)[],
  ): Promise<Record<string, TypedArray>> {
    this.#assertUsable();
    let bytes = 0;
    const copies = names.map((name) => {
      const { binding, type } = this.#output(name);
      const copy = { name, binding, type, from: bytes, bytes: size(type) * 4 };
      bytes += copy.bytes;
      return copy;
    });
    const submit = (staging?: GPUBuffer) => {
      const last = (encoder: GPUCommandEncoder) => {
        parts.at(-1)!(encoder);
        for (const copy of copies) {
          encoder.copyBufferToBuffer(copy.binding.buffer, copy.binding.offset ?? 0, staging!, copy.from, copy.bytes);
        }
      };
      return this.#host.submit('a run of a plan', ...parts.slice(0, -1), last);
    };
    if (bytes === 0) {
      await submit();
      return {};
    }
    return this.#staging.read(bytes, submit, (mapped) => {
      return Object.fromEntries(
        copies.map(({ name, type, from, bytes: length }) => {
          const copy = mapped.slice(from, from + length);
          return [name, type.dtype === 'f32' ? new Float32Array(copy) : new Uint32Array(copy)];
        }),
      );
    });
  }

  /** Frees the plan's buffers. Parameters belong to the engine and stay. */
  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    this.#parts.allocation.destroy();
    this.#staging.destroy();
  }

  #assertUsable(): void {
    this.#host.assertUsable();
    if (this.#destroyed) throw new DestroyedError('this plan has been destroyed.');
  }

  #input(name: string) {
    const { inputs } = this.#parts.allocation;
    const found = inputs.get(name);
    if (!found) throw new ShapeError(`no input '${name}'; the plan has ${[...inputs.keys()].join(', ') || 'none'}.`);
    return found;
  }

  #output(name: string): { readonly binding: GPUBufferBinding; readonly type: TensorType } {
    const { outputs } = this.#parts.layout.lowered;
    const node = Object.hasOwn(outputs, name) ? outputs[name] : undefined;
    if (!node) throw new ShapeError(`no output '${name}'; the plan has ${Object.keys(outputs).join(', ') || 'none'}.`);
    return { binding: this.#parts.allocation.binding(node), type: node.type };
  }
}

function record(
  encoder: GPUCommandEncoder,
  steps: readonly Step[],
  timestampWrites?: GPUComputePassTimestampWrites,
): void {
  const pass = encoder.beginComputePass(timestampWrites && { timestampWrites });
  let current: GPUComputePipeline | undefined;
  for (const { pipeline, group, grid } of steps) {
    if (pipeline !== current) pass.setPipeline(pipeline);
    current = pipeline;
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(...grid);
  }
  pass.end();
}
