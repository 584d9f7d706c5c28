import { describe, expect, test } from 'vitest';
import { input } from '../src/engine/graph.ts';
import { WEIGHT_BITS, type WeightBits } from '../src/formats/weightCodes.ts';
import { allocate } from '../src/hqs/allocate.ts';
import { planTimer, widthLatencies } from '../src/hqs/latencies.ts';
import { roundingErrors } from '../src/hqs/leastError.ts';
import type { Latencies } from '../src/hqs/limits.ts';
import type { LayerScore } from '../src/hqs/scores.ts';
import { allocateByTime, type PlanTimer, type TimeBudget } from '../src/hqs/timeBudget.ts';
import { type Qconv2dNode, qconv2d } from '../src/kernels/qconv2d.ts';
import { quantizedLayerNodes, randomWeights, rangeNode } from '../src/measure/kernels.ts';
import type { BitPlan } from '../src/quantization/bitPlan.ts';
import { quantizableLayers, uniformPlan } from '../src/quantization/bitPlan.ts';
import { engine } from './support/gpu.ts';
import { untrainedDetector } from './support/untrained.ts';

const state = await untrainedDetector();
const { networks } = state;
const names = [...quantizableLayers(networks).keys()];
const errors = roundingErrors(networks);
const scores: LayerScore[] = [0.55, 0.6, 0.8, 0.95].map((score, i) => ({
  layer: `conv${i + 1}`,
  score,
  low: score,
  high: score,
}));
const options = { networks, scores, errors };

/** Wider codes take longer in every layer but the first ones, where 4 bits are the fastest. */
function latencyOf(name: string, bits: WeightBits): number {
  return name.endsWith('conv1') ? 1 + Math.abs(bits - 4) / 8 : 1 + bits / 4;
}

const latencies: Latencies = new Map(
  names.map((name) => [name, new Map(WEIGHT_BITS.map((bits) => [bits, latencyOf(name, bits)]))]),
);
const layersTime = ({ layers }: BitPlan) =>
  Object.entries(layers).reduce((sum, [name, { weights }]) => sum + latencyOf(name, weights as WeightBits), 0);

const FLOAT = 120;

/** A machine on which whole plans take what `whole` makes of their layers, and whose speed drifts. */
function machine(whole: (layers: number) => number): PlanTimer & { readonly timed: BitPlan[] } {
  const timed: BitPlan[] = [];
  return {
    timed,
    latencies: async () => latencies,
    time: async (plan) => {
      timed.push(plan);
      const speed = 1 + timed.length / 10;
      return { milliseconds: speed * whole(layersTime(plan)), floatMilliseconds: speed * FLOAT };
    },
  };
}

const additive = (layers: number) => layers + 10;
const byTime = (budget: TimeBudget, timer = machine(additive)) => allocateByTime(options, budget, timer);
const bitsOf = ({ rows }: { rows: readonly { bits: number }[] }) => rows.map(({ bits }) => bits);

