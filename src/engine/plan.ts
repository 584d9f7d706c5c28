import type { Engine } from './engine.ts';
import { DestroyedError, OutOfMemoryError, ShapeError } from './errors.ts';
import {
  describe,
  inputName,
  isInput,
  type Kernel,
  type Node,
  type Parameter,
  parameterOf,
  rewriteGraph,
  size,
  type TensorType,
  topologicalOrder,
  type Variant,
} from './graph.ts';
import { type Lifetime, planMemory } from './memory.ts';
import { type CompiledKernel, pipelineRequest } from './pipelines.ts';
import { scoped } from './scopes.ts';
import { StagingPool } from './staging.ts';
import type { Tuning } from './tuning.ts';
import {
  choicePrecision,
  mayBeDefault,
  type Precision,
  supportedVariants,
  type VariantTarget,
  variantsOf,
} from './variants.ts';

/**
 * Chosen variant by op name, or by `op/label` for one node. A name has to be supported there; of a list, the first one
 * that is supported is taken, and the default when there is none.
 */
export type VariantChoice = Readonly<Record<string, string | readonly string[]>>;

export interface CompileOptions {
  /** Values that can be read after a run, by name. */
  readonly outputs: Readonly<Record<string, Node>>;
  /** Ops that update parameters, run after everything else, in this order. */
  readonly effects?: readonly Node[];
  /** Forces variants. @see VariantChoice */
  readonly variants?: VariantChoice;
  /** Measured choices; those of the engine by default. */
  readonly tuning?: Tuning;
  /** `f32` by default. Plans that train stay exact: ask for `f16` for inference alone. @see Precision */
  readonly precision?: Precision;
  /** Called as pipelines finish compiling. */
  readonly onProgress?: (done: number, total: number) => void;
}

export interface Dispatch {
  readonly label: string;
  /** Cache key of its pipeline: shader name and specialisation. */
  readonly kernel: string;
  readonly variant: string;
  readonly grid: readonly [number, number, number];
  readonly node: Node;
}

/** What decides how a graph runs: an {@link Engine}, or a part of one. */
export interface Target extends VariantTarget {
  readonly tuning?: Tuning | undefined;
}

interface Step extends Dispatch {
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
}

export type TypedArray = Float32Array | Uint32Array;

/**
 * Picks the variant of a node: the forced one, else the one measured to be fastest, else the first that is supported and
 * suits the device, else the first that is supported.
 * @throws ShapeError when the forced variant does not exist or is not supported there, or none is
 * @throws UserError when an added variant has the name of another
 */
export function chooseVariant(node: Node, target: Target, forced?: VariantChoice): Variant<unknown> {
  const { op } = node;
  const name = forced?.[`${op.name}/${node.label}`] ?? forced?.[op.name];
  const supported = supportedVariants(node, target);
  if (name !== undefined) {
    const wanted = [name].flat().flatMap((each) => supported.filter((variant) => variant.name === each))[0];
    if (wanted) return wanted;
    if (typeof name !== 'string') return chooseVariant(node, target);
    const names = variantsOf(op, target.variants)
      .map((variant) => variant.name)
      .join(', ');
    const why = target.excluded?.has(`${op.name}/${name}`)
      ? 'failed its check on this adapter and is excluded'
      : 'is unknown or not supported here';
    throw new ShapeError(`${op.name}: variant '${name}' ${why}; it has ${names}.`);
  }
  const measured = (among: Precision) => {
    const choice = target.tuning?.get(node, among);
    return supported.find((variant) => variant.name === choice);
  };
  const among = choicePrecision(node, target);
  const tuned = measured(among);
  if (tuned) return tuned;
  const best = supported.find((variant) => mayBeDefault(variant, target.caps, node)) ?? supported[0];
  // Where no halves are the default, what was measured among floats holds.
  const float = among === 'f16' && !best?.rounds ? measured('f32') : undefined;
  if (float) return float;
  if (!best) {
    const failed = [...(target.excluded ?? [])].filter((each) => each.startsWith(`${op.name}/`));
    const but =
      failed.length > 0 ? `; excluded are ${failed.join(', ')}, which failed their check on this adapter` : '';
    throw new ShapeError(
      `${op.name}: no variant runs ${node.inputs.map((i) => describe(i.type)).join(', ')} here${but}.`,
    );
  }
  return best;
}

