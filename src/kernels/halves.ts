import scaleShader from '../../shaders/halves_scale.wgsl';
import type { Caps, SubgroupMatrixConfig } from '../engine/caps.ts';
import { makeNode, type Node, type Op, size, u32 } from '../engine/graph.ts';
import { inputType, testedThrough } from './common.ts';

/* What kernels that round to halves share. */

/** Unit roundoff of a half. */
export const HALF_ROUNDOFF = 2 ** -11;

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
const halvesScaleOp: Op<ScaleAttrs> = {
  name: 'halvesScale',
  infer: () => ({ shape: [2], dtype: 'f32' }),
  reference: testedThrough('halvesScale', 'conv2d'),
  variants: [
    {
      name: 'workgroup',
      kernel: (node) => ({
        shader: { name: 'halves_scale.wgsl', source: scaleShader },
        defines: { SHIFT: node.attrs.shift, WORKGROUP: 256 },
        params: { size: u32(size(inputType(node, 0))) },
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
