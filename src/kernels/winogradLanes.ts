import shader from '../../shaders/winograd_product_lanes.wgsl';
import type { Caps } from '../engine/caps.ts';
import { type Kernel, u32 } from '../engine/graph.ts';
import { lanes } from './common.ts';
import { type Operands, valueTypes } from './winogradBlock.ts';

/** A block of one subgroup of `winograd_product_lanes.wgsl`. */
export interface Lanes {
  /** Rows of a workgroup's block. */
  readonly rows: number;
  /** Columns in units of S lanes. */
  readonly columns: number;
}

/** In the order of the default. */
export const LANES: readonly Lanes[] = [
  { rows: 32, columns: 8 },
  { rows: 32, columns: 4 },
  { rows: 16, columns: 4 },
  { rows: 8, columns: 4 },
];

/** Of a block on CPU adapters. Wider ones take no less time, and compile for many times as long. */
const COLUMNS = 32;

export function lanesName({ rows, columns }: Lanes): string {
  return `lanes${rows}x${columns}`;
}

/** Whether a block leaves few of its rows and columns empty, and compiles in reasonable time. */
export function lanesSuit(block: Lanes, product: { readonly rows: number; readonly columns: number }, caps: Caps) {
  const columns = block.columns * lanes(caps);
  return (
    (block.columns === 4 || columns <= COLUMNS) &&
    block.rows <= Math.max(8, 1.25 * product.rows) &&
    columns <= Math.max(4 * lanes(caps), 1.5 * product.columns)
  );
}

export function lanesKernel(block: Lanes, caps: Caps, operands: Operands): Kernel {
  const { rows: MT, columns: NT } = block;
  const { rows, columns, points, depth, groups, gathered, vPitch, firstOffset, mPitch, pairs = false } = operands;
  const rowTiles = Math.ceil(rows / MT);
  const S = lanes(caps);
  return {
    shader: { name: 'winograd_product_lanes.wgsl', source: shader },
    defines: { S, MT, NT, ...valueTypes(pairs) },
    params: {
      depth: u32(depth),
      rows: u32(rows),
      columns: u32(columns),
      rowTiles: u32(rowTiles),
      tilesPerGroup: u32(rowTiles / groups),
      points: u32(points),
      vPitch: u32(vPitch),
      firstOffset: u32(firstOffset),
      stepStride: u32(gathered ? 1 : points * vPitch),
      columnStride: u32(gathered ? points * vPitch : 1),
      mPitch: u32(mPitch),
    },
    grid: [Math.ceil(columns / (NT * S)), rowTiles, points],
  };
}
