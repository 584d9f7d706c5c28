import { type Arguments, UsageError } from '../arguments.ts';
import { COMPLETIONS } from '../completion.ts';
import { printText } from '../print.ts';

export async function run(args: Arguments): Promise<void> {
  const [shell = '', ...more] = args.positionals;
  const script = Object.hasOwn(COMPLETIONS, shell) ? COMPLETIONS[shell] : undefined;
  if (!script || more.length > 0)
    throw new UsageError(
      'completion needs the name of a shell.',
      `Use one of: ${Object.keys(COMPLETIONS).join(', ')}.`,
    );
  printText(script());
}
