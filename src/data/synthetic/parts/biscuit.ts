import type { Random } from '../../../math/random.ts';
import { bell, clamp, length, mix, smoothstep } from '../arithmetic.ts';
import { between, debris, discolor, fibre, type Point, pick, stain } from '../marks.ts';
import { fractalNoise, gradientNoise, hashUnit, tabulate, valueNoise } from '../noise.ts';
import type { Part } from '../part.ts';
import { boxDistance, segmentDistance } from '../shapes.ts';
import { type Color, type Pose, randomPose, type Surface } from '../surface.ts';

/** A butter biscuit with a scalloped edge, a pressed frame and docking holes, on a blue conveyor belt. */
export interface BiscuitLayout {
  readonly pose: Pose;
  readonly doughSeed: number;
  readonly beltSeed: number;
  /** How dark it was baked, about 0. */
  readonly bake: number;
  /** Direction in which the oven was hotter. */
  readonly hotSide: Point;
  readonly holes: readonly Point[];
  readonly bites: readonly Bite[];
  readonly cracks: readonly Crack[];
}

/** Dough broken off at the edge. */
interface Bite {
  readonly at: Point;
  readonly radius: number;
  readonly seed: number;
}

interface Crack {
  readonly from: Point;
  readonly to: Point;
  readonly width: number;
  readonly seed: number;
}

const HALF_WIDTH = 0.76;
const HALF_HEIGHT = 0.66;
const SCALLOP = 0.026;
const HOLE_RADIUS = 0.026;
const BELT: Color = [0.035, 0.11, 0.25];
const DOUGH: Color = [0.74, 0.47, 0.2];
const CRUST: Color = [0.42, 0.18, 0.05];
const CRUMB: Color = [0.84, 0.62, 0.34];
const COLUMNS = [-0.45, -0.15, 0.15, 0.45];
const ROWS = [-0.36, -0.12, 0.12, 0.36];

/** Round lobes along a side: 0 at their tops, 1 in the notches between them. */
function lobe(t: number): number {
  const x = 2 * (t - Math.round(t));
  return x * x;
}

function outline(u: number, v: number, bites: readonly Bite[]): number {
  let distance = boxDistance(u, v, HALF_WIDTH, HALF_HEIGHT, 0.1);
  if (distance > -0.1) {
    // Lobes run along whichever side is nearer.
    const vertical = Math.abs(u) - HALF_WIDTH > Math.abs(v) - HALF_HEIGHT;
    distance += SCALLOP * 1.5 * lobe(vertical ? v / 0.11 : u / 0.1086);
  }
  for (const { at, radius, seed } of bites) {
    const du = u - at[0];
    const dv = v - at[1];
    if (Math.max(Math.abs(du), Math.abs(dv)) > radius * 1.6) continue;
    const rough = 0.34 * fractalNoise((du / radius) * 2.5, (dv / radius) * 2.5, seed, 4);
    distance = Math.max(distance, radius * (1 + rough) - length(du, dv));
  }
  return distance;
}

