/**
 * Arithmetic that gives the same bits on every machine: IEEE `+ - * /`, square roots and integer hashing only.
 * `Math.sin`, `Math.exp` and `Math.pow` may differ in the last place between engines, so the generator avoids them.
 */

export function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}

export function mix(a: number, b: number, t: number): number {
  return a + (b - a) * t;
}

/** 0 below `edge0`, 1 above `edge1`, a cubic with flat ends between them. */
export function smoothstep(edge0: number, edge1: number, x: number): number {
  const t = clamp((x - edge0) / (edge1 - edge0), 0, 1);
  return t * t * (3 - 2 * t);
}

/** A bell of height 1 at `x = 0` that reaches 0 with zero slope at `|x| = width`. */
export function bell(x: number, width: number): number {
  const t = x / width;
  const rest = 1 - t * t;
  return rest <= 0 ? 0 : rest * rest;
}

export function length(x: number, y: number): number {
  return Math.sqrt(x * x + y * y);
}

/** Sine of an angle in turns (1 = full circle), within 1e-7. */
export function sinTurns(turns: number): number {
  let x = turns - Math.round(turns);
  if (x > 0.25) x = 0.5 - x;
  else if (x < -0.25) x = -0.5 - x;
  const a = x * 6.283185307179586;
  const s = a * a;
  return a * (1 + s * (-1 / 6 + s * (1 / 120 + s * (-1 / 5040 + s * (1 / 362880 - s / 39916800)))));
}

/** Cosine of an angle in turns (1 = full circle), within 1e-7. */
export function cosTurns(turns: number): number {
  return sinTurns(turns + 0.25);
}
