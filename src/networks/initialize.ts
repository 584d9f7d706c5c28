import type { Parameter } from '../engine/graph.ts';
import { randomUniform } from '../kernels/random.ts';
import { textDigest } from '../math/textDigest.ts';
import type { ConvParameters } from './pdn.ts';

/** Fills convolutions as PyTorch's `Conv2d` does: uniform within 1 / sqrt(fan_in), weights and biases alike. */
export function initialize(convolutions: readonly ConvParameters[], seed: number): void {
  for (const { weight, bias } of convolutions) {
    const [, inputs, kh, kw] = weight.type.shape as [number, number, number, number];
    const bound = 1 / Math.sqrt(inputs * kh * kw);
    fill(weight, bound, seed);
    fill(bias, bound, seed);
  }
}

function fill(parameter: Parameter, bound: number, seed: number): void {
  // Separates the random numbers of parameters.
  const key = textDigest(parameter.name);
  for (let i = 0; i < parameter.data.length; i++) parameter.data[i] = (2 * randomUniform(i, 0, key, seed) - 1) * bound;
}
