import { InferenceSession, Tensor } from 'onnxruntime-node';
import { mapQuantilesParameter } from '../../src/detector/detector.ts';
import type { DetectorState } from '../../src/detector/detectorState.ts';
import type { Engine } from '../../src/engine/engine.ts';
import { input, type Node, Parameter, topologicalOrder } from '../../src/engine/graph.ts';
import { IMAGE_MEAN, IMAGE_STD } from '../../src/kernels/image.ts';
import { standardize } from '../../src/kernels/standardize.ts';
import { isCodes, loadActivations, rangeOf, storeOp } from '../../src/kernels/storage.ts';
import { anomalyMaps } from '../../src/networks/inference.ts';
import { exportDetector } from '../../src/onnx/detector.ts';
import { integerGraph } from '../../src/quantization/integerGraph.ts';
import { correlation } from './agreement.ts';

/** A quantized detector here and, exported, in onnxruntime on the CPU, over some images. */
export interface OnnxAgreement {
  /** By layer: shares of input codes that differ at all, the largest difference, and positions seen. */
  readonly layers: ReadonlyMap<string, { different: number; worst: number; positions: number }>;
  /** Smallest correlation of the combined maps. */
  readonly correlation: number;
}

/** @param images RGB [3, side, side] in 0..1 */
export async function compareWithOnnx(
  engine: Engine,
  state: DetectorState,
  images: readonly Float32Array[],
): Promise<OnnxAgreement> {
  const { networks, quantiles, quantization } = state;
  const shape = [1, 3, networks.side, networks.side];
  const perChannel = (name: string, values: readonly number[]) =>
    new Parameter(name, { shape: [values.length], dtype: 'f32' }, Float32Array.from(values)).node;
  const image = input('image', shape);
  const x = standardize(image, perChannel('mean', IMAGE_MEAN), perChannel('std', IMAGE_STD));
  const maps = anomalyMaps(networks, mapQuantilesParameter(quantiles).node, x);
  const [combined] = integerGraph([maps.combined], quantization ?? new Map());
  // As numbers: value = code.
  const identity = perChannel('identity', [...rangeOf(1, 0)]);
  const outputs: Record<string, Node> = { map: combined! };
  for (const node of topologicalOrder([combined!])) {
    if (node.op !== storeOp || !isCodes(node.attrs.storage)) continue;
    const channels = node.inputs[0]!.type.shape[1]!;
    outputs[node.label.replace(/\.input$/, '.codes')] = loadActivations(node, channels, node.attrs.storage, identity);
  }
  const plan = await engine.compile({ outputs });
  const session = await InferenceSession.create(exportDetector(state, 1, true), {
    executionProviders: ['cpu'],
    graphOptimizationLevel: 'disabled',
  });
  const layers = new Map<string, { different: number; worst: number; positions: number }>();
  let least = 1;
  for (const data of images) {
    const theirs = await session.run({ image: new Tensor('float32', data, shape) });
    const ours = await plan.run({ image: data }, Object.keys(outputs));
    least = Math.min(least, correlation(ours['map'] as Float32Array, theirs['map']!.data as Float32Array));
    for (const name of Object.keys(outputs)) {
      const expected = theirs[name]?.data as Float32Array | undefined;
      if (name === 'map' || !expected) continue;
      const layer = layers.get(name) ?? { different: 0, worst: 0, positions: 0 };
      layers.set(name, layer);
      layer.positions += expected.length;
      expected.forEach((code, i) => {
        const difference = Math.abs(code - ours[name]![i]!);
        if (difference > 0) layer.different++;
        layer.worst = Math.max(layer.worst, difference);
      });
    }
  }
  plan.destroy();
  await session.release();
  return { layers, correlation: least };
}