function paintBody(surface: Surface, layout: BiscuitLayout): void {
  const { pose, doughSeed, beltSeed, bake, hotSide, bites } = layout;
  const wear = tabulate((u, v) => 0.16 * fractalNoise(u * 3, v * 3, beltSeed, 3));
  const patches = tabulate((u, v) => fractalNoise(u * 3.2, v * 3.2, doughSeed, 3));
  surface.forEach(pose, (index, u, v) => {
    const distance = outline(u, v, bites);
    const cover = clamp(0.5 - distance / surface.pixel, 0, 1);
    if (cover < 1) {
      // The belt's weave: shallow diagonal ribs, worn unevenly.
      const rib = lobe((u + v) * 11) - lobe((u - v) * 11);
      surface.blend(index, 1, BELT, 1 + 0.1 * rib + wear(u, v) + 0.06 * valueNoise(u * 80, v * 80, beltSeed + 7), 0);
      surface.height[index] = 0.0016 * rib;
      surface.lit[index] = mix(0.36, 1, smoothstep(-0.05, 0.07, outline(u - 0.045, v - 0.05, bites)));
    }
    if (cover === 0) return;
    const mottle = patches(u, v);
    const grain = fractalNoise(u * 26, v * 26, doughSeed + 20, 3);
    const pores = smoothstep(0.42, 0.75, gradientNoise(u * 27, v * 27, doughSeed + 40));
    const edge = smoothstep(-0.2, -0.01, distance);
    const browning = clamp(
      0.2 + bake + 0.5 * edge * edge + 0.16 * mottle + 0.1 * (hotSide[0] * u + hotSide[1] * v) + 0.05 * grain,
      0,
      1,
    );
    surface.blend(index, cover, DOUGH, 1 + 0.05 * grain - 0.16 * pores, 0);
    surface.tint(index, cover * browning, [CRUST[0] / DOUGH[0], CRUST[1] / DOUGH[1], CRUST[2] / DOUGH[2]]);
    const dome = smoothstep(0, 1, clamp(-distance / 0.09, 0, 1)) * 0.06;
    const relief = 0.0045 * mottle + 0.0022 * grain - 0.004 * pores;
    // The pressed frame line inside the edge.
    const frame = bell(boxDistance(u, v, 0.63, 0.53, 0.06), 0.024);
    surface.height[index] = cover * (dome + relief - 0.011 * frame);
    surface.tint(index, 0.14 * frame * cover, CRUST);
    surface.lit[index] = mix(surface.lit[index]!, 1, cover);
  });
  for (const bite of bites) paintCrumb(surface, layout, bite);
}

/** The pale, rough crumb that a broken edge lays bare. */
function paintCrumb(surface: Surface, layout: BiscuitLayout, bite: Bite): void {
  surface.forEachNear(layout.pose, bite.at[0], bite.at[1], bite.radius * 1.7, (index, du, dv) => {
    const u = du + bite.at[0];
    const v = dv + bite.at[1];
    if (outline(u, v, []) > -surface.pixel) return;
    const inside = -outline(u, v, layout.bites);
    const rough = fractalNoise(u * 22, v * 22, bite.seed + 50, 3);
    const strip = smoothstep(0.055, 0.02, inside + 0.03 * rough) * clamp(inside / surface.pixel + 0.5, 0, 1);
    if (strip === 0) return;
    surface.blend(index, strip, CRUMB, 0.92 + 0.3 * rough, 0);
    surface.height[index]! += strip * 0.012 * rough;
  });
}

function paintHole(surface: Surface, layout: BiscuitLayout, [u, v]: Point): void {
  // Dough shrinks unevenly around a docking pin; the hole's size and place follow the dough's seed.
  const key = layout.doughSeed;
  const column = Math.round(u * 1000);
  const row = Math.round(v * 1000);
  const radius = HOLE_RADIUS * (0.9 + 0.25 * hashUnit(column, row, key));
  const shiftU = 0.012 * (hashUnit(column, row, key + 1) - 0.5);
  const shiftV = 0.012 * (hashUnit(column, row, key + 2) - 0.5);
  surface.forEachNear(layout.pose, u + shiftU, v + shiftV, radius * 3, (index, du, dv) => {
    const distance = length(du, dv);
    surface.height[index]! -= 0.02 * bell(distance, radius * 2.6);
    const dark = smoothstep(radius * 1.15, radius * 0.6, distance);
    surface.blend(index, dark * 0.9, CRUST, 0.3, 0);
  });
}

function paintCrack(surface: Surface, layout: BiscuitLayout, crack: Crack): void {
  const { from, to, width, seed } = crack;
  const center: Point = [(from[0] + to[0]) / 2, (from[1] + to[1]) / 2];
  const radius = length(to[0] - from[0], to[1] - from[1]) / 2 + 0.12;
  surface.forEachNear(layout.pose, center[0], center[1], radius, (index, du, dv) => {
    const u = du + center[0];
    const v = dv + center[1];
    if (outline(u, v, layout.bites) > 0) return;
    // Bending the plane bends the line: jagged on a small scale, wandering on a large one.
    const bu = u + 0.07 * fractalNoise(u * 4, v * 4, seed, 5);
    const bv = v + 0.07 * fractalNoise(u * 4, v * 4, seed + 30, 5);
    const distance = segmentDistance(bu, bv, from[0], from[1], to[0], to[1]);
    const open = width * (0.75 + 0.4 * valueNoise(u * 9, v * 9, seed + 60));
    const gap = clamp((open - distance) / surface.pixel + 0.5, 0, 1);
    surface.height[index]! -= 0.012 * bell(distance, open * 3.2);
    surface.blend(index, gap * 0.9, CRUST, 0.2, 0);
  });
}

