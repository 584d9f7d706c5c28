import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { IRedisClient, Job, Queue, RedisOptions } from 'bullmq';
import { DeviceLostError } from '../engine/errors.ts';
import { UserError } from '../errors.ts';
import { type Arm, type CellResult, cellId, type StudyCell } from '../study/cells.ts';
import { isCheckpoint, type StudyStore, sharedFiles } from '../study/runner.ts';
import type { StudySettings } from '../study/settings.ts';

/** What all workers of a study have to agree on. */
export interface StudyTerms {
  readonly settings: StudySettings;
  /** Penalty images; photographs are told apart by the digest of their contents. */
  readonly penalty: { readonly name: string; readonly digest?: string };
}

/** What a worker is asked to do: a cell, or without one the checkpoint and the scores that a set's and seed's cells share. */
export interface StudyTask extends StudyTerms {
  /** Tells a study from an earlier one of the same name. */
  readonly study: string;
  readonly set: string;
  readonly seed: number;
  readonly arms: readonly Arm[];
  /** Of the data set's contents. */
  readonly digest: string;
  readonly cell?: StudyCell;
}

/** How a worker does its tasks. */
export interface TaskHandler {
  /** @returns why this worker cannot take the task, such as a data set that it lacks */
  refusal(task: StudyTask): Promise<string | undefined>;
  prepare(task: StudyTask, store: StudyStore): Promise<void>;
  run(cell: StudyCell, task: StudyTask, store: StudyStore): Promise<CellResult>;
}

export interface StudyQueueOptions {
  /** `redis://[user:password@]host[:port][/database]`, or `rediss:` for TLS. */
  readonly url: string;
  readonly name: string;
  readonly onNotice: (message: string) => void;
}

export interface CoordinateOptions {
  readonly terms: StudyTerms;
  /** Of every data set's contents, by name. */
  readonly digests: ReadonlyMap<string, string>;
  /** Those without a result. */
  readonly cells: readonly StudyCell[];
  /** Holds checkpoints and scores from before, and receives the new ones. */
  readonly models: StudyStore;
  /** Called once per cell. */
  readonly onResult: (result: CellResult) => Promise<void>;
  readonly signal?: AbortSignal;
  /** Milliseconds between looks at the queue; 1000. */
  readonly interval?: number;
}

export interface WorkOptions {
  readonly handler: TaskHandler;
  /** Shown with refusals. */
  readonly worker: string;
  /** Aborting gives the task back, and rejects with the signal's reason. */
  readonly signal: AbortSignal;
  readonly onTask?: (task: StudyTask) => void;
  /** Seconds after which the task of a silent worker is given to another; 60. */
  readonly lease?: number;
  /** Milliseconds for which a refused task is left to others; 5000. */
  readonly rest?: number;
}

/** Times that a task may fail for another reason than its input. */
const ATTEMPTS = 3;
/** Workers that may fall silent over a task. */
const STALLS = 5;
const FIRST_CONNECTIONS = 3;
const CONNECT_TIMEOUT = 5000;
const PREFIX = 'raad';

/** The driver below BullMQ has more commands than BullMQ declares. */
type Client = Omit<IRedisClient, 'set'> & {
  getBuffer(key: string): Promise<Buffer | null>;
  set(key: string, value: Buffer): Promise<unknown>;
  setnx(key: string, value: Buffer): Promise<number>;
  hsetnx(key: string, field: string, value: string): Promise<number>;
  hkeys(key: string): Promise<string[]>;
};

/** How to reach Redis. */
class Address {
  /** Host and port: messages never show a password. */
  readonly place: string;
  readonly options: RedisOptions;
  /** Once it was reached, a lost connection is made again for as long as it takes. */
  reached = false;

