import { size } from '../../engine/graph.ts';
import {
  ADDRESS,
  BASE_REGISTERS,
  DIVISION,
  type Formula,
  LINE,
  LOT_STEPS,
  MATRIX_LOAD,
  PACK,
  SCATTERED_STORES,
  SETUP,
  STAGE,
  SUBGROUP,
} from './formula.ts';

/** Convolutions in floats, their weight gradients, and halves by matrices. */
export const CONVOLUTIONS: Readonly<Record<string, Formula>> = {
  'conv2d_tile.wgsl'({ node, workgroups, grid, get }) {
    const [MT, NP, TM, TN] = [get('MT'), get('NP'), get('TM'), get('TN')];
    const [LX, SL, BK, POOL] = [get('LX'), get('SL'), get('BK'), get('POOL')];
    const invocations = LX * get('LY') * SL;
    const stages = Math.ceil((get('inChannels') * get('KH') * get('KW')) / BK);
    const [, , splits] = grid;
    // Of all parts of the sums of all blocks.
    const turns = grid[0] * grid[1] * stages;
    const staged = turns * BK * (MT + NP);
    // Where input channels are staged first, pixels are read from there.
    const [STAGED, RESIZED] = [get('STAGED'), get('RESIZED')];
    const pixelReads = STAGED * turns * BK * NP * (RESIZED ? 4 : 1);
    const values = STAGED && get('SOURCE_CHANNELS') * get('SOURCE_IMAGES') * get('SOURCE_H') * get('SOURCE_W');
    const each = STAGED && get('PARTS') + get('SHIFT');
    const sourceLoads = workgroups * values * each;
    const loaded = staged + sourceLoads - STAGED * turns * BK * NP;
    const bias = get('BIAS') * get('outChannels') * grid[0] * LX;
    const stores = size(node.type);
    // Slices but the first hand their sums over.
    const handed = workgroups * (SL - 1) * MT * NP;
    const steps = (turns * BK * MT * NP) / (TM * TN);
    const [rowLoads, columnLoads] = [(BK * MT) / 4 / invocations, (BK * NP) / 4 / invocations];
    const setUp = SETUP + (1 + get('IMAGES')) * DIVISION * (POOL ? 1 : 4) + 40 * get('PADDED');
    const perStage =
      STAGE + rowLoads * (3 + ADDRESS) + columnLoads * (13 + 2 * ADDRESS + 20 * get('PADDED') + 120 * RESIZED);
    const epilogue = MT * NP * (3 + (get('IMAGES') * DIVISION) / TM) * (POOL ? 0.25 : 1);
    return {
      invocations,
      loads: loaded + bias,
      stores,
      multiplyAdds: turns * BK * MT * NP,
      workgroupReads: steps * (TM + TN) + handed + pixelReads,
      workgroupWrites: staged + handed + workgroups * values,
      // Of a subgroup's columns and rows the reads of rows are broadcasts.
      workgroupBytes:
        (steps / SUBGROUP) * ((TM / 4) * LINE + (TN / 4) * Math.max(LINE, 16 * LX)) +
        4 * (staged + pixelReads + workgroups * values) +
        8 * handed,
      cacheBytes: 4 * (loaded + stores * (LX >= 8 ? 1 : SCATTERED_STORES)),
      otherInstructions:
        workgroups * (invocations * setUp + epilogue) +
        turns * invocations * perStage +
        (steps * (TM + TN)) / 4 +
        handed / 2 +
        2 * sourceLoads +
        4 * ADDRESS * workgroups * values,
      steps: Math.ceil(stages / splits) + Math.ceil(values / invocations),
      registers: TM * TN + TM + TN + 4 * (rowLoads + columnLoads) + BASE_REGISTERS,
      workgroupMemory: 4 * (BK * (MT + NP) + values),
    };
  },
  'conv2d_matrix.wgsl'({ node, workgroups, grid, get }) {
    const [BM, BN, S, M, N, TM, TN] = [get('BM'), get('BN'), get('S'), get('M'), get('N'), get('TM'), get('TN')];
    const lots = Math.ceil(get('depth') / LOT_STEPS);
    const staged = (workgroups * lots * LOT_STEPS * (BM + BN)) / 2;
    const loaded = workgroups * lots * LOT_STEPS * (BN + BM / 2);
    // Invocations that share a row of sums read its bias.
    const bias = get('BIAS') * get('outChannels') * grid[0] * Math.min(get('PX'), 4 * S);
    const sums = workgroups * BM * BN;
    const stores = size(node.type);
    const matrices = (LOT_STEPS / get('K')) * (TM + TN);
    const perLot =
      STAGE +
      get('XU') * (8 * (2 + 2 * ADDRESS + 6 * get('PADDED')) + 4 * PACK) +
      get('WU') * 6 +
      matrices * MATRIX_LOAD;
    return {
      invocations: 4 * S,
      loads: loaded + bias + workgroups * 4 * S,
      stores,
      matrixMultiplyAdds: sums * lots * LOT_STEPS,
      matrixValueBytes: 2,
      // Two subgroups read the same rows, two the same columns.
      workgroupReads: 2 * staged + (1 + 3 * get('POOL')) * stores,
      workgroupWrites: staged + sums,
      workgroupBytes: 4 * (3 * staged + 2 * sums),
      cacheBytes: 4 * (loaded + stores),
      otherInstructions: workgroups * 4 * S * (8 * DIVISION + lots * perLot) + stores * (4 + 3 * (1 + 3 * get('POOL'))),
      steps: Math.ceil(lots / 2),
      registers: (TM * TN * M * N + (TM + TN) * M * get('K')) / S + 12 * get('XU') + 4 * get('WU') + BASE_REGISTERS,
      workgroupMemory: 4 * (8 * get('BUFFER') + 2 * M * get('PITCH')),
    };
  },
  'conv2d_fold.wgsl'({ node, workgroups, get }) {
    const [SL, PER] = [get('SL'), get('PER')];
    const stores = size(node.type);
    const parts = workgroups * 64 * PER;
    const shared = SL > 1 ? workgroups * 64 : 0;
    return {
      loads: parts + get('BIAS') * stores,
      stores,
      workgroupReads: (shared / SL) * (SL - 1),
      workgroupWrites: shared,
      workgroupBytes: 8 * shared,
      workgroupMemory: SL > 1 ? 256 : 0,
      otherInstructions: workgroups * 64 * SETUP + 5 * parts + shared + get('BIAS') * stores * 2 * DIVISION,
    };
  },
  'conv2d_weight_grad_tile.wgsl'({ node, workgroups, grid, get }) {
    const [MT, NT, TM, TN, BK] = [get('MT'), get('NT'), get('TM'), get('TN'), 16];
    const invocations = get('INVOCATIONS');
    const pixels = get('batch') * get('outHeight') * get('outWidth');
    const stages = Math.ceil(pixels / BK);
    const [, , splits] = grid;
    // Of all splits of the sums of all blocks.
    const turns = grid[0] * grid[1] * stages;
    const staged = turns * BK * (MT + NT);
    const stores = size(node.type);
    const steps = (turns * BK * MT * NT) / (TM * TN);
    const [rowLoads, columnLoads] = [(BK * MT) / 4 / invocations, (BK * NT) / 4 / invocations];
    // Where padding is read, and behind the last pixel, a value is loaded in place of the one that is missing.
    const perStage = STAGE + 16 + rowLoads * (12 + ADDRESS) + columnLoads * (12 + ADDRESS + 16 * get('PADDED'));
    return {
      invocations,
      loads: staged,
      stores,
      multiplyAdds: turns * BK * MT * NT,
      workgroupReads: steps * (TM + TN),
      workgroupWrites: staged,
      // A subgroup reads 4 vec4 of rows and 8 of columns at a time, each a line.
      workgroupBytes: (steps / SUBGROUP) * ((TM + TN) / 4) * LINE + 4 * staged,
      cacheBytes: 4 * (staged + SCATTERED_STORES * stores),
      otherInstructions:
        workgroups * invocations * (SETUP + 4 * DIVISION * (columnLoads + 1) + TM * TN * 2) +
        turns * invocations * perStage +
        (steps * (TM + TN)) / 4,
      // The next pixels are under way while these are multiplied.
      steps: Math.ceil(stages / splits / 2),
      registers: TM * TN + TM + TN + 8 * (rowLoads + columnLoads) + 4 * columnLoads + BASE_REGISTERS,
      workgroupMemory: 8 * BK * (MT + NT),
    };
  },
};
