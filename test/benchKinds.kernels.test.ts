import { expect, test } from 'vitest';
import { Engine } from '../src/engine/engine.ts';
import { conv2dOp } from '../src/kernels/conv2d.ts';
import { qconv2dOp } from '../src/kernels/qconv2d.ts';
import { isCodes } from '../src/kernels/storage.ts';
import { benchKernel, type KernelBenchOptions } from '../src/measure/kernels.ts';
import { engine } from './support/gpu.ts';

const gpu = await engine();
const options: KernelBenchOptions = {
  kernels: ['conv2d', 'qconv2d'],
  shapes: [{ input: [2, 7, 9, 11], kernel: [10, 3, 3], stride: 1, padding: 1 }],
  bits: [3],
  activations: ['u8', 'u4', 'f16', 'f32'],
  rounds: 2,
  warmUp: 0,
};

/** One step of a half float at most, and what Winograd's method loses. */
const TOLERANCE = { u8: 0, u4: 0, f16: 2 ** -10, f32: 5e-5 } as const;
/** One code of the largest distance from the zero point, where codes are computed in floats. */
const ONE_CODE = { u8: 1 / 128, u4: 1 / 7 } as const;

/** All but one of each kind of variant, by tile or block: a CPU adapter compiles each for seconds. */
const OTHERS = /^(tile(32x64|64|128)|split32|words(16|32|64)|winograd[23])/;
const OTHER_TILES = [conv2dOp, qconv2dOp].flatMap(({ name: op, variants }) =>
  variants.flatMap(({ name }) => (OTHERS.test(name) ? [`${op}/${name}`] : [])),
);

test('all kinds that are supported, each with its error against the reference', async () => {
  const { device, caps } = gpu;
  const own = new Engine({ device, caps, excluded: new Set(caps.isCpu ? OTHER_TILES : []) });
  const results = await benchKernel(own, options);
  for (const { kernel, bits, activations, variant, error, isExact, ...result } of results) {
    const name = `${kernel} w${bits} ${activations} ${variant}`;
    const isRounded = isCodes(activations) && variant.endsWith('Floats');
    expect(error, name).toBeLessThanOrEqual(isRounded ? ONE_CODE[activations] : TOLERANCE[activations]);
    if (!isRounded) expect(isExact, name).toBe(isCodes(activations) ? true : undefined);
    expect(result.checkedChannels).toBe(10);
    expect(result.flops).toBe(2 * 2 * 10 * 9 * 11 * 7 * 9);
    expect(result.runs).toBe(2);
    expect(result.median).toBeGreaterThan(0);
  }
  const rows = (kernel: string) => results.filter((result) => result.kernel === kernel);
  expect(rows('conv2d').length).toBeGreaterThan(1);
  for (const variant of new Set(rows('qconv2d').map((row) => row.variant))) {
    const stored = rows('qconv2d').filter((row) => row.variant === variant);
    // Products of packed words and of pairs need codes.
    const ofCodes = variant.startsWith('words') ? ['u8'] : ['u8', 'u4'];
    const expected = /^words|Integers$/.test(variant) ? ofCodes : options.activations;
    expect(
      stored.map((row) => row.activations),
      variant,
    ).toEqual(expected);
  }
});
