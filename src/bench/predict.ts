import type { Caps } from '../engine/caps.ts';
import type { CompileOptions } from '../engine/compile.ts';
import { isInput, type Kernel, type Node, parameterOf, size, topologicalOrder } from '../engine/graph.ts';
import { lower } from '../engine/lower.ts';
import type { Dispatch } from '../engine/plan.ts';
import type { Tuning } from '../engine/tuning.ts';
import { type AddedVariants, variantsOf } from '../engine/variants.ts';
import { type Work, workOf } from '../measure/work.ts';
import { f32GFlops, type Machine } from './machines.ts';

/*
 * Time of a dispatch = launch gap + the largest of the times that these take:
 *
 *   arithmetic         the busiest core's instructions, ceil(workgroups / cores) workgroups of them, at its issue rate
 *   workgroup memory   the busiest core's bytes at what its workgroup memory delivers
 *   cache              bytes between cores and last cache at its bandwidth
 *   memory             bytes that the last cache does not hold at DRAM's bandwidth
 *   latency            rounds of resident workgroups, each as long as one workgroup by itself: its loads in turn, and its
 *                      instructions in between
 */

/** Share of a core's issue slots that dependent instructions, bank conflicts and barriers leave. Assumed. */
const ISSUE_EFFICIENCY = 0.85;
/** Share of the bandwidth on the data sheet that kernels reach. Assumed. */
const BANDWIDTH_EFFICIENCY = 0.85;
/** Share of the last cache that a dispatch may fill and still find again what the one before wrote. Assumed. */
const CACHE_SHARE = 0.5;

/** What holds a dispatch up. `launches`: the gap before it is longer than its work. */
export type Bound = 'arithmetic' | 'workgroup memory' | 'cache' | 'memory' | 'latency' | 'launches';

/** What is predicted of one dispatch. */
export interface Prediction {
  /** Launch gap included. */
  readonly milliseconds: number;
  /** Without the launch gap: what timestamps around the dispatch show. */
  readonly workMilliseconds: number;
  readonly bound: Bound;
  /** Milliseconds of each term; the work takes as long as the largest of all but `launches`. */
  readonly terms: Readonly<Record<Bound, number>>;
  readonly work: Work;
  /** Share of the instructions that are sums. */
  readonly issueShare: number;
  /** Workgroups on a core at once. */
  readonly resident: number;
}

/** One line of a table: a dispatch and what is predicted of it. */
export interface PredictedDispatch extends Prediction {
  readonly label: string;
  readonly shader: string;
  readonly variant: string;
  readonly grid: readonly [number, number, number];
  readonly node: Node;
}

/** Workgroups that a core holds at once. */
function residentWorkgroups(work: Work, machine: Machine): number {
  const limits = [
    machine.workgroupsPerCore,
    machine.invocationsPerCore / work.invocations,
    machine.registersPerCore / (work.registers * work.invocations),
    work.workgroupMemory > 0 ? machine.workgroupMemoryPerCore / work.workgroupMemory : Number.POSITIVE_INFINITY,
  ];
  return Math.max(1, Math.floor(Math.min(...limits)));
}

/** Whether a value depends on parameters alone: then it lies in memory before the run. */
function isConstant(node: Node): boolean {
  let known = constants.get(node);
  if (known === undefined) {
    known = !isInput(node) && node.inputs.every(isConstant);
    constants.set(node, known);
  }
  return known;
}

const constants = new WeakMap<Node, boolean>();

/**
 * Bytes from and to DRAM. Parameters are read once in a run, so they always come from there; what the run itself wrote is
 * found in the last cache unless the dispatch's values outgrow it.
 */
function dramBytes(node: Node, work: Work, machine: Machine): number {
  const fixed = node.inputs.filter(isConstant).reduce((sum, from) => sum + 4 * size(from.type), 0);
  const flowing = work.leastBytes - fixed;
  return fixed + (flowing > CACHE_SHARE * machine.cacheBytes ? flowing : 0);
}

/** Multiply-adds of matrices of bytes in the time of one in a register, by the peaks of both; of halves it is half as many. */
function matrixRate(machine: Machine): number {
  return machine.matrixGOps > 0 ? machine.matrixGOps / f32GFlops(machine) : 1;
}

