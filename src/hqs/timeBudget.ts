import { UserError } from '../errors.ts';
import { WEIGHT_BITS } from '../formats/weightCodes.ts';
import type { BitPlan } from '../quantization/bitPlan.ts';
import { type AllocateOptions, type Allocation, allocate, fastestAllocation } from './allocate.ts';
import type { Latencies } from './limits.ts';

/** How long a plan's networks and the float ones take, timed in turns. */
export interface PlanTiming {
  readonly milliseconds: number;
  readonly floatMilliseconds: number;
}

/** What times layers and whole plans; on an adapter {@link planTimer}. */
export interface PlanTimer {
  latencies(): Promise<Latencies>;
  time(plan: BitPlan): Promise<PlanTiming>;
}

/**
 * How long inference may take: milliseconds, a share of what the float networks take, what the fastest widths take, or midway
 * between those and float.
 */
export type TimeBudget = { readonly milliseconds: number } | { readonly share: number } | 'fastest' | 'midway';

/** A plan that keeps a budget of time, as it was timed. */
export interface TimedAllocation extends Allocation {
  /** What was allowed, as a share of the float networks' time. */
  readonly allowed: number;
  /** What the plan takes, as a share of the same run's float. */
  readonly share: number;
  /** Of the float networks, in the first run. */
  readonly floatMilliseconds: number;
  /** The fastest widths' share. */
  readonly fastestShare: number;
  /** Plans that were timed as a whole. */
  readonly timed: number;
}

/** By what timings of one plan differ from run to run. */
export const TIME_TOLERANCE = 0.05;
/** Plans that are timed after the fastest one. */
const CORRECTIONS = 4;
/** Latencies are rounded up to steps of a limit: the fastest widths need so much more. */
const ROUNDING = 1.01;

/** @throws UserError for a budget that no networks can have */
export function checkTimeBudget(budget: TimeBudget): void {
  if (typeof budget === 'string') return;
  const [value, unit] = 'share' in budget ? [budget.share, "of float's time"] : [budget.milliseconds, 'ms'];
  if (!(Number.isFinite(value) && value > 0))
    throw new UserError(`a budget of ${value} ${unit} cannot be kept.`, 'Give a number above 0.');
}

/**
 * The widths of the least weighted rounding error within a budget of time. Latencies of layers, each measured by itself, enter
 * the dynamic program; the plan that it finds is timed as a whole, in turns with the float networks, and by what it is off the
 * latencies are corrected, until the plan stays the same.
 * @throws UserError for a budget that the fastest widths do not keep, naming them
 */
export async function allocateByTime(
  given: Omit<AllocateOptions, 'limit' | 'mode'>,
  budget: TimeBudget,
  timer: PlanTimer,
): Promise<TimedAllocation> {
  checkTimeBudget(budget);
  const options = { ...given, mode: 'budget' } as const;
  const latencies = await timer.latencies();
  const fastest = fastestAllocation(options, latencies);
  const first = await timer.time(fastest.plan);
  const { floatMilliseconds } = first;
  const fastestShare = first.milliseconds / floatMilliseconds;
  const wanted = allowedShare(budget, fastestShare, floatMilliseconds);
  if (fastestShare > wanted * (1 + TIME_TOLERANCE)) throw tooFast(wanted, fastest, first);

  const layersTime = ({ plan }: Allocation) => sumOf(latencies, plan);
  const least = ROUNDING * layersTime(fastest);
  // What a run takes besides its layers' own latencies, by the plan that was timed last.
  let rest = first.milliseconds - layersTime(fastest);
  const shares = new Map([[keyOf(fastest), fastestShare]]);
  let best: { readonly allocation: Allocation; readonly share: number } | undefined;
  for (let k = 0; k < CORRECTIONS; k++) {
    const milliseconds = Math.max(least, wanted * floatMilliseconds - rest);
    const allocation = allocate({ ...options, limit: { milliseconds, latencies } });
    const isKnown = shares.has(keyOf(allocation));
    const share = shares.get(keyOf(allocation)) ?? shareOf(await timer.time(allocation.plan));
    shares.set(keyOf(allocation), share);
    const fits = share <= wanted * (1 + TIME_TOLERANCE);
    if (fits && !(best && best.allocation.error! <= allocation.error!)) best = { allocation, share };
    if (isKnown && k > 0) break;
    rest = share * floatMilliseconds - layersTime(allocation);
  }
  const { allocation, share } = best ?? { allocation: fastest, share: fastestShare };
  return { ...allocation, allowed: wanted, share, floatMilliseconds, fastestShare, timed: shares.size };
}

function shareOf({ milliseconds, floatMilliseconds }: PlanTiming): number {
  return milliseconds / floatMilliseconds;
}

/** Every timing is taken as a share of float in the same run: the speed of a machine drifts. */
function allowedShare(budget: TimeBudget, fastestShare: number, floatMilliseconds: number): number {
  if (budget === 'fastest') return fastestShare;
  if (budget === 'midway') return Math.max(fastestShare, (fastestShare + 1) / 2);
  return 'share' in budget ? budget.share : budget.milliseconds / floatMilliseconds;
}

function keyOf({ rows }: Allocation): string {
  return rows.map(({ bits }) => bits).join(' ');
}

function sumOf(latencies: Latencies, { layers }: BitPlan): number {
  return Object.entries(layers).reduce((sum, [name, { weights }]) => {
    const bits = WEIGHT_BITS.find((each) => each === weights);
    return sum + (bits === undefined ? 0 : latencies.get(name)!.get(bits)!);
  }, 0);
}

function tooFast(wanted: number, { rows }: Allocation, { milliseconds, floatMilliseconds }: PlanTiming): UserError {
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  const widths = rows.map(({ layer, bits }) => `${layer} ${bits}`).join(', ');
  return new UserError(
    `no widths bring the networks under ${(wanted * floatMilliseconds).toPrecision(3)} ms, ${percent(wanted)} of float's time here.`,
    `The fastest take ${milliseconds.toPrecision(3)} ms, ${percent(milliseconds / floatMilliseconds)} of it: ${widths} bits.`,
  );
}
