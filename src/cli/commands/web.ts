import { pageFolder, servePage, sharedFolder } from '../../node/page.ts';
import { type Arguments, UsageError } from '../arguments.ts';
import { printLine } from '../print.ts';

const PORT = 8421;
const LAST_PORT = 65535;

export async function run(args: Arguments, signal: AbortSignal): Promise<void> {
  const port = args.number('port') ?? PORT;
  if (!Number.isInteger(port) || port < 0 || port > LAST_PORT)
    throw new UsageError(`--port ${port} cannot be used.`, `Give a whole number from 0 to ${LAST_PORT}.`);
  const folder = pageFolder();
  const page = await servePage(folder, port, sharedFolder(folder));
  printLine(`open ${page.url} in a browser; Ctrl-C ends it`);
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  await page.close();
  signal.throwIfAborted();
}
