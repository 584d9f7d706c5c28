import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { type AddressInfo, createServer } from 'node:net';

/** Why tests over Redis are left out here, if they are. */
export const withoutRedis = ((): string | undefined => {
  if (spawnSync('redis-server', ['--version']).status !== 0) return 'there is no redis-server';
  try {
    const { resolve } = createRequire(import.meta.url);
    createRequire(resolve('bullmq'))('ioredis');
    return undefined;
  } catch {
    return 'bullmq and ioredis are not installed';
  }
})();

export interface TestRedis {
  readonly url: string;
  stop(): Promise<unknown>;
  /** Ends it as the system does, and starts it anew in the same place. */
  restart(): Promise<void>;
}

/**
 * A server of the tests' own on loopback.
 * @param isKept whether it has its log on disk, as Redis's guide to persistence advises; else it keeps nothing
 */
export async function startRedis(folder: string, isKept = false): Promise<TestRedis> {
  const port = await freePort();
  const persistence = isKept ? ['--appendonly', 'yes'] : ['--save', '', '--appendonly', 'no'];
  const args = ['--port', String(port), '--bind', '127.0.0.1', ...persistence, '--dir', folder];
  let child = await startServer(args);
  return {
    url: `redis://127.0.0.1:${port}`,
    stop: () => kill(child),
    async restart() {
      await kill(child, 'SIGTERM');
      child = await startServer(args);
    },
  };
}

async function startServer(args: readonly string[]): Promise<ChildProcess> {
  const child = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'ignore'] });
  await new Promise<void>((resolve, reject) => {
    child.stdout.on('data', (text) => String(text).includes('Ready to accept connections') && resolve());
    child.once('exit', () => reject(new Error('redis-server ended')));
  });
  return child;
}

/** What studies have in Redis. */
export async function keysOf(url: string): Promise<string[]> {
  const { RedisConnection } = await import('bullmq');
  const connection = new RedisConnection({ url }, { blocking: false });
  const [, keys] = await (await connection.client).scan(0, { MATCH: 'raad:*', COUNT: 10_000 });
  await connection.close();
  return keys;
}

/** Somebody else who reaches the server, and knows how studies lie there. */
export async function openIntruder(url: string, name = 'study') {
  const { Queue, RedisConnection } = await import('bullmq');
  const connection = new RedisConnection({ url }, { blocking: false });
  const client = await connection.client;
  const queue = new Queue(name, { connection: client, prefix: 'raad' });
  return {
    addJob: (jobId: string, data: unknown) => queue.add('cell', data, { jobId, lifo: true }),
    /** A job as another program might leave it: not even JSON. */
    async spoilJob(jobId: string) {
      await queue.add('cell', {}, { jobId, lifo: true });
      await client.hset(`raad:${name}:${jobId}`, { data: '{' });
    },
    async addResult(cell: string, text: string) {
      const study = await client.hget(`raad:${name}:study`, 'id');
      await client.hset(`raad:${name}:${study}:results`, { [cell]: text });
    },
    terms: async () => ({
      ...JSON.parse((await client.hget(`raad:${name}:study`, 'terms'))!),
      study: await client.hget(`raad:${name}:study`, 'id'),
    }),
    async close() {
      await queue.close();
      await connection.close();
    },
  };
}

/** A port of loopback where nothing listens. */
export function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

/** Ends a process that a test started. */
export async function kill(child: ChildProcess, signal: NodeJS.Signals = 'SIGKILL'): Promise<number | null> {
  const exit = ended(child);
  child.kill(signal);
  return exit;
}

/** The exit code; null for a process that was killed. */
export function ended(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve(child.exitCode);
  return new Promise((resolve) => child.once('exit', resolve));
}

/** Resolves when a process has printed something on stderr; its output so far is kept. */
export function listen(child: ChildProcess): { readonly text: () => string; until(pattern: RegExp): Promise<void> } {
  let text = '';
  const waiting = new Set<() => void>();
  child.stderr!.on('data', (chunk) => {
    text += chunk;
    for (const check of waiting) check();
  });
  child.once('exit', () => {
    for (const check of waiting) check();
  });
  return {
    text: () => text,
    until: (pattern) =>
      new Promise((resolve, reject) => {
        const check = () => {
          if (pattern.test(text)) resolve();
          else if (child.exitCode !== null || child.signalCode !== null) reject(new Error(`ended early: ${text}`));
          else return;
          waiting.delete(check);
        };
        waiting.add(check);
        check();
      }),
  };
}
