import type { Random } from '../../math/random.ts';
import { clamp, mix, smoothstep } from './arithmetic.ts';
import { hash, hashNormal } from './noise.ts';
import type { Surface } from './surface.ts';

/** Light and camera of one exposure: everything that varies from picture to picture apart from the part itself. */
export interface Exposure {
  /** Direction towards the key light, unit length; y points down the picture. */
  readonly light: readonly [number, number, number];
  readonly ambient: number;
  readonly gain: number;
  /** Red and blue gain relative to green. */
  readonly whiteBalance: readonly [number, number];
  /** Relative change of illumination from the center to the right and to the lower edge. */
  readonly gradient: readonly [number, number];
  /** Loss of light in the corners, 0..1. */
  readonly vignetting: number;
  /** Weight of the neighbors in the 3 x 3 binomial that stands for focus blur, 0 is sharp and 1 the full binomial. */
  readonly blur: number;
  /** Standard deviation of the sensor noise at half white, in 8-bit steps. */
  readonly noise: number;
  readonly noiseSeed: number;
}

export function randomExposure(random: Random): Exposure {
  const x = mix(-0.62, -0.42, random.uniform());
  const y = mix(-0.66, -0.46, random.uniform());
  const norm = Math.sqrt(x * x + y * y + 1);
  return {
    light: [x / norm, y / norm, 1 / norm],
    ambient: mix(0.34, 0.42, random.uniform()),
    gain: mix(0.93, 1.07, random.uniform()),
    whiteBalance: [mix(0.985, 1.015, random.uniform()), mix(0.98, 1.02, random.uniform())],
    gradient: [mix(-0.09, 0.09, random.uniform()), mix(-0.09, 0.09, random.uniform())],
    vignetting: mix(0.08, 0.16, random.uniform()),
    blur: mix(0.35, 0.85, random.uniform()),
    noise: mix(1, 1.9, random.uniform()),
    noiseSeed: random.nextU32(),
  };
}

/**
 * Lights rows `from`..`to` (exclusive) of a surface and takes their picture, without sensor noise: HWC RGB in 8-bit steps,
 * not yet rounded, size x size with the other rows 0.
 * Matte parts follow Lambert; metal mirrors a large soft box above the light's side, which is what brings out relief.
 */
export function expose(surface: Surface, exposure: Exposure, from = 0, to = surface.size): Float32Array {
  const { size, height, red, green, blue, metal, lit } = surface;
  const [lx, ly, lz] = exposure.light;
  const slope = size / 4;
  const picture = new Float32Array(size * size * 3);
  // What an untilted matte surface gets becomes 1, so reflectance alone sets its brightness.
  const matteGain = 1 / (exposure.ambient + (1 - exposure.ambient) * lz);
  // The blur reads one row beyond.
  const first = Math.max(from - 1, 0);
  const last = Math.min(to + 1, size);
  for (let y = first; y < last; y++) {
    const above = Math.max(y - 1, 0) * size;
    const below = Math.min(y + 1, size - 1) * size;
    const fy = ((y + 0.5) * 2) / size - 1;
    for (let x = 0; x < size; x++) {
      const i = y * size + x;
      const gx = (height[y * size + Math.min(x + 1, size - 1)]! - height[y * size + Math.max(x - 1, 0)]!) * slope;
      const gy = (height[below + x]! - height[above + x]!) * slope;
      const nz2 = 1 / (1 + gx * gx + gy * gy);
      const nz = Math.sqrt(nz2);
      const uphill = gx * lx + gy * ly;
      const facing = Math.max(0, (lz - uphill) * nz);
      const light = lit[i]!;
      const matte = (exposure.ambient * (0.55 + 0.45 * light) + (1 - exposure.ambient) * facing * light) * matteGain;
      // The mirrored view direction is (-2 gx nz^2, -2 gy nz^2, 2 nz^2 - 1).
      const towardsBox = (2 * nz2 - 1) * lz - 2 * nz2 * uphill;
      const mirror = (0.2 + 1.35 * smoothstep(0.35, 1.12, towardsBox)) * (0.4 + 0.6 * light);
      const fx = ((x + 0.5) * 2) / size - 1;
      const illumination =
        exposure.gain *
        (1 + exposure.gradient[0] * fx + exposure.gradient[1] * fy) *
        (1 - exposure.vignetting * 0.5 * (fx * fx + fy * fy)) *
        (matte + (mirror - matte) * metal[i]!);
      picture[3 * i] = red[i]! * illumination * exposure.whiteBalance[0];
      picture[3 * i + 1] = green[i]! * illumination;
      picture[3 * i + 2] = blue[i]! * illumination * exposure.whiteBalance[1];
    }
  }
  focus(picture, size, first, last, exposure.blur);
  const stride = 3 * size;
  for (let i = from * stride; i < to * stride; i++) picture[i] = 255 * toneCurve(picture[i]!);
  picture.fill(0, first * stride, from * stride);
  picture.fill(0, to * stride, last * stride);
  return picture;
}

/** Adds sensor noise to one pixel of an exposed picture and rounds it to 8 bits, into the same place of `data`. */
export function develop(picture: Float32Array, exposure: Exposure, pixel: number, data: Uint8Array): void {
  // Mostly common to the three channels: what is left of a color filter array's noise after interpolation.
  const common = 0.8 * hashNormal(pixel, 1, exposure.noiseSeed);
  let bits = hash(pixel, 2, exposure.noiseSeed);
  for (let channel = 0; channel < 3; channel++) {
    const value = picture[3 * pixel + channel]!;
    const grain = common + 0.6 * ((bits & 1023) - 511.5) * 0.003383;
    bits >>>= 10;
    // Shot noise grows with the root of the light; the square-root tone curve then makes it nearly constant.
    const noise = exposure.noise * (0.7 + 0.3 * (value / 128)) * grain;
    data[3 * pixel + channel] = Math.round(clamp(value + noise, 0, 255));
  }
}

/** Gamma 2 with a soft shoulder, so that highlights roll off and do not clip. */
function toneCurve(linear: number): number {
  const root = Math.sqrt(Math.max(0, linear));
  return root < 0.8 ? root : 0.8 + (root - 0.8) / (1 + (root - 0.8) * 2.2);
}

/** A separable 3-tap blur of rows `from`..`to` in place, with the weights (w, 1 - 2w, w) and w = strength / 4. */
function focus(picture: Float32Array, size: number, from: number, to: number, strength: number): void {
  const side = strength / 4;
  const center = 1 - 2 * side;
  const stride = size * 3;
  for (let row = from * stride; row < to * stride; row += stride) {
    for (let channel = 0; channel < 3; channel++) {
      let before = picture[row + channel]!;
      for (let i = row + channel; i < row + stride; i += 3) {
        const here = picture[i]!;
        const after = i + 3 < row + stride ? picture[i + 3]! : here;
        picture[i] = center * here + side * (before + after);
        before = here;
      }
    }
  }
  const before = picture.slice(from * stride, (from + 1) * stride);
  for (let row = from * stride; row < to * stride; row += stride) {
    const next = row + stride < to * stride ? row + stride : row;
    for (let i = 0; i < stride; i++) {
      const here = picture[row + i]!;
      picture[row + i] = center * here + side * (before[i]! + picture[next + i]!);
      before[i] = here;
    }
  }
}
