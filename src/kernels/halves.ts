import scaleShader from '../../shaders/halves_scale.wgsl';
import type { Caps, SubgroupMatrixConfig } from '../engine/caps.ts';
import { makeNode, type Node, type Op, size, u32 } from '../engine/graph.ts';
import { testedThrough } from './common.ts';
import type { TileAttrs } from './winogradTiles.ts';

/* What kernels that round to halves share. */

/** Unit roundoff of a half. */
export const HALF_ROUNDOFF = 2 ** -11;

/**
 * Rounding errors of halves in units of 2^-11, as a share of the largest output, by kernel size and output tile. The input
 * transform B, the weight transform G and the output transform A of one dimension carry independent values of variance 1 into
 * points of variance b_p = sum B^2, g_p = sum G^2, and errors of points into outputs by A^2; a rounding of a share e of every
 * transformed input, weight and product makes an error of e * sqrt(3) * max over outputs of sum_p(A^2 g_p b_p) / k of the
 * output's standard deviation in two dimensions. The largest of many outputs is more than twice that deviation, and e of a
 * rounding is 0.4 * 2^-11 in the mean: five deviations of the error stay below.
 */
export const AMPLIFICATION: Readonly<Record<number, Readonly<Record<number, number>>>> = {
  4: { 3: 41.9, 2: 15.8 },
  3: { 4: 54.4, 2: 2.9 },
};

/** Winograd's error with halves, as a share of the largest output. */
export function halvesError({ m, k }: TileAttrs): number {
  return HALF_ROUNDOFF * AMPLIFICATION[k]![m]!;
}

/** Whether words of two channels hold channels of one group, of those that the convolution reads. */
export function wholePairs(w: readonly number[], { groups, firstChannel }: { groups: number; firstChannel: number }) {
  return firstChannel % 2 === 0 && (groups === 1 || w[1]! % 2 === 0);
}

/** The largest matrices of halves with sums in f32 that the kernel can take. */
export function halfMatrices({ f16, subgroupMatrixConfigs }: Caps): SubgroupMatrixConfig | undefined {
  if (!f16) return undefined;
  const sides = [8, 16, 32];
  const fitting = subgroupMatrixConfigs.filter(
    ({ componentType, resultComponentType, M, N, K }) =>
      componentType === 'f16' && resultComponentType === 'f32' && [M, N, K].every((side) => sides.includes(side)),
  );
  const products = ({ M, N, K }: SubgroupMatrixConfig) => M * N * K;
  return fitting.sort((a, b) => products(b) - products(a))[0];
}

interface ScaleAttrs {
  /** The other operand of the products is scaled by 2^-shift. */
  readonly shift: number;
}

/** Weights -> [2]: a power of two for them, and what undoes it and the other operand's in the products. */
const halvesScaleOp: Op<ScaleAttrs, readonly ['f32']> = {
  name: 'halvesScale',
  infer: () => ({ shape: [2], dtype: 'f32' }),
  reference: testedThrough('halvesScale', 'conv2d'),
  variants: [
    {
      name: 'workgroup',
      kernel: (node) => ({
        shader: { name: 'halves_scale.wgsl', source: scaleShader },
        defines: { SHIFT: node.attrs.shift, WORKGROUP: 256 },
        params: { size: u32(size(node.inputs[0].type)) },
        grid: [1],
      }),
    },
  ],
};

/** @see halvesScaleOp */
export function halvesScale(weights: Node, shift: number, label: string): Node {
  return makeNode(halvesScaleOp, [weights], { shift }, label);
}

/** How the operands lie in memory; offsets and pitches in words. */
export interface HalvesOperands {
  readonly rows: number;
  readonly columns: number;
  readonly points: number;
  /** Words of two steps. */
  readonly pairs: number;
  readonly groups: number;
  readonly vPitch: number;
  readonly firstOffset: number;
  readonly mPitch: number;
}
