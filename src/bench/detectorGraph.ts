import { type Node, Parameter } from '../engine/graph.ts';
import type { WeightBits } from '../formats/weightCodes.ts';
import { anomalyMaps, fusedAnomalyMaps, inferenceGraph } from '../networks/inference.ts';
import { Networks } from '../networks/networks.ts';
import type { PdnSize } from '../networks/pdn.ts';
import { quantizableLayers, uniformPlan } from '../quantization/bitPlan.ts';
import { integerGraph } from '../quantization/integerGraph.ts';
import { quantizeNetworks } from '../quantization/layers.ts';

/** Which detector, as far as its kernels depend on it. */
export interface DetectorShape {
  readonly size: PdnSize;
  /** Input side in pixels. */
  readonly side: number;
  /** Width of all weights, with 8-bit activations; float when absent. */
  readonly bits?: WeightBits | undefined;
}

/**
 * The graphs that a detector runs, from pixels to the combined map, by batch size: without a device and without learning.
 * @param bindable bytes that the device can bind at once
 * @throws UserError for an unusable side
 */
export function detectorGraphs({ size, side, bits }: DetectorShape): (batch: number, bindable: number) => Node {
  const type = { shape: [4], dtype: 'f32' } as const;
  const quantiles = new Parameter('map.quantiles', type, Float32Array.of(0, 1, 0, 1)).node;
  const networks = new Networks(size, side);
  if (bits === undefined) {
    return (batch, bindable) =>
      inferenceGraph(networks, quantiles, batch, { bindable, maps: fusedAnomalyMaps }).combined;
  }
  const ranges = [...quantizableLayers(networks).keys()].map((name) => [name, { scale: 1, zeroPoint: 0 }] as const);
  const plan = uniformPlan(networks, { weights: bits, activations: 8 });
  const quantized = quantizeNetworks(networks, plan, new Map(ranges));
  const cache = new Map<string, Parameter>();
  const rewrite = (roots: readonly Node[]) => integerGraph(roots, quantized.quantization, cache);
  return (batch, bindable) =>
    inferenceGraph(quantized.networks, quantiles, batch, { bindable, maps: anomalyMaps, rewrite }).combined;
}
