import { type Kernel, type Node, size } from '../engine/graph.ts';
import { nchw } from '../kernels/common.ts';

/** What one dispatch executes over all its invocations. Values are 32 bits wide, vectors count with all their elements. */
export interface Work {
  readonly workgroups: number;
  /** Of one workgroup. */
  readonly invocations: number;
  /** Values read from storage buffers, and written to them. */
  readonly loads: number;
  readonly stores: number;
  /** Multiply-adds into register sums, those that only fill a block included. */
  readonly multiplyAdds: number;
  /** Products of four packed bytes, likewise. */
  readonly packedProducts: number;
  /** Multiply-adds in products of small matrices, likewise, and bytes of the values that are multiplied. */
  readonly matrixMultiplyAdds: number;
  readonly matrixValueBytes: number;
  /** Values read from workgroup memory, and written to it. */
  readonly workgroupReads: number;
  readonly workgroupWrites: number;
  /** Bytes that have to be read and written at least once: the tensors. */
  readonly leastBytes: number;
  /** Bytes between the cores and the last cache: loads that a core's own cache does not serve, and stores. */
  readonly cacheBytes: number;
  /** Bytes that workgroup memory delivers; a value that a whole subgroup reads is delivered once. */
  readonly workgroupBytes: number;
  /** Instructions besides sums: addresses, transforms, decoding, loads and stores. An estimate. */
  readonly otherInstructions: number;
  /** Loads that a workgroup waits for one after another. */
  readonly steps: number;
  /** Registers of an invocation, an estimate, and workgroup memory in bytes: they decide how many workgroups are resident. */
  readonly registers: number;
  readonly workgroupMemory: number;
  /** By a formula for this shader, or from the definition of the op, which knows nothing of the kernel. */
  readonly from: 'formula' | 'definition';
}

/** A kernel with a short way to its numbers. */
interface Dispatched {
  readonly node: Node;
  readonly workgroups: number;
  readonly grid: readonly [number, number, number];
  /** A define or parameter. */
  readonly get: (name: string) => number;
}

type Formula = (dispatched: Dispatched) => Partial<Work> | undefined;

/* Instructions of what kernels do besides sums; estimates. */
/** A division by a number that is not known when the shader is compiled, its remainder included. */
const DIVISION = 20;
/** Index of a value in a tensor, and its bounds. */
const ADDRESS = 5;
/** Set-up of an invocation of a kernel of one operation per element. */
const SETUP = 12;
/** Loop, barriers and counters of a step that stages a block. */
const STAGE = 8;
/** What the emulation of a product of four packed bytes takes besides the product. */
const EMULATED_PRODUCT = 11;
/** Loads of consecutive turns of a loop that are under way together. */
const IN_FLIGHT = 4;
/** Input channels that a step of the matrix kernels multiplies, at one tap or in one point. */
const STEP_CODES = 32;
/** Steps that the matrix kernel of halves multiplies at a time. */
const LOT_STEPS = 16;
/** Two halves into a word, bounded. */
const PACK = 5;
/** Instructions that load a small matrix, the check of its place included. */
const MATRIX_LOAD = 12;
/** Registers of an invocation for addresses and what is staged. */
const BASE_REGISTERS = 24;
/** Invocations whose addresses workgroup memory looks at together. */
const SUBGROUP = 32;
/** Bytes that workgroup memory delivers at least for a subgroup. */
const LINE = 128;
/** A subgroup stores every fourth value, so that each 32-byte sector of the cache is written four times in part. */
const SCATTERED_STORES = 4;

/** Instructions of one Winograd transform of A points, a multiply-add as one. */
const INPUT_TRANSFORM: Readonly<Record<number, number>> = { 4: 4, 5: 11, 6: 14 };
const WEIGHT_TRANSFORM: Readonly<Record<number, number>> = { 4: 4, 5: 10, 6: 14 };
const OUTPUT_TRANSFORM: Readonly<Record<number, number>> = { 4: 4, 5: 6, 6: 10 };

/** One invocation per element, 64 to a workgroup. */
function perElement(
  { node, workgroups }: Dispatched,
  work: Partial<Work> & Pick<Work, 'loads'>,
  instructions: number,
): Partial<Work> {
  const stores = work.stores ?? size(node.type);
  return { stores, invocations: 64, otherInstructions: workgroups * 64 * (SETUP + instructions), ...work };
}

