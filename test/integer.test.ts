import { describe, expect, test } from 'vitest';
import { Engine } from '../src/engine/engine.ts';
import { input, type Node } from '../src/engine/graph.ts';
import { lower } from '../src/engine/lower.ts';
import { qconv2d } from '../src/kernels/qconv2d.ts';
import { storeActivations } from '../src/kernels/storage.ts';
import { quantizedLayerNodes, randomWeights, rangeNode as range } from '../src/measure/kernels.ts';
import { anomalyMaps } from '../src/networks/inference.ts';
import { type BitPlan, CODE_BITS, uniformPlan } from '../src/quantization/bitPlan.ts';
import { integerGraph } from '../src/quantization/integerGraph.ts';
import { quantizeNetworks } from '../src/quantization/layers.ts';
import { rangesOf } from './support/agreement.ts';
import { engine, device as openedDevice } from './support/gpu.ts';
import { calibration, expectPromised } from './support/promised.ts';
import { untrainedDetector } from './support/untrained.ts';

const gpu = await engine();
const { networks } = await untrainedDetector();

/** Activations of 4, 6 and 8 bits in turn, so that layers which read the same values may read them by other codes. */
function mixedActivations(): BitPlan {
  const plan = uniformPlan(networks, { weights: 8, activations: 8 });
  const layers = Object.entries(plan.layers).map(([name, layer], i) => {
    return [name, { ...layer, activations: CODE_BITS[i % CODE_BITS.length]! }] as const;
  });
  return { ...plan, layers: Object.fromEntries(layers) };
}

/** Without the kernel that is compiled longest, for every width and layer anew: tiledMaps.pipeline.test.ts and padding.test.ts run it. */
const { device, caps } = gpu;
const withoutRows = new Engine({ device, caps, excluded: new Set(['qconv2d/rows']) });

describe('the integer network does what the fake-quantized one promises', () => {
  // integerPlans.pipeline.test.ts has other plans.
  test('mixed activations', () => expectPromised(withoutRows, networks, 'mixed activations', mixedActivations()));

  test.each([8, 4] as const)(
    'activations stay codes of %i bits between layers, and first layers share their input',
    async (activations) => {
      const plan = uniformPlan(networks, { weights: 4, activations });
      const dispatches = await dispatchesOf(plan);
      const stores = dispatches.filter(({ op }) => op.name === 'storeActivations');
      // The image, the autoencoder's seven resized maps: everything else is stored by the convolution that computes it.
      expect(stores.map(({ label }) => label).sort()).toEqual(
        ['teacher.conv1', ...[1, 2, 3, 4, 5, 6, 7].map((i) => `autoencoder.dec${i}`)].map((n) => `${n}.input`).sort(),
      );
      expect(dispatches.some(({ op }) => op.name === 'avgPool2d')).toBe(false);
    },
  );
});

/** What is dispatched for the integer network of a plan. */
async function dispatchesOf(plan: BitPlan): Promise<Node[]> {
  const ranges = await rangesOf(gpu, networks, calibration(networks), plan);
  const { networks: quantized, quantization } = quantizeNetworks(networks, plan, ranges);
  const maps = anomalyMaps(quantized, input('q', [4]), input('x', [1, 3, networks.side, networks.side]));
  const [combined] = integerGraph([maps.combined], quantization);
  // A kernel that pools by itself, whatever the adapter.
  const { kernels } = lower({ outputs: { combined: combined! }, variants: { qconv2d: ['rows', 'tile'] } }, gpu);
  return [...kernels.keys()];
}

test('the GPU kernel gives the same with dot4I8Packed and without', async () => {
  const shape = [9, 12, 3, 3];
  const weights = randomWeights(shape, 5);
  const inRange = range(1, 100);
  const x = input('x', [1, 12, 7, 8]);
  const attrs = { weights: shape, bits: 5, groupSize: 12, stride: 1, padding: 1, relu: false, pool: false } as const;
  const y = qconv2d(
    { x: storeActivations(x, 'u8', inRange), ...quantizedLayerNodes(weights), inRange },
    { ...attrs, input: 'u8', output: 'f32' },
  );
  const data = { x: Float32Array.from({ length: 12 * 56 }, (_, i) => ((i * 37) % 256) - 100) };
  const results = await Promise.all(
    [true, false].map(async (packedDot) => {
      const { device } = await openedDevice();
      const masked = new Engine({ device, caps: { ...gpu.caps, packedDot } });
      const plan = await masked.compile({ outputs: { y }, variants: { qconv2d: 'tile' } });
      return plan.run(data, ['y']);
    }),
  );
  expect(results[0]).toEqual(results[1]);
});
