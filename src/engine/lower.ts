import { ShapeError } from './errors.ts';
import {
  describe,
  isInput,
  type Kernel,
  type Node,
  parameterOf,
  rewriteGraph,
  topologicalOrder,
  type Variant,
} from './graph.ts';
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

/** What a graph computes, and how its kernels are chosen. */
export interface GraphOptions {
  /** Values that can be read after a run, by name. */
  readonly outputs: Readonly<Record<string, Node>>;
  /** Ops that update parameters, run after everything else, in this order. */
  readonly effects?: readonly Node[] | undefined;
  /** Forces variants. @see VariantChoice */
  readonly variants?: VariantChoice | undefined;
  /** Measured choices; those of the engine by default. */
  readonly tuning?: Tuning | undefined;
  /** `f32` by default. Plans that train stay exact: ask for `f16` for inference alone. @see Precision */
  readonly precision?: Precision | undefined;
}

/** What decides how a graph runs: an {@link Engine}, or a part of one. */
export interface Target extends VariantTarget {
  readonly tuning?: Tuning | undefined;
}

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

/** A graph of which every node is one dispatch, an input, a parameter or a part of a value. */
export interface Lowered {
  readonly outputs: Readonly<Record<string, Node>>;
  readonly effects: readonly Node[];
  readonly kernels: ReadonlyMap<Node, { kernel: Kernel; variant: string }>;
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

/** Lets ops fuse with inputs that nothing else uses. @see Op.fuse @see Op.extend */
export function fuse(roots: readonly Node[]): Node[] {
  const users = countUsers(roots);
  return rewriteGraph(roots, (node, original) => {
    const isOnlyUser = (input: Node) => users.get(original.inputs[node.inputs.indexOf(input)]!) === 1;
    const fused = node.op.fuse?.(node, isOnlyUser);
    if (fused) return fused;
    for (const input of node.inputs) {
      const extended = isOnlyUser(input) ? input.op.extend?.(input, node) : undefined;
      if (extended) return extended;
    }
    return node;
  });
}

/** Replaces nodes by their variants' simpler ops until every node is one dispatch; equal nodes become one. */
export function lower(options: GraphOptions, on: Target): Lowered {
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