/** The variant of a node that has absorbed another one: one that is forced, else the default. Without one they stay two nodes. */
function absorbingVariant(node: Node, target: Target, forced?: VariantChoice): Variant<unknown> | undefined {
  const supported = supportedVariants(node, target);
  const wanted = forced?.[node.op.name];
  if (wanted === undefined) return supported.find((variant) => mayBeDefault(variant, target.caps, node));
  return [wanted].flat().flatMap((name) => supported.filter((variant) => variant.name === name))[0];
}

interface Lowered {
  readonly outputs: Record<string, Node>;
  readonly effects: Node[];
  readonly kernels: Map<Node, { kernel: Kernel; variant: string }>;
}

/** How many nodes and roots use a node. */
function countUsers(roots: readonly Node[]): Map<Node, number> {
  const users = new Map<Node, number>();
  for (const node of topologicalOrder(roots)) {
    for (const used of node.inputs) users.set(used, (users.get(used) ?? 0) + 1);
  }
  for (const root of roots) users.set(root, (users.get(root) ?? 0) + 1);
  return users;
}

/** Lets ops fuse with inputs that nothing else uses. @see Op.fuse */
export function fuse(roots: readonly Node[]): Node[] {
  const users = countUsers(roots);
  return rewriteGraph(roots, (node, original) => {
    const isOnlyUser = (input: Node) => users.get(original.inputs[node.inputs.indexOf(input)]!) === 1;
    return node.op.fuse?.(node, isOnlyUser) ?? node;
  });
}

/** Replaces nodes by their variants' simpler ops until every node is one dispatch; equal nodes become one. */
export function lower(options: CompileOptions, on: Target): Lowered {
  const { caps, variants, excluded } = on;
  const { tuning = on.tuning, precision = on.precision } = options;
  const target: Target = { caps, variants, excluded, tuning, precision };
  const kernels = new Map<Node, { kernel: Kernel; variant: string }>();
  const identity = new Map<Node, number>();
  const unique = new Map<string, Node>();
  const done = new Map<Node, Node>();

  const intern = (node: Node): Node => {
    if (node.op.updates || isInput(node) || parameterOf(node)) {
      if (!identity.has(node)) identity.set(node, identity.size);
      return node;
    }
    const key = `${node.op.name}(${node.inputs.map((i) => identity.get(i)).join()})${JSON.stringify(node.attrs)}`;
    const known = unique.get(key);
    if (known) return known;
    unique.set(key, node);
    identity.set(node, identity.size);
    return node;
  };

  const visit = (root: Node): Node => {
    for (const node of topologicalOrder([root])) {
      if (done.has(node)) continue;
      const inputs = node.inputs.map((i) => done.get(i)!);
      const same = inputs.every((input, i) => input === node.inputs[i]);
      let current = intern(same ? node : { ...node, inputs });
      if (!kernels.has(current) && !isInput(current) && !parameterOf(current)) {
        const known = done.get(current);
        if (known) current = known;
        else if (!current.op.part) {
          const variant = chooseVariant(current, target, options.variants);
          const lowered = variant.lower?.(current, caps);
          if (lowered) {
            const simpler = visit(lowered);
            done.set(current, simpler);
            current = simpler;
          } else if (variant.kernel) {
            kernels.set(current, { kernel: variant.kernel(current, caps), variant: variant.name });
          } else throw new Error(`${node.op.name}: variant '${variant.name}' has neither a kernel nor a lowering`);
        }
      }
      done.set(node, current);
      done.set(current, current);
    }
    return done.get(root)!;
  };

  const absorb = (roots: readonly Node[]): Node[] => {
    const users = countUsers(roots);
    const isOnlyUser = (input: Node) => users.get(input) === 1;
    return rewriteGraph(roots, (node, original) => {
      const entry = kernels.get(original);
      if (!entry) return node;
      users.set(node, users.get(original)!);
      kernels.set(node, entry);
      let current = node;
      for (;;) {
        const wider = current.op.absorb?.(current, isOnlyUser);
        const variant = wider && absorbingVariant(wider, target, options.variants);
        if (!variant) return current;
        kernels.set(wider, { kernel: variant.kernel!(wider, caps), variant: variant.name });
        users.set(wider, users.get(original)!);
        current = wider;
      }
    });
  };

  const names = Object.keys(options.outputs);
  const roots = absorb(fuse([...Object.values(options.outputs), ...(options.effects ?? [])]).map(visit));
  const outputs = Object.fromEntries(names.map((name, i) => [name, roots[i]!]));
  const effects = roots.slice(names.length);
  const left = new Set(topologicalOrder(roots));
  for (const node of kernels.keys()) if (!left.has(node)) kernels.delete(node);
  return { outputs, effects, kernels };
}

