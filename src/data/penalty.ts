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

/** Leaves and pixels of a part of the work: about a millisecond, or some where a leaf is large. */
const PART_LEAVES = 64;
const PART_PIXELS = 1 << 14;

/** Linear color directions of natural scenes: light, blue against yellow, green against red, by falling variance. */
const LUMA = [1, 1, 1] as const;
const BLUE_YELLOW = [-0.62, -0.16, 1] as const;
const GREEN_RED = [-0.75, 0.72, -0.1] as const;

type Triple = readonly [number, number, number];

/** What is painted so far. */
interface Scene {
  /** [size, size, 3], linear. */
  readonly colors: Float32Array;
  /** [size, size]: the share of light that still passes behind. */
  readonly open: Float32Array;
  readonly size: number;
}

/**
 * Picture number `index` of the endless sequence that `seed` names, size x size. Equal arguments give equal bytes on every
 * machine.
 *
 * @throws UserError for a size outside 16..2048.
 */
export function penaltyImage(seed: number, index: number, size: number): RgbImage {
  const parts = penaltyParts(seed, index, size);
  for (;;) {
    const { done, value } = parts.next();
    if (done) return value;
  }
}

/**
 * The same picture, made in parts of some milliseconds, so that a page has time for others between them.
 *
 * @throws UserError as `penaltyImage` does, with the first part.
 */
export function* penaltyParts(seed: number, index: number, size: number): Generator<void, RgbImage, void> {
  if (!Number.isInteger(size) || size < 16 || size > 2048) {
    throw new UserError(`The penalty image size ${size} cannot be generated.`, 'Use an integer from 16 to 2048.');
  }
  const random = new Random(hash(index, 0x9e7a17, seed));
  const tile = noiseTile(random.nextU32() >>> 8);
  const palette = randomPalette(random);
  const scene = { colors: new Float32Array(size * size * 3), open: new Float32Array(size * size).fill(1), size };
  yield;
  const kind = random.uniform();
  // One in six pictures is texture alone, such as ground or clouds; the others hold objects, over texture or filling all.
  if (kind >= 0.16) {
    const coverage = kind < 0.4 ? mix(0.3, 0.8, random.uniform()) : 1;
    yield* paintLeaves(scene, tile, palette, coverage, random);
  }
  yield* paintTexture(scene, tile, palette, random);
  return { width: size, height: size, data: yield* develop(scene, random) };
}

/** Color statistics of one scene: a mean and how far its things spread along the three directions. */
interface Palette {
  readonly mean: Triple;
  readonly spread: Triple;
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

/** Where a palette's scenes are along one of the three directions, at so many deviations from their mean. */
function along({ mean, spread }: Palette, direction: 0 | 1 | 2, deviations: number): number {
  return mean[direction] + spread[direction] * deviations;
}

/** One channel of the color with these coordinates along the three directions. */
function channelOf(channel: 0 | 1 | 2, light: number, blue: number, green: number): number {
  return light * LUMA[channel] + blue * BLUE_YELLOW[channel] + green * GREEN_RED[channel];
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
  const { mean, variance } = momentsOf(coarse);
  const gain = 1 / Math.sqrt(variance);
  for (let i = 0; i < coarse.length; i++) coarse[i] = (coarse[i]! - mean) * gain;
  return coarse;
}

function momentsOf(values: Float32Array): { readonly mean: number; readonly variance: number } {
  let sum = 0;
  let squares = 0;
  // By index: an iterator over some hundred thousand values takes ten times as long.
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    sum += value;
    squares += value * value;
  }
  const mean = sum / values.length;
  return { mean, variance: squares / values.length - mean * mean };
}

