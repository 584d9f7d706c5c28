import type { IRedisClient } from 'bullmq';
import { UserError } from '../errors.ts';
import { RedisAddress } from './redisAddress.ts';

/** The driver below BullMQ has more commands than BullMQ declares. */
export type Client = Omit<IRedisClient, 'set'> & {
  getBuffer(key: string): Promise<Buffer | null>;
  set(key: string, value: Buffer): Promise<unknown>;
  setnx(key: string, value: Buffer): Promise<number>;
  hsetnx(key: string, field: string, value: string): Promise<number>;
  hkeys(key: string): Promise<string[]>;
  hstrlen(key: string, field: string): Promise<number>;
  zrem(key: string, member: string): Promise<number>;
  lrange(key: string, from: number, to: number): Promise<string[]>;
  lrem(key: string, count: number, member: string): Promise<number>;
  hexists(key: string, field: string): Promise<number>;
  select(database: number): Promise<unknown>;
};

/** A connection to Redis for the queue of a study. */
export interface StudyRedis {
  readonly bullmq: typeof import('bullmq');
  readonly address: RedisAddress;
  readonly client: Client;
  /** The same, as BullMQ takes it. */
  readonly connection: IRedisClient;
  close(): Promise<void>;
}

/**
 * Connects to Redis.
 * @param url see {@link RedisAddress}
 * @throws UserError when BullMQ is not installed, or Redis cannot be reached
 */
export async function openStudyRedis(url: string, onNotice: (message: string) => void): Promise<StudyRedis> {
  const address = new RedisAddress(url);
  const bullmq = await importBullMq();
  const connection = new bullmq.RedisConnection(address.options, { blocking: false });
  let lost = false;
  connection.on('error', ({ message }: Error) => {
    if (address.reached && !lost) onNotice(`${address.place} is lost (${message}); trying again.`);
    lost = true;
  });
  connection.on('ready', () => {
    lost = false;
  });
  try {
    const client = await connection.client;
    await selectDatabase(client as unknown as Client, address);
    address.reached = true;
    const own = client as unknown as Client;
    return { bullmq, address, client: own, connection: client, close: () => connection.close() };
  } catch (error) {
    await connection.close(true).catch(() => {});
    if (error instanceof UserError) throw error;
    const { message } = error as Error;
    if (message.includes("'ioredis'")) throw notInstalled('ioredis');
    throw new UserError(
      `${address.place} cannot be used: ${message.replace(/\.$/, '') || 'no answer'}.`,
      'Check the address and that Redis runs there.',
    );
  }
}

/** The driver goes on in database 0 when it is refused another one. @throws UserError for one that is not there */
async function selectDatabase(client: Client, { place, database }: RedisAddress): Promise<void> {
  try {
    await client.select(database);
  } catch (error) {
    if (!/out of range|not allowed in cluster/.test((error as Error).message)) throw error;
    throw new UserError(`${place} has no database ${database}.`, 'It has 0 to 15 unless it was configured otherwise.');
  }
}

async function importBullMq(): Promise<typeof import('bullmq')> {
  try {
    return await import('bullmq');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw notInstalled('bullmq');
  }
}

function notInstalled(name: string): UserError {
  return new UserError(`a study over Redis needs the package ${name}.`, 'Run `npm install bullmq ioredis`.');
}