/** Values of one side that padding leaves: indices o of [0, out) for which (o - first) / dilation is one of [0, length). */
function inside(out: number, first: number, length: number, dilation: number): number {
  let count = 0;
  for (let i = 0; i < length; i++) {
    const o = i * dilation + first;
    if (o >= 0 && o < out) count++;
  }
  return count;
}

const planes = (node: Node) => nchw(node.type)[0] * nchw(node.type)[1];

/** Outputs of one side that tiles write: tile i of `count` starts at `start(i)` and writes up to `side` of `length`. */
function written(count: number, side: number, length: number, start: (i: number) => number): number {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += Math.max(0, Math.min(side, length - start(i)));
  return sum;
}

const FORMULAS: Readonly<Record<string, Formula>> = {
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
      // Neighbours in a row share a core's cache, rows do not.
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
    // Source columns that a tile adds to those of its neighbour, which are in the core's cache.
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
  'qconv2d_tile.wgsl'({ node, workgroups, get }) {
    const [BK, U8, PARTS, GROUPS, BITS] = [get('BK'), get('U8'), get('PARTS'), get('GROUPS'), get('BITS')];
    const taps = get('kernelHeight') * get('kernelWidth');
    const depth = get('inWords') * taps;
    const steps = Math.ceil(depth / BK);
    const slots = workgroups * steps * BK * 64;
    // Codes of widths that do not divide a word may lie in two.
    const weightLoads = 32 % BITS === 0 ? 1 : 2;
    const width = U8 ? 1 : 4;
    const products = workgroups * steps * BK * 64 * 64;
    const emulated = U8 && !get('PACKED_DOT');
    const stores = size(node.type);
    const staged = slots * (weightLoads + PARTS);
    const tables = workgroups * 256 * 4 * 2 * GROUPS;
    return {
      invocations: 256,
      loads: staged + workgroups * 256 * 4 + tables,
      stores,
      multiplyAdds: U8 ? 0 : 4 * products,
      packedProducts: U8 ? products : 0,
      workgroupReads: workgroups * steps * BK * 256 * 8 * width,
      workgroupWrites: 2 * slots * width,
      // A subgroup reads 2 x 4 channels, a line each time, and 16 x 4 pixels.
      workgroupBytes: workgroups * steps * BK * 8 * (4 * LINE + 4 * Math.max(LINE, 64 * width)) + 8 * slots * width,
      cacheBytes: 4 * (staged + SCATTERED_STORES * stores),
      otherInstructions:
        workgroups * 256 * (4 * DIVISION + steps * (STAGE + BK * 8) + 16 * 12) +
        slots * (2 * DIVISION + 4 * ADDRESS + 12 + weightLoads + PARTS + 2) +
        (emulated ? products * EMULATED_PRODUCT : 0) +
        stores * (DIVISION + ADDRESS),
      steps,
      registers: 16 * (GROUPS > 1 ? 2 : 1) + 8 * width + BASE_REGISTERS,
      workgroupMemory: 2 * BK * 64 * 4 * width,
    };
  },
  'qconv2d_words.wgsl'({ node, workgroups, get }) {
    const [MT, NP, TM, TN] = [get('MT'), get('NP'), get('TM'), get('TN')];
    const [LX, SL, BK, POOL] = [get('LX'), get('SL'), get('BK'), get('POOL')];
    const invocations = LX * get('LY') * SL;
    const stages = Math.ceil((get('inWords') * get('KH') * get('KW')) / BK);
    const turns = workgroups * stages;
    const staged = turns * BK * (MT + NP);
    // Slices but the first hand their sums over.
    const handed = workgroups * (SL - 1) * MT * NP;
    const products = turns * BK * MT * NP;
    const steps = products / (TM * TN);
    const stores = size(node.type);
    const [rowLoads, columnLoads] = [(BK * MT) / 4 / invocations, (BK * NP) / 4 / invocations];
    const setUp = SETUP + (1 + get('IMAGES')) * DIVISION * (POOL ? 1 : 4) + 40 * get('PADDED');
    const perStage = STAGE + rowLoads * (3 + ADDRESS) + columnLoads * (17 + 2 * ADDRESS + 20 * get('PADDED'));
    const epilogue = MT * NP * (6 + (get('IMAGES') * DIVISION) / TM);
    return {
      invocations,
      // Scale, sum and bias of every channel.
      loads: staged + workgroups * LX * MT * 3,
      stores,
      packedProducts: products,
      workgroupReads: steps * (TM + TN) + handed,
      workgroupWrites: staged + handed,
      // Of a subgroup's columns and rows the reads of rows are broadcasts.
      workgroupBytes:
        (steps / SUBGROUP) * ((TM / 4) * LINE + (TN / 4) * Math.max(LINE, 16 * LX)) + 4 * staged + 8 * handed,
      cacheBytes: 4 * (staged + stores * (LX >= 8 ? 1 : SCATTERED_STORES)),
      otherInstructions:
        workgroups * (invocations * setUp + epilogue) +
        stores * 2 * ADDRESS +
        turns * invocations * perStage +
        (steps * (TM + TN)) / 4 +
        handed / 2 +
        (get('PACKED_DOT') ? 0 : products * EMULATED_PRODUCT),
      steps: stages,
      registers: TM * TN + TM + TN + 4 * (rowLoads + columnLoads) + BASE_REGISTERS,
      workgroupMemory: 4 * BK * (MT + NP),
    };
  },
  'qconv2d_matrix.wgsl'({ node, workgroups, get }) {
    const [BM, BN, S, M, N, OUT] = [get('BM'), get('BN'), get('S'), get('M'), get('N'), get('OUT')];
    const [TM, TN, STAGED, POOL, AHEAD] = [get('TM'), get('TN'), get('STAGED'), get('POOL'), get('AHEAD')];
    const steps = Math.ceil(get('inWords') / 8) * get('kernelHeight') * get('kernelWidth');
    // A row of a step is 8 words. What no subgroup shares goes past workgroup memory, once for each of two columns.
    const weights = 8 * BM * (STAGED ? 1 : 2);
    const loaded = workgroups * steps * (8 * BN + weights);
    const staged = workgroups * steps * 8 * (BN + STAGED * BM);
    const read = workgroups * steps * 8 * 2 * (BN + STAGED * BM);
    const sums = workgroups * BM * BN;
    const [batch, , height, width] = nchw(node.type);
    // Four channels are finished together.
    const quads = batch * height * width * Math.ceil(get('outChannels') / 4);
    const stores = size(node.type);
    const matrices = (STEP_CODES / get('K')) * (TM + TN);
    const perStep = STAGE + 4 * ADDRESS + get('XU') * (4 * 2 + 2 * ADDRESS) + get('WU') * 6 + matrices * MATRIX_LOAD;
    return {
      invocations: 4 * S,
      loads: loaded + 12 * quads,
      stores,
      matrixMultiplyAdds: sums * steps * STEP_CODES,
      workgroupReads: read + 4 * quads * (1 + 3 * POOL),
      workgroupWrites: staged + sums,
      workgroupBytes: 4 * (read + staged + 2 * sums),
      cacheBytes: 4 * (loaded + stores),
      otherInstructions:
        workgroups * 4 * S * (8 * DIVISION + steps * perStep) + quads * (4 * 12 * (1 + 3 * POOL) + 2 * ADDRESS + OUT),
      steps: Math.ceil(steps / AHEAD),
      registers:
        (TM * TN * M * N) / S +
        ((TM + TN) * M * STEP_CODES) / 4 / S +
        4 * AHEAD * (get('XU') + STAGED * get('WU')) +
        BASE_REGISTERS,
      workgroupMemory: 4 * (2 * 12 * (BN + STAGED * BM) + 2 * M * get('PITCH')),
    };
  },
  'store_activations.wgsl'(dispatched) {
    const { node, get } = dispatched;
    const per = get('TO_WORDS') ? 32 / get('BITS') : 1;
    return perElement(dispatched, { loads: per * size(node.type) }, 2 * DIVISION + 8 * per);
  },
  'store_resized.wgsl'(dispatched) {
    const { node, get } = dispatched;
    const per = 32 / get('BITS');
    return perElement(dispatched, { loads: 4 * per * size(node.type) }, 2 * DIVISION + 40 + 20 * per);
  },
  'pad2d.wgsl'(dispatched) {
    const { node, get } = dispatched;
    const [, , height, width] = nchw(node.type);
    const rows = inside(height, get('top'), get('height'), get('DILATION'));
    const columns = inside(width, get('left'), get('width'), get('DILATION'));
    return perElement(dispatched, { loads: planes(node) * rows * columns }, 2 * ADDRESS);
  },
  'pad_words.wgsl'(dispatched) {
    const { node, get } = dispatched;
    return perElement(dispatched, { loads: planes(node) * get('height') * get('width') }, 2 * ADDRESS);
  },
  'avg_pool2d.wgsl'(dispatched) {
    const { node, get } = dispatched;
    const [, , height, width] = nchw(node.type);
    const padding = get('PADDING');
    const covered = (out: number, length: number) =>
      [0, 1].reduce(
        (sum, d) => sum + written(out, 1, length, (i) => (2 * i + d < padding ? length : 2 * i + d - padding)),
        0,
      );
    const loads = planes(node) * covered(height, get('height')) * covered(width, get('width'));
    return perElement(dispatched, { loads }, 2 * ADDRESS + 8);
  },
  'pool_words.wgsl': (dispatched) => perElement(dispatched, { loads: 4 * size(dispatched.node.type) }, 60),
  'resize_bilinear.wgsl': (dispatched) => perElement(dispatched, { loads: 4 * size(dispatched.node.type) }, 50),
  'image_to_tensor.wgsl'(dispatched) {
    // What a colour change reads depends on its kind.
    if (dispatched.get('ADJUST')) return undefined;
    return perElement(dispatched, { loads: dispatched.get('size'), stores: 3 * dispatched.get('size') }, DIVISION + 40);
  },
  'standardise.wgsl': (dispatched) =>
    perElement(dispatched, { loads: 3 * size(dispatched.node.type) }, 2 * DIVISION + ADDRESS),
  'map_combine.wgsl'(dispatched) {
    const pixels = dispatched.get('size');
    return perElement(dispatched, { loads: 8 * pixels, stores: (1 + 2 * dispatched.get('STACKED')) * pixels }, 30);
  },
  'fold_splits.wgsl'({ node, workgroups, get }) {
    const [SL, PER, splits, invocations] = [get('SL'), get('PER'), get('splits'), get('WORKGROUP')];
    const stores = size(node.type);
    // Invocations behind the last output add what it adds.
    const outputs = (workgroups * invocations) / SL;
    const loads = splits * outputs;
    const shared = SL > 1 ? workgroups * invocations : 0;
    return {
      invocations,
      loads,
      stores,
      workgroupReads: (shared / SL) * (SL - 1),
      workgroupWrites: shared,
      workgroupBytes: 8 * shared,
      workgroupMemory: SL > 1 ? 4 * invocations : 0,
      otherInstructions: workgroups * invocations * SETUP + 3 * loads + shared,
      steps: Math.ceil(PER / IN_FLIGHT),
    };
  },
  'sum_workgroup.wgsl'({ node, workgroups, get }) {
    const [outer, keep, inner, chunks, perChunk] = ['outer', 'keep', 'inner', 'chunks', 'perChunk'].map(get) as [
      number,
      number,
      number,
      number,
      number,
    ];
    // A turn is four loads of every invocation that has a first one.
    const loadsOf = (length: number) => 4 * (256 * Math.floor(length / 1024) + Math.min(length % 1024, 256));
    const lastChunk = inner - (chunks - 1) * perChunk;
    const loads = outer * keep * ((chunks - 1) * loadsOf(perChunk) + loadsOf(lastChunk));
    const shared = workgroups * 256;
    return {
      invocations: 256,
      loads,
      stores: size(node.type),
      // A tree of 255 sums of two values; the last one is read again.
      workgroupReads: workgroups * (2 * 255 + 1),
      workgroupWrites: shared + workgroups * 255,
      workgroupBytes: 4 * workgroups * (4 * 255 + 256),
      workgroupMemory: 1024,
      otherInstructions: workgroups * 256 * (SETUP + 8 * 6) + 5 * loads,
      steps: outer * Math.ceil(perChunk / 1024) + 1,
    };
  },
  'sum_axes.wgsl'(dispatched) {
    const [outer, keep, inner, chunks] = ['outer', 'keep', 'inner', 'chunks'].map(dispatched.get) as [
      number,
      number,
      number,
      number,
    ];
    const each = outer * Math.ceil(inner / chunks);
    const loads = outer * keep * inner;
    return perElement(dispatched, { loads, steps: Math.ceil(each / IN_FLIGHT) }, 2 * DIVISION + 4 * each);
  },
  'channel_distance_shared.wgsl'({ node, workgroups, get }) {
    const [SLOTS, invocations, SETS, STACKED] = [get('SLOTS'), get('WORKGROUP'), get('SETS'), get('STACKED')];
    const standardised = get('STANDARDISED0') + get('STANDARDISED1');
    const tensors = SETS + get('TARGET0') + get('TARGET1');
    // The last workgroup computes whole pixels, too.
    const pixels = (workgroups * invocations) / SLOTS;
    const values = get('channels') * pixels;
    const stores = size(node.type);
    const written = get('size');
    // Quantiles, and the other map where it is there.
    const ends = STACKED * (SETS === 2 ? 6 : 7) * written;
    return {
      invocations,
      loads: values * (tensors + 2 * standardised) + ends,
      stores,
      workgroupReads: SETS * SLOTS * written,
      workgroupWrites: SETS * workgroups * invocations,
      workgroupBytes: 4 * SETS * (SLOTS * written + workgroups * invocations),
      otherInstructions:
        workgroups * invocations * (SETUP + DIVISION + 20 * STACKED) +
        2 * SETS * SLOTS * written +
        values * (2 * SETS + 2 * tensors + standardised * (4 + DIVISION)),
      steps: Math.ceil(get('channels') / SLOTS / IN_FLIGHT),
      workgroupMemory: 4 * invocations,
    };
  },
  'channel_distance.wgsl'(dispatched) {
    const { node, get } = dispatched;
    const each = 1 + get('TARGET');
    const loads = each * get('channels') * size(node.type);
    const instructions = DIVISION + get('channels') * (2 + 2 * each);
    return perElement(dispatched, { loads, steps: Math.ceil(get('channels') / IN_FLIGHT) }, instructions);
  },
  'slice_outer.wgsl'(dispatched) {
    if (dispatched.get('EMBED')) return undefined;
    return perElement(dispatched, { loads: size(dispatched.node.type) }, ADDRESS);
  },
  'concat_outer.wgsl': (dispatched) => perElement(dispatched, { loads: size(dispatched.node.type) }, ADDRESS),
};

