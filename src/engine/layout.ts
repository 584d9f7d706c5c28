import { OutOfMemoryError, ShapeError } from './errors.ts';
import {
  describe,
  inputName,
  isInput,
  type Node,
  type Parameter,
  parameterOf,
  size,
  type TensorType,
  topologicalOrder,
} from './graph.ts';
import type { Lowered } from './lower.ts';
import { type Lifetime, planMemory } from './memory.ts';

/** What a device says about buffers, in bytes. */
export interface BufferLimits {
  readonly maxStorageBufferBindingSize: number;
  readonly minStorageBufferOffsetAlignment: number;
  readonly maxBufferSize: number;
}

/** The buffer that a value lies in. */
export type Storage =
  /** One of the plan's slabs, shared with other values over time. */
  | { readonly kind: 'slab'; readonly index: number }
  /** A buffer that is written from outside. */
  | { readonly kind: 'input'; readonly name: string; readonly type: TensorType }
  /** Memory that lives across plans. */
  | { readonly kind: 'parameter'; readonly parameter: Parameter }
  /** A buffer of its own, for what is computed once. */
  | { readonly kind: 'kept'; readonly label: string };

/** Where a value lies. Values that continue or are part of another one have its storage. */
export interface Place {
  readonly storage: Storage;
  /** Bytes from the start of the storage. */
  readonly offset: number;
  readonly bytes: number;
}

/** What runs when, and where every value lies: all about a plan that needs no device. */
export interface Layout {
  readonly lowered: Lowered;
  /** Nodes that run once, when parameters are uploaded, in order. */
  readonly prologue: readonly Node[];
  /** Nodes that run every time, in order. */
  readonly steps: readonly Node[];
  /** By node; those without a kernel too: inputs, parameters and parts. Ops that update parameters have none. */
  readonly places: ReadonlyMap<Node, Place>;
  /** Bytes of each slab. */
  readonly slabBytes: readonly number[];
}

/**
 * Lays out what a graph was lowered to.
 * @throws ShapeError for an update of what is no parameter, two inputs of one name, or a part at a place that cannot be bound
 * @throws OutOfMemoryError for a value that the device cannot bind
 */
export function layOut(lowered: Lowered, limits: BufferLimits): Layout {
  const { outputs, effects, kernels } = lowered;
  const pure = topologicalOrder(Object.values(outputs).concat(effects)).filter((node) => !node.op.updates);
  const order = [...pure, ...effects];
  const constant = constantNodes(order, effects);
  assertBindable(order, lowered, limits);

  const home = homes(order);
  const running = order.filter((node) => kernels.has(node) && !constant.has(node));
  const changing = running.filter((node) => !node.op.updates && home(node) === node);
  const { placements, slabBytes } = planMemory(
    lifetimes(order, running, changing, home, Object.values(outputs)),
    limits.minStorageBufferOffsetAlignment,
    limits.maxBufferSize,
  );
  const slabs = new Map(changing.map((node, i) => [node, placements[i]!]));

  const names = new Set<string>();
  const places = new Map<Node, Place>();
  const storageOf = (node: Node): Omit<Place, 'bytes'> | undefined => {
    if (node.op.part) {
      const { storage, offset } = places.get(node.inputs[0]!)!;
      return { storage, offset: offset + 4 * node.op.part(node) };
    }
    if (home(node) !== node) return places.get(home(node))!;
    const parameter = parameterOf(node);
    if (parameter) return { storage: { kind: 'parameter', parameter }, offset: 0 };
    if (isInput(node)) {
      const name = inputName(node);
      if (names.has(name)) throw new ShapeError(`the graph has two inputs named '${name}'.`);
      names.add(name);
      return { storage: { kind: 'input', name, type: node.type }, offset: 0 };
    }
    if (constant.has(node)) return { storage: { kind: 'kept', label: node.label }, offset: 0 };
    const slab = slabs.get(node);
    return slab && { storage: { kind: 'slab', index: slab.slab }, offset: slab.offset };
  };
  for (const node of order) {
    const storage = storageOf(node);
    if (storage) places.set(node, { ...storage, bytes: bytesOf(node) });
  }
  const prologue = order.filter((node) => kernels.has(node) && constant.has(node));
  return { lowered, prologue, steps: running, places, slabBytes };
}

/** Bytes of a value in memory. */
function bytesOf({ type }: Node): number {
  return Math.max(4, size(type) * 4);
}

