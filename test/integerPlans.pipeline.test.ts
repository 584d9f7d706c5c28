import { test } from 'vitest';
import { Engine } from '../src/engine/engine.ts';
import { WEIGHT_BITS } from '../src/formats/weightCodes.ts';
import { type BitPlan, quantizableLayers, uniformPlan } from '../src/quantization/bitPlan.ts';
import { engine } from './support/gpu.ts';
import { expectPromised } from './support/promised.ts';
import { untrainedDetector } from './support/untrained.ts';

const { device, caps } = await engine();
/** Without the kernel that is compiled longest: padding.test.ts runs it. */
const withoutRows = new Engine({ device, caps, excluded: new Set(['qconv2d/rows']) });
const { networks } = await untrainedDetector();

/** Every width somewhere, a layer in groups, and float layers between. */
function mixedPlan(): BitPlan {
  const plan = uniformPlan(networks, { weights: 8, activations: 8 });
  const layers = [...quantizableLayers(networks).keys()].map((name, i) => {
    const weights = WEIGHT_BITS[i % WEIGHT_BITS.length]!;
    const layer = { ...plan.layers[name]!, weights };
    return [name, name === 'student.conv3' ? { ...layer, granularity: { groupSize: 16 } } : layer] as const;
  });
  const { 'autoencoder.dec3': _, ...rest } = Object.fromEntries(layers);
  return { ...plan, layers: rest };
}

test.each([
  ['w8a8', uniformPlan(networks, { weights: 8, activations: 8 })],
  ['w4a4', uniformPlan(networks, { weights: 4, activations: 4 })],
  ['every width', mixedPlan()],
])('the integer network does what the fake-quantized one promises: %s', (name, plan) =>
  expectPromised(withoutRows, networks, name, plan),
);