/** Puts 1/f noise, whose channels correlate as a palette's do, under a slow change of light behind what is painted. */
function* paintTexture(scene: Scene, tile: Float32Array, palette: Palette, random: Random): Generator<void> {
  const { colors, open, size } = scene;
  const shifts = [random.nextU32() & 65535, random.nextU32() & 65535, random.nextU32() & 65535] as const;
  // Whole multiples of the tile's sampling: finer steps would low-pass it.
  const step = Math.max(1, Math.round(TILE / size));
  const look = (x: number, y: number, shift: number) =>
    tile[((y * step + (shift >> 8)) & WRAP) * TILE + ((x * step + shift) & WRAP)]!;
  const slopeX = (0.8 * normal(random)) / size;
  const slopeY = (0.8 * normal(random)) / size;
  for (let pixel = 0; pixel < open.length; pixel++) {
    if (pixel % PART_PIXELS === 0) yield;
    const rest = open[pixel]!;
    if (rest <= OPAQUE) continue;
    const x = pixel % size;
    const y = (pixel - x) / size;
    const brightness = look(x, y, shifts[0]) + slopeX * (x - size / 2) + slopeY * (y - size / 2);
    const light = along(palette, 0, brightness);
    const blue = along(palette, 1, 0.3 * brightness + 0.7 * look(x, y, shifts[1]));
    const green = along(palette, 2, look(y, x, shifts[2]));
    // The texture is one of f32, as the scene is.
    colors[3 * pixel]! += rest * Math.fround(channelOf(0, light, blue, green));
    colors[3 * pixel + 1]! += rest * Math.fround(channelOf(1, light, blue, green));
    colors[3 * pixel + 2]! += rest * Math.fround(channelOf(2, light, blue, green));
  }
}

/** Lays leaves front to back until hardly any light passes. */
function* paintLeaves(
  scene: Scene,
  tile: Float32Array,
  palette: Palette,
  coverage: number,
  random: Random,
): Generator<void> {
  const { size } = scene;
  // From crowded scenes to a few large things.
  const smallest = Math.max(1.5, (size / 160) * (1 + 5 * random.uniform() * random.uniform()));
  const largest = size * 0.5;
  let wanted = size * size * coverage;
  // The bound ends the long tail of small leaves that fall on covered ground.
  for (let leaf = 0; leaf < 4000 && wanted > size * size * 0.01; leaf++) {
    if (leaf % PART_LEAVES === 0) yield;
    // Inverse of the distribution function of a density that falls with the radius cubed.
    const t = random.uniform();
    const radius = 1 / Math.sqrt(mix(1 / (smallest * smallest), 1 / (largest * largest), t));
    wanted -= paintLeaf(scene, tile, palette, radius, random);
  }
}

/** Paints one leaf below those already there; returns how much of the picture it newly covered, pixels. */
function paintLeaf(
  { colors, open, size }: Scene,
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
  const light = along(palette, 0, normal(random));
  const blueYellow = along(palette, 1, normal(random));
  const greenRed = along(palette, 2, normal(random));
  const red = channelOf(0, light, blueYellow, greenRed);
  const green = channelOf(1, light, blueYellow, greenRed);
  const blue = channelOf(2, light, blueYellow, greenRed);
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
      const weight = rest * cover * (1 + shadeX * u + shadeY * v);
      const texture = rest * cover * contrast * grain;
      colors[3 * pixel]! += red * weight + texture;
      colors[3 * pixel + 1]! += green * weight + texture;
      colors[3 * pixel + 2]! += blue * weight + texture;
      const left = rest * (1 - cover);
      covered += rest - left;
      open[pixel] = left;
    }
  }
  return covered;
}

/** Sensor noise and rounding, after the exposure has been set from the picture itself as a camera does. */
function* develop({ colors, size }: Scene, random: Random): Generator<void, Uint8Array, void> {
  const { mean, variance } = momentsOf(colors);
  const deviation = Math.sqrt(Math.max(variance, 1e-6));
  const wanted = mix(34, 68, random.uniform());
  const middle = mix(95, 140, random.uniform());
  const gain = wanted / deviation;
  const noise = 3 * random.uniform();
  const seed = random.nextU32();
  const data = new Uint8Array(size * size * 3);
  for (let pixel = 0; pixel < size * size; pixel++) {
    if (pixel % PART_PIXELS === 0) yield;
    const grain = noise * hashNormal(pixel, 0, seed);
    for (let i = 3 * pixel; i < 3 * pixel + 3; i++) {
      // Bytes keep the whole part, so a half more rounds.
      data[i] = clamp(middle + gain * (colors[i]! - mean) + grain, 0, 255) + 0.5;
    }
  }
  return data;
}
