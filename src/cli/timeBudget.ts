import type { AllocationMethod } from '../hqs/allocate.ts';
import { checkTimeBudget, type TimeBudget, type TimedAllocation } from '../hqs/timeBudget.ts';
import { type Arguments, UsageError } from './arguments.ts';

const WORDS = ['fastest', 'midway'] as const;

/** The options --budget-ms and --budget-time. @throws UsageError */
export function readTimeBudget(args: Arguments): TimeBudget | undefined {
  const milliseconds = args.number('budget-ms');
  const text = args.text('budget-time');
  if (milliseconds !== undefined && text !== undefined)
    throw new UsageError('both --budget-ms and --budget-time were given.', 'Give one of them.');
  if (milliseconds === undefined && text === undefined) return undefined;
  const word = WORDS.find((each) => each === text);
  const budget = word ?? (milliseconds === undefined ? { share: args.number('budget-time')! } : { milliseconds });
  checkTimeBudget(budget);
  return budget;
}

/** @throws UsageError for options that a budget of time does not go with */
export function checkTimedOptions(args: Arguments, method: AllocationMethod, repeats: number): void {
  const name = args.text('budget-ms') === undefined ? '--budget-time' : '--budget-ms';
  const other = ['bytes', 'average-bits', 'bits', 'thresholds'].find((each) => args.text(each) !== undefined);
  if (other) throw new UsageError(`--${other} does not go with ${name}.`, 'Leave one of them out.');
  if (args.text('mode') === 'psi') throw new UsageError(`the mode psi does not go with ${name}.`, 'Leave --mode out.');
  if (method === 'uniform')
    throw new UsageError(`the method uniform does not go with ${name}.`, 'Limit --bytes or --average-bits.');
  if (repeats > 0)
    throw new UsageError(`--repeats does not go with ${name}.`, 'What is measured differs from run to run.');
}

/** What a plan's time was promised to be, and is. */
export function timeText({ allowed, share, fastestShare, floatMilliseconds, timed }: TimedAllocation): string {
  const percent = (value: number) => `${(100 * value).toFixed(1)} %`;
  return `${percent(share)} of float's ${floatMilliseconds.toPrecision(3)} ms on this adapter, allowed ${percent(allowed)}; the fastest widths take ${percent(fastestShare)} (${timed} plans timed in turns with float)`;
}
