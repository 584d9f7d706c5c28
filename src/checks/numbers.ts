import { UserError } from '../errors.ts';

/** Seeds are 32-bit words to every generator: a larger one would mean the same as a smaller one. */
export const MAX_SEED = 2 ** 32 - 1;

/** Whether a number is a whole one from 0 to {@link MAX_SEED}. */
export function isSeed(seed: number): boolean {
  return Number.isInteger(seed) && seed >= 0 && seed <= MAX_SEED;
}

/** @throws UserError for what is no seed. @see isSeed */
export function checkSeed(seed: number, name = 'seed'): number {
  if (!isSeed(seed))
    throw new UserError(`${name} ${seed} cannot be used.`, `It has to be a whole number from 0 to ${MAX_SEED}.`);
  return seed;
}

/** Index of the first value that is NaN or infinite; -1 when all are finite. */
export function firstNotFinite(values: ArrayLike<number>): number {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return i;
  return -1;
}
