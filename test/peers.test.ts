import { expect, test } from 'vitest';
import { comparePeers, type PeerRow } from '../bench/peers/compare.ts';
import { type PeerMaker, worstDifference } from '../bench/peers/peer.ts';

const peer = (name: string, values: number[], tolerance?: number): PeerMaker => ({
  name,
  open: async () => ({
    name,
    run: async () => Float32Array.from(values),
    versions: { [name]: '1' },
    ...(tolerance && { tolerance }),
  }),
});
const failing = (name: string, error: Error): PeerMaker => ({ name, open: () => Promise.reject(error) });

test('a peer that fails or computes something else is a row with its error, and the others are timed', async () => {
  const reports: (readonly PeerRow[])[] = [];
  let versions: Readonly<Record<string, string>> = {};
  const rows = await comparePeers(
    [
      failing('absent', new Error('no such package\nat some place')),
      peer('first', [1, 2]),
      peer('equal', [1, 2]),
      peer('coarse', [1, 2.1], 0.1),
      peer('other', [1, 3]),
      peer('none', [Number.NaN, 2]),
      peer('short', [1]),
    ],
    {
      rounds: 3,
      seconds: 60,
      batch: 4,
      warmUp: 0,
      onProgress: (list, found) => {
        reports.push(list);
        versions = found;
      },
    },
  );
  const by = Object.fromEntries(rows.map((row) => [row.name, row]));
  expect(by['absent']).toEqual({ name: 'absent', runs: 0, error: 'no such package' });
  for (const name of ['first', 'equal', 'coarse']) {
    expect(by[name]).toMatchObject({ runs: 3 });
    expect(by[name]?.error).toBeUndefined();
    expect(by[name]!.imagesPerSecond).toBeCloseTo(4000 / by[name]!.median!, 5);
    expect(by[name]!.p5!).toBeLessThanOrEqual(by[name]!.p95!);
  }
  expect(by['first']!.difference).toBe(0);
  expect(by['coarse']!.difference).toBeCloseTo(0.05, 5);
  expect(by['other']).toMatchObject({ runs: 3, difference: 0.5 });
  expect(by['other']!.error).toMatch(/^differs by 5.0e-1/);
  expect(by['none']!.error).toMatch(/differs by/);
  expect(by['none']!.difference).toBeUndefined();
  expect(by['short']!.error).toBe('1 values, expected 2');
  expect(versions).toMatchObject({ first: '1', equal: '1' });
  // What ends the process while the third peer is opened leaves the times of the first ones.
  const before = reports.find((list) => list[2]!.error === 'ended the process when it was opened')!;
  expect(before[1]!.median).toBeGreaterThanOrEqual(0);
  expect(before[3]!.error).toBe('was not reached');
});

test('no difference between equal values, also where all are zero', () => {
  expect(worstDifference(new Float32Array(2), new Float32Array(2))).toBe(0);
  expect(worstDifference(Float32Array.of(1, -4), Float32Array.of(1, -2))).toBe(1);
});
