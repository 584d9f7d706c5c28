import { type Node, topologicalOrder } from './graph.ts';

/** Work of a graph as defined, whatever kernels compute it: floating-point operations, multiply-adds as two, and bytes. */
export function graphCost(roots: readonly Node[]): { readonly flops: number; readonly bytes: number } {
  let flops = 0;
  let bytes = 0;
  for (const node of topologicalOrder(roots)) {
    const cost = node.op.cost?.(node);
    flops += cost?.flops ?? 0;
    bytes += cost?.bytes ?? 0;
  }
  return { flops, bytes };
}
