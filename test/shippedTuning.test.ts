import { expect, test } from 'vitest';
import { untrainedQuantised } from '../src/bench/untrained.ts';
import { maskCaps } from '../src/engine/adapter.ts';
import { type Node, topologicalOrder } from '../src/engine/graph.ts';
import { fuse } from '../src/engine/plan.ts';
import { tuningKey } from '../src/engine/tuning.ts';
import { supportedVariants } from '../src/engine/variants.ts';
import { Networks } from '../src/model/networks.ts';
import { WEIGHT_BITS, type WeightBits } from '../src/quantisation/weights.ts';
import lavapipe from '../src/tuning/lavapipe.json' with { type: 'json' };
import { engine } from './gpu.ts';

const gpu = await engine();
/** As where the table was measured, whatever the adapter. */
const caps = maskCaps(gpu.caps, { subgroups: true, subgroupMinSize: 8, subgroupMaxSize: 8, isCpu: true });
const isQuantised = (node: Node) => node.op.name === 'qconv2d';

/** A node, and the quantised convolutions that its variants lower it to. */
function withParts(node: Node): Node[] {
  const lowered = supportedVariants(node, { caps }).flatMap((variant) => variant.lower?.(node, caps) ?? []);
  return [node, ...topologicalOrder(lowered).filter(isQuantised)];
}

function keysOf(size: 'xs' | 's', side: number, weights: WeightBits): string[] {
  const detector = untrainedQuantised(gpu, new Networks(size, side), { weights, activations: 8 });
  const nodes = topologicalOrder(fuse([detector.fusedGraph(1).combined])).filter(isQuantised);
  detector.destroy();
  return nodes.flatMap(withParts).map((node) => tuningKey(node));
}

test('every shipped choice for a quantised convolution belongs to a node of a detector', () => {
  const keys = new Set([
    ...WEIGHT_BITS.flatMap((bits) => keysOf('xs', 128, bits)),
    ...([4, 8] as const).flatMap((bits) => keysOf('s', 256, bits)),
  ]);
  const choices = Object.keys(lavapipe.choices).filter((key) => key.startsWith('qconv2d '));
  expect(choices).toHaveLength(17);
  expect(choices.filter((key) => !keys.has(key))).toEqual([]);
});
