import type { Random } from '../../../math/random.ts';
import { clamp, cosTurns, length, mix, sinTurns, smoothstep } from '../arithmetic.ts';
import { between, debris, dent, discolor, fibre, type Point, pick, scratch, stain } from '../marks.ts';
import { fractalNoise, hashUnit, tabulate, valueNoise } from '../noise.ts';
import type { Part } from '../part.ts';
import { boxDistance, hexagonDistance } from '../shapes.ts';
import { type Color, type Pose, randomPose, type Surface } from '../surface.ts';

/** A milled aluminium plate on a rubber mat: bore, four corner holes, two of them with screws, and an etched code. */
export interface BracketLayout {
  readonly pose: Pose;
  readonly brushSeed: number;
  readonly matSeed: number;
  /** Slow change of the plate's sheen along its length and width. */
  readonly sheen: readonly [number, number];
  readonly holes: readonly Hole[];
  readonly screws: readonly Screw[];
  readonly notches: readonly Notch[];
}

interface Hole {
  readonly at: Point;
  readonly radius: number;
}

interface Screw {
  readonly at: Point;
  /** Orientation of the hexagon socket, turns. */
  readonly turn: number;
}

/** Material broken out of the outline. */
interface Notch {
  readonly at: Point;
  readonly radius: number;
  readonly seed: number;
}

const HALF_WIDTH = 0.8;
const HALF_HEIGHT = 0.6;
const CORNER = 0.14;
const BEVEL = 0.028;
const HOLE_RADIUS = 0.1;
const BORE_RADIUS = 0.24;
const HEAD_RADIUS = 0.118;
const CORNERS: readonly Point[] = [
  [-0.61, -0.41],
  [0.61, -0.41],
  [0.61, 0.41],
  [-0.61, 0.41],
];
const MAT: Color = [0.034, 0.037, 0.042];
const ALUMINIUM: Color = [0.5, 0.51, 0.53];
const BLACK_OXIDE: Color = [0.075, 0.073, 0.08];
const WASHER: Color = [0.62, 0.58, 0.5];

function notchedOutline(u: number, v: number, notches: readonly Notch[]): number {
  let distance = boxDistance(u, v, HALF_WIDTH, HALF_HEIGHT, CORNER);
  for (const { at, radius, seed } of notches) {
    const du = u - at[0];
    const dv = v - at[1];
    if (Math.max(Math.abs(du), Math.abs(dv)) > radius * 1.6) continue;
    const rough = 0.3 * fractalNoise((du / radius) * 2.2, (dv / radius) * 2.2, seed, 3);
    distance = Math.max(distance, radius * (1 + rough) - length(du, dv));
  }
  return distance;
}

function paintPlate(surface: Surface, layout: BracketLayout): void {
  const { pose, brushSeed, matSeed, sheen, notches } = layout;
  const half = surface.pixel / 2;
  const dust = tabulate((u, v) => 0.6 * fractalNoise(u * 4, v * 4, matSeed + 9, 2));
  const broad = tabulate((u, v) => 0.03 * valueNoise(u * 0.9, v * 9, brushSeed + 2));
  surface.forEach(pose, (index, u, v) => {
    const distance = notchedOutline(u, v, notches);
    const cover = clamp(0.5 - distance / surface.pixel, 0, 1);
    if (cover < 1) {
      const grain = valueNoise(u * 70, v * 70, matSeed) + dust(u, v);
      surface.blend(index, 1, MAT, 1 + 0.22 * grain, 0);
      surface.height[index] = 0.0012 * grain;
      surface.lit[index] = mix(0.3, 1, smoothstep(-0.05, 0.08, notchedOutline(u - 0.055, v - 0.06, notches)));
    }
    if (cover === 0) return;
    const fine = valueNoise(u * 3.5, v * 118, brushSeed);
    const coarse = valueNoise(u * 1.6 + 5, v * 41, brushSeed + 1);
    const streak = 0.07 * fine + 0.045 * coarse + broad(u, v);
    const gloss = 1 + streak + sheen[0] * u + sheen[1] * v;
    surface.blend(index, cover, ALUMINIUM, gloss, 0.85);
    const bevel = smoothstep(0, 1, clamp(-distance / BEVEL, 0, 1)) * BEVEL * 0.6;
    surface.height[index] = cover * (bevel + 0.00045 * (fine + coarse));
    surface.lit[index] = mix(surface.lit[index]!, 1, cover);
  });
  // A milled pocket around the bore: concentric tool marks instead of the brushing.
  surface.forEachNear(pose, 0, 0, 0.4, (index, du, dv) => {
    const distance = length(du, dv);
    const cover = clamp((0.36 - distance) / surface.pixel + 0.5, 0, 1);
    if (cover === 0) {
      surface.height[index]! += 0.012 * bump(distance - 0.375, 0.03);
      return;
    }
    const ring = valueNoise(distance * 95, 3, brushSeed + 3);
    // Turned faces show bright and dark sectors: x y / r^2 is the sine of twice the angle.
    const sector = distance > half ? (du * dv) / (distance * distance) : 0;
    surface.blend(index, cover, ALUMINIUM, 0.9 + 0.06 * ring + 0.34 * sector, 0.85);
    surface.height[index]! -= 0.02 * cover;
  });
}

