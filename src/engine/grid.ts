import type { Defines } from './expand.ts';

export type Grid = readonly [number, number, number];

/** Places in a grid are counted in 32 bits. */
const MOST_WORKGROUPS = 2 ** 32 - 1;

/**
 * A grid of the same number of workgroups, or a few more, with no dimension over the limit; undefined where there is none. Kernels
 * whose shader includes the snippet `workgroup` can be dispatched in it.
 */
export function foldGrid([x, y, z]: Grid, limit: number): Grid | undefined {
  const count = x * y * z;
  if (count > MOST_WORKGROUPS) return undefined;
  const rows = Math.ceil(count / limit);
  if (rows <= limit) return [Math.ceil(count / rows), rows, 1];
  const planes = Math.ceil(rows / limit);
  return planes <= limit ? [limit, Math.ceil(rows / planes), planes] : undefined;
}

/** What the snippet `workgroup` needs to know. @param folded absent: the grid is dispatched as it is */
export function gridDefines([x, y, z]: Grid, folded?: Grid): Defines {
  if (!folded) return { FOLDED: 0 };
  return { FOLDED: 1, FOLDED_X: folded[0], FOLDED_Y: folded[1], GRID_X: x, GRID_Y: y, GRID_Z: z };
}
