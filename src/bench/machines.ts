import type { Caps } from '../engine/caps.ts';

/**
 * What a prediction knows of a GPU. A *core* is what runs a workgroup: a multiprocessor (NVIDIA), a GPU core (Apple), a
 * subslice of 16 execution units (Intel).
 */
export interface Machine {
  readonly name: string;
  /** Decide which kernels run. */
  readonly caps: Caps;
  readonly cores: number;
  /** Invocations of which a core issues one instruction per clock; a multiply-add is one instruction. */
  readonly lanesPerCore: number;
  readonly clockGHz: number;
  /** Issue slots that one `dot4I8Packed` takes. */
  readonly dotSlots: number;
  /** Peak of products of small matrices of bytes, twice that of halves, a multiply-add as two, 10^9 per second; 0 without units for them. */
  readonly matrixGOps: number;
  readonly dramGBs: number;
  /** Of the last cache before DRAM. */
  readonly cacheBytes: number;
  readonly cacheGBs: number;
  /** Bytes of workgroup memory that a core reads per clock. */
  readonly workgroupBytesPerClock: number;
  /** What the workgroups that are resident on a core share. */
  readonly invocationsPerCore: number;
  readonly registersPerCore: number;
  readonly workgroupMemoryPerCore: number;
  readonly workgroupsPerCore: number;
  /** From a load to its value, out of the last cache or DRAM. */
  readonly latencyNanoseconds: number;
  /** From the end of a dispatch to the start of one that reads its result: barrier, flush, launch. */
  readonly launchMicroseconds: number;
}

export const CARDS = ['h100', 'rtx3060', 'm2', 'xe'] as const;
export type Card = (typeof CARDS)[number];

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

interface CapsOf {
  readonly vendor: string;
  readonly description: string;
  readonly subgroups: readonly [min: number, max: number];
  readonly workgroupKiB: number;
  readonly bufferGiB: number;
}

function capsOf({ vendor, description, subgroups: [min, max], workgroupKiB, bufferGiB }: CapsOf): Caps {
  return {
    kind: 'gpu',
    isCpu: false,
    vendor,
    architecture: '',
    device: description,
    description: '',
    subgroups: true,
    subgroupMinSize: min,
    subgroupMaxSize: max,
    f16: true,
    timestampQuery: true,
    packedDot: true,
    subgroupMatrixConfigs: [],
    limits: {
      maxBufferSize: bufferGiB * GIB,
      maxStorageBufferBindingSize: bufferGiB * GIB - 4,
      maxStorageBuffersPerShaderStage: 8,
      maxComputeWorkgroupStorageSize: workgroupKiB * KIB,
      maxComputeInvocationsPerWorkgroup: 1024,
      maxComputeWorkgroupsPerDimension: 65535,
    },
  };
}

/**
 * Four kinds of GPU. Cores, lanes, clocks, DRAM bandwidth, cache size and what a core holds are the vendors' data sheets;
 * cache bandwidth, latency and launch gap are assumed, of the order that microbenchmarks of such parts report.
 */
export const MACHINES: Readonly<Record<Card, Machine>> = {
  h100: {
    name: 'NVIDIA H100 SXM',
    caps: capsOf({
      vendor: 'nvidia',
      description: 'NVIDIA H100 SXM',
      subgroups: [32, 32],
      workgroupKiB: 48,
      bufferGiB: 4,
    }),
    cores: 132, // data sheet
    lanesPerCore: 128, // data sheet: 67 TFLOP/s at the boost clock
    clockGHz: 1.98, // data sheet, boost; a loaded card runs lower
    dotSlots: 2, // data sheet: 64 packed products per clock and multiprocessor
    matrixGOps: 1_979_000, // data sheet: INT8 tensor core, dense
    dramGBs: 3350, // data sheet
    cacheBytes: 50 * MIB, // data sheet
    cacheGBs: 5500, // assumed
    workgroupBytesPerClock: 128, // data sheet: 32 banks of 4 bytes
    invocationsPerCore: 2048, // data sheet
    registersPerCore: 65536, // data sheet
    workgroupMemoryPerCore: 228 * KIB, // data sheet
    workgroupsPerCore: 32, // data sheet
    latencyNanoseconds: 300, // assumed
    launchMicroseconds: 3, // assumed
  },
  rtx3060: {
    name: 'NVIDIA RTX 3060',
    caps: capsOf({
      vendor: 'nvidia',
      description: 'NVIDIA GeForce RTX 3060',
      subgroups: [32, 32],
      workgroupKiB: 48,
      bufferGiB: 4,
    }),
    cores: 28, // data sheet
    lanesPerCore: 128, // data sheet: 12.7 TFLOP/s at the boost clock
    clockGHz: 1.777, // data sheet, boost
    dotSlots: 2, // data sheet: 64 packed products per clock and multiprocessor
    matrixGOps: 102_000, // computed from the data sheet: tensor cores and clock, INT8 dense
    dramGBs: 360, // data sheet
    cacheBytes: 3 * MIB, // data sheet
    cacheGBs: 1100, // assumed
    workgroupBytesPerClock: 128, // data sheet: 32 banks of 4 bytes
    invocationsPerCore: 1536, // data sheet
    registersPerCore: 65536, // data sheet
    workgroupMemoryPerCore: 100 * KIB, // data sheet
    workgroupsPerCore: 16, // data sheet
    latencyNanoseconds: 300, // assumed
    launchMicroseconds: 4, // assumed
  },
  m2: {
    name: 'Apple M2, 10 cores',
    caps: capsOf({
      vendor: 'apple',
      description: 'Apple M2',
      subgroups: [32, 32],
      workgroupKiB: 32,
      bufferGiB: 4,
    }),
    cores: 10, // data sheet
    lanesPerCore: 128, // data sheet: 3.6 TFLOP/s
    clockGHz: 1.398, // data sheet: what 3.6 TFLOP/s imply
    dotSlots: 12, // assumed: no such instruction, Tint's own emulation
    matrixGOps: 0, // data sheet: no units for bytes
    dramGBs: 100, // data sheet
    cacheBytes: 8 * MIB, // data sheet, shared with the CPU
    cacheGBs: 300, // assumed
    workgroupBytesPerClock: 128, // assumed
    invocationsPerCore: 1536, // assumed
    registersPerCore: 53248, // assumed: 208 KiB
    workgroupMemoryPerCore: 60 * KIB, // assumed
    workgroupsPerCore: 32, // assumed
    latencyNanoseconds: 400, // assumed
    launchMicroseconds: 6, // assumed
  },
  xe: {
    name: 'Intel Iris Xe, 96 EU',
    caps: capsOf({
      vendor: 'intel',
      description: 'Intel Iris Xe Graphics',
      subgroups: [8, 32],
      workgroupKiB: 32,
      bufferGiB: 2,
    }),
    cores: 6, // data sheet: 96 execution units in subslices of 16
    lanesPerCore: 128, // data sheet: 8 lanes a unit
    clockGHz: 1.4, // data sheet, boost: 2.2 TFLOP/s
    dotSlots: 1, // data sheet: DP4A at the rate of a multiply-add
    matrixGOps: 0, // data sheet
    dramGBs: 68, // data sheet: LPDDR4x-4267, 128 bits
    cacheBytes: 3.8 * MIB, // data sheet
    cacheGBs: 300, // assumed
    workgroupBytesPerClock: 128, // data sheet
    invocationsPerCore: 1792, // data sheet: 7 threads of 16 lanes on 16 units
    registersPerCore: 114688, // data sheet: 128 registers of 32 bytes a thread
    workgroupMemoryPerCore: 64 * KIB, // data sheet
    workgroupsPerCore: 16, // assumed
    latencyNanoseconds: 400, // assumed
    launchMicroseconds: 8, // assumed
  },
};

