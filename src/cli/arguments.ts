import { type ParseArgsConfig, parseArgs } from 'node:util';
import { isSeed, MAX_SEED } from '../checks/numbers.ts';
import { PRECISIONS, type Precision } from '../engine/variants.ts';
import { UserError } from '../errors.ts';

/** A mistake on the command line: exit code 2. */
export class UsageError extends UserError {
  override readonly name: string = 'UsageError';
}

export type OptionTable = NonNullable<ParseArgsConfig['options']>;

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

/** Options that every command has. */
const COMMON: OptionTable = {
  adapter: { type: 'string' },
  debug: { type: 'boolean' },
  'dump-wgsl': { type: 'boolean' },
  shader: { type: 'string' },
  toggles: { type: 'string' },
  'variant-module': { type: 'string' },
  help: { type: 'boolean', short: 'h' },
};

/** @throws UsageError for unknown options and missing values */
export function parseArguments(argv: readonly string[], options: OptionTable): Arguments {
  let parsed: ReturnType<typeof parseArgs>;
  try {
    parsed = parseArgs({ args: [...argv], options: { ...COMMON, ...options }, allowPositionals: true });
  } catch (error) {
    const { message } = error as Error;
    const sentence = message.split(/\.\s|\.$/)[0]!;
    const dashed = /use '(--[^=']+)=-/.exec(message)?.[1];
    throw new UsageError(
      `${sentence.charAt(0).toLowerCase()}${sentence.slice(1)}.`,
      dashed ? `Write ${dashed}=VALUE for a value that begins with a dash.` : 'See `raad --help`.',
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
        throw new UsageError(`--${name} ${value} is not a number.`, 'See `raad --help`.');
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
