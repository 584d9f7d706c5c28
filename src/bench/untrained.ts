import { Detector, type DetectorOptions } from '../detector/detector.ts';
import type { DetectorState } from '../detector/detectorState.ts';
import type { Engine } from '../engine/engine.ts';
import type { Networks } from '../networks/networks.ts';
import { type LayerPlan, quantizableLayers, uniformPlan } from '../quantization/bitPlan.ts';
import { type Quantization, quantizeNetworks } from '../quantization/layers.ts';

/** A detector that has learned nothing: its kernels, and their speed, are those of a trained one. */
export function untrainedDetector(
  engine: Engine,
  networks: Networks,
  { quantization, ...options }: DetectorOptions & { readonly quantization?: Quantization | undefined } = {},
): Detector {
  const state: DetectorState = {
    networks,
    quantization,
    quantiles: { studentTeacher: [0, 1], autoencoder: [0, 1] },
    placement: 'exact',
    provenance: {
      dataset: '',
      seed: 0,
      iterations: 0,
      batch: 1,
      learningRate: 0,
      teacher: '',
      penalty: '',
      trainImages: 0,
      heldOutImages: 0,
    },
  };
  return new Detector(engine, state, options);
}

/** The same with all layers quantized alike, and any ranges. */
export function untrainedQuantized(
  engine: Engine,
  networks: Networks,
  layer: Pick<LayerPlan, 'weights' | 'activations'>,
): Detector {
  const ranges = [...quantizableLayers(networks).keys()].map((name) => [name, { scale: 1, zeroPoint: 0 }] as const);
  const quantized = quantizeNetworks(networks, uniformPlan(networks, layer), new Map(ranges));
  return untrainedDetector(engine, quantized.networks, { quantization: quantized.quantization });
}