/** Ceilings as `raad bench peak` measures them. */
export interface MeasuredCeilings {
  readonly f32GFlops: number;
  readonly dot4I8GOps: number;
  /** Read and written bytes, 10^9 per second. */
  readonly copyGBs: number;
  /** Bytes that kernels read, where drivers copy by a slower engine. */
  readonly readGBs?: number;
}

/**
 * The machine of a measured adapter: the structure of the most similar one of {@link MACHINES}, with its own ceilings. The
 * clock, and with it the cache, follows the measured multiply-adds.
 * @param launchMicroseconds gap between dependent dispatches, where it was measured
 */
export function measuredMachine(caps: Caps, ceilings: MeasuredCeilings, launchMicroseconds?: number): Machine {
  const near = nearestMachine(caps, ceilings.f32GFlops);
  const clockGHz = ceilings.f32GFlops / (2 * near.cores * near.lanesPerCore);
  // A packed product is 4 multiply-adds, 8 operations.
  const dotSlots =
    ceilings.dot4I8GOps > 0 ? (8 * near.cores * near.lanesPerCore * clockGHz) / ceilings.dot4I8GOps : near.dotSlots;
  const dramGBs = Math.max(ceilings.copyGBs, ceilings.readGBs ?? 0);
  return {
    ...near,
    name: caps.description || caps.vendor || 'this adapter',
    caps,
    clockGHz,
    dotSlots,
    matrixGOps: (near.matrixGOps * clockGHz) / near.clockGHz,
    dramGBs,
    cacheGBs: Math.max(dramGBs, (near.cacheGBs * clockGHz) / near.clockGHz),
    launchMicroseconds: launchMicroseconds ?? near.launchMicroseconds,
  };
}

/** Matrices of bytes and of halves as NVIDIA's drivers list them. */
const MATRICES = [
  { componentType: 'i8', resultComponentType: 'i32', M: 16, N: 16, K: 32 },
  { componentType: 'f16', resultComponentType: 'f32', M: 16, N: 16, K: 16 },
] as const;

/** The machine with its units for small matrices in use: WebGPU has them as an experiment only. */
export function withMatrices(machine: Machine): Machine {
  if (machine.matrixGOps === 0) return machine;
  return { ...machine, caps: { ...machine.caps, subgroupMatrixConfigs: MATRICES } };
}

/** Multiply-adds as two, 10^9 per second. */
export function f32GFlops({ cores, lanesPerCore, clockGHz }: Machine): number {
  return 2 * cores * lanesPerCore * clockGHz;
}

/** The machine of the same vendor, if there is one, whose peak is nearest by ratio. */
function nearestMachine(caps: Caps, gflops: number): Machine {
  const all = CARDS.map((card) => MACHINES[card]);
  const own = all.filter((machine) => machine.caps.vendor === caps.vendor.toLowerCase());
  const distance = (machine: Machine) => Math.abs(Math.log(f32GFlops(machine) / Math.max(gflops, 1)));
  return (own.length > 0 ? own : all).reduce((best, machine) => (distance(machine) < distance(best) ? machine : best));
}
