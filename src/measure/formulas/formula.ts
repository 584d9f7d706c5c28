import { type Node, size } from '../../engine/graph.ts';
import { nchw } from '../../kernels/common.ts';

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
export interface Dispatched {
  readonly node: Node;
  readonly workgroups: number;
  readonly grid: readonly [number, number, number];
  /** A define or parameter. */
  readonly get: (name: string) => number;
}

export type Formula = (dispatched: Dispatched) => Partial<Work> | undefined;

/* Instructions of what kernels do besides sums; estimates. */
/** A division by a number that is not known when the shader is compiled, its remainder included. */
export const DIVISION = 20;
/** Index of a value in a tensor, and its bounds. */
export const ADDRESS = 5;
/** Set-up of an invocation of a kernel of one operation per element. */
export const SETUP = 12;
/** Loop, barriers and counters of a step that stages a block. */
export const STAGE = 8;
/** What the emulation of a product of four packed bytes takes besides the product. */
export const EMULATED_PRODUCT = 11;
/** Loads of consecutive turns of a loop that are under way together. */
export const IN_FLIGHT = 4;
/** Input channels that a step of the matrix kernels multiplies, at one tap or in one point. */
export const STEP_CODES = 32;
/** Steps that the matrix kernel of halves multiplies at a time. */
export const LOT_STEPS = 16;
/** Two halves into a word, bounded. */
export const PACK = 5;
/** Instructions that load a small matrix, the check of its place included. */
export const MATRIX_LOAD = 12;
/** Registers of an invocation for addresses and what is staged. */
export const BASE_REGISTERS = 24;
/** Invocations whose addresses workgroup memory looks at together. */
export const SUBGROUP = 32;
/** Bytes that workgroup memory delivers at least for a subgroup. */
export const LINE = 128;
/** A subgroup stores every fourth value, so that each 32-byte sector of the cache is written four times in part. */
export const SCATTERED_STORES = 4;

/** Instructions of one Winograd transform of A points, a multiply-add as one. */
export const INPUT_TRANSFORM: Readonly<Record<number, number>> = { 4: 4, 5: 11, 6: 14 };
export const WEIGHT_TRANSFORM: Readonly<Record<number, number>> = { 4: 4, 5: 10, 6: 14 };
export const OUTPUT_TRANSFORM: Readonly<Record<number, number>> = { 4: 4, 5: 6, 6: 10 };

/** One invocation per element, 64 to a workgroup. */
export function perElement(
  { node, workgroups }: Dispatched,
  work: Partial<Work> & Pick<Work, 'loads'>,
  instructions: number,
): Partial<Work> {
  const stores = work.stores ?? size(node.type);
  return { stores, invocations: 64, otherInstructions: workgroups * 64 * (SETUP + instructions), ...work };
}

/** Values of one side that padding leaves: indices o of [0, out) for which (o - first) / dilation is one of [0, length). */
export function inside(out: number, first: number, length: number, dilation: number): number {
  let count = 0;
  for (let i = 0; i < length; i++) {
    const o = i * dilation + first;
    if (o >= 0 && o < out) count++;
  }
  return count;
}

export const planes = (node: Node) => nchw(node.type)[0] * nchw(node.type)[1];

/** Outputs of one side that tiles write: tile i of `count` starts at `start(i)` and writes up to `side` of `length`. */
export function written(count: number, side: number, length: number, start: (i: number) => number): number {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += Math.max(0, Math.min(side, length - start(i)));
  return sum;
}
