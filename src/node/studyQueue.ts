import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Job } from 'bullmq';
import { DeviceLostError } from '../engine/errors.ts';
import { quote, UserError } from '../errors.ts';
import { type CellResult, cellId, type StudyCell } from '../study/cells.ts';
import type { StudyStore } from '../study/options.ts';
import { checkShared, isCheckpoint, sharedFiles } from '../study/sharedFiles.ts';
import { checkTask, parseResult, resultText, type StudyTask, type StudyTerms } from '../study/tasks.ts';
import { ATTEMPTS, jobId, PREFIX, STALLS, StudyJobs } from './studyJobs.ts';
import { openStudyRedis, type StudyRedis } from './studyRedis.ts';

export type { StudyTask, StudyTerms } from '../study/tasks.ts';

/** How a worker does its tasks. */
export interface TaskHandler {
  /** @returns why this worker cannot take the task, such as a data set that it lacks */
  refusal(task: StudyTask): Promise<string | undefined>;
  prepare(task: StudyTask, store: StudyStore): Promise<void>;
  run(cell: StudyCell, task: StudyTask, store: StudyStore): Promise<CellResult>;
}

export interface StudyQueueOptions {
  /** @see RedisAddress */
  readonly url: string;
  readonly name: string;
  /** Of this program: it takes part in studies of the same one only. */
  readonly version: string;
  readonly onNotice: (message: string) => void;
}

export interface CoordinateOptions {
  readonly terms: Omit<StudyTerms, 'version'>;
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
  /** Milliseconds after which a task that rests is offered again, whatever the clocks of workers say; 6000. */
  readonly longestRest?: number;
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

/** Longer results are none. */
const MAX_RESULT_BYTES = 2 ** 26;

/**
 * Connects to a study's queue.
 * @throws UserError when BullMQ is not installed, or Redis cannot be reached
 */
export async function openStudyQueue(options: StudyQueueOptions): Promise<StudyQueue> {
  const { name, url, onNotice } = options;
  if (!/^[\w.-]+$/.test(name))
    throw new UserError(`a study cannot be called '${name}'.`, 'Use letters, digits, dots, dashes and underscores.');
  return new StudyQueue(await openStudyRedis(url, onNotice), options);
}

/** The cells of a study in a BullMQ queue, and beside it what its workers share. */
export class StudyQueue {
  readonly #redis: StudyRedis;
  readonly #jobs: StudyJobs;
  readonly #name: string;
  readonly #version: string;
  readonly #onNotice: (message: string) => void;

  /** Made by `openStudyQueue`. */
  constructor(redis: StudyRedis, { name, version, onNotice }: Omit<StudyQueueOptions, 'url'>) {
    this.#redis = redis;
    this.#name = name;
    this.#version = version;
    this.#onNotice = onNotice;
    this.#jobs = new StudyJobs(redis, name, (...parts) => this.#key(...parts), onNotice);
  }