describe('a budget of time', () => {
  test('is a limit of the dynamic program: the least error whose latencies fit', () => {
    const of = (milliseconds: number) => allocate({ ...options, mode: 'budget', limit: { milliseconds, latencies } });
    expect(bitsOf(of(1000)).every((bits) => bits === 8)).toBe(true);
    const tight = of(50);
    expect(layersTime(tight.plan)).toBeLessThanOrEqual(50);
    expect(layersTime(tight.plan)).toBeGreaterThan(49);
    expect(tight.error!).toBeGreaterThan(of(60).error!);
    expect(() => of(20)).toThrow(/cannot be brought under 20.0 ms/);
  });

  test('of milliseconds, of a share, and midway gives plans within it', async () => {
    const fastest = await byTime('fastest');
    expect(fastest.share).toBeLessThanOrEqual(fastest.fastestShare * 1.05);
    expect(bitsOf(fastest)[0]).toBe(4);
    const midway = await byTime('midway');
    expect(midway.allowed).toBeCloseTo((1 + midway.fastestShare) / 2, 6);
    const share = await byTime({ share: 0.5 });
    // Drift of the machine does not count.
    const milliseconds = await byTime({ milliseconds: 0.5 * share.floatMilliseconds });
    expect(milliseconds.plan).toEqual(share.plan);
    for (const each of [fastest, midway, share]) {
      expect(each.share).toBeCloseTo(additive(layersTime(each.plan)) / FLOAT, 6);
      expect(each.share).toBeLessThanOrEqual(each.allowed * 1.05);
    }
    expect(fastest.error ?? Number.POSITIVE_INFINITY).toBeGreaterThan(share.error!);
    expect(share.error!).toBeGreaterThan(midway.error!);
  });

  test('is kept by plans whose layers do not add up: they are timed and corrected', async () => {
    const slower = machine((layers) => 1.2 * layers + 15);
    const { share, allowed, timed } = await byTime({ share: 0.7 }, slower);
    expect(share).toBeLessThanOrEqual(allowed * 1.05);
    expect(share).toBeGreaterThan(allowed * 0.9);
    expect(timed).toBe(slower.timed.length);
    // Layers overlap: what their latencies allow stays far below, wider plans are found.
    const wider = await byTime(
      { share: 0.4 },
      machine((layers) => 0.6 * layers + 15),
    );
    expect(wider.share).toBeLessThanOrEqual(0.4 * 1.05);
    expect(wider.share).toBeGreaterThan(0.4 * 0.95);
  });

  test('that no widths keep is refused, naming the fastest', async () => {
    const timer = machine(additive);
    await expect(byTime({ milliseconds: 12 }, timer)).rejects.toMatchObject({
      message: expect.stringMatching(/no widths bring the networks under 12\.0 ms, 9\.1 % of float's time here/),
      fix: expect.stringMatching(/^The fastest take \d+\.\d ms, \d\d\.\d % of it: conv1 4, conv2 2, .* bits\.$/),
    });
    expect(timer.timed.length).toBe(1);
    await expect(byTime({ share: 0 })).rejects.toThrow(/cannot be kept/);
    await expect(allocateByTime({ ...options, method: 'uniform' }, 'midway', machine(additive))).rejects.toThrow(
      /uniform widths follow no time/,
    );
  });
});

describe('on an adapter', () => {
  test('a convolution has a latency at every width; widths that run the same kernels share it', async () => {
    const gpu = await engine();
    const inRange = rangeNode(1, 128);
    const layer = (channels: number, side: number) =>
      qconv2d(
        {
          x: input('x', [1, channels / 4, 8, 8], 'u32'),
          ...quantizedLayerNodes(randomWeights([channels, channels, side, side], 8)),
          inRange,
        },
        {
          ...{ weights: [channels, channels, side, side], bits: 8, groupSize: channels, input: 'u8', output: 'f32' },
          ...{ stride: 1, padding: 0, relu: false, pool: false },
        },
      ) as Qconv2dNode;
    const small = await widthLatencies(gpu, layer(8, 1));
    expect([...small.keys()]).toEqual([...WEIGHT_BITS]);
    expect([...small.values()].every((time) => time > 0 && Number.isFinite(time))).toBe(true);
    // Decoded by the run's own kernels, and before it.
    expect(new Set(small.values()).size).toBeGreaterThan(1);
    expect(new Set((await widthLatencies(gpu, layer(32, 3))).values()).size).toBe(
      gpu.caps.isCpu ? 1 : WEIGHT_BITS.length,
    );
  });

  test('a plan is timed in turns with float', async () => {
    const timer = planTimer(await engine(), { state });
    const { milliseconds, floatMilliseconds } = await timer.time(uniformPlan(networks, { weights: 4, activations: 8 }));
    expect(milliseconds > 0 && floatMilliseconds > 0).toBe(true);
  });
});
