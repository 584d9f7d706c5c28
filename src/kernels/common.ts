import type { Caps } from '../engine/caps.ts';
import { f32, type Node, type ParamValue, type TensorType } from '../engine/graph.ts';

/** Invocations per workgroup of one-invocation-per-element kernels. */
export const WORKGROUP = 64;

/** Workgroups for `count` elements, folded in two dimensions over the per-dimension limit. */
export function foldedGrid(count: number, caps: Caps, perWorkgroup = WORKGROUP): readonly [number, number] {
  const groups = Math.ceil(count / perWorkgroup);
  const limit = caps.limits.maxComputeWorkgroupsPerDimension;
  if (groups <= limit) return [groups, 1];
  const rows = Math.ceil(groups / limit);
  return [Math.ceil(groups / rows), rows];
}

/** A tile of more lanes is thousands of lines of WGSL and hundreds of sums in the registers of every lane. */
const MOST_LANES = 16;

/**
 * Lanes of a subgroup, for kernels that hold a tile in its registers: they need to know the number when they are compiled, and
 * are meant for the short vectors of CPU adapters. 0 where the size is not fixed or above 16, as on GPUs: there is no such
 * kernel then.
 */
export function lanes(caps: Caps): number {
  const { subgroups, subgroupMinSize, subgroupMaxSize } = caps;
  return subgroups && subgroupMinSize === subgroupMaxSize && subgroupMaxSize <= MOST_LANES ? subgroupMaxSize : 0;
}

/** Sizes of a rank-4 tensor. */
export function nchw(type: TensorType): readonly [number, number, number, number] {
  return type.shape as unknown as readonly [number, number, number, number];
}

export function inputType(node: Node, index: number): TensorType {
  return node.inputs[index]!.type;
}

/** Workgroups of 8 x 8 over every plane of a rank-4 tensor: no index has to be divided. */
export function planeGrid(type: TensorType): readonly [number, number, number] {
  const [n, c, h, w] = nchw(type);
  return [Math.ceil(w / 8), Math.ceil(h / 8), n * c];
}

/**
 * The reference of an op that exists inside variants of another one alone, and is right where that is.
 * @param through the op whose rows of the doctor's table run it
 */
export const testedThrough = (name: string, through: string) => () => {
  throw new Error(`${name} is tested through ${through}`);
};

/** Row-major 3 x 3: a point (i, j) is taken to (x / w, y / w) with (x, y, w) = M (i, j, 1). */
export type Homography = readonly number[];

/** A homography as kernels take it: `xi` to `w1`. */
export function homographyParams(matrix: Homography): Record<string, ParamValue> {
  const names = ['xi', 'xj', 'x1', 'yi', 'yj', 'y1', 'wi', 'wj', 'w1'];
  return Object.fromEntries(names.map((name, i) => [name, f32(matrix[i]!)]));
}
