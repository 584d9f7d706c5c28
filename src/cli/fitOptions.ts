import type { TiledSize } from '../imaging/tiles.ts';
import { type Arguments, UsageError, wholeNumber } from './arguments.ts';

/** The option --patience. @throws UsageError */
export function readPatience(args: Arguments): number | undefined {
  return args.text('patience') === undefined ? undefined : wholeNumber(args, 'patience', 1, 1);
}

/** The option --folds. @throws UsageError */
export function readFolds(args: Arguments): number | undefined {
  return args.text('folds') === undefined ? undefined : wholeNumber(args, 'folds', 2, 2);
}

/** What does not go with --tiles: the value that it would have to have, where there is one. */
const NOT_TILED = { region: undefined, patience: undefined, maps: ['none', 'gaussian'] } as const;

/** The option --tiles, `4096x3072`. @throws UsageError, also for options that do not go with it */
export function readTiles(args: Arguments): TiledSize | undefined {
  const text = args.text('tiles');
  if (text === undefined) return undefined;
  const [, width, height] = /^([1-9]\d{0,5})x([1-9]\d{0,5})$/.exec(text) ?? [];
  if (width === undefined)
    throw new UsageError(`--tiles ${text} is not a size.`, 'Give width and height in pixels, as in 4096x3072.');
  for (const [option, allowed] of Object.entries(NOT_TILED)) {
    const value = args.text(option);
    if (value === undefined || (allowed as readonly string[] | undefined)?.includes(value)) continue;
    throw new UsageError(
      `--${option}${allowed ? ` ${value}` : ''} does not go with --tiles.`,
      allowed ? `Use ${allowed.join(' or ')}.` : 'Leave out one of them.',
    );
  }
  return { width: Number(width), height: Number(height) };
}

/** Options of `fit` that a method without training does not have. */
const OF_TRAINING = [
  'iterations',
  'batch',
  'lr',
  'penalty',
  'from',
  'patience',
  'folds',
  'checkpoint-every',
  'resume',
  'log',
] as const;

/** The options --method and --vectors. @throws UsageError for options that do not go together */
export function readMethod(args: Arguments) {
  const method = args.choice('method', ['student', 'nearest']) ?? 'student';
  const given = (name: string) => args.flag(name) || args.text(name) !== undefined;
  const stray = method === 'nearest' ? OF_TRAINING.find(given) : given('vectors') ? 'vectors' : undefined;
  if (stray !== undefined)
    throw new UsageError(
      `--${stray} does not go with --method ${method}.`,
      method === 'nearest' ? 'Nothing is trained: leave it out.' : 'It is for --method nearest.',
    );
  return { method, vectors: args.number('vectors') } as const;
}
