import { expect, test } from 'vitest';
import { benchLayers } from '../src/bench/suites.ts';
import { measurePeaks } from '../src/measure/peak.ts';
import { Networks } from '../src/networks/networks.ts';
import { engine } from './support/gpu.ts';

const gpu = await engine();

test('peaks are measured for everything that the adapter has', async () => {
  const measured = await measurePeaks(gpu);
  const { memory, f16GFlops, dot4I8GOps, ...rest } = measured;
  for (const [name, value] of Object.entries(rest)) expect(value, name).toBeGreaterThan(0);
  expect(f16GFlops > 0).toBe(gpu.caps.f16);
  if (gpu.caps.packedDot) expect(dot4I8GOps).toBeGreaterThan(0);
  expect(memory.length).toBeGreaterThan(1);
  for (const [i, { bytes, GBs }] of memory.entries()) {
    expect(GBs).toBeGreaterThan(0);
    expect(bytes).toBeGreaterThan(memory[i - 1]?.bytes ?? 0);
  }
});

test('lines of a suite carry what was executed and the memory that it took', async () => {
  const networks = new Networks('xs', 128);
  const options = { rounds: 1, warmUp: 0 };
  const wanted = (name: string) => name === 'direct' || name === 'winograd4';
  const results = await benchLayers(gpu, networks, 1, options, wanted);
  const share = ({ work, flops }: (typeof results)[number]) => work.executed / flops;
  const of = (variant: string) => results.filter(({ name }) => name.endsWith(variant));
  expect(of('direct').length).toBeGreaterThan(2);
  // A pool that direct kernels run by themselves comes on top.
  for (const result of of('direct')) expect(share(result), result.name).toBeCloseTo(1, 1);
  expect(Math.min(...of('winograd4').map(share))).toBeLessThan(0.6);
  for (const { memoryBytes, deviceMs, median } of results) {
    expect(memoryBytes).toBeGreaterThan(0);
    expect(deviceMs).toBe(median);
  }
});
