import { UserError } from '../errors.ts';

/** Dawn's toggles that are switched, by name. */
export interface Toggles {
  readonly on: readonly string[];
  readonly off: readonly string[];
}

/**
 * The toggles of a text `A,-B`: A is switched on, B off.
 * @param own in the same form, for those that the text does not name
 * @throws UserError for names that are none, or switched both on and off
 */
export function parseToggles(text?: string, own?: string): Toggles {
  const split = (words: string | undefined) => words?.split(',').map((word) => word.trim()) ?? [];
  const nameOf = (word: string) => word.replace(/^-/, '');
  const given = split(text);
  const wrong = given.find((word) => !/^-?\w+$/.test(word));
  if (wrong !== undefined)
    throw new UserError(`the toggle '${wrong}' is no name.`, 'Write A,-B to switch A on and B off.');
  const named = new Set(given.map(nameOf));
  const all = [...new Set([...given, ...split(own).filter((word) => !named.has(nameOf(word)))])];
  const off = all.filter((word) => word.startsWith('-')).map(nameOf);
  const on = all.filter((word) => !word.startsWith('-'));
  const both = on.find((name) => off.includes(name));
  if (both) throw new UserError(`the toggle ${both} is switched on and off.`, 'Name it once.');
  return { on, off };
}

/** Both lists in the form that Dawn's Node binding takes. */
export function dawnOptions({ on, off }: Toggles): string[] {
  return [
    ...(on.length > 0 ? [`enable-dawn-features=${on.join()}`] : []),
    ...(off.length > 0 ? [`disable-dawn-features=${off.join()}`] : []),
  ];
}
