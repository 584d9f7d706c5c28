import { type Kernel, type Node, size } from '../engine/graph.ts';
import { CONVOLUTIONS } from './formulas/convolutions.ts';
import { ELEMENTS } from './formulas/elements.ts';
import { BASE_REGISTERS, type Formula, type Work } from './formulas/formula.ts';
import { QUANTIZED } from './formulas/quantized.ts';
import { WINOGRAD } from './formulas/winograd.ts';

export type { Work } from './formulas/formula.ts';

const FORMULAS: Readonly<Record<string, Formula>> = { ...CONVOLUTIONS, ...WINOGRAD, ...QUANTIZED, ...ELEMENTS };

/** Shaders that have a formula. */
export const COUNTED_SHADERS: readonly string[] = Object.keys(FORMULAS);

const bytesOf = (node: Node) => 4 * size(node.type);

/**
 * Counts of one dispatch by formulas over its kernel's defines, parameters and grid. A kernel without one gets the cost of
 * its op's definition instead. @see Work.from
 */
export function workOf(node: Node, kernel: Kernel): Work {
  const [x, y = 1, z = 1] = kernel.grid;
  const workgroups = x * y * z;
  const get = (name: string): number => Number(kernel.defines?.[name] ?? kernel.params?.[name]?.value);
  const counted = FORMULAS[kernel.shader.name]?.({ node, workgroups, grid: [x, y, z], get });
  const leastBytes = node.inputs.reduce((sum, from) => sum + bytesOf(from), bytesOf(node));
  const common = {
    workgroups,
    leastBytes,
    cacheBytes: leastBytes,
    packedProducts: 0,
    matrixMultiplyAdds: 0,
    matrixValueBytes: 1,
    workgroupReads: 0,
    workgroupWrites: 0,
    workgroupBytes: 0,
    otherInstructions: 0,
    steps: 1,
    registers: BASE_REGISTERS,
    workgroupMemory: 0,
  };
  // A kernel that has changed may lack what its formula reads.
  if (counted && Object.values(counted).every((value) => typeof value !== 'number' || Number.isFinite(value))) {
    return { ...common, multiplyAdds: 0, invocations: 64, loads: 0, stores: 0, ...counted, from: 'formula' };
  }
  const cost = node.op.cost?.(node) ?? { flops: 0, bytes: leastBytes };
  const stores = size(node.type);
  return {
    ...common,
    invocations: 64,
    loads: Math.max(0, cost.bytes / 4 - stores),
    stores,
    multiplyAdds: cost.flops / 2,
    from: 'definition',
  };
}
