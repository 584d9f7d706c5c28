import { COMPRESS } from './compress.ts';
import { EXCHANGE } from './exchange.ts';
import { INSPECT } from './inspect.ts';
import { LEARN } from './learn.ts';
import { MEASURE } from './measure.ts';
import { SHELL } from './shell.ts';
import { STUDY } from './study.ts';
import type { Command } from './table.ts';

/** Every command, as they are told. */
export const COMMANDS: readonly Command[] = [
  ...LEARN,
  ...INSPECT,
  ...COMPRESS,
  ...STUDY,
  ...MEASURE,
  ...EXCHANGE,
  ...SHELL,
];

/** The command of a name, `bench kernels` for one of two words. */
export function commandNamed(name: string): Command | undefined {
  return COMMANDS.find((command) => command.name === name);
}

/** What a command line asks for. */
export interface Chosen {
  readonly command: Command;
  /** What follows the command's name. */
  readonly rest: readonly string[];
  /** The option by which an earlier version chose this command, where that was done. */
  readonly formerOption?: string;
}

/** The command that a line names by its first words, or chooses as earlier versions did. */
export function chooseCommand([first, second, ...others]: readonly string[]): Chosen | undefined {
  if (first === undefined) return undefined;
  const part = second === undefined ? undefined : commandNamed(`${first} ${second}`);
  if (part) return { command: part, rest: others };
  const rest = second === undefined ? [] : [second, ...others];
  const isGiven = (option: string) => rest.some((word) => word === `--${option}` || word.startsWith(`--${option}=`));
  const former = COMMANDS.find(({ formerly }) => formerly?.command === first && isGiven(formerly.option));
  if (former?.formerly) return { command: former, rest, formerOption: former.formerly.option };
  const command = commandNamed(first);
  return command && { command, rest };
}

/** Commands that are parts of one, and that one itself. */
export function familyOf({ name }: Command): readonly Command[] {
  const [first] = name.split(' ');
  return COMMANDS.filter((other) => other.name.split(' ')[0] === first);
}