/** Nodes whose value depends only on parameters that this plan does not update: computed once, not in every run. */
function staticNodes(order: readonly Node[], effects: readonly Node[]): Set<Node> {
  const updated = new Set<Parameter>();
  for (const effect of effects) {
    for (const index of effect.op.updates ?? []) {
      const parameter = parameterOf(effect.inputs[index]!);
      if (!parameter) throw new ShapeError(`${effect.op.name}: input ${index} must be a parameter to be updated.`);
      updated.add(parameter);
    }
  }
  const result = new Set<Node>();
  for (const node of order) {
    const parameter = parameterOf(node);
    if (
      parameter
        ? !updated.has(parameter)
        : !isInput(node) && !node.op.updates && node.inputs.every((i) => result.has(i))
    ) {
      result.add(node);
    }
  }
  return result;
}

const COPY = () => GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;

/** Compiles a graph for a device. @throws ShapeError, ShaderError, OutOfMemoryError */
export async function compile(engine: Engine, options: CompileOptions): Promise<Plan> {
  engine.assertUsable();
  const { device, caps } = engine;
  const { outputs, effects, kernels } = lower(options, engine);
  const pure = topologicalOrder(Object.values(outputs).concat(effects)).filter((node) => !node.op.updates);
  const order = [...pure, ...effects];
  const constant = staticNodes(order, effects);

  const requests = order.flatMap((node) => {
    const entry = kernels.get(node);
    return entry ? [{ node, request: pipelineRequest(node, entry.kernel, engine.requestOptions) }] : [];
  });

  const limit = caps.limits.maxStorageBufferBindingSize;
  const alignment = device.limits.minStorageBufferOffsetAlignment;
  for (const node of order) {
    const misplaced = node.inputs.find((used) => ((used.op.part?.(used) ?? 0) * 4) % alignment > 0);
    if (misplaced && kernels.has(node)) {
      throw new ShapeError(
        `${node.label} reads ${misplaced.label}, ${describe(misplaced.type)} inside another value; this adapter binds every ${alignment} bytes.`,
        'Give it a multiple of 64 elements.',
      );
    }
    const bytes = size(node.type) * 4;
    if (bytes > limit && !node.op.updates) {
      throw new OutOfMemoryError(
        `${node.label}: ${describe(node.type)} takes ${mebi(bytes)}, more than the ${mebi(limit)} that this adapter can bind at once.`,
        'Use a smaller batch or resolution.',
      );
    }
  }

  // A node that continues another one lies where the first of its chain does, a part lies in the whole.
  const origin = new Map<Node, Node>();
  for (const node of order) {
    const continued = node.op.part ? 0 : node.op.continues?.(node);
    if (continued !== undefined) origin.set(node, origin.get(node.inputs[continued]!) ?? node.inputs[continued]!);
  }
  const home = (node: Node) => origin.get(node) ?? node;

  // Time of a node = its place in `order`. Values that are read back after the run live to the end.
  const running = order.filter((node) => kernels.has(node) && !constant.has(node));
  const dynamic = running.filter((node) => !node.op.updates && !origin.has(node));
  const index = new Map(dynamic.map((node, i) => [node, i]));
  const time = new Map(order.map((node, i) => [node, i]));
  const lastUse = new Map<Node, number>();
  for (const node of order) for (const used of node.inputs) lastUse.set(home(used), time.get(node)!);
  for (const node of Object.values(outputs)) lastUse.set(home(node), order.length);
  const conflicts = dynamic.map((): Set<number> => new Set());
  for (const node of running) {
    const written = index.get(home(node));
    if (written === undefined) continue;
    for (const used of node.inputs) {
      const read = index.get(home(used));
      if (read !== undefined && read !== written) conflicts[Math.max(read, written)]!.add(Math.min(read, written));
    }
  }
  const lifetimes = dynamic.map((node, i): Lifetime => {
    const from = time.get(node)!;
    return { bytes: size(node.type) * 4, from, to: lastUse.get(node) ?? from, conflicts: [...conflicts[i]!] };
  });
  const memory = planMemory(lifetimes, device.limits.minStorageBufferOffsetAlignment, caps.limits.maxBufferSize);

  assertMemory(engine, order, constant, memory.slabBytes);

  const owned: GPUBuffer[] = [];
  const bytesOf = (node: Node) => Math.max(4, size(node.type) * 4);
  const make = (bytes: number, usage: number, label: string): GPUBuffer => {
    const buffer = device.createBuffer({ size: Math.ceil(bytes / 4) * 4, usage, label });
    owned.push(buffer);
    return buffer;
  };
  const location = new Map<Node, GPUBufferBinding>();
  const inputs = new Map<string, { buffer: GPUBuffer; type: TensorType }>();
  const parameters = new Set<Parameter>();
  // Memory first: what does not fit is refused before anything is compiled.
  const allocate = () => {
    const slabs = memory.slabBytes.map((bytes, i) => make(bytes, COPY(), `slab ${i}`));
    for (const node of order) {
      const parameter = parameterOf(node);
      let binding: GPUBufferBinding | undefined;
      if (node.op.part) {
        const { buffer, offset = 0 } = location.get(node.inputs[0]!)!;
        binding = { buffer, offset: offset + 4 * node.op.part(node), size: bytesOf(node) };
      } else if (origin.has(node)) {
        binding = location.get(home(node))!;
      } else if (parameter) {
        parameters.add(parameter);
        binding = { buffer: engine.parameterBuffer(parameter) };
      } else if (isInput(node)) {
        if (inputs.has(inputName(node))) throw new ShapeError(`the graph has two inputs named '${inputName(node)}'.`);
        const buffer = make(bytesOf(node), COPY(), inputName(node));
        inputs.set(inputName(node), { buffer, type: node.type });
        binding = { buffer };
      } else if (constant.has(node)) {
        binding = { buffer: make(bytesOf(node), COPY(), node.label) };
      } else if (index.has(node)) {
        const place = memory.placements[index.get(node)!]!;
        binding = { buffer: slabs[place.slab]!, offset: place.offset, size: bytesOf(node) };
      }
      if (binding) location.set(node, binding);
    }
  };

  // All kernels' parameters in one uniform buffer.
  const stride = device.limits.minUniformBufferOffsetAlignment;
  const withParams = order.filter((node) => Object.keys(kernels.get(node)?.kernel.params ?? {}).length > 0);
  const uniformOffset = new Map(withParams.map((node, i) => [node, i * stride]));
  const allocateUniforms = (): GPUBuffer | undefined => {
    if (withParams.length === 0) return undefined;
    const data = new DataView(new ArrayBuffer(withParams.length * stride));
    withParams.forEach((node, i) => {
      Object.values(kernels.get(node)!.kernel.params!).forEach((param, k) => {
        const at = i * stride + k * 4;
        if (param.type === 'f32') data.setFloat32(at, param.value, true);
        else if (param.type === 'i32') data.setInt32(at, param.value, true);
        else data.setUint32(at, param.value, true);
      });
    });
    const buffer = make(data.byteLength, GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST, 'params');
    device.queue.writeBuffer(buffer, 0, data.buffer);
    return buffer;
  };

  const build = async (): Promise<Plan> => {
    const fresh = order.flatMap((node) => parameterOf(node) ?? []).filter((each) => !engine.hasParameter(each));
    const { result: uniforms, accepted: allocated } = scoped(device, describePlan(outputs), () => {
      allocate();
      return allocateUniforms();
    });
    try {
      await allocated;
    } catch (error) {
      // Their buffers may be invalid.
      engine.release(fresh);
      throw error;
    }

    const compiled = new Map<Node, CompiledKernel>();
    const keys = new Set(requests.map(({ request }) => request.key));
    let finished = 0;
    const seen = new Set<string>();
    await Promise.all(
      requests.map(async ({ node, request }) => {
        const result = await engine.pipelines.get(request);
        compiled.set(node, result);
        if (seen.has(request.key)) return;
        seen.add(request.key);
        options.onProgress?.(++finished, keys.size);
      }),
    );
    const grids = new Map(requests.map(({ node, request }) => [node, request.grid]));

    const toStep = (node: Node): Step => {
      const { kernel, variant } = kernels.get(node)!;
      const { pipeline, layout, key } = compiled.get(node)!;
      const resources = node.inputs.map((used) => location.get(used)!);
      if (!node.op.updates && !origin.has(node)) resources.push(location.get(node)!);
      const offset = uniformOffset.get(node);
      if (offset !== undefined) {
        resources.push({ buffer: uniforms!, offset, size: Object.keys(kernel.params!).length * 4 });
      }
      const group = device.createBindGroup({
        label: node.label,
        layout,
        entries: resources.map((resource, binding) => ({ binding, resource })),
      });
      return { label: node.label, kernel: key, variant, grid: grids.get(node)!, node, pipeline, group };
    };
    const steps = (isPrologue: boolean) =>
      order.filter((node) => kernels.has(node) && constant.has(node) === isPrologue).map(toStep);
    const { result: parts, accepted: bound } = scoped(device, describePlan(outputs), () => ({
      prologue: steps(true),
      steps: steps(false),
    }));
    await bound;

    const readable = new Map<string, { binding: GPUBufferBinding; type: TensorType }>();
    for (const [name, node] of Object.entries(outputs))
      readable.set(name, { binding: location.get(node)!, type: node.type });
    const shaders = new Map([...compiled.values()].map(({ key, code }) => [key, code]));
    const plan = new Plan(engine, {
      inputs,
      readable,
      ...parts,
      owned,
      parameters,
      shaders,
      slabBytes: memory.slabBytes,
    });
    await plan.prepare();
    return plan;
  };
  try {
    return await build();
  } catch (error) {
    for (const buffer of owned) buffer.destroy();
    engine.assertUsable();
    throw error;
  }
}

