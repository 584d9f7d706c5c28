import type { Caps } from '../engine/caps.ts';

/* Blocks of the products that weight gradients take on GPUs: rows are output channels, the sum runs over pixels or tiles. */

export interface GradBlock {
  readonly rows: number;
  readonly columns: number;
  /** Rows and columns of one invocation. */
  readonly sums: readonly [rows: number, columns: number];
  /** Fewest rows and columns with which it is the default. */
  readonly fewest: readonly [rows: number, columns: number];
}

/**
 * In the order of the default. Larger blocks load less, and 8 x 8 sums read workgroup memory least per multiply-add. All but the
 * first stay within the portable 16 KiB.
 */
export const GRAD_BLOCKS: readonly GradBlock[] = [
  { rows: 128, columns: 64, sums: [8, 8], fewest: [128, 48] },
  { rows: 64, columns: 64, sums: [4, 8], fewest: [48, 48] },
  { rows: 32, columns: 32, sums: [4, 4], fewest: [0, 0] },
];

/** Steps of the sum that lie in workgroup memory together; it holds two such lots. */
export const GRAD_STEP = 16;

/** Compilers for smaller subgroups give an invocation fewer registers than 8 x 8 sums take. */
const SUBGROUP_FOR_MOST_SUMS = 32;

export function gradBlockName({ rows, columns }: GradBlock): string {
  return `gradBlock${rows}x${columns}`;
}

export function invocations({ rows, columns, sums }: GradBlock): number {
  return (rows / sums[0]) * (columns / sums[1]);
}

export function gradBlockFits(block: GradBlock, { limits }: Caps): boolean {
  const bytes = 2 * 4 * GRAD_STEP * (block.rows + block.columns);
  return (
    bytes <= limits.maxComputeWorkgroupStorageSize && invocations(block) <= limits.maxComputeInvocationsPerWorkgroup
  );
}

/** The default on a GPU, if there is one. */
export function defaultGradBlock(rows: number, columns: number, caps: Caps): GradBlock | undefined {
  return GRAD_BLOCKS.find(
    (block) =>
      gradBlockFits(block, caps) &&
      (block.sums[0] < 8 || caps.subgroupMinSize >= SUBGROUP_FOR_MOST_SUMS) &&
      rows >= block.fewest[0] &&
      columns >= block.fewest[1],
  );
}
