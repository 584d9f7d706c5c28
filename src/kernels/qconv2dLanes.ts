import lanesShader from '../../shaders/qconv2d_lanes.wgsl';
import rowsShader from '../../shaders/qconv2d_rows.wgsl';
import type { Caps } from '../engine/caps.ts';
import { u32 } from '../engine/graph.ts';
import { lanes } from './common.ts';
import { addsExactly, BLOCK_IN, BLOCK_OUT, common, largestSum, type Qconv2dNode } from './qconv2dShape.ts';

/* The kernels of qconv2d for the short vectors of CPU adapters. */

export function rowsKernel(node: Qconv2dNode, caps: Caps) {
  const { g, defines, params, ragged } = common(node);
  const { batch: _, ...used } = params;
  const S = lanes(caps);
  const NX = 1;
  const RY = rowsOf(g.convHeight);
  const columnTiles = Math.ceil(g.convWidth / (NX * S));
  return {
    shader: { name: 'qconv2d_rows.wgsl', source: rowsShader },
    defines: { ...defines, S, NX, RY, KH: g.kernelHeight, KW: g.kernelWidth, RAGGED: ragged },
    params: { ...used, columnTiles: u32(columnTiles) },
    grid: [columnTiles * Math.ceil(g.convHeight / RY), Math.ceil(g.outChannels / BLOCK_OUT), g.batch] as const,
  };
}

/** Rows that one subgroup computes, with how fast a full tile is: sums, not weights, fill the registers. */
const ROWS: readonly (readonly [rows: number, speed: number])[] = [
  [6, 1],
  [8, 0.97],
  [4, 0.88],
];

/** The number of rows that wastes the fewest, weighted with its speed. */
function rowsOf(height: number): number {
  const rate = ([rows, speed]: (typeof ROWS)[number]) => (speed * height) / (Math.ceil(height / rows) * rows);
  return ROWS.reduce((best, tile) => (rate(tile) > rate(best) ? tile : best))[0];
}

/** Vectors of pixels that share decoded weights. With short vectors sums are in memory anyway. */
function vectorsOf(lanes: number): number {
  return lanes < 8 ? 8 : 4;
}

export function lanesKernel(node: Qconv2dNode, caps: Caps) {
  const { g, defines, params, ragged } = common(node);
  const S = lanes(caps);
  const NT = vectorsOf(S);
  const { POOL: _, ...used } = defines;
  const { weights, bits } = node.attrs;
  // No weight of 2 bits is 0: those that fill up a block meet the zero point, and count in the table's sums.
  const FILLED = bits === 2 ? BLOCK_IN : Math.min(weights[1]!, BLOCK_IN);
  const WHOLE = Number(used.U8 && used.GROUPS === 1 && addsExactly(largestSum(node.attrs)));
  const modes = { INTO: used.U8 ? 'row' : 'sum', RAGGED: ragged, FILLED, WHOLE };
  return {
    shader: { name: 'qconv2d_lanes.wgsl', source: lanesShader },
    defines: { ...used, ...modes, S, NT, KW: g.kernelWidth },
    params: { ...params, kernelHeight: u32(g.kernelHeight), stride: u32(node.attrs.stride) },
    grid: [Math.ceil((g.batch * g.convHeight * g.convWidth) / (NT * S)), Math.ceil(g.outChannels / BLOCK_OUT)] as const,
  };
}
