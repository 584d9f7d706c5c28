import type { Job, Queue } from 'bullmq';
import { quote, UserError } from '../errors.ts';
import { cellId, type StudyCell } from '../study/cells.ts';
import { checkTask, type StudyTask } from '../study/tasks.ts';
import type { StudyRedis } from './studyRedis.ts';

/** Times that a task may fail for another reason than its input. */
export const ATTEMPTS = 3;
/** Workers that may fall silent over a task; with one more it is set aside, before it has ended all of them. */
export const STALLS = 2;
/** Of all keys in Redis. */
export const PREFIX = 'raad';

/** The tasks of a study as jobs of a BullMQ queue. */
export class StudyJobs {
  readonly #redis: StudyRedis;
  readonly #queue: Queue<StudyTask>;
  readonly #key: (...parts: string[]) => string;
  readonly #onNotice: (message: string) => void;

  /** @param name of the study @param key of what the queue keeps, by the parts behind its name */
  constructor(
    redis: StudyRedis,
    name: string,
    key: (...parts: string[]) => string,
    onNotice: (message: string) => void,
  ) {
    this.#redis = redis;
    this.#key = key;
    this.#onNotice = onNotice;
    this.#queue = new redis.bullmq.Queue(name, {
      connection: redis.connection,
      prefix: PREFIX,
      defaultJobOptions: { attempts: ATTEMPTS, backoff: { type: 'fixed', delay: 1000 } },
    });
    // Connection errors arrive where the connection was opened.
    this.#queue.on('error', () => {});
  }

  async isDone(id: string): Promise<boolean> {
    return (await this.#queue.getJobState(id)) === 'completed';
  }

  async remove(id: string): Promise<void> {
    await this.#queue.remove(id);
  }

  close(): Promise<void> {
    return this.#queue.close();
  }

  /** A task that is in the queue already is not added again. */
  async add(tasks: ReadonlyMap<string, StudyTask>, first = false): Promise<void> {
    const jobs = [...tasks].map(([jobId, data]) => ({
      name: data.cell ? 'cell' : 'prepare',
      data: checkTask(data),
      opts: { jobId, lifo: first },
    }));
    await this.#queue.addBulk(first ? jobs.reverse() : jobs);
  }

  /**
   * Offers tasks again that have rested. Their time is an absolute one of some worker's clock, which may be hours ahead: what
   * counts is how long this process has seen them rest.
   */
  async wake(resting: Map<string, number>, longest: number): Promise<void> {
    const ids = new Set(await this.#redis.client.zrange(this.#key('delayed'), 0, -1));
    for (const id of resting.keys()) if (!ids.has(id)) resting.delete(id);
    for (const id of ids) {
      const since = resting.get(id) ?? performance.now();
      resting.set(id, since);
      if (performance.now() - since < longest) continue;
      resting.delete(id);
      const job = await this.#job(id);
      // It may have begun this moment.
      await job?.promote().catch(() => {});
    }
  }

  /** A job; undefined for what is none, which is removed. */
  async #job(id: string): Promise<Job<unknown> | undefined> {
    try {
      const job = await this.#queue.getJob(id);
      if (job) return job;
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
    this.#onNotice(`the queue holds ${quote(id)}, which is no task: it is removed.`);
    for (const list of ['failed', 'delayed']) await this.#redis.client.zrem(this.#key(list), id);
    await this.#redis.client.lrem(this.#key('active'), 0, id);
    await this.#redis.client.del(this.#key(id), this.#key(id, 'lock'));
    return undefined;
  }

  /** What no worker can parse never fails: it would be offered to one after the other. */
  async removeSpoilt(): Promise<void> {
    for (const id of await this.#redis.client.lrange(this.#key('active'), 0, -1)) await this.#job(id);
  }

  /** All failed jobs, with their tasks where they hold one. */
  async failed(): Promise<{ readonly job: Job<unknown>; readonly task: StudyTask | undefined }[]> {
    const failed: { job: Job<unknown>; task: StudyTask | undefined }[] = [];
    for (const id of await this.#redis.client.zrange(this.#key('failed'), 0, -1)) {
      const job = await this.#job(id);
      if (job) failed.push({ job, task: taskOf(job) });
    }
    return failed;
  }

  /** Reasons by cell; all cells of a group have failed when what they share has. */
  async failures(left: ReadonlyMap<string, StudyCell>): Promise<Map<string, string>> {
    const failures = new Map<string, string>();
    for (const { job, task } of await this.failed()) {
      if (!task) {
        this.#onNotice(`the queue held ${quote(job.id)}, which is no task of a study: it is removed.`);
        await job.remove();
        continue;
      }
      for (const [id, cell] of left) {
        const isHit = task.cell ? cellId(task.cell) === id : task.set === cell.set && task.seed === cell.seed;
        if (isHit) failures.set(id, explainedFailure(job.failedReason));
      }
    }
    return failures;
  }
}

/** BullMQ's ids have no colons. */
export function jobId(...parts: unknown[]): string {
  return parts.map((part) => encodeURIComponent(String(part))).join('/');
}

/** The task of a job, if it holds one. */
function taskOf({ data }: Job<unknown>): StudyTask | undefined {
  try {
    return checkTask(data);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return undefined;
  }
}

function explainedFailure(reason: string): string {
  return /stalled more than/.test(reason)
    ? `it is set aside: ${STALLS + 1} times a worker took it and fell silent, as one does that is killed for its memory.`
    : reason;
}
