import { UserError } from '../src/errors.ts';

/** What an option names. @throws UserError for none of these */
export function choice<T extends string>(option: string, given: string, names: readonly T[]): T {
  const found = names.find((name) => name === given);
  if (!found) throw new UserError(`--${option} ${given} is not known.`, `Give one of: ${names.join(', ')}.`);
  return found;
}

/** What an option names, with commas between. @throws UserError for one that is none of these */
export function choices<T extends string>(option: string, given: string, names: readonly T[]): T[] {
  return given.split(',').map((each) => choice(option, each, names));
}
