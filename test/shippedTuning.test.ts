import { expect, test } from 'vitest';
import { untrainedDetector, untrainedQuantized } from '../src/bench/untrained.ts';
import type { Detector } from '../src/detector/detector.ts';
import { maskCaps } from '../src/engine/adapter.ts';
import type { Caps } from '../src/engine/caps.ts';
import { input, isInput, type Node, parameterOf, topologicalOrder } from '../src/engine/graph.ts';
import { fuse } from '../src/engine/lower.ts';
import { tuningKey } from '../src/engine/tuning.ts';
import { supportedVariants } from '../src/engine/variants.ts';
import { WEIGHT_BITS, type WeightBits } from '../src/formats/weightCodes.ts';
import { Networks } from '../src/networks/networks.ts';
import { PRESETS, trainingGraph } from '../src/train/fit.ts';
import lavapipe from '../src/tuning/lavapipe.json' with { type: 'json' };
import swiftshader from '../src/tuning/swiftshader.json' with { type: 'json' };
import { engine } from './support/gpu.ts';

const gpu = await engine();

/** Adds the keys of the nodes of a graph and of everything that their variants lower them to. */
function collect(roots: readonly Node[], caps: Caps, keys: Set<string>): void {
  for (const node of topologicalOrder(roots)) {
    if (isInput(node) || parameterOf(node) || node.op.updates) continue;
    const key = tuningKey(node);
    if (keys.has(key)) continue;
    keys.add(key);
    for (const { lower } of supportedVariants(node, { caps })) {
      const lowered = lower?.(node, caps);
      if (lowered) collect([lowered], caps, keys);
    }
  }
}

/** The graphs that are tuned: detectors, teacher and training step. @see `raad tune` */
function graphsOf(size: 'xs' | 's', side: number, batches: readonly number[], widths: readonly WeightBits[]): Node[][] {
  const networks = new Networks(size, side);
  const float = untrainedDetector(gpu, networks);
  const quantized = widths.map((weights) => untrainedQuantized(gpu, networks, { weights, activations: 8 }));
  const maps = (detector: Detector, batch: number) => {
    const { studentTeacher, autoencoder, combined } = detector.fusedGraph(batch);
    return [studentTeacher, autoencoder, combined];
  };
  const graphs = batches.flatMap((batch) => {
    const { training, lossNodes } = trainingGraph(networks, { ...PRESETS.quick, batch });
    return [
      maps(float, batch),
      [networks.teacher.forward(input('x', [batch, 3, side, side]))],
      [...lossNodes, ...training.gradients.values()],
    ];
  });
  graphs.push(...quantized.map((detector) => maps(detector, 1)));
  for (const detector of [float, ...quantized]) detector.destroy();
  return graphs.map(fuse);
}

const graphs = [
  ...graphsOf('xs', 128, [1, 2, 4, 8, 16, 32], WEIGHT_BITS),
  ...graphsOf('xs', 256, [1], []),
  ...graphsOf('s', 128, [1], []),
  ...graphsOf('s', 256, [1, 4], [4, 8]),
];

// A key is op, shapes and attributes as JSON: an attribute that is renamed would switch its choices off without a word.
for (const [adapter, table, subgroup] of [
  ['lavapipe', lavapipe, 8],
  ['SwiftShader', swiftshader, 4],
] as const) {
  test(`every shipped choice for ${adapter} belongs to a node of the graphs that are tuned`, () => {
    const lanes = { subgroupMinSize: subgroup, subgroupMaxSize: subgroup };
    const caps = maskCaps(gpu.caps, { subgroups: true, ...lanes, isCpu: true });
    const keys = new Set<string>();
    for (const roots of graphs) collect(roots, caps, keys);
    const choices = Object.keys(table.choices);
    expect(choices.length).toBeGreaterThan(50);
    expect(choices.filter((key) => !keys.has(key))).toEqual([]);
  });
}
