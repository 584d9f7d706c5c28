import { test } from 'vitest';
import { Engine } from '../src/engine/engine.ts';
import { uniformPlan } from '../src/quantization/bitPlan.ts';
import { engine } from './support/gpu.ts';
import { expectPromised } from './support/promised.ts';
import { untrainedDetector } from './support/untrained.ts';

const { device, caps } = await engine();
/** Without the kernel that is compiled longest: padding.test.ts runs it. */
const withoutRows = new Engine({ device, caps, excluded: new Set(['qconv2d/rows']) });
const { networks } = await untrainedDetector();

test.each([
  ['w8a8', 8],
  ['w4a4', 4],
] as const)('the integer network does what the fake-quantized one promises: %s', (name, bits) =>
  expectPromised(withoutRows, networks, name, uniformPlan(networks, { weights: bits, activations: bits })),
);
