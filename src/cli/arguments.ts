import { type ParseArgsConfig, parseArgs } from 'node:util';
import { isSeed, MAX_SEED } from '../checks/numbers.ts';
import { PRECISIONS, type Precision } from '../engine/variants.ts';
import { UserError } from '../errors.ts';
import { type Chosen, familyOf } from './tables/all.ts';
import { COMMON } from './tables/options.ts';
import type { Command, Options } from './tables/table.ts';

/** A mistake on the command line: exit code 2. */
export class UsageError extends UserError {
  override readonly name: string = 'UsageError';
}

/** What the user typed after the command, with string options only where they were given. */
export interface Arguments {
  readonly positionals: readonly string[];
  text(name: string): string | undefined;
  /** Values of an option that may be given several times. */
  texts(name: string): readonly string[];
  flag(name: string): boolean;
  /** @throws UsageError unless it is a number */
  number(name: string): number | undefined;
  /** @throws UsageError unless it is among the choices */
  choice<T extends string>(name: string, choices: readonly T[]): T | undefined;
}

const toParse = (options: Options): NonNullable<ParseArgsConfig['options']> =>
  Object.fromEntries(
    Object.entries(options).map(([name, { value, short, isRepeatable = false }]) => [
      name,
      // parseArgs refuses a letter that is undefined.
      { type: value === undefined ? 'boolean' : 'string', multiple: isRepeatable, ...(short && { short }) },
    ]),
  );

/** @throws UsageError for unknown options and missing values */
export function parseArguments(chosen: Chosen): Arguments {
  const { command, rest } = chosen;
  const see = `See \`raad ${command.name} --help\`.`;
  let parsed: ReturnType<typeof parseArgs>;
  try {
    parsed = parseArgs({
      args: [...rest],
      options: toParse({ ...COMMON, ...command.options }),
      allowPositionals: true,
    });
  } catch (error) {
    const { message } = error as Error;
    const unknown = /^Unknown option '--([^']+)'/.exec(message)?.[1];
    const owner = unknown === undefined ? undefined : familyOf(command).find(({ options }) => options[unknown]);
    if (owner) throw new UsageError(...strayOption(`--${unknown}`, chosen, owner));
    const sentence = message.split(/\.\s|\.$/)[0]!;
    const dashed = /use '(--[^=']+)=-/.exec(message)?.[1];
    throw new UsageError(
      `${sentence.charAt(0).toLowerCase()}${sentence.slice(1)}.`,
      dashed ? `Write ${dashed}=VALUE for a value that begins with a dash.` : see,
    );
  }
  const { values, positionals } = parsed;
  const text = (name: string) => values[name] as string | undefined;
  return {
    positionals,
    text,
    texts: (name) => (values[name] as string[] | undefined) ?? [],
    flag: (name) => values[name] === true,
    number(name) {
      const value = text(name);
      if (value === undefined) return undefined;
      if (value.trim() === '' || !Number.isFinite(Number(value))) {
        throw new UsageError(`--${name} ${value} is not a number.`, see);
      }
      return Number(value);
    },
    choice(name, choices) {
      const value = text(name);
      if (value === undefined) return undefined;
      const found = choices.find((choice) => choice === value.toLowerCase());
      if (!found) throw new UsageError(`--${name} ${value} is not known.`, `Use one of: ${choices.join(', ')}.`);
      return found;
    },
  };
}

/** What is wrong with an option of a command's other part, and what to do. */
function strayOption(option: string, { command, formerOption }: Chosen, owner: Command): [string, string] {
  const use = `Use \`raad ${owner.name}\`.`;
  if (formerOption) return [`${option} does not go with --${formerOption}.`, use];
  if (owner.formerly) return [`${option} goes with --${owner.formerly.option}.`, use];
  return [`${option} does not go with ${command.name}.`, use];
}

/**
 * Bit-widths such as `4`, `4,8` or `2..8`, each once.
 * @throws UsageError for one that is not known
 */
export function readWidths<T extends number>(name: string, text: string, known: readonly T[]): T[] {
  const widths = text.split(',').flatMap((part) => {
    const [, from, to] = /^(\d+)\.\.(\d+)$/.exec(part) ?? [undefined, part, part];
    const [low, high] = [Number(from), Number(to)];
    const isKnown = (width: number) => (known as readonly number[]).includes(width);
    if (!isKnown(low) || !isKnown(high) || low > high)
      throw new UsageError(`--${name} ${part} does not exist.`, `Use some of ${known.join(', ')}.`);
    return known.filter((width) => width >= low && width <= high);
  });
  return [...new Set(widths)];
}

/** The option --activations, 8 by default. @throws UsageError */
export function readActivations<T extends number>(args: Arguments, known: readonly T[]): T {
  const text = args.choice('activations', known.map(String)) ?? '8';
  return known.find((bits) => String(bits) === text)!;
}

/** The option --precision. @throws UsageError */
export function readPrecision(args: Arguments): Precision {
  return args.choice('precision', PRECISIONS) ?? 'f32';
}

/** A whole number of at least `least`. @throws UsageError */
export function wholeNumber(args: Arguments, name: string, fallback: number, least: number): number {
  const value = args.number(name) ?? fallback;
  if (!Number.isSafeInteger(value) || value < least)
    throw new UsageError(`--${name} ${value} cannot be used.`, `Give a whole number of at least ${least}.`);
  return value;
}

/** The option --seed. @throws UsageError unless it is a 32-bit word */
export function readSeed(args: Arguments, fallback = 0): number {
  return seedOf('seed', args.number('seed') ?? fallback);
}

/** A seed that was given with an option. @throws UsageError as {@link readSeed} */
export function seedOf(option: string, seed: number): number {
  if (!isSeed(seed))
    throw new UsageError(`--${option} ${seed} cannot be used.`, `Give a whole number from 0 to ${MAX_SEED}.`);
  return seed;
}