/** Nodes whose value depends only on parameters that this plan does not update: computed once, not in every run. */
function constantNodes(order: readonly Node[], effects: readonly Node[]): Set<Node> {
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

/** Where a chain of nodes that continue each other's memory begins. */
function homes(order: readonly Node[]): (node: Node) => Node {
  const home = new Map<Node, Node>();
  for (const node of order) {
    const continued = node.op.part ? undefined : node.op.continues?.(node);
    if (continued === undefined) continue;
    const first = node.inputs[continued]!;
    home.set(node, home.get(first) ?? first);
  }
  return (node) => home.get(node) ?? node;
}

/** The lives of values in slabs. Time of a node = its place in `order`; what is read after a run lives to the end. */
function lifetimes(
  order: readonly Node[],
  running: readonly Node[],
  changing: readonly Node[],
  homeOf: (node: Node) => Node,
  outputs: readonly Node[],
): Lifetime[] {
  // A part lives in the whole, which what reads the part keeps alive.
  const home = (node: Node): Node => (node.op.part ? home(node.inputs[0]!) : homeOf(node));
  const index = new Map(changing.map((node, i) => [node, i]));
  const time = new Map(order.map((node, i) => [node, i]));
  const lastUse = new Map<Node, number>();
  for (const node of order) for (const used of node.inputs) lastUse.set(home(used), time.get(node)!);
  for (const node of outputs) lastUse.set(home(node), order.length);
  const conflicts = changing.map((): Set<number> => new Set());
  for (const node of running) {
    const written = index.get(home(node));
    if (written === undefined) continue;
    for (const used of node.inputs) {
      const read = index.get(home(used));
      if (read !== undefined && read !== written) conflicts[Math.max(read, written)]!.add(Math.min(read, written));
    }
  }
  return changing.map((node, i) => {
    const from = time.get(node)!;
    return { bytes: size(node.type) * 4, from, to: lastUse.get(node) ?? from, conflicts: [...conflicts[i]!] };
  });
}

const SMALLER = 'Use a smaller batch or resolution.';

/** @throws ShapeError, OutOfMemoryError for values that no dispatch can bind */
function assertBindable(order: readonly Node[], { kernels }: Lowered, limits: BufferLimits): void {
  const { maxStorageBufferBindingSize: most, minStorageBufferOffsetAlignment: alignment } = limits;
  for (const node of order) {
    const misplaced = node.inputs.find((used) => ((used.op.part?.(used) ?? 0) * 4) % alignment > 0);
    if (misplaced && kernels.has(node)) {
      throw new ShapeError(
        `${node.label} reads ${misplaced.label}, ${describe(misplaced.type)} inside another value; this adapter binds every ${alignment} bytes.`,
        'Give it a multiple of 64 elements.',
      );
    }
    const bytes = size(node.type) * 4;
    if (bytes > most && !node.op.updates) {
      throw new OutOfMemoryError(
        `${node.label}: ${describe(node.type)} takes ${mebi(bytes)}, more than the ${mebi(most)} that this adapter can bind at once.`,
        SMALLER,
      );
    }
  }
}

/**
 * Refuses plans over a bound of memory and slabs that no buffer holds.
 * @param isHeld whether a parameter has memory on the device already
 * @throws OutOfMemoryError
 */
export function assertFits(
  { places, slabBytes }: Layout,
  { maxBufferSize }: Pick<BufferLimits, 'maxBufferSize'>,
  memoryBytes: number,
  isHeld: (parameter: Parameter) => boolean,
): void {
  const over = slabBytes.find((bytes) => bytes > maxBufferSize);
  if (over !== undefined) {
    throw new OutOfMemoryError(
      `the plan needs a buffer of ${mebi(over)}, more than the ${mebi(maxBufferSize)} that this adapter allows.`,
      SMALLER,
    );
  }
  let total = slabBytes.reduce((sum, each) => sum + each, 0);
  const counted = new Set<Storage>();
  for (const { storage, bytes } of places.values()) {
    if (storage.kind === 'slab' || counted.has(storage)) continue;
    counted.add(storage);
    if (storage.kind !== 'parameter' || !isHeld(storage.parameter)) total += bytes;
  }
  if (total > memoryBytes) {
    throw new OutOfMemoryError(
      `the plan needs ${mebi(total)} of memory, more than the ${mebi(memoryBytes)} that there are.`,
      SMALLER,
    );
  }
}

function mebi(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