function describePlan(outputs: Readonly<Record<string, Node>>): string {
  return `the plan of ${Object.keys(outputs).join(', ')}`;
}

/**
 * Refuses plans over the engine's bound of memory and values that no buffer holds.
 * @throws OutOfMemoryError
 */
function assertMemory(
  engine: Engine,
  order: readonly Node[],
  constant: ReadonlySet<Node>,
  slabBytes: readonly number[],
): void {
  const fix = 'Use a smaller batch or resolution.';
  const largest = engine.caps.limits.maxBufferSize;
  const over = slabBytes.find((bytes) => bytes > largest);
  if (over !== undefined) {
    throw new OutOfMemoryError(
      `the plan needs a buffer of ${mebi(over)}, more than the ${mebi(largest)} that this adapter allows.`,
      fix,
    );
  }
  const own = order.filter((node) => isInput(node) || (constant.has(node) && !parameterOf(node)));
  const fresh = order.filter((node) => parameterOf(node) && !engine.hasParameter(parameterOf(node)!));
  const bytes = [...own, ...fresh].reduce((sum, node) => sum + 4 * size(node.type), 0);
  const total = slabBytes.reduce((sum, each) => sum + each, bytes);
  if (total > engine.memoryBytes) {
    throw new OutOfMemoryError(
      `the plan needs ${mebi(total)} of memory, more than the ${mebi(engine.memoryBytes)} that there are.`,
      fix,
    );
  }
}