function bump(x: number, width: number): number {
  const t = x / width;
  return t > -1 && t < 1 ? (1 - t * t) * (1 - t * t) : 0;
}

/** Etched data matrix of 12 x 12 modules, the same on every specimen. */
function paintCode(surface: Surface, pose: Pose): void {
  const modules = 12;
  const side = 0.27;
  surface.forEachNear(pose, 0.585, 0, side * 0.75, (index, du, dv) => {
    const x = (du / side + 0.5) * modules;
    const y = (dv / side + 0.5) * modules;
    const column = Math.floor(x);
    const row = Math.floor(y);
    if (column < 0 || row < 0 || column >= modules || row >= modules) return;
    // Finder pattern of such codes: two solid sides, two alternating ones.
    const finder = column === 0 || row === modules - 1;
    const clock = row === 0 ? column % 2 === 0 : column === modules - 1 ? row % 2 === 1 : undefined;
    const dark = finder || (clock ?? hashUnit(column, row, 77) < 0.5);
    if (!dark) return;
    surface.tint(index, 0.62, [0.28, 0.27, 0.27]);
    surface.metal[index]! *= 0.6;
  });
}

function paintHole(surface: Surface, pose: Pose, hole: Hole): void {
  const { radius } = hole;
  const chamfer = 0.026;
  surface.forEachNear(pose, hole.at[0], hole.at[1], radius + chamfer * 2, (index, du, dv) => {
    const distance = length(du, dv) - radius;
    const sink = smoothstep(chamfer, 0, distance);
    surface.height[index]! -= sink * chamfer * 0.55;
    const cover = clamp(0.5 - distance / surface.pixel, 0, 1);
    if (cover === 0) return;
    // The wall hides the mat on the light's side and catches some light on the other.
    const depth = (du + dv) / (radius * 1.41);
    surface.blend(index, cover, MAT, 0.34 + 0.5 * smoothstep(0, 1, depth) - 0.15 * (distance / radius), 0);
    const wall = cover * smoothstep(-0.035, 0, distance) * smoothstep(0.1, 0.9, depth);
    surface.blend(index, wall * 0.75, ALUMINIUM, 0.42, 0.2);
  });
}

function paintScrew(surface: Surface, pose: Pose, screw: Screw): void {
  const [u, v] = screw.at;
  const cos = cosTurns(screw.turn);
  const sin = sinTurns(screw.turn);
  const washer = HEAD_RADIUS + 0.036;
  surface.forEachNear(pose, u, v, 0.26, (index, du, dv) => {
    const shadow = smoothstep(0.02, -0.035, length(du - 0.035, dv - 0.038) - washer);
    surface.lit[index]! *= 1 - 0.5 * shadow;
  });
  surface.forEachNear(pose, u, v, washer + 0.02, (index, du, dv) => {
    const radius = length(du, dv);
    const ring = clamp(0.5 - (radius - washer) / surface.pixel, 0, 1);
    if (ring === 0) return;
    surface.lit[index] = mix(
      surface.lit[index]!,
      1 - 0.4 * smoothstep(0.01, -0.02, length(du - 0.02, dv - 0.02) - HEAD_RADIUS),
      ring,
    );
    surface.height[index] = mix(surface.height[index]!, 0.012 * smoothstep(washer, washer - 0.014, radius), ring);
    surface.blend(index, ring, WASHER, 1, 0.75);
    const head = clamp(0.5 - (radius - HEAD_RADIUS) / surface.pixel, 0, 1);
    if (head === 0) return;
    const socket = hexagonDistance(cos * du + sin * dv, cos * dv - sin * du, 0.056);
    const rounded = smoothstep(HEAD_RADIUS, HEAD_RADIUS - 0.03, radius);
    const recess = smoothstep(0.004, -0.012, socket);
    surface.blend(index, head, BLACK_OXIDE, 1 - 0.72 * recess, 0.55 * (1 - recess) + 0.1);
    surface.height[index] = mix(surface.height[index]!, 0.03 * rounded - 0.016 * recess, head);
    surface.lit[index] = mix(surface.lit[index]!, 1, head);
  });
}

