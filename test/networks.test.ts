import { describe, expect, test } from 'vitest';
import { input, type Node, topologicalOrder } from '../src/engine/graph.ts';
import { UserError } from '../src/errors.ts';
import { Networks, parameterCount } from '../src/networks/networks.ts';
import { pdnOutputSide } from '../src/networks/pdn.ts';

/** Multiply-adds of a graph's convolutions. */
function macs(output: Node): number {
  const convolutions = topologicalOrder([output]).filter(({ op }) => op.name === 'conv2d');
  return convolutions.reduce((sum, node) => sum + node.op.cost!(node).flops / 2, 0);
}

const image = (side: number) => input('x', [1, 3, side, side]);

describe('sizes of the published networks at 256 px', () => {
  const s = new Networks('s', 256);

  test.each([
    ['teacher', s.teacher, 15.31, 2.694],
    ['student', s.student, 20.24, 4.267],
    ['autoencoder', s.autoencoder, 2.39, 1.096],
  ] as const)('PDN-S %s', (_, network, gigaMacs, megaParameters) => {
    expect(macs(network.forward(image(256))) / 1e9).toBeCloseTo(gigaMacs, 2);
    expect(parameterCount(network.parameters) / 1e6).toBeCloseTo(megaParameters, 3);
  });

  test('PDN-S detector', () => {
    const networks = [s.teacher, s.student, s.autoencoder];
    const total = networks.reduce((sum, network) => sum + macs(network.forward(image(256))), 0);
    expect(total / 1e9).toBeCloseTo(37.95, 2);
    expect(parameterCount(networks.flatMap((network) => network.parameters)) / 1e6).toBeCloseTo(8.06, 2);
  });

  test('PDN-M detector', () => {
    const m = new Networks('m', 256);
    const networks = [m.teacher, m.student, m.autoencoder];
    const total = networks.reduce((sum, network) => sum + 2 * macs(network.forward(image(256))), 0);
    expect(total / 1e9).toBeCloseTo(235.4, 1);
    expect(parameterCount(networks.flatMap((network) => network.parameters)) / 1e6).toBeCloseTo(20.74, 2);
  });

  test('PDN-XS teacher', () => {
    expect(macs(new Networks('xs', 256).teacher.forward(image(256))) / 1e9).toBeCloseTo(1.13, 2);
  });
});

describe('input sides', () => {
  test.each([128, 192, 256, 320, 512])('%i px: the autoencoder ends on the grid of the PDN', (side) => {
    const { teacher, autoencoder, mapSide } = new Networks('xs', side);
    expect(mapSide).toBe(pdnOutputSide(side));
    expect(teacher.forward(image(side)).type.shape).toEqual([1, 128, mapSide, mapSide]);
    expect(autoencoder.forward(image(side)).type.shape).toEqual([1, 128, mapSide, mapSide]);
  });

  test.each([0, 64, 100, 130, 128.5, Number.NaN])('%s px is refused', (side) => {
    expect(() => new Networks('xs', side)).toThrow(UserError);
  });
});