function mebi(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

interface PlanParts {
  readonly inputs: ReadonlyMap<string, { buffer: GPUBuffer; type: TensorType }>;
  readonly readable: ReadonlyMap<string, { binding: GPUBufferBinding; type: TensorType }>;
  readonly steps: readonly Step[];
  readonly prologue: readonly Step[];
  readonly owned: GPUBuffer[];
  readonly parameters: ReadonlySet<Parameter>;
  readonly shaders: ReadonlyMap<string, string>;
  readonly slabBytes: readonly number[];
}

/**
 * Where a GPU's run is cut into submissions. In Node a dispatch costs the host 4 to 8 us: the GPU begins after the first few, and
 * every part keeps it busy while the next is recorded.
 */
const CUTS = [4, 16] as const;

/** A compiled graph: memory, bind groups and pipelines are fixed, a run records and submits one compute pass. */
export class Plan {
  readonly engine: Engine;
  readonly #parts: PlanParts;
  /** The steps of a run, cut into submissions. */
  readonly #submissions: readonly (readonly Step[])[];
  readonly #staging: StagingPool;
  #destroyed = false;

  /** @internal use {@link compile} */
  constructor(engine: Engine, parts: PlanParts) {
    this.engine = engine;
    this.#parts = parts;
    const cuts = engine.caps.isCpu ? [] : CUTS.filter((cut) => cut < parts.steps.length);
    this.#submissions = [0, ...cuts].map((start, i) => parts.steps.slice(start, cuts[i]));
    this.#staging = new StagingPool(engine);
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
    return this.#parts.parameters;
  }

  /** Bytes of GPU memory for the parameters, which other plans may share. */
  get parameterBytes(): number {
    return [...this.#parts.parameters].reduce((sum, { type }) => sum + 4 * size(type), 0);
  }

  /** Bytes of GPU memory for intermediate values. */
  get memoryBytes(): number {
    return this.#parts.slabBytes.reduce((sum, bytes) => sum + bytes, 0);
  }

  /**
   * Recomputes what depends on parameters alone; call after {@link Engine.upload}. Runs that are started afterwards use the new
   * values, whether the promise is awaited or not.
   * @throws DeviceError, OutOfMemoryError as the promise's rejection
   */
  prepare(): Promise<void> {
    const { prologue } = this.#parts;
    if (prologue.length === 0) return Promise.resolve();
    return this.engine.submit('the preparation of a plan', (encoder) => record(encoder, prologue));
  }

  inputBuffer(name: string): GPUBuffer {
    return this.#input(name).buffer;
  }

  /** Where a named output lies after a run: a range of a buffer that the plan owns. */
  outputBinding(name: string): GPUBufferBinding {
    return this.#output(name).binding;
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
    this.engine.device.queue.writeBuffer(buffer, 0, data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
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
      return this.engine.submit('a run of a plan', ...parts.slice(0, -1), last);
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
    for (const buffer of this.#parts.owned) buffer.destroy();
    this.#staging.destroy();
  }

  #assertUsable(): void {
    this.engine.assertUsable();
    if (this.#destroyed) throw new DestroyedError('this plan has been destroyed.');
  }

  #input(name: string) {
    const found = this.#parts.inputs.get(name);
    if (!found)
      throw new ShapeError(`no input '${name}'; the plan has ${[...this.#parts.inputs.keys()].join(', ') || 'none'}.`);
    return found;
  }

  #output(name: string) {
    const found = this.#parts.readable.get(name);
    if (!found)
      throw new ShapeError(
        `no output '${name}'; the plan has ${[...this.#parts.readable.keys()].join(', ') || 'none'}.`,
      );
    return found;
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
