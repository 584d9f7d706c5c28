#!/usr/bin/env node
import { constants } from 'node:os';
import { inspect } from 'node:util';
import { UserError } from '../errors.ts';
import { ownVersion } from '../node/version.ts';
import { parseArguments, UsageError } from './arguments.ts';
import { commandHelp, fullHelp, overview } from './help.ts';
import { LOADERS } from './load.ts';
import { printLine, printText, say, sayText } from './print.ts';
import { type Chosen, COMMANDS, chooseCommand } from './tables/all.ts';

const EXIT = { failed: 1, usage: 2, bug: 70 } as const;

/** What ends a command in order: its state is saved. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** @throws UsageError where there is none */
function commandOf(argv: readonly string[]): Chosen {
  const chosen = chooseCommand(argv);
  if (chosen) return chosen;
  const names = COMMANDS.map(({ name }) => name).filter((name) => !name.includes(' '));
  throw new UsageError(`there is no command '${argv[0]}'.`, `Use one of: ${names.join(', ')}.`);
}

async function main(argv: readonly string[]): Promise<number> {
  const [name, ...others] = argv;
  if (name === undefined) {
    printText(overview());
    return EXIT.usage;
  }
  if (name === '--version') {
    printLine(await ownVersion());
    return 0;
  }
  if (name === '--help' || name === '-h' || name === 'help') {
    printText(others.length > 0 ? commandHelp(commandOf(others).command) : fullHelp());
    return 0;
  }
  const chosen = commandOf(argv);
  const args = parseArguments(chosen);
  if (args.flag('help')) {
    printText(commandHelp(chosen.command));
    return 0;
  }
  const interrupt = new AbortController();
  for (const name of SIGNALS)
    process.on(name, () => {
      const reason = new Interrupted(128 + constants.signals[name]);
      if (interrupt.signal.aborted) process.exit(reason.exitCode);
      interrupt.abort(reason);
      say(...(name === 'SIGINT' ? ['', 'stopping; press Ctrl-C again to stop at once'] : [`stopping on ${name}`]));
    });
  // What a command consists of may lack a package: that is one sentence, too.
  const { run } = await LOADERS[chosen.command.name]!();
  await run(args, interrupt.signal);
  return 0;
}

class Interrupted extends Error {
  readonly exitCode: number;

  constructor(exitCode: number) {
    super();
    this.exitCode = exitCode;
  }
}

function exitCode(error: unknown): number {
  if (error instanceof Interrupted) return error.exitCode;
  if (error instanceof UserError) {
    say(`raad: ${error.message}${error.fix ? ` ${error.fix}` : ''}`);
    return error instanceof UsageError ? EXIT.usage : EXIT.failed;
  }
  sayText(inspect(error));
  return EXIT.bug;
}

// `head` and the like close the pipe early: that is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  if (error.code !== 'EIO') throw error;
});
// A terminal that was closed takes no words any more, and the state is saved all the same.
process.stderr.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EIO' && error.code !== 'EPIPE') throw error;
});

process.exitCode = await main(process.argv.slice(2)).catch(exitCode);
