import type { Random } from '../../math/random.ts';
import { clamp, length, mix } from './arithmetic.ts';

/** Linear reflectance, each component 0..1. */
export type Color = readonly [red: number, green: number, blue: number];

/** Where a part lies in the picture: part coordinates are turned, scaled and shifted into scene coordinates. */
export interface Pose {
  readonly x: number;
  readonly y: number;
  readonly cos: number;
  readonly sin: number;
  readonly scale: number;
}

/** A pose near the center: at most `shift` away in scene units, `turn` in turns (small) and `stretch` off in scale. */
export function randomPose(random: Random, shift: number, turn: number, stretch: number): Pose {
  const x = mix(-shift, shift, random.uniform());
  const y = mix(-shift, shift, random.uniform());
  // A small angle's tangent gives an exact rotation without trigonometry.
  const tangent = mix(-turn, turn, random.uniform()) * 6.283185307179586;
  const norm = length(1, tangent);
  return { x, y, cos: 1 / norm, sin: tangent / norm, scale: mix(1 - stretch, 1 + stretch, random.uniform()) };
}

/**
 * What the camera looks at, sampled once per pixel (row major): relief, reflectance and how much light arrives.
 * Scene coordinates run from -1 to 1 over the picture, x to the right and y down, so parts do not depend on the size.
 */
export class Surface {
  readonly size: number;
  /** Side of a pixel in scene units. */
  readonly pixel: number;
  /** Relief towards the camera, scene units. */
  readonly height: Float32Array;
  readonly red: Float32Array;
  readonly green: Float32Array;
  readonly blue: Float32Array;
  /** 0 is matte, 1 reflects its surroundings like metal. */
  readonly metal: Float32Array;
  /** Share of the key light that arrives, 0..1. */
  readonly lit: Float32Array;

  constructor(size: number) {
    this.size = size;
    this.pixel = 2 / size;
    const plane = () => new Float32Array(size * size);
    this.height = plane();
    this.red = plane();
    this.green = plane();
    this.blue = plane();
    this.metal = plane();
    this.lit = plane().fill(1);
  }

  clone(): Surface {
    const copy = new Surface(this.size);
    copy.height.set(this.height);
    copy.red.set(this.red);
    copy.green.set(this.green);
    copy.blue.set(this.blue);
    copy.metal.set(this.metal);
    copy.lit.set(this.lit);
    return copy;
  }

  /** The rows `first`..`last` (inclusive) in which two surfaces of one size differ; undefined when they are equal. */
  changedRows(other: Surface): readonly [first: number, last: number] | undefined {
    const planes = [
      [this.height, other.height],
      [this.red, other.red],
      [this.green, other.green],
      [this.blue, other.blue],
      [this.metal, other.metal],
      [this.lit, other.lit],
    ] as const;
    const differs = (row: number) =>
      planes.some(([a, b]) => {
        for (let i = row * this.size; i < (row + 1) * this.size; i++) if (a[i] !== b[i]) return true;
        return false;
      });
    let first = 0;
    while (first < this.size && !differs(first)) first++;
    if (first === this.size) return undefined;
    let last = this.size - 1;
    while (!differs(last)) last--;
    return [first, last];
  }

  /** Visits every pixel with its center in part coordinates. */
  forEach(pose: Pose, visit: (index: number, u: number, v: number) => void): void {
    this.#visit(pose, 0, this.size, 0, this.size, 0, 0, visit);
  }

  /**
   * Visits the pixels of a square that holds the disc around (u, v), part coordinates; positions are given relative to its
   * center.
   */
  forEachNear(
    pose: Pose,
    u: number,
    v: number,
    radius: number,
    visit: (index: number, du: number, dv: number) => void,
  ): void {
    const x = pose.x + pose.scale * (pose.cos * u - pose.sin * v);
    const y = pose.y + pose.scale * (pose.sin * u + pose.cos * v);
    const reach = radius * pose.scale;
    const column = (scene: number) => clamp(Math.floor((scene + 1) / this.pixel), 0, this.size);
    this.#visit(
      pose,
      column(x - reach),
      column(x + reach + this.pixel),
      column(y - reach),
      column(y + reach + this.pixel),
      u,
      v,
      visit,
    );
  }

  /** Blends a material over a pixel. */
  blend(index: number, alpha: number, color: Color, brightness: number, metal: number): void {
    const keep = 1 - alpha;
    const gain = alpha * brightness;
    this.red[index] = this.red[index]! * keep + color[0] * gain;
    this.green[index] = this.green[index]! * keep + color[1] * gain;
    this.blue[index] = this.blue[index]! * keep + color[2] * gain;
    this.metal[index] = this.metal[index]! * keep + metal * alpha;
  }

  /** Multiplies the reflectance of a pixel, as a thin film or a dye does. */
  tint(index: number, alpha: number, color: Color): void {
    this.red[index]! *= 1 + alpha * (color[0] - 1);
    this.green[index]! *= 1 + alpha * (color[1] - 1);
    this.blue[index]! *= 1 + alpha * (color[2] - 1);
  }

  #visit(
    pose: Pose,
    x0: number,
    x1: number,
    y0: number,
    y1: number,
    u0: number,
    v0: number,
    visit: (index: number, du: number, dv: number) => void,
  ): void {
    const cos = pose.cos / pose.scale;
    const sin = pose.sin / pose.scale;
    for (let row = y0; row < y1; row++) {
      const dy = (row + 0.5) * this.pixel - 1 - pose.y;
      for (let column = x0; column < x1; column++) {
        const dx = (column + 0.5) * this.pixel - 1 - pose.x;
        visit(row * this.size + column, cos * dx + sin * dy - u0, cos * dy - sin * dx - v0);
      }
    }
  }
}