/** A random place on the plate's face, clear of its edge, the bore and the corner holes. */
function onFace(random: Random): Point {
  for (;;) {
    const u = between(random, -0.7, 0.7);
    const v = between(random, -0.5, 0.5);
    const clear = length(u, v) > BORE_RADIUS + 0.08 && CORNERS.every(([a, b]) => length(u - a, v - b) > 0.2);
    if (clear) return [u, v];
  }
}

export const bracket: Part<BracketLayout> = {
  layout(random) {
    const pose = randomPose(random, 0.025, 0.009, 0.012);
    return {
      pose,
      brushSeed: random.nextU32() >>> 8,
      matSeed: random.nextU32() >>> 8,
      sheen: [between(random, -0.14, 0.14), between(random, -0.14, 0.14)],
      holes: [{ at: [0, 0], radius: BORE_RADIUS }, ...CORNERS.map((at) => ({ at, radius: HOLE_RADIUS }))],
      screws: [CORNERS[0]!, CORNERS[2]!].map((at) => ({ at, turn: random.uniform() })),
      notches: [],
    };
  },

  paint(surface, layout) {
    paintPlate(surface, layout);
    paintCode(surface, layout.pose);
    for (const hole of layout.holes) paintHole(surface, layout.pose, hole);
    for (const screw of layout.screws) paintScrew(surface, layout.pose, screw);
  },

  defects: {
    scratch: {
      mark(surface, layout, random) {
        const at = onFace(random);
        const bright = random.uniform() < 0.6;
        scratch(surface, layout.pose, at, random, {
          length: [0.25, 1],
          depth: 0.005,
          color: bright ? [0.98, 0.98, 1] : [0.14, 0.14, 0.14],
        });
      },
    },
    dent: {
      mark(surface, layout, random) {
        dent(surface, layout.pose, onFace(random), random, { radius: [0.05, 0.15], depth: 0.3 });
      },
    },
    oil_stain: {
      mark(surface, layout, random) {
        stain(surface, layout.pose, onFace(random), random, {
          radius: [0.07, 0.2],
          color: [0.42, 0.33, 0.2],
          matte: 0.15,
        });
      },
    },
    heat_tint: {
      mark(surface, layout, random) {
        discolor(surface, layout.pose, onFace(random), random, {
          radius: [0.14, 0.32],
          colors: [
            [0.62, 0.66, 1],
            [1, 0.8, 0.5],
          ],
        });
      },
    },
    swarf: {
      mark(surface, layout, random) {
        debris(surface, layout.pose, onFace(random), random, {
          radius: [0.028, 0.07],
          colors: [
            [0.07, 0.06, 0.06],
            [0.3, 0.17, 0.08],
          ],
        });
      },
    },
    fibre: {
      mark(surface, layout, random) {
        fibre(surface, layout.pose, onFace(random), random, {
          length: [0.3, 0.8],
          colors: [
            [0.05, 0.06, 0.1],
            [0.35, 0.06, 0.05],
            [0.06, 0.12, 0.36],
          ],
        });
      },
    },
    missing_hole: {
      reshape(layout, random) {
        const missing = pick(random, [CORNERS[1]!, CORNERS[3]!]);
        return { ...layout, holes: layout.holes.filter((hole) => hole.at !== missing) };
      },
    },
    misplaced_screw: {
      reshape(layout, random) {
        const screws = [...layout.screws];
        const which = random.integer(screws.length);
        const screw = screws[which]!;
        // Either in one of the holes that must stay free, or seated off center.
        if (random.uniform() < 0.5) screws[which] = { ...screw, at: pick(random, [CORNERS[1]!, CORNERS[3]!]) };
        else {
          const turn = random.uniform();
          const away = between(random, 0.035, 0.07);
          const at: Point = [screw.at[0] + away * cosTurns(turn), screw.at[1] + away * sinTurns(turn)];
          screws[which] = { ...screw, at };
        }
        return { ...layout, screws };
      },
    },
    chipped_edge: {
      reshape(layout, random) {
        const side = random.uniform() < 0.5 ? -1 : 1;
        const at: Point =
          random.uniform() < 0.5
            ? [between(random, -0.4, 0.4), side * HALF_HEIGHT]
            : [side * HALF_WIDTH, between(random, -0.2, 0.2)];
        const notch = { at, radius: between(random, 0.06, 0.15), seed: random.nextU32() >>> 8 };
        return { ...layout, notches: [notch] };
      },
    },
  },
};
