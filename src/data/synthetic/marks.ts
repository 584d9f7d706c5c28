/**
 * Defects that any part can carry. Each draws its own shape from the random stream and works on the surface's relief and
 * reflectance, so light, blur and noise treat it like everything else. Positions are in part coordinates.
 */

import type { Random } from '../../math/random.ts';
import { bell, clamp, cosTurns, length, mix, sinTurns, smoothstep } from './arithmetic.ts';
import { fractalNoise, valueNoise } from './noise.ts';
import { segmentDistance } from './shapes.ts';
import type { Color, Pose, Surface } from './surface.ts';

export type Point = readonly [u: number, v: number];

export function between(random: Random, low: number, high: number): number {
  return mix(low, high, random.uniform());
}

/** A size between two bounds, small ones being likelier. */
export function sizeBetween(random: Random, low: number, high: number): number {
  const t = random.uniform();
  return mix(low, high, t * (0.5 + 0.5 * t));
}

export function pick<T>(random: Random, items: readonly T[]): T {
  return items[random.integer(items.length)]!;
}

/** A smooth path of given length through (u, v): a walk whose heading drifts, `curl` being the drift in turns. */
function wander(u: number, v: number, total: number, curl: number, random: Random): Point[] {
  const steps = 14;
  let heading = random.uniform();
  let turning = between(random, -curl, curl) / steps;
  const points: Point[] = [[0, 0]];
  for (let step = 0; step < steps; step++) {
    const [x, y] = points[step]!;
    points.push([x + (cosTurns(heading) * total) / steps, y + (sinTurns(heading) * total) / steps]);
    heading += turning;
    turning += (between(random, -curl, curl) * 1.5) / (steps * steps);
  }
  const [mx, my] = points[steps / 2]!;
  return points.map(([x, y]) => [x - mx + u, y - my + v]);
}

/** Visits pixels within `reach` of a path with their distance to it and the place along it, 0..1. */
function forEachAlong(
  surface: Surface,
  pose: Pose,
  path: readonly Point[],
  reach: number,
  visit: (index: number, distance: number, along: number, u: number, v: number) => void,
): void {
  const center = path[path.length >> 1]!;
  const radius = reach + Math.max(...path.map(([u, v]) => length(u - center[0], v - center[1])));
  surface.forEachNear(pose, center[0], center[1], radius, (index, du, dv) => {
    const u = du + center[0];
    const v = dv + center[1];
    let distance = Number.POSITIVE_INFINITY;
    let along = 0;
    for (let k = 0; k + 1 < path.length; k++) {
      const a = path[k]!;
      const b = path[k + 1]!;
      // Most segments are far away, and their boxes show it.
      if (u < Math.min(a[0], b[0]) - reach || u > Math.max(a[0], b[0]) + reach) continue;
      if (v < Math.min(a[1], b[1]) - reach || v > Math.max(a[1], b[1]) + reach) continue;
      const candidate = segmentDistance(u, v, a[0], a[1], b[0], b[1]);
      if (candidate < distance) {
        distance = candidate;
        along = (k + 0.5) / (path.length - 1);
      }
    }
    if (distance < reach) visit(index, distance, along, u, v);
  });
}

/** A groove in metal that starts and ends thin; `color` is what it lays bare. */
export function scratch(
  surface: Surface,
  pose: Pose,
  at: Point,
  random: Random,
  style: { readonly length: readonly [number, number]; readonly color: Color; readonly depth: number },
): void {
  const path = wander(at[0], at[1], sizeBetween(random, ...style.length), 0.07, random);
  const width = between(random, 0.008, 0.017);
  const strength = between(random, 0.55, 1);
  const seed = random.nextU32();
  forEachAlong(surface, pose, path, width + surface.pixel, (index, distance, along) => {
    // The tool passes over openings without a trace.
    if (surface.metal[index]! < 0.4) return;
    const pressure = (0.45 + 0.55 * bell(along - 0.5, 0.52)) * (0.8 + 0.2 * valueNoise(along * 9, 0, seed));
    const half = width * pressure;
    const cover = clamp((half - distance) / surface.pixel + 0.5, 0, 1) * strength * pressure;
    surface.height[index]! -= style.depth * strength * bell(distance, half + surface.pixel);
    surface.blend(index, cover, style.color, 1, surface.metal[index]! * 0.4);
  });
}

/** A smooth hollow (or with negative depth a bump) with an irregular rim. */
export function dent(
  surface: Surface,
  pose: Pose,
  at: Point,
  random: Random,
  style: { readonly radius: readonly [number, number]; readonly depth: number },
): void {
  const radius = sizeBetween(random, ...style.radius);
  const stretch = between(random, 0.65, 1);
  const turn = random.uniform();
  const cos = cosTurns(turn);
  const sin = sinTurns(turn);
  const seed = random.nextU32();
  const depth = style.depth * radius * between(random, 0.7, 1.2);
  surface.forEachNear(pose, at[0], at[1], radius * 1.1, (index, du, dv) => {
    const x = cos * du + sin * dv;
    const y = (cos * dv - sin * du) / stretch;
    const rim = radius * (0.9 + 0.2 * valueNoise((du / radius) * 1.7, (dv / radius) * 1.7, seed));
    const hollow = bell(length(x, y), rim);
    surface.height[index]! -= depth * hollow;
    surface.lit[index]! *= 1 - 0.22 * hollow * Math.sign(depth);
  });
}

