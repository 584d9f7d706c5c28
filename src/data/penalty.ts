/**
 * Pictures with the statistics of natural ones, for the penalty loss of EfficientAD (section 3.2 there), which keeps the
 * student from imitating the teacher outside the training data. The paper draws them from ImageNet; these are generated.
 *
 * The main ingredient is the dead leaves model: opaque shapes of random position whose radii follow a power law with
 * exponent -3, which yields the scale invariance of natural scenes, edges between regions included (Lee, Mumford, Huang:
 * "Occlusion models for natural images", IJCV 2001).
 */

import { UserError } from '../errors.ts';
import { Random } from '../math/random.ts';
import type { RgbImage } from './image.ts';
import { clamp, cosTurns, mix, sinTurns } from './synthetic/arithmetic.ts';
import { hash, hashNormal } from './synthetic/noise.ts';

/** Side of the noise tile, a power of two so that wrapping is a mask. */
const TILE = 256;
const WRAP = TILE - 1;
/** Light that still passes where leaves cover a pixel completely enough. */
const OPAQUE = 1 / 128;

/** Linear color directions of natural scenes: light, blue against yellow, green against red, by falling variance. */
const LUMA = [1, 1, 1] as const;
const BLUE_YELLOW = [-0.62, -0.16, 1] as const;
const GREEN_RED = [-0.75, 0.72, -0.1] as const;

type Rgb = readonly [number, number, number];

/**
 * Picture number `index` of the endless sequence that `seed` names, size x size. Equal arguments give equal bytes on every
 * machine.
 *
 * @throws UserError for a size outside 16..2048.
 */
export function penaltyImage(seed: number, index: number, size: number): RgbImage {
  if (!Number.isInteger(size) || size < 16 || size > 2048) {
    throw new UserError(`The penalty image size ${size} cannot be generated.`, 'Use an integer from 16 to 2048.');
  }
  const random = new Random(hash(index, 0x9e7a17, seed));
  const tile = noiseTile(random.nextU32() >>> 8);
  const palette = randomPalette(random);
  const scene = new Float32Array(size * size * 3);
  const kind = random.uniform();
  // One in six pictures is texture alone, such as ground or clouds; the others hold objects, over texture or filling all.
  if (kind < 0.16) paintTexture(scene, size, tile, palette, random);
  else {
    const coverage = kind < 0.4 ? mix(0.3, 0.8, random.uniform()) : 1;
    paintLeaves(scene, size, tile, palette, coverage, random);
  }
  return { width: size, height: size, data: develop(scene, size, random) };
}

/** Color statistics of one scene: a mean and how far its things spread along the three directions. */
interface Palette {
  readonly mean: Rgb;
  readonly spread: Rgb;
}

function normal(random: Random): number {
  return hashNormal(random.nextU32(), 0, 0);
}

function randomPalette(random: Random): Palette {
  return {
    mean: [clamp(0.42 + 0.16 * normal(random), 0.12, 0.8), 0.1 * normal(random), 0.05 * normal(random)],
    spread: [mix(0.1, 0.27, random.uniform()), mix(0.02, 0.15, random.uniform()), mix(0.01, 0.09, random.uniform())],
  };
}

function colorAt(palette: Palette, a: number, b: number, c: number): Rgb {
  const light = palette.mean[0] + palette.spread[0] * a;
  const blue = palette.mean[1] + palette.spread[1] * b;
  const green = palette.mean[2] + palette.spread[2] * c;
  const channel = (k: 0 | 1 | 2) => light * LUMA[k] + blue * BLUE_YELLOW[k] + green * GREEN_RED[k];
  return [channel(0), channel(1), channel(2)];
}

/**
 * A tile of 1/f noise with variance 1 that wraps around: octaves of random grids, each refined bilinearly. In two
 * dimensions a power spectrum of 1/f^2 has about the same variance in every octave.
 */
