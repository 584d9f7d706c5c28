import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { UserError } from '../errors.ts';

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.safetensors': 'application/octet-stream',
};

/** Pages of others can neither frame this one nor read it, and it can reach nobody else. */
const HEADERS = {
  'content-security-policy':
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  // A service worker keeps what was fetched: files are asked for when there may be a newer build.
  'cache-control': 'no-cache',
};

const LOOPBACK = '127.0.0.1';

/**
 * The folder of the page that comes with the package.
 * @throws UserError where it was not built
 */
export function pageFolder(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const candidate = join(folder, 'dist/web');
    if (existsSync(join(candidate, 'index.html'))) return candidate;
    if (dirname(folder) === folder) throw new UserError('the page is not there.', 'Build it: npm run build');
  }
}

/** Where the files lie that the page shares with the package, which holds them once. */
export function sharedFolder(page: string): string {
  return join(page, '../../assets/teachers');
}

/** A page that is served. */
export interface ServedPage {
  readonly url: string;
  close(): Promise<void>;
}

/**
 * Serves the files of a folder on this machine alone: its loopback address.
 * @param port 0 for any that is free
 * @param shared a folder for files that are not in the first one
 * @throws UserError for a port that cannot be had
 */
export async function servePage(folder: string, port: number, shared = folder): Promise<ServedPage> {
  const server = createServer(async ({ url = '/', method }, response) => {
    const { status, type, body } =
      method === 'GET' || method === 'HEAD' ? await fileAt([folder, shared], url) : REFUSED;
    response.writeHead(status, { ...HEADERS, 'content-type': type, 'content-length': body.length });
    response.end(method === 'HEAD' ? undefined : body);
  });
  await listen(server, port);
  return {
    url: `http://${LOOPBACK}:${(server.address() as AddressInfo).port}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: Uint8Array;
}

const PLAIN = 'text/plain; charset=utf-8';
const REFUSED: Answer = { status: 405, type: PLAIN, body: Buffer.from('This server only has files.\n') };
const MISSING: Answer = { status: 404, type: PLAIN, body: Buffer.from('There is no such file.\n') };

/** A name of letters, digits, dots and dashes in folders, none of which begins with a dot: no way leads out of the folder. */
const PATH = /^(?:\/[\w-][\w.-]*)+$/;

async function fileAt(folders: readonly string[], url: string): Promise<Answer> {
  const [path] = url.split(/[?#]/, 1) as [string];
  const name = path === '/' ? '/index.html' : path;
  const type = TYPES[extname(name)];
  if (!PATH.test(name) || !type) return MISSING;
  for (const folder of folders) {
    const body = await readFile(join(folder, name)).catch(() => undefined);
    if (body) return { status: 200, type, body };
  }
  return MISSING;
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', ({ code, message }: NodeJS.ErrnoException) => {
      const why = code === 'EADDRINUSE' ? 'is in use' : `cannot be had: ${message}`;
      reject(new UserError(`port ${port} ${why}.`, 'Give another one with --port, or 0 for any that is free.'));
    });
    server.listen(port, LOOPBACK, resolve);
  });
}
