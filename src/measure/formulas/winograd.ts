import { size } from '../../engine/graph.ts';
import {
  ADDRESS,
  BASE_REGISTERS,
  DIVISION,
  type Formula,
  INPUT_TRANSFORM,
  LINE,
  MATRIX_LOAD,
  OUTPUT_TRANSFORM,
  PACK,
  SCATTERED_STORES,
  SETUP,
  STAGE,
  STEP_CODES,
  SUBGROUP,
  WEIGHT_TRANSFORM,
  written,
} from './formula.ts';

/** Winograd's transforms and products. */
export const WINOGRAD: Readonly<Record<string, Formula>> = {
  'winograd_product_block.wgsl'({ workgroups, grid, get }) {
    const [MT, NT, TM, TN, BK] = [get('MT'), get('NT'), get('TM'), get('TN'), get('BK')];
    const invocations = get('INVOCATIONS');
    const steps = Math.ceil(get('depth') / BK);
    const staged = workgroups * steps * BK * (MT + NT);
    // Whole vec4, up to the pitch.
    const stores = get('rows') * get('points') * Math.min(grid[0] * NT, 4 * get('mPitch'));
    const lots = (BK * (MT + NT)) / (4 * invocations);
    const perInvocation =
      SETUP +
      2 * DIVISION +
      steps * (STAGE + lots * (2 + ADDRESS) + get('GATHERED') * 3 * lots) +
      (steps * BK * (TM + TN)) / 4 +
      (TM * TN * ADDRESS) / 4;
    return {
      invocations,
      loads: staged,
      stores,
      multiplyAdds: workgroups * steps * BK * MT * NT,
      workgroupReads: workgroups * steps * BK * invocations * (TM + TN),
      workgroupWrites: staged,
      // A subgroup reads 4 vec4 of rows and 8 of columns at a time, each a line.
      workgroupBytes: ((workgroups * steps * BK * invocations) / SUBGROUP) * ((TM + TN) / 4) * LINE + 4 * staged,
      cacheBytes: 4 * (staged + stores),
      otherInstructions: workgroups * invocations * perInvocation,
      // The next steps are under way while these are multiplied.
      steps: Math.ceil(steps / 2),
      registers: TM * TN + TM + TN + 4 * lots + BASE_REGISTERS,
      workgroupMemory: 8 * BK * (MT + NT),
    };
  },
  'winograd_grad_product.wgsl'({ workgroups, grid, get }) {
    const [MT, NT, TM, TN, BK] = [get('MT'), get('NT'), get('TM'), get('TN'), 16];
    const invocations = get('INVOCATIONS');
    const splits = grid[2] / get('points');
    const stages = Math.ceil(get('tiles') / BK);
    // Of all splits of the sums of all blocks.
    const turns = grid[0] * grid[1] * get('points') * stages;
    const staged = turns * BK * (MT + NT);
    const stores = splits * get('rows') * get('points') * get('columns');
    const lots = (BK * (MT + NT)) / (4 * invocations);
    const reads = turns * BK * invocations * (TM + TN);
    return {
      invocations,
      loads: staged,
      stores,
      multiplyAdds: turns * BK * MT * NT,
      workgroupReads: reads,
      workgroupWrites: staged,
      // A subgroup reads 4 vec4 of rows and 8 of columns at a time, each a line.
      workgroupBytes: (reads / (4 * SUBGROUP)) * LINE + 4 * staged,
      cacheBytes: 4 * (staged + stores),
      otherInstructions:
        workgroups * invocations * (SETUP + 4 * DIVISION + TM * TN * ADDRESS) +
        turns * invocations * (STAGE + 8 + lots * (2 + ADDRESS + 4) + BK * 2) +
        reads / 4,
      // The next tiles are under way while these are multiplied.
      steps: Math.ceil(stages / splits / 2),
      registers: TM * TN + 4 * (TN + 1) + 4 * lots + BASE_REGISTERS,
      workgroupMemory: 8 * BK * (MT + NT),
    };
  },
  'winograd_grad_output.wgsl'({ node, workgroups, get }) {
    const [A, M, splits] = [get('A'), get('M'), get('splits')];
    const pairs = get('outChannels') * get('inChannels');
    const stores = size(node.type);
    const loads = splits * A * A * pairs;
    return {
      invocations: get('WORKGROUP'),
      loads,
      stores,
      cacheBytes: 4 * (loads + SCATTERED_STORES * stores),
      otherInstructions:
        workgroups * get('WORKGROUP') * SETUP + 3 * loads + pairs * ((A + M) * OUTPUT_TRANSFORM[A]! + 2 * M * M),
      steps: splits,
      registers: A * A + A * M + BASE_REGISTERS,
    };
  },
  'winograd_dy.wgsl'({ workgroups, get }) {
    const [A, K, FLAT] = [get('A'), get('K'), get('FLAT')];
    const written = FLAT ? get('channels') : get('channelTiles') * get('MT');
    const tiles = written * get('tiles');
    const loads = K * K * tiles;
    const stores = A * A * tiles;
    return {
      invocations: get('WORKGROUP'),
      loads,
      stores,
      // Flat stores of a subgroup lie together, others in a sector each.
      cacheBytes: 4 * (loads + stores * (FLAT ? 1 : 2 * SCATTERED_STORES)),
      otherInstructions:
        workgroups * get('WORKGROUP') * (SETUP + 2 * DIVISION + 4 * K) +
        tiles * ((A + K) * WEIGHT_TRANSFORM[A]! + 3 * K * K + 2 * A * A),
      steps: get('CHANNELS'),
      registers: A * K + A + BASE_REGISTERS,
    };
  },
  'winograd_input.wgsl'({ workgroups, get }) {
    const [A, M] = [get('A'), get('M')];
    const tiles = get('channels') * get('rows') * get('tilesX');
    const points = A * A * tiles;
    const padding = get('PADDED') * A * A;
    return {
      invocations: get('WORKGROUP'),
      loads: points,
      stores: points,
      // Neighbors in a row share a core's cache, rows do not.
      cacheBytes: 4 * (A * M * tiles + points),
      otherInstructions:
        workgroups * get('WORKGROUP') * (SETUP + 2 * DIVISION + 4 * A) +
        tiles * (2 * A * INPUT_TRANSFORM[A]! + 3 * A * A + padding),
      steps: get('CHANNELS'),
      registers: A * A + BASE_REGISTERS,
    };
  },
  'winograd_input_resized.wgsl'({ workgroups, get }) {
    const [A, M, UP] = [get('A'), get('M'), get('UP')];
    const [ROWS, COLUMNS] = [get('ROWS'), get('COLUMNS')];
    const together = 1 + get('HALVES');
    const tiles = Math.ceil(get('channels') / together) * get('rows') * get('tilesX');
    const points = A * A * tiles;
    const loads = together * (UP ? ROWS * COLUMNS : 4 * A * A) * tiles;
    // Source columns that a tile adds to those of its neighbor, which are in the core's cache.
    const fresh = (M * get('INX')) / get('OUTX');
    const [rows, taps] = UP ? [ROWS, 3] : [2 * A, 2];
    return {
      invocations: get('WORKGROUP'),
      loads,
      stores: points,
      cacheBytes: 4 * (together * rows * fresh * tiles + points),
      otherInstructions:
        workgroups * get('WORKGROUP') * (SETUP + 2 * DIVISION + 2 * A * (6 + 4 * taps) + 4 * rows) +
        tiles *
          (together * (2 * A * INPUT_TRANSFORM[A]! + taps * A * (rows + A)) +
            (2 + get('HALVES') * (PACK + 2)) * A * A) +
        2 * loads,
      steps: get('CHANNELS') / together,
      registers: together * ((UP ? ROWS : A) * A + A * A) + 2 * A * taps + BASE_REGISTERS,
    };
  },
  'winograd_halves_product_block.wgsl'({ workgroups, grid, get }) {
    const [MT, NT, TM, TN, BK] = [get('MT'), get('NT'), get('TM'), get('TN'), get('BK')];
    const invocations = get('INVOCATIONS');
    const steps = Math.ceil(get('pairs') / (BK / 2));
    const words = (workgroups * steps * BK * (MT + NT)) / 2;
    // Whole vec4, up to the pitch.
    const stores = Math.ceil(get('rows') / 2) * get('points') * Math.min(grid[0] * NT, 4 * get('mPitch'));
    const lots = (BK * (MT + NT)) / (8 * invocations);
    const perInvocation =
      SETUP +
      2 * DIVISION +
      // Words of a lot are unpacked and stored as two vec4.
      steps * (STAGE + lots * (12 + 2 * ADDRESS)) +
      (steps * BK * (TM + TN)) / 4 +
      (TM * TN * (ADDRESS + 2 * PACK + 4)) / 8;
    return {
      invocations,
      loads: words + workgroups * invocations,
      stores,
      multiplyAdds: workgroups * steps * BK * MT * NT,
      workgroupReads: workgroups * steps * BK * invocations * (TM + TN),
      workgroupWrites: 2 * words,
      workgroupBytes: ((workgroups * steps * BK * invocations) / SUBGROUP) * ((TM + TN) / 4) * LINE + 8 * words,
      cacheBytes: 4 * (words + stores),
      otherInstructions: workgroups * invocations * perInvocation,
      steps: Math.ceil(steps / 2),
      registers: TM * TN + TM + TN + 4 * lots + BASE_REGISTERS,
      workgroupMemory: 8 * BK * (MT + NT),
    };
  },
  'winograd_halves_product_matrix.wgsl'({ workgroups, grid, get }) {
    const [BM, BN, S, M, N, TM, TN] = [get('BM'), get('BN'), get('S'), get('M'), get('N'), get('TM'), get('TN')];
    const lots = Math.ceil(get('pairs') / (STEP_CODES / 2));
    const staged = (workgroups * lots * STEP_CODES * (BM + BN)) / 2;
    const sums = workgroups * BM * BN;
    const stores = Math.ceil(get('rows') / 2) * get('points') * Math.min(grid[0] * BN, 4 * get('mPitch'));
    const matrices = (STEP_CODES / get('K')) * (TM + TN);
    const perLot = STAGE + get('XU') * (4 * 2 + 2 * ADDRESS) + get('WU') * (2 + ADDRESS) + matrices * MATRIX_LOAD;
    return {
      invocations: 4 * S,
      loads: staged + workgroups * 4 * S,
      stores,
      matrixMultiplyAdds: sums * lots * STEP_CODES,
      matrixValueBytes: 2,
      // Two subgroups read the same rows, two the same columns.
      workgroupReads: 2 * staged + 2 * stores,
      workgroupWrites: staged + sums,
      workgroupBytes: 4 * (3 * staged + 2 * sums),
      cacheBytes: 4 * (staged + stores),
      otherInstructions: workgroups * 4 * S * (SETUP + 3 * DIVISION + lots * perLot) + stores * (PACK + 4),
      steps: Math.ceil(lots / 2),
      registers: (TM * TN * M * N + (TM + TN) * M * get('K')) / S + 4 * (get('XU') + get('WU')) + BASE_REGISTERS,
      workgroupMemory: 16 * get('TILE'),
    };
  },
  'winograd_halves_input.wgsl'({ workgroups, get }) {
    const [A, M] = [get('A'), get('M')];
    const tiles = Math.ceil(get('channels') / 2) * get('rows') * get('tilesX');
    const points = A * A * tiles;
    return {
      invocations: get('WORKGROUP'),
      loads: 2 * points,
      stores: points,
      cacheBytes: 4 * (2 * A * M * tiles + points),
      otherInstructions:
        workgroups * get('WORKGROUP') * (SETUP + 2 * DIVISION + 4 * A) +
        tiles * (4 * A * INPUT_TRANSFORM[A]! + (5 + PACK + 2 * get('PADDED')) * A * A),
      registers: 2 * A * A + BASE_REGISTERS,
    };
  },
  'winograd_output.wgsl'({ workgroups, get }) {
    const [A, M, Q] = [get('A'), get('M'), get('Q')];
    // Channels whose products lie in a word.
    const together = 1 + get('HALVES');
    const words = Math.ceil(get('channels') / together);
    const [rows, tilesX, tilesY] = [get('rows'), get('tilesX'), get('tilesY')];
    const halved = get('POOL') ? 2 : 1;
    const side = (M * Q) / halved;
    const quads = (words * rows * tilesX) / (Q * Q);
    const first = (i: number) => ((get('firstRow') + i * Q) % tilesY) * (M / halved);
    const down = written(rows / Q, side, get('height'), first);
    const across = written(tilesX / Q, side, get('width'), (i) => i * side);
    const stores = get('channels') * down * across;
    const loads = quads * (Q * Q * A * A + together * get('BIAS'));
    return {
      invocations: get('WORKGROUP'),
      loads,
      stores,
      cacheBytes: 4 * (loads + stores * (side === 1 ? 1 : SCATTERED_STORES)),
      otherInstructions:
        workgroups * get('WORKGROUP') * (SETUP + 3 * DIVISION) +
        together * quads * (Q * Q * ((A + M) * OUTPUT_TRANSFORM[A]! + 2 * A * A + 2 * M * M) + 3 * side * side),
      steps: get('CHANNELS') / together,
      registers: together * Q * Q * (A * M + M * M) + BASE_REGISTERS,
    };
  },
  'winograd_distance.wgsl'({ node, workgroups, get }) {
    const [A, M] = [get('A'), get('M')];
    const splits = node.type.shape[0]!;
    const together = 1 + get('HALVES');
    const tiles = Math.ceil(get('channels') / together) * get('rows') * get('tilesX');
    const loads = tiles * (A * A + together * (1 + get('TARGET') * M * M));
    const first = (i: number) => ((get('firstRow') + i) % get('tilesY')) * M;
    const down = written(get('rows'), M, get('height'), first);
    const across = written(get('tilesX'), M, get('width'), (i) => i * M);
    const stores = splits * down * across;
    return {
      invocations: get('WORKGROUP'),
      loads,
      stores,
      cacheBytes: 4 * (loads + SCATTERED_STORES * stores),
      otherInstructions:
        workgroups * get('WORKGROUP') * (SETUP + 2 * DIVISION) +
        together * tiles * ((A + M) * OUTPUT_TRANSFORM[A]! + 2 * A * A + (3 + 2 * get('TARGET')) * M * M),
      steps: get('channelsPerSplit') / together,
      registers: together * A * M + M * M + BASE_REGISTERS,
    };
  },
  'winograd_mean_distance.wgsl'({ workgroups, get }) {
    const [A, M, SLOTS, invocations] = [get('A'), get('M'), get('SLOTS'), get('WORKGROUP')];
    const together = 1 + get('HALVES');
    // The last workgroup computes whole tiles, too.
    const tiles = ((workgroups * invocations) / SLOTS) * Math.ceil(get('channels') / together);
    const [SETS, STACKED] = [get('SETS'), get('STACKED')];
    const channelLoads = SETS * (A * A + together) + together * get('TARGET') * M * M;
    const first = (i: number) => ((get('firstRow') + i) % get('tilesY')) * M;
    const down = written(get('rows'), M, get('height'), first);
    const pixels = down * written(get('tilesX'), M, get('width'), (i) => i * M);
    const stores = (1 + 2 * STACKED) * pixels;
    // Quantiles, and the other map where it is there.
    const loads = tiles * channelLoads + STACKED * (SETS === 2 ? 6 : 7) * pixels;
    return {
      invocations,
      loads,
      stores,
      workgroupReads: SETS * SLOTS * pixels,
      workgroupWrites: SETS * workgroups * invocations * M * M,
      workgroupBytes: 4 * SETS * (SLOTS * pixels + workgroups * invocations * M * M),
      cacheBytes: 4 * (tiles * channelLoads + SCATTERED_STORES * stores),
      otherInstructions:
        workgroups * invocations * (SETUP + 2 * DIVISION + M * M) +
        2 * SETS * SLOTS * pixels +
        together *
          tiles *
          (SETS * ((A + M) * OUTPUT_TRANSFORM[A]! + 2 * A * A + 3 * M * M) + 2 * get('TARGET') * M * M),
      steps: Math.ceil(get('channels') / (SLOTS * together)),
      registers: together * A * M + SETS * M * M + BASE_REGISTERS,
      workgroupMemory: 4 * M * M * invocations,
    };
  },
};
