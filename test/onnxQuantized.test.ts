import { expect, test } from 'vitest';
import { renderSpecimen } from '../src/data/synthetic/generate.ts';
import { WEIGHT_BITS } from '../src/formats/weightCodes.ts';
import { packPixels } from '../src/imaging/pixels.ts';
import { exportDetector } from '../src/onnx/detector.ts';
import { type BitPlan, quantizableLayers, uniformPlan } from '../src/quantization/bitPlan.ts';
import { quantizeNetworks } from '../src/quantization/layers.ts';
import { rangesOf } from './support/agreement.ts';
import { engine } from './support/gpu.ts';
import { compareWithOnnx } from './support/onnxAgreement.ts';
import { untrainedDetector } from './support/untrained.ts';

const gpu = await engine();
const state = await untrainedDetector();
const { networks } = state;
const picture = (seed: number) => renderSpecimen('bracket', 'scratch', seed, networks.side).image;

function planar(seed: number): Float32Array {
  const { data } = picture(seed);
  const plane = networks.side ** 2;
  return Float32Array.from({ length: 3 * plane }, (_, i) => data[(i % plane) * 3 + Math.floor(i / plane)]! / 255);
}

/** Every width, a layer in groups, a dynamic range, half and single floats. */
function mixedPlan(): BitPlan {
  const plan = uniformPlan(networks, { weights: 8, activations: 8 });
  const change: Record<string, object> = {
    'student.conv3': { granularity: { groupSize: 16 } },
    'student.conv2': { range: 'dynamic' },
    'autoencoder.dec7': { activations: 16 },
    'autoencoder.enc2': { activations: 32 },
    'student.conv4': { activations: 4 },
    'teacher.conv3': { activations: 6 },
    'autoencoder.dec8': { weights: 16 },
  };
  const layers = [...quantizableLayers(networks).keys()].map((name, i) => {
    const weights = WEIGHT_BITS[i % WEIGHT_BITS.length]!;
    return [name, { ...plan.layers[name]!, weights, ...change[name] }] as const;
  });
  const { 'autoencoder.dec3': _, ...rest } = Object.fromEntries(layers);
  return { ...plan, layers: rest };
}

for (const [name, plan] of [
  ['w8a8', uniformPlan(networks, { weights: 8, activations: 8 })],
  ['w4a4', uniformPlan(networks, { weights: 4, activations: 4 })],
  ['a mixed plan', mixedPlan()],
] as const) {
  test(`onnxruntime runs ${name} as QDQ and agrees`, async () => {
    const ranges = await rangesOf(gpu, networks, [packPixels(picture(1))], plan);
    const quantized = { ...state, ...quantizeNetworks(networks, plan, ranges) };
    const { layers, correlation } = await compareWithOnnx(gpu, quantized, [planar(3)]);
    expect(layers.size).toBeGreaterThanOrEqual(15);
    for (const [layer, { different, worst, positions }] of layers) {
      expect(worst, layer).toBeLessThanOrEqual(1);
      // Behind the bottleneck of an untrained autoencoder, which amplifies single steps, only the size of a difference counts.
      if (!layer.startsWith('autoencoder')) expect(different / positions, layer).toBeLessThan(1e-3);
    }
    expect(correlation).toBeGreaterThan(0.999);
  });
}

test('ranges of 4 bits from each input have no operator, and are refused', () => {
  const plan = uniformPlan(networks, { weights: 8, activations: 4, range: 'dynamic' });
  expect(() => exportDetector({ ...state, ...quantizeNetworks(networks, plan, new Map()) })).toThrow(
    'no operator takes ranges of 4 bits from each input',
  );
});