  get #client(): StudyRedis['client'] {
    return this.#redis.client;
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
    const { signal, interval = 1000, longestRest = 6000, models } = options;
    const terms = { ...options.terms, version: this.#version };
    try {
      const study = await this.#register(terms, options.digests);
      const store = this.store(study);
      const groups = groupTasks(study, { ...options, terms });
      for (const { set, seed } of groups.values()) await this.#copyFiles(models, store, sharedFiles(set, seed));
      for (const { job } of await this.#jobs.failed()) await job.remove();
      const left = new Map(options.cells.map((cell) => [cellId(cell), cell]));
      for (const id of left.keys()) await this.#forgetUnfinished(study, id);
      await this.#jobs.add(groups);
      const returns: Returns = { tasks: new Map(groups), refused: new Map(), tries: new Map() };
      const resting = new Map<string, number>();
      const told = new Set<string>();
      for (;;) {
        signal?.throwIfAborted();
        // Redis was emptied, or another coordinator has finished.
        if ((await this.#client.hget(this.#key('study'), 'id')) !== study)
          throw new UserError(
            `the study '${this.#name}' is gone from ${this.#redis.address.place}.`,
            'The same command starts it anew; finished cells are kept.',
          );
        await this.#collect(study, left, options.onResult, returns);
        await this.#jobs.wake(resting, longestRest);
        await this.#jobs.removeSpoilt();
        for (const [id, task] of groups) {
          if (!(await this.#jobs.isDone(id))) continue;
          groups.delete(id);
          await this.#copyFiles(store, models, sharedFiles(task.set, task.seed));
          await this.#jobs.add(cellTasks(task, left.values()), true);
        }
        const failed = new Map([...(await this.#jobs.failures(left)), ...returns.refused]);
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
    const worker = new this.#redis.bullmq.Worker<StudyTask>(
      this.#name,
      (job, token) => this.#process(job, token!, { ...options, signal }, broken),
      {
        connection: this.#redis.address.options,
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
    await this.#jobs.close();
    await this.#redis.close();
  }

  #key(...parts: string[]): string {
    return [PREFIX, this.#name, ...parts].join(':');
  }

  /** @returns the study's own id, that of an earlier coordinator if there was one */
  async #register(terms: StudyTerms, digests: CoordinateOptions['digests']): Promise<string> {
    const key = this.#key('study');
    const keep = async (field: string, value: string) => {
      await this.#client.hsetnx(key, field, value);
      return (await this.#client.hget(key, field))!;
    };
    const differs = (what: string) =>
      new UserError(
        `the study '${this.#name}' in ${this.#redis.address.place} was made with other ${what}.`,
        'Give this one another --name, or remove the other with --clear.',
      );
    const version = await keep('version', this.#version);
    if (version !== this.#version)
      throw new UserError(
        `the study '${this.#name}' in ${this.#redis.address.place} is one of raad-webgpu ${quote(version)}, and this is ${quote(this.#version)}.`,
        'Use the same version everywhere, give this study another --name, or remove the other with --clear.',
      );
    if ((await keep('terms', JSON.stringify(terms))) !== JSON.stringify(terms)) throw differs('settings');
    for (const [set, digest] of digests)
      if ((await keep(`data/${set}`, digest)) !== digest) throw differs(`images in ${set}`);
    return keep('id', randomUUID());
  }

  async #collect(
    study: string,
    left: Map<string, StudyCell>,
    onResult: CoordinateOptions['onResult'],
    returns: Returns,
  ): Promise<void> {
    const key = this.#key(study, 'results');
    for (const id of await this.#client.hkeys(key)) {
      const cell = left.get(id);
      if (!cell || returns.refused.has(id)) continue;
      let result: CellResult;
      try {
        result = await this.#result(key, cell);
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        await this.#refuse(study, cell, error.message, returns);
        continue;
      }
      await onResult(result);
      left.delete(id);
    }
  }

  /** @throws UserError for what is no result of the cell */
  async #result(key: string, cell: StudyCell): Promise<CellResult> {
    const id = cellId(cell);
    if ((await this.#client.hstrlen(key, id)) > MAX_RESULT_BYTES)
      throw new UserError(`the result of ${id} has more than ${MAX_RESULT_BYTES} bytes.`, 'It is not taken.');
    return parseResult((await this.#client.hget(key, id)) ?? '', { version: this.#version, cell });
  }

  /** Takes a result that cannot be used out of Redis, and has the cell run again, a few times. */
  async #refuse(study: string, cell: StudyCell, reason: string, { tasks, refused, tries }: Returns): Promise<void> {
    const id = cellId(cell);
    this.#onNotice(`${reason.replace(/\.$/, '')}: it is not taken.`);
    await this.#client.hdel(this.#key(study, 'results'), id);
    const count = (tries.get(id) ?? 0) + 1;
    tries.set(id, count);
    if (count >= ATTEMPTS) {
      refused.set(id, `${count} times its result could not be used: ${reason}`);
      return;
    }
    const group = [...tasks.values()].find(({ set, seed }) => set === cell.set && seed === cell.seed);
    if ((await this.#forgetUnfinished(study, id)) && group) await this.#jobs.add(cellTasks(group, [cell]), true);
  }

  /** Removes the job of a cell that counts as done and has no result. @returns whether it was one */
  async #forgetUnfinished(study: string, id: string): Promise<boolean> {
    const job = jobId('cell', id);
    // In this order: a worker gives its result before its job is done.
    if (!(await this.#jobs.isDone(job))) return false;
    if (await this.#client.hexists(this.#key(study, 'results'), id)) return false;
    await this.#jobs.remove(job);
    return true;
  }

  /**
   * Copies what the other store lacks. What cannot be used is told and stays where it is.
   * @throws UserError when both have files of one name that differ
   */
  async #copyFiles(from: StudyStore, to: StudyStore, names: readonly string[]): Promise<void> {
    for (const name of names) {
      const bytes = await from.load(name);
      if (!bytes) continue;
      const known = await to.load(name);
      if (known && !isCheckpoint(name) && Buffer.compare(known, bytes) !== 0)
        throw new UserError(
          `the study in Redis started from another ${name} than this folder.`,
          'Give the study another --name, or remove the other with --clear.',
        );
      if (known) continue;
      try {
        await checkShared(name, bytes);
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        this.#onNotice(`${error.message.replace(/\.$/, '')}: it is not copied.`);
        continue;
      }
      await to.save(name, bytes);
    }
  }

  async #tellRefusals(study: string, told: Set<string>): Promise<void> {
    for (const reason of Object.values(await this.#client.hgetall(this.#key(study, 'refusals')))) {
      if (!told.has(reason)) this.#onNotice(reason);
      told.add(reason);
    }
  }

  async #process(job: Job<StudyTask>, token: string, options: WorkOptions, broken: AbortController): Promise<void> {
    const { handler, worker, signal, onTask, rest = 5000 } = options;
    try {
      signal.throwIfAborted();
      const task = checkTask(job.data, `the task ${quote(job.id)}`);
      const refusal = this.#otherVersion(task) ?? (await handler.refusal(task));
      if (refusal) {
        const reason = `${worker} leaves ${task.set} to others: ${refusal}`;
        await this.#client.hset(this.#key(task.study, 'refusals'), { [`${worker}/${task.set}`]: reason });
        await job.moveToDelayed(Date.now() + rest, token);
        throw new this.#redis.bullmq.DelayedError();
      }
      onTask?.(task);
      const store = this.store(task.study);
      if (!task.cell) return await handler.prepare(task, store);
      const result = await handler.run(task.cell, task, store);
      // Kept beside the queue: it counts even if the task was given to another worker meanwhile.
      const text = resultText({ version: this.#version, result }, task.cell);
      await this.#client.hsetnx(this.#key(task.study, 'results'), result.id, text);
    } catch (error) {
      if (signal.aborted) {
        await job.moveToWait(token).catch(() => {});
        throw new this.#redis.bullmq.WaitingError();
      }
      if (error instanceof DeviceLostError) broken.abort(error);
      if (error instanceof UserError)
        throw new this.#redis.bullmq.UnrecoverableError([error.message, error.fix].filter(Boolean).join(' '));
      throw error;
    }
  }

  #otherVersion({ version }: StudyTask): string | undefined {
    if (version === this.#version) return undefined;
    return `the study is one of raad-webgpu ${quote(version)}, and it has ${quote(this.#version)}.`;
  }

  /** Says what a lost connection means. */
  #explained(error: unknown): unknown {
    if (!(error instanceof Error) || !/max retries per request|Connection is closed/.test(error.message)) return error;
    return new UserError(
      `${this.#redis.address.place} does not answer any more.`,
      'Start it, then this command again: it goes on where it was.',
    );
  }
}

/** What the cells of each set and seed share, by the id of its job. */
function groupTasks(
  study: string,
  { cells, terms, digests }: Pick<CoordinateOptions, 'cells' | 'digests'> & { readonly terms: StudyTerms },
): Map<string, StudyTask> {
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

/** What is known about results that could not be used. */
interface Returns {
  /** What the cells of each set and seed share. */
  readonly tasks: ReadonlyMap<string, StudyTask>;
  /** Why cells are given up. */
  readonly refused: Map<string, string>;
  readonly tries: Map<string, number>;
}