  /** @throws UserError for what is no address */
  constructor(text: string) {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    const database = url?.pathname.slice(1) ?? '';
    if (!url?.hostname || !['redis:', 'rediss:'].includes(url.protocol) || !/^\d*$/.test(database))
      throw new UserError("Redis's address cannot be used.", 'Write redis://host:port.');
    const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
    const port = Number(url.port || 6379);
    this.place = `Redis at ${host}:${port}`;
    this.options = {
      host,
      port,
      ...(url.username && { username: decodeURIComponent(url.username) }),
      ...(url.password && { password: decodeURIComponent(url.password) }),
      ...(database && { db: Number(database) }),
      ...(url.protocol === 'rediss:' && { tls: {} }),
      connectTimeout: CONNECT_TIMEOUT,
      retryStrategy: (times) =>
        this.reached || times < FIRST_CONNECTIONS ? Math.min(200 * times, CONNECT_TIMEOUT) : null,
    };
  }
}

/**
 * Connects to a study's queue.
 * @throws UserError when BullMQ is not installed, or Redis cannot be reached
 */
export async function openStudyQueue({ url, name, onNotice }: StudyQueueOptions): Promise<StudyQueue> {
  if (!/^[\w.-]+$/.test(name))
    throw new UserError(`a study cannot be called '${name}'.`, 'Use letters, digits, dots, dashes and underscores.');
  const address = new Address(url);
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
    address.reached = true;
    return new StudyQueue(bullmq, client, address, name, onNotice, () => connection.close());
  } catch (error) {
    await connection.close(true).catch(() => {});
    const { message } = error as Error;
    if (message.includes("'ioredis'")) throw notInstalled('ioredis');
    throw new UserError(
      `${address.place} cannot be used: ${message.replace(/\.$/, '') || 'no answer'}.`,
      'Check the address and that Redis runs there.',
    );
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

/** The cells of a study in a BullMQ queue, and beside it what its workers share. */
export class StudyQueue {
  readonly #bullmq: typeof import('bullmq');
  readonly #client: Client;
  readonly #address: Address;
  readonly #name: string;
  readonly #onNotice: (message: string) => void;
  readonly #disconnect: () => Promise<void>;
  readonly #queue: Queue<StudyTask>;

  /** Made by `openStudyQueue`. */
  constructor(
    bullmq: typeof import('bullmq'),
    client: IRedisClient,
    address: Address,
    name: string,
    onNotice: (message: string) => void,
    disconnect: () => Promise<void>,
  ) {
    this.#bullmq = bullmq;
    this.#client = client as unknown as Client;
    this.#address = address;
    this.#name = name;
    this.#onNotice = onNotice;
    this.#disconnect = disconnect;
    this.#queue = new bullmq.Queue(name, {
      connection: client,
      prefix: PREFIX,
      defaultJobOptions: { attempts: ATTEMPTS, backoff: { type: 'fixed', delay: 1000 } },
    });
    // Connection errors arrive where the connection was opened.
    this.#queue.on('error', () => {});
  }

  /** What the workers of a study share. Models and scores are kept as they were saved first, checkpoints as last. */
  store(study: string): StudyStore {
    const key = (name: string) => this.#key(study, 'store', name);
    return {
      load: async (name) => (await this.#client.getBuffer(key(name))) ?? undefined,
      save: async (name, bytes) => {
        const value = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
        await (isCheckpoint(name) ? this.#client.set(key(name), value) : this.#client.setnx(key(name), value));
      },
    };
  }

  /**
   * Enqueues cells and collects their results until each has one or has failed. Tasks of an earlier coordinator go on.
   * @returns why cells have failed
   * @throws UserError when the study of this name in Redis is another one, or Redis stays away
   */
  async coordinate(options: CoordinateOptions): Promise<ReadonlyMap<string, string>> {
    const { signal, interval = 1000, models } = options;
    try {
      const study = await this.#register(options);
      const store = this.store(study);
      const groups = groupTasks(study, options);
      for (const { set, seed } of groups.values()) await copyFiles(models, store, sharedFiles(set, seed));
      for (const job of await this.#queue.getFailed()) await job.remove();
      await this.#add(groups);
      const left = new Map(options.cells.map((cell) => [cellId(cell), cell]));
      const told = new Set<string>();
      for (;;) {
        signal?.throwIfAborted();
        // Redis was emptied, or another coordinator has finished.
        if ((await this.#client.hget(this.#key('study'), 'id')) !== study)
          throw new UserError(
            `the study '${this.#name}' is gone from ${this.#address.place}.`,
            'The same command starts it anew; finished cells are kept.',
          );
        await this.#collect(study, left, options.onResult);
        for (const [id, task] of groups) {
          if ((await this.#queue.getJobState(id)) !== 'completed') continue;
          groups.delete(id);
          await copyFiles(store, models, sharedFiles(task.set, task.seed));
          await this.#add(cellTasks(task, left.values()), true);
        }
        const failed = await this.#failures(left);
        if (failed.size === left.size) return failed;
        await this.#tellRefusals(study, told);
        await sleep(interval, undefined, signal && { signal }).catch(() => {});
      }
    } catch (error) {
      throw this.#explained(error);
    }
  }

  /**
   * Takes tasks until the signal aborts, then gives back the one in work.
   * @throws the signal's reason, or what keeps this worker from any further task, such as a lost device
   */
  async work(options: WorkOptions): Promise<never> {
    const { lease = 60 } = options;
    const broken = new AbortController();
    const signal = AbortSignal.any([options.signal, broken.signal]);
    const worker = new this.#bullmq.Worker<StudyTask>(
      this.#name,
      (job, token) => this.#process(job, token!, { ...options, signal }, broken),
      {
        connection: this.#address.options,
        prefix: PREFIX,
        lockDuration: 1000 * lease,
        stalledInterval: 500 * lease,
        maxStalledCount: STALLS,
      },
    );
    // Such as a task that another worker has taken over: its result counts all the same.
    worker.on('error', () => {});
    if (!signal.aborted) await once(signal, 'abort');
    await worker.close();
    throw signal.reason;
  }

  /** Removes everything that the study has in Redis. */
  async clear(): Promise<void> {
    for await (const keys of this.#client.scanStream({ match: this.#key('*'), count: 1000 })) {
      if ((keys as string[]).length > 0) await this.#client.del(...(keys as string[]));
    }
  }

  async close(): Promise<void> {
    await this.#queue.close();
    await this.#disconnect();
  }

  #key(...parts: string[]): string {
    return [PREFIX, this.#name, ...parts].join(':');
  }

  /** @returns the study's own id, that of an earlier coordinator if there was one */
  async #register({ terms, digests }: CoordinateOptions): Promise<string> {
    const key = this.#key('study');
    const keep = async (field: string, value: string) => {
      await this.#client.hsetnx(key, field, value);
      return (await this.#client.hget(key, field))!;
    };
    const differs = (what: string) =>
      new UserError(
        `the study '${this.#name}' in ${this.#address.place} was made with other ${what}.`,
        'Give this one another --name, or remove the other with --clear.',
      );
    if ((await keep('terms', JSON.stringify(terms))) !== JSON.stringify(terms)) throw differs('settings');
    for (const [set, digest] of digests)
      if ((await keep(`data/${set}`, digest)) !== digest) throw differs(`images in ${set}`);
    return keep('id', randomUUID());
  }

  /** A task that is in the queue already is not added again. */
  async #add(tasks: ReadonlyMap<string, StudyTask>, first = false): Promise<void> {
    const jobs = [...tasks].map(([jobId, data]) => ({
      name: data.cell ? 'cell' : 'prepare',
      data,
      opts: { jobId, lifo: first },
    }));
    await this.#queue.addBulk(first ? jobs.reverse() : jobs);
  }

  async #collect(study: string, left: Map<string, StudyCell>, onResult: CoordinateOptions['onResult']): Promise<void> {
    const key = this.#key(study, 'results');
    for (const id of await this.#client.hkeys(key)) {
      if (!left.has(id)) continue;
      await onResult(JSON.parse((await this.#client.hget(key, id))!));
      left.delete(id);
    }
  }

  /** Reasons by cell; all cells of a group have failed when what they share has. */
  async #failures(left: ReadonlyMap<string, StudyCell>): Promise<Map<string, string>> {
    const failures = new Map<string, string>();
    for (const { data, failedReason } of await this.#queue.getFailed()) {
      for (const [id, cell] of left) {
        const isHit = data.cell ? cellId(data.cell) === id : data.set === cell.set && data.seed === cell.seed;
        if (isHit) failures.set(id, failedReason);
      }
    }
    return failures;
  }

  async #tellRefusals(study: string, told: Set<string>): Promise<void> {
    for (const reason of Object.values(await this.#client.hgetall(this.#key(study, 'refusals')))) {
      if (!told.has(reason)) this.#onNotice(reason);
      told.add(reason);
    }
  }

  async #process(job: Job<StudyTask>, token: string, options: WorkOptions, broken: AbortController): Promise<void> {
    const { handler, worker, signal, onTask, rest = 5000 } = options;
    const { data: task } = job;
    try {
      signal.throwIfAborted();
      const refusal = await handler.refusal(task);
      if (refusal) {
        const reason = `${worker} leaves ${task.set} to others: ${refusal}`;
        await this.#client.hset(this.#key(task.study, 'refusals'), { [`${worker}/${task.set}`]: reason });
        await job.moveToDelayed(Date.now() + rest, token);
        throw new this.#bullmq.DelayedError();
      }
      onTask?.(task);
      const store = this.store(task.study);
      if (!task.cell) return await handler.prepare(task, store);
      const result = await handler.run(task.cell, task, store);
      // Kept beside the queue: it counts even if the task was given to another worker meanwhile.
      await this.#client.hsetnx(this.#key(task.study, 'results'), result.id, JSON.stringify(result));
    } catch (error) {
      if (signal.aborted) {
        await job.moveToWait(token).catch(() => {});
        throw new this.#bullmq.WaitingError();
      }
      if (error instanceof DeviceLostError) broken.abort(error);
      if (error instanceof UserError)
        throw new this.#bullmq.UnrecoverableError([error.message, error.fix].filter(Boolean).join(' '));
      throw error;
    }
  }

  /** Says what a lost connection means. */
  #explained(error: unknown): unknown {
    if (!(error instanceof Error) || !/max retries per request|Connection is closed/.test(error.message)) return error;
    return new UserError(
      `${this.#address.place} does not answer any more.`,
      'Start it, then this command again: it goes on where it was.',
    );
  }
}

/** What the cells of each set and seed share, by the id of its job. */
function groupTasks(study: string, { cells, terms, digests }: CoordinateOptions): Map<string, StudyTask> {
  const tasks = new Map<string, StudyTask>();
  for (const { set, seed } of cells) {
    const arms = [...new Set(cells.filter((each) => each.set === set && each.seed === seed).map(({ arm }) => arm))];
    tasks.set(jobId('prepare', set, seed, arms), { ...terms, study, set, seed, arms, digest: digests.get(set)! });
  }
  return tasks;
}

function cellTasks(task: StudyTask, left: Iterable<StudyCell>): Map<string, StudyTask> {
  const cells = [...left].filter(({ set, seed }) => set === task.set && seed === task.seed);
  return new Map(cells.map((cell) => [jobId('cell', cellId(cell)), { ...task, cell }]));
}

/** BullMQ's ids have no colons. */
function jobId(...parts: unknown[]): string {
  return parts.map((part) => encodeURIComponent(String(part))).join('/');
}

/**
 * Copies what the other store lacks.
 * @throws UserError when both have files of one name that differ
 */
async function copyFiles(from: StudyStore, to: StudyStore, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const bytes = await from.load(name);
    if (!bytes) continue;
    const known = await to.load(name);
    if (!known) await to.save(name, bytes);
    else if (!isCheckpoint(name) && Buffer.compare(known, bytes) !== 0)
      throw new UserError(
        `the study in Redis started from another ${name} than this folder.`,
        'Give the study another --name, or remove the other with --clear.',
      );
  }
}
