import type { Dispatch } from '../engine/plan.ts';
import type { Peaks } from './peak.ts';

/** What instructions do a kernel's products. @see Peaks */
export type Arithmetic = 'f32' | 'f16' | 'dot4I8Packed' | 'matrix';

/** What was done, and how long it took. */
export interface Work {
  /** f32 operations that were executed, multiply-adds as two. */
  readonly flops: number;
  /** The same in f16, and by `dot4I8Packed`. */
  readonly halfFlops?: number;
  readonly integerOps?: number;
  /** Bytes that have to be read and written at least once. */
  readonly bytes: number;
  readonly dispatches: number;
  readonly milliseconds: number;
  /** Bytes that are in use at a time and may lie in a cache; those of a dispatch on average by default. */
  readonly workingSet?: number;
}

/** What keeps work from being faster. */
export interface Bound {
  readonly by: 'arithmetic' | 'memory' | 'launches';
  /** The least time that this ceiling allows over the time that was taken: 1 is all that the adapter can do. */
  readonly share: number;
}

/** 10^9 operations per second; 0 where no peak is measured. */
export function peakOf(arithmetic: Arithmetic, { f32GFlops, f16GFlops, dot4I8GOps }: Peaks): number {
  return { f32: f32GFlops, f16: f16GFlops, dot4I8Packed: dot4I8GOps, matrix: 0 }[arithmetic];
}

/** 10^9 bytes per second for data of a size: caches are faster, so the rate of the next smaller size that was measured counts. */
export function bandwidth({ copyGBs, memory }: Peaks, workingSet: number): number {
  const sizes = [...memory].sort((a, b) => a.bytes - b.bytes);
  const fitting = sizes.findLast(({ bytes }) => bytes <= workingSet) ?? sizes[0];
  return Math.max(copyGBs, fitting?.GBs ?? 0);
}

/** Milliseconds for an amount at a rate of 10^9 per second; none where the rate is not known. */
const least = (amount: number, rate: number) => (amount > 0 && rate > 0 ? amount / rate / 1e6 : 0);

/** Which ceiling is nearest to what was measured. */
export function boundOf(work: Work, peaks: Peaks): Bound {
  const { flops, halfFlops = 0, integerOps = 0, bytes, dispatches, milliseconds } = work;
  const workingSet = work.workingSet ?? bytes / Math.max(1, dispatches);
  const arithmetic =
    least(flops, peaks.f32GFlops) + least(halfFlops, peaks.f16GFlops) + least(integerOps, peaks.dot4I8GOps);
  const times: [Bound['by'], number][] = [
    ['arithmetic', arithmetic],
    ['memory', least(bytes, bandwidth(peaks, workingSet))],
    ['launches', (dispatches * peaks.dispatchUs) / 1000],
  ];
  const [by, time] = times.reduce((a, b) => (b[1] > a[1] ? b : a));
  return { by, share: time / milliseconds };
}

/** What instructions a shader's products are made of. @param code its WGSL */
export function arithmeticOf(code: string): Arithmetic {
  if (/subgroupMatrixMultiply/.test(code)) return 'matrix';
  if (/dot4[IU]8Packed\(/.test(code)) return 'dot4I8Packed';
  return 'f32';
}

/** What dispatches execute in all, by the definitions of their ops. @param shaders WGSL by pipeline key */
export function workOf(
  dispatches: readonly Dispatch[],
  shaders: ReadonlyMap<string, string>,
): Omit<Work, 'milliseconds' | 'workingSet'> & { readonly executed: number } {
  let [flops, integerOps, executed, bytes] = [0, 0, 0, 0];
  for (const { node, kernel } of dispatches) {
    const cost = node.op.cost?.(node);
    if (!cost) continue;
    const arithmetic = arithmeticOf(shaders.get(kernel) ?? '');
    if (arithmetic === 'dot4I8Packed') integerOps += cost.flops;
    // The peak of matrices is not measured.
    else if (arithmetic !== 'matrix') flops += cost.flops;
    executed += cost.flops;
    bytes += cost.bytes;
  }
  return { flops, integerOps, bytes, dispatches: dispatches.length, executed };
}
