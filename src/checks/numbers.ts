import { UserError } from '../errors.ts';

/** Seeds are 32-bit words to every generator: a larger one would mean the same as a smaller one. */
export const MAX_SEED = 2 ** 32 - 1;

/** @throws UserError for a seed that is no whole number from 0 to {@link MAX_SEED} */
export function checkSeed(seed: number, name = 'seed'): number {
  if (!Number.isInteger(seed) || seed < 0 || seed > MAX_SEED)
    throw new UserError(`${name} ${seed} cannot be used.`, `It has to be a whole number from 0 to ${MAX_SEED}.`);
  return seed;
}

/** Index of the first value that is NaN or infinite; -1 when all are finite. */
export function firstNotFinite(values: ArrayLike<number>): number {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return i;
  return -1;
}
