import type { Parameter } from '../engine/graph.ts';
import { randomUniform } from '../kernels/random.ts';
import type { ConvParameters } from './pdn.ts';

/** Separates the random numbers of parameters by name (FNV-1a). */
function nameKey(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/** Fills convolutions as PyTorch's `Conv2d` does: uniform within 1 / sqrt(fan_in), weights and biases alike. */
export function initialise(convolutions: readonly ConvParameters[], seed: number): void {
  for (const { weight, bias } of convolutions) {
    const [, inputs, kh, kw] = weight.type.shape as [number, number, number, number];
    const bound = 1 / Math.sqrt(inputs * kh * kw);
    fill(weight, bound, seed);
    fill(bias, bound, seed);
  }
}

function fill(parameter: Parameter, bound: number, seed: number): void {
  const key = nameKey(parameter.name);
  for (let i = 0; i < parameter.data.length; i++) parameter.data[i] = (2 * randomUniform(i, 0, key, seed) - 1) * bound;
}
