import { bufferLimits } from './compile.ts';
import type { Engine } from './engine.ts';
import { isRefusal } from './errors.ts';
import { isInput, type Node, parameterOf, topologicalOrder } from './graph.ts';
import { layOut } from './layout.ts';
import { fuse, type GraphOptions, lower } from './lower.ts';
import { Tuning } from './tuning.ts';
import { choicePrecision, isMadeFor, type Precision, supportedVariants, type VariantTarget } from './variants.ts';

/**
 * Bytes that a graph takes on a device: parameters, what is made of them once, such as transformed weights, and values of a run.
 * Nothing is compiled.
 * @throws ShapeError, OutOfMemoryError where the graph cannot be laid out
 */
export function deviceBytes(options: GraphOptions, engine: Engine): number {
  const { places, slabBytes } = layOut(lower(options, engine), bufferLimits(engine));
  let total = slabBytes.reduce((sum, bytes) => sum + bytes, 0);
  for (const { storage, bytes } of places.values()) {
    if (storage.kind === 'kept' || storage.kind === 'parameter') total += bytes;
  }
  return total;
}

/** The same, infinitely many where the device would not hold it. */
export function bytesIfHeld(options: GraphOptions, engine: Engine): number {
  try {
    return deviceBytes(options, engine);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    return Number.POSITIVE_INFINITY;
  }
}

/** The variants of a node that a tuner compares: those that are made for the adapter, if any are. */
export function candidatesOf(node: Node, target: VariantTarget) {
  const supported = supportedVariants(node, target);
  const made = supported.filter((variant) => isMadeFor(variant, target.caps));
  return made.length > 0 ? made : supported;
}

/**
 * The choices with which every op of a graph takes the fewest bytes by itself; among equals the first in order of preference.
 * @param standalone a node over inputs of its own
 */
export function leastMemory(
  engine: Engine,
  graph: Pick<GraphOptions, 'outputs' | 'effects'>,
  precision: Precision,
  standalone: (node: Node) => Node,
): Tuning {
  const tuning = new Tuning('');
  const target = { ...engine, caps: engine.caps, precision };
  const choose = (original: Node): void => {
    if (isInput(original) || parameterOf(original) || original.op.updates) return;
    const kept = choicePrecision(original, target);
    const variants = candidatesOf(original, target);
    if (variants.length < 2 || tuning.get(original, kept)) return;
    const node = standalone(original);
    for (const { lower: rewrite } of variants) {
      const lowered = rewrite?.(node, engine.caps);
      if (lowered) for (const inner of topologicalOrder([lowered])) if (inner !== node) choose(inner);
    }
    const sizes = variants.map(({ name }) => ({
      name,
      bytes: bytesIfHeld({ outputs: { y: node }, variants: { [node.op.name]: name }, tuning, precision }, engine),
    }));
    tuning.set(original, sizes.reduce((a, b) => (b.bytes < a.bytes ? b : a)).name, kept);
  };
  for (const node of topologicalOrder(fuse([...Object.values(graph.outputs), ...(graph.effects ?? [])]))) choose(node);
  return tuning;
}
