import { size } from '../../engine/graph.ts';
import { nchw } from '../../kernels/common.ts';
import {
  ADDRESS,
  BASE_REGISTERS,
  DIVISION,
  EMULATED_PRODUCT,
  type Formula,
  LINE,
  MATRIX_LOAD,
  perElement,
  planes,
  SCATTERED_STORES,
  SETUP,
  STAGE,
  STEP_CODES,
  SUBGROUP,
} from './formula.ts';

/** Convolutions of codes, and how activations are stored. */
export const QUANTIZED: Readonly<Record<string, Formula>> = {
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
  'pad_words.wgsl'(dispatched) {
    const { node, get } = dispatched;
    return perElement(dispatched, { loads: planes(node) * get('height') * get('width') }, 2 * ADDRESS);
  },
  'pool_words.wgsl': (dispatched) => perElement(dispatched, { loads: 4 * size(dispatched.node.type) }, 60),
};
