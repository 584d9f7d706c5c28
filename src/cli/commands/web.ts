import { pageFolder, servePage } from '../../node/page.ts';
import { type Arguments, type OptionTable, UsageError } from '../arguments.ts';
import { printLine } from '../print.ts';

export const usage = `raad web
  Serves the page that comes with the package to browsers on this machine: inspect pictures with a model, teach one, check and
  measure the browser's adapter. Pictures stay in the browser. Ctrl-C ends it.

  --port N               8421 by default; 0: any that is free`;

export const options: OptionTable = {
  port: { type: 'string' },
};

const PORT = 8421;
const LAST_PORT = 65535;

export async function run(args: Arguments, signal: AbortSignal): Promise<void> {
  const port = args.number('port') ?? PORT;
  if (!Number.isInteger(port) || port < 0 || port > LAST_PORT)
    throw new UsageError(`--port ${port} cannot be used.`, `Give a whole number from 0 to ${LAST_PORT}.`);
  const page = await servePage(pageFolder(), port);
  printLine(`open ${page.url} in a browser; Ctrl-C ends it`);
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  await page.close();
  signal.throwIfAborted();
}
