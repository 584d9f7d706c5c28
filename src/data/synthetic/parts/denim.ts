import type { Random } from '../../../math/random.ts';
import { clamp, length, mix, smoothstep } from '../arithmetic.ts';
import { between, discolor, fibre, type Point, stain } from '../marks.ts';
import { fractalNoise, hashUnit, tabulate, valueNoise } from '../noise.ts';
import type { Part } from '../part.ts';
import { type Color, type Pose, randomPose, type Surface } from '../surface.ts';

/** A 3/1 twill that fills the picture: every indigo warp yarn passes over three ecru weft yarns and under the fourth. */
export interface DenimLayout {
  readonly pose: Pose;
  readonly seed: number;
  /** How far the dye has faded, about 0. */
  readonly fade: number;
  readonly brokenEnds: readonly BrokenEnd[];
  readonly misweaves: readonly Misweave[];
}

/** A warp yarn that is missing over a length, so that the weft below shows. */
interface BrokenEnd {
  readonly column: number;
  readonly from: number;
  readonly to: number;
}

/** Picks whose shed was wrong: the binding is shifted on these rows, between two places. */
interface Misweave {
  readonly row: number;
  readonly rows: number;
  readonly from: number;
  readonly to: number;
}

const PITCH = 0.058;
const INDIGO: Color = [0.052, 0.085, 0.2];
const ECRU: Color = [0.5, 0.47, 0.41];
const GAP: Color = [0.012, 0.015, 0.028];

function paintCloth(surface: Surface, layout: DenimLayout): void {
  const { pose, seed, fade, brokenEnds, misweaves } = layout;
  // Yarns are never quite straight or evenly spaced.
  const bendWarp = tabulate(
    (u, v) => 0.7 * fractalNoise(u * 1.5, v * 1.1, seed, 2) + 0.13 * valueNoise(u * 8, v * 3, seed + 3),
  );
  const bendWeft = tabulate(
    (u, v) => 0.7 * fractalNoise(u * 1.1, v * 1.5, seed + 5, 2) + 0.13 * valueNoise(u * 3, v * 8, seed + 8),
  );
  const wear = tabulate((u, v) => fade + 0.3 * fractalNoise(u * 1.8, v * 1.8, seed + 23, 3));
  surface.forEach(pose, (index, u, v) => {
    const x = u / PITCH + bendWarp(u, v);
    const y = v / PITCH + bendWeft(u, v);
    const column = Math.floor(x);
    const row = Math.floor(y);
    const across = x - column - 0.5;
    const along = y - row - 0.5;
    let shift = 0;
    for (const fault of misweaves) {
      if (row >= fault.row && row < fault.row + fault.rows && u > fault.from && u < fault.to) shift = 2;
    }
    // Place within the repeat of four: the weft is on top at 0, the warp at 1 to 3.
    const step = (((column + row + shift) % 4) + 4) % 4;
    const warpMissing = brokenEnds.some((end) => end.column === column && v > end.from && v < end.to);
    const warpOnTop = step !== 0 && !warpMissing;

    const worn = wear(u, v);
    // Thick and thin places (slubs) run along each yarn.
    const slub = valueNoise(warpOnTop ? column * 7.3 : u * 5, warpOnTop ? v * 5 : row * 7.3, seed + 11);
    const thickness = 0.45 + 0.06 * slub;
    const side = warpOnTop ? across : along;
    // How far along its float, 0..1: a yarn rises out of one crossing and dives into the next.
    const t = warpOnTop ? (step - 1 + along + 0.5) / 3 : across + 0.5;
    const bow = (2 * t - 1) * (2 * t - 1);
    const arch = warpMissing ? 0.5 : 1 - bow * bow;
    const squeeze = side / (thickness + 0.06);
    const round = Math.sqrt(Math.max(0, 1 - squeeze * squeeze));
    // Twist: fine fibres run across the yarn at a slant.
    const twist = warpOnTop
      ? valueNoise(x * 4 + y * 2.6, y * 2.2 - x * 0.8, seed + 14)
      : valueNoise(y * 4 + x * 2.6, x * 2.2 - y * 0.8, seed + 14);
    const fuzz = valueNoise(u * 88 + v * 31, v * 88 - u * 31, seed + 17);
    const dye = 1 + 0.22 * (hashUnit(warpOnTop ? column : row, warpOnTop ? 0 : 1, seed) - 0.5) + 0.14 * slub;

    const shade = (0.4 + 0.6 * round) * (0.6 + 0.4 * arch) * (1 + 0.3 * twist + 0.16 * fuzz);
    // Floats end in a rounded tip; fuzz softens every outline.
    const tip = warpMissing ? 0 : 0.2 * bow * bow * bow;
    const edge = clamp((thickness - tip - Math.abs(side) + 0.05 * fuzz) * 6 + 0.5, 0, 1);
    surface.blend(index, 1, GAP, 1, 0);
    surface.blend(index, edge, warpOnTop ? INDIGO : ECRU, shade * dye * (warpOnTop ? 1 + worn : 0.8), 0);
    if (warpOnTop) {
      // The dye sits on the yarn's surface; where it is rubbed most, the white core comes through.
      const rubbed = edge * clamp(0.1 + 0.3 * worn + 0.1 * fuzz + 0.08 * twist, 0, 0.6) * round * arch;
      surface.blend(index, rubbed, ECRU, shade, 0);
    }
    surface.height[index] = PITCH * 0.2 * edge * round * (0.45 + 0.55 * arch) + 0.0012 * twist;
  });
}

