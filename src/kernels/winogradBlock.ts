import shader from '../../shaders/winograd_product_block.wgsl';
import type { Caps } from '../engine/caps.ts';
import { type Kernel, u32 } from '../engine/graph.ts';

/** A block of one workgroup of `winograd_product_block.wgsl`. */
export interface Block {
  readonly rows: number;
  readonly columns: number;
  /** Steps that lie in workgroup memory together; it holds two such lots. */
  readonly steps: number;
  /** Rows and columns of one invocation. */
  readonly sums: readonly [rows: number, columns: number];
  /** Fewest workgroups with which it is the default: enough for several on every multiprocessor of a large GPU. */
  readonly fewest: number;
}

/**
 * In the order of the default. Larger blocks load less, and 8 x 8 sums read workgroup memory least per multiply-add; small
 * blocks spread over more multiprocessors. What has no `fewest` is for the tuner.
 */
export const BLOCKS: readonly Block[] = [
  { rows: 128, columns: 128, steps: 8, sums: [8, 8], fewest: 1024 },
  { rows: 128, columns: 64, steps: 8, sums: [8, 8], fewest: 512 },
  { rows: 64, columns: 128, steps: 8, sums: [8, 8], fewest: 512 },
  { rows: 64, columns: 64, steps: 16, sums: [4, 8], fewest: 256 },
  { rows: 32, columns: 32, steps: 16, sums: [4, 4], fewest: 0 },
  { rows: 64, columns: 64, steps: 8, sums: [8, 8], fewest: Number.POSITIVE_INFINITY },
];

/** How much a block may compute beyond the product's edges, against 64 x 64, to be the default. */
const MOST_FILLED = 1.15;

export function blockName({ rows, columns, steps }: Block): string {
  return `block${rows}x${columns}x${steps}`;
}

/** Subgroups' worth of invocations stand 4 down and 8 across. */
function invocations({ rows, columns, sums }: Block): number {
  return (rows / sums[0]) * (columns / sums[1]);
}

export function blockFits(block: Block, { limits }: Caps): boolean {
  const bytes = 2 * 4 * block.steps * (block.rows + block.columns);
  return (
    bytes <= limits.maxComputeWorkgroupStorageSize && invocations(block) <= limits.maxComputeInvocationsPerWorkgroup
  );
}

/** The matrices of a batched product. */
export interface Product {
  readonly rows: number;
  readonly columns: number;
  readonly points: number;
}

/** Compilers for smaller subgroups give an invocation fewer registers than 8 x 8 sums take. */
const SUBGROUP_FOR_MOST_SUMS = 32;

/**
 * The default block on a GPU: the first that leaves enough workgroups and little that is computed for nothing.
 * @param usable whether a block can compute the product
 * @param blocks those to choose from, in order of preference
 */
export function defaultBlock(
  { rows, columns, points }: Product,
  caps: Caps,
  usable: (block: Block) => boolean = () => true,
  blocks: readonly Block[] = BLOCKS,
): Block | undefined {
  const blocksOf = (block: Pick<Block, 'rows' | 'columns'>) =>
    Math.ceil(rows / block.rows) * Math.ceil(columns / block.columns);
  const filled = 64 * 64 * blocksOf({ rows: 64, columns: 64 });
  return blocks.find(
    (block) =>
      blockFits(block, caps) &&
      usable(block) &&
      (block.sums[0] < 8 || caps.subgroupMinSize >= SUBGROUP_FOR_MOST_SUMS) &&
      points * blocksOf(block) >= block.fewest &&
      block.rows * block.columns * blocksOf(block) <= MOST_FILLED * filled,
  );
}

/** How a product's operands lie in memory; offsets and strides in elements. */
export interface Operands extends Product {
  readonly depth: number;
  readonly groups: number;
  /** Whether the columns of v are its channels, and steps its tiles. */
  readonly gathered: boolean;
  /** Steps that lie in v, a multiple of the block's, where the others lie in a second operand. */
  readonly firstDepth?: number | undefined;
  readonly vPitch: number;
  readonly firstOffset: number;
  readonly mPitch: number;
  /** Whether values are words of two 16-bit numbers; no when absent. */
  readonly pairs?: boolean;
}

export function blockKernel(block: Block, operands: Operands): Kernel {
  const { rows: MT, columns: NT, steps: BK, sums } = block;
  const {
    rows,
    columns,
    points,
    depth,
    groups,
    gathered,
    firstDepth,
    vPitch,
    firstOffset,
    mPitch,
    pairs = false,
  } = operands;
  const rowTiles = Math.ceil(rows / MT);
  // v is read as vec4 unless it is gathered, and m always written so.
  const width = gathered ? 1 : 4;
  return {
    shader: { name: 'winograd_product_block.wgsl', source: shader },
    defines: {
      MT,
      NT,
      BK,
      TM: sums[0],
      TN: sums[1],
      INVOCATIONS: invocations(block),
      GATHERED: Number(gathered),
      RAGGED: Number(depth % BK > 0),
      SECOND: Number(firstDepth !== undefined),
      ...valueTypes(pairs),
      VALUES: pairs ? 'vec4i' : 'vec4f',
    },
    params: {
      depth: u32(depth),
      rows: u32(rows),
      columns: u32(columns),
      rowTiles: u32(rowTiles),
      tilesPerGroup: u32(rowTiles / groups),
      points: u32(points),
      vPitch: u32(vPitch / width),
      firstOffset: u32(firstOffset / width),
      stepStride: u32(gathered ? 1 : (points * vPitch) / width),
      columnStride: u32(points * vPitch),
      mPitch: u32(mPitch / 4),
      ...(firstDepth !== undefined && { firstDepth: u32(firstDepth) }),
    },
    grid: [Math.ceil(columns / NT), rowTiles, points],
  };
}

/** Defines of what the product kernels multiply: floats, or words of two 16-bit numbers. */
export function valueTypes(pairs: boolean) {
  return { PAIRS: Number(pairs), VALUE: pairs ? 'i32' : 'f32' };
}