/** Time of one dispatch by the formulas above, milliseconds. */
export function predictKernel(node: Node, kernel: Kernel, machine: Machine): Prediction {
  const work = workOf(node, kernel);
  const { workgroups } = work;
  const { cores, lanesPerCore, clockGHz } = machine;
  const matrixSlots =
    work.matrixMultiplyAdds > 0 ? (work.matrixMultiplyAdds * work.matrixValueBytes) / matrixRate(machine) : 0;
  const sums = work.multiplyAdds + work.packedProducts * machine.dotSlots + matrixSlots;
  const instructions = sums + work.otherInstructions;
  const resident = residentWorkgroups(work, machine);
  const perCore = Math.ceil(workgroups / cores);
  const rounds = Math.ceil(workgroups / (cores * resident));
  const own = instructions / workgroups;
  // Cycles at GHz are nanoseconds.
  const milliseconds = (cycles: number) => cycles / clockGHz / 1e6;
  const issue = lanesPerCore * ISSUE_EFFICIENCY;
  // A small workgroup by itself does not fill a core.
  const alone = milliseconds(own / Math.min(issue, work.invocations));
  const terms: Record<Bound, number> = {
    arithmetic: milliseconds((perCore * own) / issue),
    'workgroup memory': milliseconds(
      (perCore * (work.workgroupBytes / workgroups)) / (machine.workgroupBytesPerClock * ISSUE_EFFICIENCY),
    ),
    cache: work.cacheBytes / (machine.cacheGBs * BANDWIDTH_EFFICIENCY) / 1e6,
    memory: dramBytes(node, work, machine) / (machine.dramGBs * BANDWIDTH_EFFICIENCY) / 1e6,
    latency: rounds * (alone + (work.steps * machine.latencyNanoseconds) / 1e6),
    launches: machine.launchMicroseconds / 1e3,
  };
  const { launches, ...busy } = terms;
  const longest = Math.max(...Object.values(busy));
  const bound = (Object.keys(terms) as Bound[]).reduce((most, term) => (terms[term] > terms[most] ? term : most));
  const issueShare = instructions > 0 ? sums / instructions : 0;
  return { milliseconds: launches + longest, workMilliseconds: longest, bound, terms, work, issueShare, resident };
}

/** The kernel that a plan's dispatch runs. */
function kernelOf({ node, variant }: Pick<Dispatch, 'node' | 'variant'>, caps: Caps, added?: AddedVariants): Kernel {
  const found = variantsOf(node.op, added).find(({ name }) => name === variant);
  if (!found?.kernel) throw new Error(`${node.op.name} has no kernel '${variant}'`);
  return found.kernel(node, caps);
}

/**
 * What is predicted of a dispatch of a compiled plan, to stand beside what is measured of it.
 * @param machine one whose `caps` are those that the plan was compiled for @see measuredMachine
 */
export function predictDispatch(
  dispatch: Pick<Dispatch, 'node' | 'variant' | 'label'>,
  machine: Machine,
  added?: AddedVariants,
): PredictedDispatch {
  const { node, variant, label } = dispatch;
  const kernel = kernelOf(dispatch, machine.caps, added);
  const [x, y = 1, z = 1] = kernel.grid;
  const predicted = predictKernel(node, kernel, machine);
  return { label, shader: kernel.shader.name, variant, grid: [x, y, z], node, ...predicted };
}

export interface PredictOptions extends Pick<CompileOptions, 'outputs' | 'variants' | 'precision'> {
  readonly tuning?: Tuning | undefined;
  readonly added?: AddedVariants | undefined;
}

/** Every dispatch of a run of a graph, in order, without any device; what depends on parameters alone runs before. */
export function predictDispatches(options: PredictOptions, machine: Machine): PredictedDispatch[] {
  const { outputs, variants, precision, tuning, added } = options;
  const lowered = lower({ outputs, variants, precision }, { caps: machine.caps, tuning, variants: added });
  return topologicalOrder(Object.values(lowered.outputs)).flatMap((node): PredictedDispatch[] => {
    const entry = lowered.kernels.get(node);
    if (!entry || parameterOf(node) || isConstant(node)) return [];
    const { kernel, variant } = entry;
    const [x, y = 1, z = 1] = kernel.grid;
    const predicted = predictKernel(node, kernel, machine);
    return [{ label: node.label, shader: kernel.shader.name, variant, grid: [x, y, z], node, ...predicted }];
  });
}

/** Sums over a run. */
export interface PredictedTotal {
  readonly dispatches: number;
  readonly milliseconds: number;
  /** Executed, a multiply-add as two and a packed product as eight. */
  readonly operations: number;
  readonly leastBytes: number;
  /** Milliseconds of the dispatches that each bound holds up. */
  readonly byBound: Readonly<Record<Bound, number>>;
  /** What holds up most of the time. */
  readonly bound: Bound;
}

/** Operations that a dispatch executes, a multiply-add as two and a packed product as eight. */
export function operationsOf({ multiplyAdds, packedProducts, matrixMultiplyAdds }: Work): number {
  return 2 * (multiplyAdds + matrixMultiplyAdds) + 8 * packedProducts;
}

export function totalOf(dispatches: readonly Prediction[]): PredictedTotal {
  const byBound: Record<Bound, number> = {
    arithmetic: 0,
    'workgroup memory': 0,
    cache: 0,
    memory: 0,
    latency: 0,
    launches: 0,
  };
  for (const { bound, milliseconds } of dispatches) byBound[bound] += milliseconds;
  const sum = (of: (dispatch: Prediction) => number) => dispatches.reduce((total, each) => total + of(each), 0);
  return {
    dispatches: dispatches.length,
    milliseconds: sum(({ milliseconds }) => milliseconds),
    operations: sum(({ work }) => operationsOf(work)),
    leastBytes: sum(({ work }) => work.leastBytes),
    byBound,
    bound: (Object.keys(byBound) as Bound[]).reduce((most, bound) => (byBound[bound] > byBound[most] ? bound : most)),
  };
}