/** Shaders that have a formula. */
export const COUNTED_SHADERS: readonly string[] = Object.keys(FORMULAS);

const bytesOf = (node: Node) => 4 * size(node.type);

/**
 * Counts of one dispatch by formulas over its kernel's defines, parameters and grid. A kernel without one gets the cost of
 * its op's definition instead. @see Work.from
 */
export function workOf(node: Node, kernel: Kernel): Work {
  const [x, y = 1, z = 1] = kernel.grid;
  const workgroups = x * y * z;
  const get = (name: string): number => Number(kernel.defines?.[name] ?? kernel.params?.[name]?.value);
  const counted = FORMULAS[kernel.shader.name]?.({ node, workgroups, grid: [x, y, z], get });
  const leastBytes = node.inputs.reduce((sum, from) => sum + bytesOf(from), bytesOf(node));
  const common = {
    workgroups,
    leastBytes,
    cacheBytes: leastBytes,
    packedProducts: 0,
    matrixMultiplyAdds: 0,
    matrixValueBytes: 1,
    workgroupReads: 0,
    workgroupWrites: 0,
    workgroupBytes: 0,
    otherInstructions: 0,
    steps: 1,
    registers: BASE_REGISTERS,
    workgroupMemory: 0,
  };
  // A kernel that has changed may lack what its formula reads.
  if (counted && Object.values(counted).every((value) => typeof value !== 'number' || Number.isFinite(value))) {
    return { ...common, multiplyAdds: 0, invocations: 64, loads: 0, stores: 0, ...counted, from: 'formula' };
  }
  const cost = node.op.cost?.(node) ?? { flops: 0, bytes: leastBytes };
  const stores = size(node.type);
  return {
    ...common,
    invocations: 64,
    loads: Math.max(0, cost.bytes / 4 - stores),
    stores,
    multiplyAdds: cost.flops / 2,
    from: 'definition',
  };
}