function noiseTile(seed: number): Float32Array {
  let coarse = new Float32Array(4).map((_, i) => hashNormal(i, 0, seed));
  let side = 2;
  let amplitude = 1;
  while (side < TILE) {
    const next = side * 2;
    const fine = new Float32Array(next * next);
    amplitude *= 0.85;
    for (let y = 0; y < next; y++) {
      // A fine sample lies a quarter of a coarse step beside its parent.
      const row = (y >> 1) * side;
      const nearRow = (((y >> 1) + (y & 1 ? 1 : side - 1)) & (side - 1)) * side;
      for (let x = 0; x < next; x++) {
        const column = x >> 1;
        const nearColumn = (column + (x & 1 ? 1 : side - 1)) & (side - 1);
        const here = 0.75 * coarse[row + column]! + 0.25 * coarse[row + nearColumn]!;
        const near = 0.75 * coarse[nearRow + column]! + 0.25 * coarse[nearRow + nearColumn]!;
        fine[y * next + x] = 0.75 * here + 0.25 * near + amplitude * hashNormal(x, y, seed + side);
      }
    }
    coarse = fine;
    side = next;
  }
  let sum = 0;
  let squares = 0;
  for (const value of coarse) {
    sum += value;
    squares += value * value;
  }
  const mean = sum / coarse.length;
  const gain = 1 / Math.sqrt(squares / coarse.length - mean * mean);
  return coarse.map((value) => (value - mean) * gain);
}

/** Fills the scene with 1/f noise, whose channels correlate as a palette's do, under a slow change of light. */
function paintTexture(scene: Float32Array, size: number, tile: Float32Array, palette: Palette, random: Random): void {
  const shifts = [random.nextU32() & 65535, random.nextU32() & 65535, random.nextU32() & 65535] as const;
  // Whole multiples of the tile's sampling: finer steps would low-pass it.
  const step = Math.max(1, Math.round(TILE / size));
  const look = (x: number, y: number, shift: number) =>
    tile[((y * step + (shift >> 8)) & WRAP) * TILE + ((x * step + shift) & WRAP)]!;
  const slopeX = (0.8 * normal(random)) / size;
  const slopeY = (0.8 * normal(random)) / size;
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const light = look(x, y, shifts[0]) + slopeX * (x - size / 2) + slopeY * (y - size / 2);
      const blue = 0.3 * light + 0.7 * look(x, y, shifts[1]);
      const color = colorAt(palette, light, blue, look(y, x, shifts[2]));
      scene.set(color, 3 * (y * size + x));
    }
  }
}

/** Lays leaves front to back until hardly any light passes, then lets texture show through the rest. */
function paintLeaves(
  scene: Float32Array,
  size: number,
  tile: Float32Array,
  palette: Palette,
  coverage: number,
  random: Random,
): void {
  const open = new Float32Array(size * size).fill(1);
  // From crowded scenes to a few large things.
  const smallest = Math.max(1.5, (size / 160) * (1 + 5 * random.uniform() * random.uniform()));
  const largest = size * 0.5;
  let wanted = size * size * coverage;
  // The bound ends the long tail of small leaves that fall on covered ground.
  for (let leaf = 0; leaf < 4000 && wanted > size * size * 0.01; leaf++) {
    // Inverse of the distribution function of a density that falls with the radius cubed.
    const t = random.uniform();
    const radius = 1 / Math.sqrt(mix(1 / (smallest * smallest), 1 / (largest * largest), t));
    wanted -= paintLeaf(scene, open, size, tile, palette, radius, random);
  }
  const ground = new Float32Array(scene.length);
  paintTexture(ground, size, tile, palette, random);
  for (let pixel = 0; pixel < open.length; pixel++) {
    const rest = open[pixel]!;
    if (rest <= OPAQUE) continue;
    for (let channel = 0; channel < 3; channel++) scene[3 * pixel + channel]! += rest * ground[3 * pixel + channel]!;
  }
}