/** A dried liquid: a film that tints what lies below, denser towards its rim. */
export function stain(
  surface: Surface,
  pose: Pose,
  at: Point,
  random: Random,
  style: { readonly radius: readonly [number, number]; readonly color: Color; readonly matte: number },
): void {
  const radius = sizeBetween(random, ...style.radius);
  const strength = between(random, 0.55, 0.95);
  const seed = random.nextU32();
  const stretch = between(random, 0.7, 1.4);
  surface.forEachNear(pose, at[0], at[1], radius * 2.5, (index, du, dv) => {
    const wobble = fractalNoise((du / radius) * 1.6, (dv / radius) * 1.6, seed, 4);
    const distance = length(du * stretch, dv / stretch) / radius + 0.75 * wobble;
    const inside = smoothstep(1.04, 0.93, distance);
    if (inside === 0) return;
    const density = 0.62 + 0.38 * smoothstep(0.55, 0.98, distance);
    surface.tint(index, inside * density * strength, style.color);
    surface.metal[index]! *= 1 - style.matte * inside * strength;
  });
}

/** A soft patch whose color is off, without an edge. */
export function discolor(
  surface: Surface,
  pose: Pose,
  at: Point,
  random: Random,
  style: { readonly radius: readonly [number, number]; readonly colors: readonly [inner: Color, outer: Color] },
): void {
  const radius = sizeBetween(random, ...style.radius);
  const strength = between(random, 0.6, 1);
  const seed = random.nextU32();
  const [inner, outer] = style.colors;
  surface.forEachNear(pose, at[0], at[1], radius * 1.5, (index, du, dv) => {
    const wobble = fractalNoise((du / radius) * 1.3, (dv / radius) * 1.3, seed, 3);
    const distance = length(du, dv) / radius + 0.3 * wobble;
    const core = smoothstep(0.75, 0.1, distance);
    surface.tint(index, strength * smoothstep(1, 0.45, distance) * (1 - core), outer);
    surface.tint(index, strength * core, inner);
  });
}

/** A hair or thread that lies on the part and throws a thin shadow. */
export function fibre(
  surface: Surface,
  pose: Pose,
  at: Point,
  random: Random,
  style: { readonly length: readonly [number, number]; readonly colors: readonly Color[] },
): void {
  const path = wander(at[0], at[1], sizeBetween(random, ...style.length), 0.75, random);
  const half = between(random, 0.005, 0.0095);
  const color = pick(random, style.colors);
  const drop = half * 1.6;
  const shadow = path.map(([u, v]): Point => [u + drop, v + drop]);
  forEachAlong(surface, pose, shadow, half * 3, (index, distance) => {
    surface.lit[index]! *= 1 - 0.45 * bell(distance, half * 3);
  });
  forEachAlong(surface, pose, path, half + surface.pixel, (index, distance) => {
    const cover = clamp((half - distance) / surface.pixel + 0.5, 0, 1);
    surface.blend(index, cover, color, 1 - 0.3 * (distance / half), 0);
    surface.lit[index] = mix(surface.lit[index]!, 1, cover);
  });
}

/** Loose matter on the part: a few irregular raised lumps with their shadows. */
export function debris(
  surface: Surface,
  pose: Pose,
  at: Point,
  random: Random,
  style: { readonly radius: readonly [number, number]; readonly colors: readonly Color[] },
): void {
  const color = pick(random, style.colors);
  const largest = sizeBetween(random, ...style.radius);
  const lumps = 1 + random.integer(4);
  for (let lump = 0; lump < lumps; lump++) {
    const radius = lump === 0 ? largest : largest * between(random, 0.25, 0.6);
    const away = lump === 0 ? 0 : largest * between(random, 1.2, 2.4);
    const turn = random.uniform();
    const u = at[0] + away * cosTurns(turn);
    const v = at[1] + away * sinTurns(turn);
    const seed = random.nextU32();
    const distanceAt = (du: number, dv: number) =>
      length(du, dv) - radius * (0.8 + 0.42 * fractalNoise((du / radius) * 1.5, (dv / radius) * 1.5, seed, 3));
    const drop = radius * 0.3;
    surface.forEachNear(pose, u, v, radius * 1.7, (index, du, dv) => {
      surface.lit[index]! *= 1 - 0.55 * smoothstep(radius * 0.35, -radius * 0.2, distanceAt(du - drop, dv - drop));
    });
    surface.forEachNear(pose, u, v, radius * 1.3, (index, du, dv) => {
      const distance = distanceAt(du, dv);
      const cover = clamp(0.5 - distance / surface.pixel, 0, 1);
      if (cover === 0) return;
      const grain = fractalNoise((du / radius) * 4, (dv / radius) * 4, seed, 3);
      surface.blend(index, cover, color, 1 + 0.35 * grain, 0);
      surface.lit[index] = mix(surface.lit[index]!, 1, cover);
      const depth = clamp(-distance / radius, 0, 1);
      surface.height[index]! += radius * (0.7 * Math.sqrt(depth) + 0.12 * grain) * cover;
    });
  }
}