function onTop(random: Random): Point {
  return [between(random, -0.58, 0.58), between(random, -0.48, 0.48)];
}

export const biscuit: Part<BiscuitLayout> = {
  layout(random) {
    return {
      pose: randomPose(random, 0.03, 0.012, 0.018),
      doughSeed: random.nextU32() >>> 8,
      beltSeed: random.nextU32() >>> 8,
      bake: between(random, -0.07, 0.07),
      hotSide: [between(random, -1, 1), between(random, -1, 1)],
      holes: ROWS.flatMap((v) => COLUMNS.map((u): Point => [u, v])),
      bites: [],
      cracks: [],
    };
  },

  paint(surface, layout) {
    paintBody(surface, layout);
    for (const hole of layout.holes) paintHole(surface, layout, hole);
    for (const crack of layout.cracks) paintCrack(surface, layout, crack);
  },

  defects: {
    broken_edge: {
      reshape(layout, random) {
        const side = random.uniform() < 0.5 ? -1 : 1;
        const at: Point =
          random.uniform() < 0.5
            ? [between(random, -0.7, 0.7), side * HALF_HEIGHT]
            : [side * HALF_WIDTH, between(random, -0.6, 0.6)];
        return { ...layout, bites: [{ at, radius: between(random, 0.1, 0.26), seed: random.nextU32() >>> 8 }] };
      },
    },
    crack: {
      reshape(layout, random) {
        const from = onTop(random);
        const horizontal = random.uniform() < 0.5;
        const reach = between(random, 0.35, 0.9);
        const lean = between(random, -0.3, 0.3);
        // Towards the farther side, so that the crack keeps its length.
        const du = from[0] > 0 ? -reach : reach;
        const dv = from[1] > 0 ? -reach : reach;
        const to: Point = horizontal ? [from[0] + du, from[1] + lean] : [from[0] + lean, from[1] + dv];
        const width = between(random, 0.006, 0.015);
        return { ...layout, cracks: [{ from, to, width, seed: random.nextU32() >>> 8 }] };
      },
    },
    burnt: {
      mark(surface, layout, random) {
        discolor(surface, layout.pose, onTop(random), random, {
          radius: [0.14, 0.38],
          colors: [
            [0.3, 0.2, 0.16],
            [0.56, 0.44, 0.36],
          ],
        });
      },
    },
    grease: {
      mark(surface, layout, random) {
        stain(surface, layout.pose, onTop(random), random, {
          radius: [0.08, 0.2],
          color: [0.5, 0.4, 0.28],
          matte: 0,
        });
      },
    },
    foreign_matter: {
      mark(surface, layout, random) {
        debris(surface, layout.pose, onTop(random), random, {
          radius: [0.026, 0.075],
          colors: [
            [0.05, 0.1, 0.3],
            [0.1, 0.1, 0.1],
            [0.7, 0.7, 0.68],
            [0.1, 0.25, 0.08],
          ],
        });
      },
    },
    hair: {
      mark(surface, layout, random) {
        fibre(surface, layout.pose, onTop(random), random, {
          length: [0.35, 0.9],
          colors: [
            [0.03, 0.02, 0.02],
            [0.12, 0.06, 0.03],
          ],
        });
      },
    },
    missing_holes: {
      reshape(layout, random) {
        const missing = pick(random, layout.holes);
        // One pin missing, or a bent pair: its right neighbor too.
        const pair = random.uniform() < 0.4;
        const gone = ([u, v]: Point) => v === missing[1] && (u === missing[0] || (pair && u - missing[0] === 0.3));
        return { ...layout, holes: layout.holes.filter((hole) => !gone(hole)) };
      },
    },
  },
};