/** Paints one leaf below those already there; returns how much of the picture it newly covered, pixels. */
function paintLeaf(
  scene: Float32Array,
  open: Float32Array,
  size: number,
  tile: Float32Array,
  palette: Palette,
  radius: number,
  random: Random,
): number {
  const centerX = mix(-0.15, 1.15, random.uniform()) * size;
  const centerY = mix(-0.15, 1.15, random.uniform()) * size;
  const turn = random.uniform();
  const cos = cosTurns(turn);
  const sin = sinTurns(turn);
  const slim = mix(0.35, 1, random.uniform());
  const shape = random.uniform();
  const rectangle = shape < 0.25;
  const ragged = shape > 0.65;
  const [red, green, blue] = colorAt(palette, normal(random), normal(random), normal(random));
  const contrast = 0.3 * random.uniform() * random.uniform();
  const shadeX = 0.3 * normal(random);
  const shadeY = 0.3 * normal(random);
  const shift = random.nextU32();
  // Texture turns with its leaf and is stretched, as on slanted surfaces.
  const grainX = mix(0.5, 2, random.uniform());
  const grainY = mix(0.5, 2, random.uniform());
  // Out of focus things have wide edges.
  const defocus = random.uniform() * random.uniform();
  const softness = 0.8 + radius * 0.25 * defocus * defocus;

  const reach = radius * 1.42 + softness;
  const x0 = clamp(Math.floor(centerX - reach), 0, size);
  const x1 = clamp(Math.ceil(centerX + reach), 0, size);
  const y0 = clamp(Math.floor(centerY - reach), 0, size);
  const y1 = clamp(Math.ceil(centerY + reach), 0, size);
  let covered = 0;
  for (let y = y0; y < y1; y++) {
    for (let x = x0; x < x1; x++) {
      const pixel = y * size + x;
      const rest = open[pixel]!;
      if (rest <= OPAQUE) continue;
      const dx = x - centerX;
      const dy = y - centerY;
      const u = (cos * dx + sin * dy) / radius;
      const v = (cos * dy - sin * dx) / (radius * slim);
      let distance: number;
      if (rectangle) distance = Math.max(Math.abs(u), Math.abs(v)) - 1;
      else {
        distance = Math.sqrt(u * u + v * v) - 1;
        if (ragged && distance > -0.6) {
          distance += 0.13 * tile[(((v * 9 + 400) & WRAP) * TILE + ((u * 9 + shift) & WRAP)) | 0]!;
        }
      }
      const cover = clamp(0.5 - (distance * radius * slim) / softness, 0, 1);
      if (cover === 0) continue;
      const grain =
        tile[((((shift >>> 8) + v * radius * grainY) & WRAP) << 8) + ((shift + u * radius * grainX) & WRAP)]!;
      const light = 1 + shadeX * u + shadeY * v;
      const weight = rest * cover * light;
      const texture = rest * cover * contrast * grain;
      scene[3 * pixel]! += red * weight + texture;
      scene[3 * pixel + 1]! += green * weight + texture;
      scene[3 * pixel + 2]! += blue * weight + texture;
      const left = rest * (1 - cover);
      covered += rest - left;
      open[pixel] = left;
    }
  }
  return covered;
}

/** Sensor noise and rounding, after the exposure has been set from the picture itself as a camera does. */
function develop(scene: Float32Array, size: number, random: Random): Uint8Array {
  let sum = 0;
  let squares = 0;
  for (const value of scene) {
    sum += value;
    squares += value * value;
  }
  const mean = sum / scene.length;
  const deviation = Math.sqrt(Math.max(squares / scene.length - mean * mean, 1e-6));
  const wanted = mix(34, 68, random.uniform());
  const middle = mix(95, 140, random.uniform());
  const gain = wanted / deviation;
  const noise = 3 * random.uniform();
  const seed = random.nextU32();
  const data = new Uint8Array(size * size * 3);
  for (let pixel = 0; pixel < size * size; pixel++) {
    const grain = noise * hashNormal(pixel, 0, seed);
    for (let i = 3 * pixel; i < 3 * pixel + 3; i++) {
      data[i] = Math.round(clamp(middle + gain * (scene[i]! - mean) + grain, 0, 255));
    }
  }
  return data;
}
