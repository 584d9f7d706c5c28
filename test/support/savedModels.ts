import { createHash } from 'node:crypto';
import type { Detector } from '../../src/detector/detector.ts';
import type { DetectorState } from '../../src/detector/detectorState.ts';
import { packPixels } from '../../src/imaging/pixels.ts';
import { savedImage } from './savedFiles.ts';

const sha256 = (data: ArrayBufferView) =>
  createHash('sha256')
    .update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    .digest('hex');

/**
 * What a model file says, with digests for values: equal only when every bit is. Scores of the calibration, which files of earlier
 * programs do not keep, are left out.
 */
export function describeModel({ networks, quantization = new Map(), calibration: _, ...rest }: DetectorState) {
  const layers = [...quantization].map(([name, { plan, input, weights }]) => {
    const stored = weights && { codes: sha256(weights.codes), scales: sha256(weights.scales) };
    return [name, { plan, input, ...stored }];
  });
  return {
    size: networks.size,
    side: networks.side,
    ...rest,
    parameters: Object.fromEntries(networks.parameters.map(({ name, data }) => [name, sha256(data)])),
    layers: layers.length > 0 ? Object.fromEntries(layers) : undefined,
  };
}

/** The combined map [mapSide, mapSide] of a noise image, layer by layer by the plainest kernels: no choice of variants changes a bit. */
export async function directMap(detector: Detector): Promise<Float32Array> {
  const { combined } = detector.graph(1);
  const plan = await detector.engine.compile({
    outputs: { combined },
    variants: { conv2d: 'direct', qconv2d: 'direct' },
  });
  const { combined: map } = await plan.run({ image: packPixels(savedImage(9)) }, ['combined']);
  plan.destroy();
  return map as Float32Array;
}
