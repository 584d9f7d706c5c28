/** Lattice noise over the plane, a pure function of position and seed. */

// Odd constants with well spread bits; a lattice point's key is linear in them, so neighbors cost one addition.
const STEP_X = 0x27d4eb2d;
const STEP_Y = 0x165667b1;
const STEP_SEED = 0x9e3779b1;

/** Mixes a key to 32 bits, signed. */
function scramble(key: number): number {
  let h = Math.imul(key ^ (key >>> 15), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

function keyOf(x: number, y: number, seed: number): number {
  return (Math.imul(x, STEP_X) + Math.imul(y, STEP_Y) + Math.imul(scramble(seed), STEP_SEED)) | 0;
}

/** 32 well mixed bits for a lattice point. */
export function hash(x: number, y: number, seed: number): number {
  return scramble(keyOf(x, y, seed)) >>> 0;
}

/** Uniform in [0, 1) for a lattice point. */
export function hashUnit(x: number, y: number, seed: number): number {
  return hash(x, y, seed) * 2.3283064365386963e-10;
}

/**
 * About normal with mean 0 and variance 1, bounded by 3.5: the sum of the four bytes of a hash (Irwin-Hall), which needs
 * no logarithm.
 */
export function hashNormal(x: number, y: number, seed: number): number {
  const h = hash(x, y, seed);
  return ((h & 255) + ((h >>> 8) & 255) + ((h >>> 16) & 255) + (h >>> 24) - 510) * 0.006765;
}

/** Value noise in [-1, 1]: random values at integer points, joined by cubics. Cheap; the choice for fine streaks and grain. */
export function valueNoise(x: number, y: number, seed: number): number {
  const ix = Math.floor(x);
  const iy = Math.floor(y);
  const fx = x - ix;
  const fy = y - iy;
  const u = fx * fx * (3 - 2 * fx);
  const v = fy * fy * (3 - 2 * fy);
  const key = keyOf(ix, iy, seed);
  const a = scramble(key);
  const b = scramble((key + STEP_X) | 0);
  const c = scramble((key + STEP_Y) | 0);
  const d = scramble((key + STEP_X + STEP_Y) | 0);
  const top = a + (b - a) * u;
  const bottom = c + (d - c) * u;
  return (top + (bottom - top) * v) * 4.656612873077393e-10;
}

/** Height at (dx, dy) of the plane through 0 whose slopes are the two halves of a hash. */
function slope(h: number, dx: number, dy: number): number {
  return (h >> 16) * dx + ((h << 16) >> 16) * dy;
}

/** Gradient noise (Perlin), almost always within [-1, 1]: without the lattice-aligned blocks of value noise. */
export function gradientNoise(x: number, y: number, seed: number): number {
  const ix = Math.floor(x);
  const iy = Math.floor(y);
  const fx = x - ix;
  const fy = y - iy;
  const u = fx * fx * fx * (fx * (fx * 6 - 15) + 10);
  const v = fy * fy * fy * (fy * (fy * 6 - 15) + 10);
  const key = keyOf(ix, iy, seed);
  const a = slope(scramble(key), fx, fy);
  const b = slope(scramble((key + STEP_X) | 0), fx - 1, fy);
  const c = slope(scramble((key + STEP_Y) | 0), fx, fy - 1);
  const d = slope(scramble((key + STEP_X + STEP_Y) | 0), fx - 1, fy - 1);
  const top = a + (b - a) * u;
  const bottom = c + (d - c) * u;
  return (top + (bottom - top) * v) * 5.5e-5;
}

/** Fractal sum of `octaves` gradient noises, each of twice the frequency and half the amplitude; about within [-1, 1]. */
export function fractalNoise(x: number, y: number, seed: number, octaves: number): number {
  let sum = 0;
  let amplitude = 1;
  let total = 0;
  for (let octave = 0; octave < octaves; octave++) {
    sum += amplitude * gradientNoise(x, y, seed + octave);
    total += amplitude;
    amplitude *= 0.5;
    // Turning by 3-4-5 besides doubling keeps the octaves' lattices from lining up.
    const turned = 1.6 * x - 1.2 * y + 17.31;
    y = 1.2 * x + 1.6 * y + 9.73;
    x = turned;
  }
  return sum / total;
}

/**
 * A slowly varying function of the plane, tabulated once and interpolated bilinearly: for sums of low frequencies that
 * every pixel reads. Covers -1.25..1.25 in both directions with 64 steps; beyond, the border repeats.
 */
export function tabulate(f: (u: number, v: number) => number): (u: number, v: number) => number {
  const steps = 64;
  const extent = 1.25;
  const side = steps + 1;
  const table = new Float32Array(side * side);
  for (let row = 0; row < side; row++) {
    for (let column = 0; column < side; column++) {
      table[row * side + column] = f(((2 * column) / steps - 1) * extent, ((2 * row) / steps - 1) * extent);
    }
  }
  return (u, v) => {
    const x = Math.min(Math.max((u / extent + 1) * (steps / 2), 0), steps - 0.001);
    const y = Math.min(Math.max((v / extent + 1) * (steps / 2), 0), steps - 0.001);
    const column = Math.floor(x);
    const row = Math.floor(y);
    const i = row * side + column;
    const fx = x - column;
    const top = table[i]! + (table[i + 1]! - table[i]!) * fx;
    const bottom = table[i + side]! + (table[i + side + 1]! - table[i + side]!) * fx;
    return top + (bottom - top) * (y - row);
  };
}
