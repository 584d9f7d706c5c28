import type { Detector } from '../detector/detector.ts';
import { layerBytes, quantizableLayers } from '../quantization/bitPlan.ts';

/** Width of every layer's weights; 32 where they are float. */
export function widths({ state }: Detector): Record<string, number> {
  return Object.fromEntries(
    [...quantizableLayers(state.networks).keys()].map((name) => [
      name,
      state.quantization?.get(name)?.plan.weights ?? 32,
    ]),
  );
}

/** Bytes of all weights and scales as stored, and the mean width of a weight. */
export function weightSize({ state }: Detector): { weightBytes: number; averageBits: number } {
  let weightBytes = 0;
  let bits = 0;
  let count = 0;
  for (const [name, { weight }] of quantizableLayers(state.networks)) {
    const layer = state.quantization?.get(name)?.plan;
    weightBytes += layer ? layerBytes(weight.type.shape, layer) : 4 * weight.data.length;
    bits += (layer?.weights ?? 32) * weight.data.length;
    count += weight.data.length;
  }
  return { weightBytes, averageBits: bits / count };
}