/** A worn-through hole: the warp is gone and loose weft threads cross the dark opening. */
function tear(surface: Surface, pose: Pose, at: Point, random: Random): void {
  const radius = between(random, 0.07, 0.19);
  const flat = between(random, 1.1, 1.9);
  const seed = random.nextU32() >>> 8;
  surface.forEachNear(pose, at[0], at[1], radius * 1.9, (index, du, dv) => {
    const wobble = fractalNoise((du / radius) * 3, (dv / radius) * 3, seed, 4);
    const distance = length(du / 1.25, (dv * flat) / 1.25) / radius + 0.5 * wobble;
    const open = smoothstep(1.02, 0.86, distance);
    // Frayed, whitish rim where the dyed fibres have broken off.
    surface.blend(index, 0.6 * smoothstep(1.35, 1, distance) * (1 - open), ECRU, 0.7 + 0.5 * wobble, 0);
    if (open === 0) return;
    surface.blend(index, open, GAP, 1, 0);
    surface.height[index]! *= 1 - open;
    const sag = dv + 0.03 * valueNoise(du * 9, 0, seed + 9) + 0.012 * valueNoise(du * 30, dv * 12, seed + 10);
    const thread = Math.round(sag / PITCH);
    if (hashUnit(thread, 0, seed) > 0.62) return;
    const off = (sag - thread * PITCH) / (PITCH * 0.26);
    const cover = open * clamp((1 - Math.abs(off)) * 2.5, 0, 1);
    surface.blend(
      index,
      cover,
      ECRU,
      (1.05 - 0.4 * off * off) * (1 + 0.25 * valueNoise(du * 80, dv * 60, seed + 11)),
      0,
    );
  });
}

function anywhere(random: Random): Point {
  return [between(random, -0.72, 0.72), between(random, -0.72, 0.72)];
}

export const denim: Part<DenimLayout> = {
  layout(random) {
    return {
      pose: randomPose(random, 0.06, 0.012, 0.03),
      seed: random.nextU32() >>> 8,
      fade: between(random, -0.12, 0.12),
      brokenEnds: [],
      misweaves: [],
    };
  },

  paint: paintCloth,

  defects: {
    broken_end: {
      reshape(layout, random) {
        const from = between(random, -0.8, 0.1);
        const column = Math.round(between(random, -13, 13));
        return { ...layout, brokenEnds: [{ column, from, to: from + between(random, 0.35, 0.9) }] };
      },
    },
    misweave: {
      reshape(layout, random) {
        const from = between(random, -0.85, 0.1);
        const row = Math.round(between(random, -13, 10));
        const fault = { row, rows: 1 + random.integer(3), from, to: from + between(random, 0.3, 0.8) };
        return { ...layout, misweaves: [fault] };
      },
    },
    tear: {
      mark(surface, layout, random) {
        tear(surface, layout.pose, anywhere(random), random);
      },
    },
    bleach: {
      mark(surface, layout, random) {
        discolor(surface, layout.pose, anywhere(random), random, {
          radius: [0.12, 0.36],
          colors: [
            [2.6, 2.1, 1.55],
            [1.7, 1.5, 1.25],
          ],
        });
      },
    },
    stain: {
      mark(surface, layout, random) {
        stain(surface, layout.pose, anywhere(random), random, {
          radius: [0.09, 0.24],
          color: [0.55, 0.34, 0.2],
          matte: 0,
        });
      },
    },
    knot: {
      mark(surface, layout, random) {
        const at = anywhere(random);
        const { pose } = layout;
        const radius = between(random, 0.045, 0.085);
        const seed = random.nextU32() >>> 8;
        // A lump of weft pushed through the face, wider than high.
        surface.forEachNear(pose, at[0], at[1], radius * 2, (index, du, dv) => {
          const distance = length(du / 1.5, dv) / radius + 0.25 * fractalNoise(du * 24, dv * 24, seed, 3);
          const cover = smoothstep(1, 0.82, distance);
          surface.lit[index]! *=
            1 - 0.5 * smoothstep(1.25, 0.7, length((du - 0.02) / 1.5, dv - 0.02) / radius) * (1 - cover);
          if (cover === 0) return;
          const strands = valueNoise(du * 22, (dv + du * 0.5) * 95, seed + 9);
          const dome = Math.sqrt(Math.max(0, 1 - distance * distance));
          surface.blend(index, cover, ECRU, (0.62 + 0.4 * dome) * (1 + 0.28 * strands), 0);
          surface.height[index] = mix(surface.height[index]!, 0.02 + 0.04 * dome + 0.003 * strands, cover);
        });
      },
    },
    fibre: {
      mark(surface, layout, random) {
        fibre(surface, layout.pose, anywhere(random), random, {
          length: [0.35, 0.9],
          colors: [
            [0.6, 0.08, 0.06],
            [0.75, 0.72, 0.66],
            [0.6, 0.42, 0.08],
          ],
        });
      },
    },
  },
};
