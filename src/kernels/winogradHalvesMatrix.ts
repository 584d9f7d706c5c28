import shader from '../../shaders/winograd_halves_product_matrix.wgsl';
import type { Caps, SubgroupMatrixConfig } from '../engine/caps.ts';
import { type Kernel, u32 } from '../engine/graph.ts';
import { type HalvesOperands, halfMatrices } from './halves.ts';

/** Matrices of a subgroup: rows x columns. */
export interface MatrixBlock {
  readonly rows: number;
  readonly columns: number;
}

/** Large blocks load the least; many small ones keep all cores busy. */
export const MATRIX_BLOCKS: readonly MatrixBlock[] = [
  { rows: 4, columns: 4 },
  { rows: 4, columns: 2 },
  { rows: 2, columns: 4 },
  { rows: 2, columns: 2 },
];

/** Words of two steps that a row of a lot has, and vec4 from one row to the next in workgroup memory. */
export const PAIRS_PER_LOT = 16;
const ROW_VECTORS = PAIRS_PER_LOT / 4 + 1;
/** Vec4 of sums beyond a block's columns, against bank conflicts. */
const SUMS_PADDING = 2;
/** Subgroups of a workgroup: two by two. */
const SUBGROUPS = 4;

/** What the kernel is made of on a device. */
interface MatrixTiling extends Pick<SubgroupMatrixConfig, 'M' | 'N' | 'K'> {
  readonly lanes: number;
  /** Of a workgroup. */
  readonly rows: number;
  readonly columns: number;
  /** Vec4 of a buffer, and of all workgroup memory. */
  readonly buffer: number;
  readonly vectors: number;
}

/** The kernel's sizes on a device, or undefined where it cannot run. */
export function matrixTiling(caps: Caps, block: MatrixBlock): MatrixTiling | undefined {
  const config = halfMatrices(caps);
  const { subgroups, subgroupMinSize, subgroupMaxSize, limits } = caps;
  if (!config || !subgroups || subgroupMinSize !== subgroupMaxSize) return undefined;
  const { M, N, K } = config;
  const rows = 2 * block.rows * M;
  const columns = 2 * block.columns * N;
  const invocations = SUBGROUPS * subgroupMaxSize;
  const buffer = (rows + columns) * ROW_VECTORS;
  const vectors = Math.max(2 * buffer, 2 * M * (columns / 4 + SUMS_PADDING));
  const fits =
    invocations <= limits.maxComputeInvocationsPerWorkgroup &&
    16 * vectors <= limits.maxComputeWorkgroupStorageSize &&
    // Every invocation loads the same number of vec4, and stores as many rows.
    [rows, columns].every((side) => (4 * side) % invocations === 0) &&
    (invocations % columns === 0 || columns % invocations === 0) &&
    invocations % (columns / 4) === 0;
  return fits ? { M, N, K, lanes: subgroupMaxSize, rows, columns, buffer, vectors } : undefined;
}

export function matrixKernel(block: MatrixBlock, operands: HalvesOperands, caps: Caps): Kernel {
  const { M, N, K, lanes, rows: BM, columns: BN, buffer, vectors } = matrixTiling(caps, block)!;
  const { rows, columns, points, pairs, groups, vPitch, firstOffset, mPitch } = operands;
  const rowTiles = Math.ceil(rows / BM);
  return {
    shader: { name: 'winograd_halves_product_matrix.wgsl', source: shader },
    defines: {
      ...{ M, N, K, S: lanes, TM: block.rows, TN: block.columns, BM, BN },
      BUFFER: buffer,
      TILE: vectors,
      PITCH: BN / 4 + SUMS_PADDING,
      RAGGED: Number(pairs % PAIRS_PER_LOT > 0),
      // Of an invocation: columns, and vec4 of columns and rows in a lot.
      XR: Math.max(1, BN / (SUBGROUPS * lanes)),
      XU: BN / lanes,
      WU: BM / lanes,
    },
    params: {
      pairs: u32(pairs),
      rows: u32(rows),
      rowTiles: u32(rowTiles),
      tilesPerGroup: u32(rowTiles / groups),
      points: u32(points),
      vPitch: u32(vPitch),
      firstOffset: u32(firstOffset),
      pairStride: u32(points * vPitch),
      mPitch: u32(mPitch / 4),
    },
    grid: [Math.ceil(columns / BN), rowTiles, points],
  };
}
