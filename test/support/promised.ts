import { expect } from 'vitest';
import { renderSpecimen } from '../../src/data/synthetic/generate.ts';
import type { Engine } from '../../src/engine/engine.ts';
import { packPixels } from '../../src/imaging/pixels.ts';
import type { Networks } from '../../src/networks/networks.ts';
import type { BitPlan } from '../../src/quantization/bitPlan.ts';
import { compareNetworks, correlation, rangesOf } from './agreement.ts';

const picture = (side: number, seed: number) => packPixels(renderSpecimen('bracket', 'scratch', seed, side).image);

/** Pictures that ranges are taken from. */
export const calibration = ({ side }: Networks) => [picture(side, 1), picture(side, 2)];

/** Fails unless integer kernels give the codes of fake quantization, but for a few that lie at a rounding's edge. */
export async function expectPromised(engine: Engine, networks: Networks, name: string, plan: BitPlan): Promise<void> {
  const ranges = await rangesOf(engine, networks, calibration(networks), plan);
  const { layers, maps } = await compareNetworks(engine, networks, plan, ranges, [picture(networks.side, 3)]);
  expect(layers.length).toBe(Object.keys(plan.layers).length);
  const total = layers.reduce((sum, { positions }) => sum + positions, 0);
  const sum = (key: 'different' | 'accumulated') => layers.reduce((all, layer) => all + layer[key], 0);
  console.log(
    `${name}: ${sum('different')} of ${total} codes differ layer by layer, ${sum('accumulated')} when differences go on`,
  );
  for (const { layer, positions, different, worst } of layers) {
    expect(worst, layer).toBeLessThanOrEqual(1);
    expect(different / positions, layer).toBeLessThan(1e-3);
  }
  maps.integer.forEach((map, i) => {
    expect(correlation(map, maps.fake[i]!)).toBeGreaterThan(0.9999);
  });
}
