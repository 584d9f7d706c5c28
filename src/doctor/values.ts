import { type Node, size, type Values } from '../engine/graph.ts';
import type { Fill } from './cases.ts';

/** A small deterministic generator for test values (mulberry32). */
export function randomSource(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Values that float32 holds exactly, so that CPU and GPU start from the same numbers. */
export function randomValues(node: Node, fill: Fill, seed: number): Values {
  const next = randomSource(seed);
  const length = size(node.type);
  if (fill === 'pixels') return Uint32Array.from({ length }, () => Math.floor(next() * 2 ** 32));
  const draw = {
    normal: () => Math.sqrt(-2 * Math.log(next() + 1e-9)) * Math.cos(2 * Math.PI * next()),
    positive: () => 0.1 + 2 * next(),
    bytes: () => Math.floor(next() * 256) - 100,
    ties: () => Math.floor(next() * 5) - 2,
  }[fill];
  return Float64Array.from({ length }, () => Math.fround(draw()));
}

/** Host data in the type that a plan's input takes. */
export function toHost(values: Values): Float32Array | Uint32Array {
  return values instanceof Uint32Array ? values : Float32Array.from(values);
}
