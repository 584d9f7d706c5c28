import { UserError } from '../errors.ts';

/** Ends a program that could not start. */
export function printError(error: unknown): void {
  if (!(error instanceof UserError)) throw error;
  process.stderr.write(`raad: ${error.message} ${error.fix ?? ''}\n`);
  process.exitCode = 1;
}
