import { link, open, readFile, rename, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { UserError } from '../errors.ts';
import { assertWritable, isAlive, temporaryName, writeAtomically } from './output.ts';

/** Who works in a folder or on an output. */
interface Holder {
  readonly pid: number;
  readonly host: string;
  readonly since: string;
}

const NAME = 'raad.lock';
/** Locks of this process: an earlier one of its id is dead. */
const held = new Set<string>();

/**
 * Keeps a folder for one process: two that continue its results would mix them. A lock whose process is dead on this machine
 * is taken over.
 * @returns gives it back
 * @throws UserError naming the process that has it, and for a folder that cannot be written
 */
export function lockFolder(folder: string): Promise<() => Promise<void>> {
  return lock(resolve(folder, NAME), folder, 'use another folder');
}

/** Where the lock of an output lies. */
export const lockOf = (output: string) => `${output}.lock`;

/**
 * Keeps outputs for one process while it works: two would take turns at their checkpoints, and each would go on from the other's.
 * @param outputs files, each with a lock beside it
 * @throws UserError as {@link lockFolder} does, before any work
 */
export async function holdOutputs<T>(outputs: readonly string[], work: () => Promise<T>): Promise<T> {
  const locks: (() => Promise<void>)[] = [];
  try {
    for (const output of outputs) locks.push(await lock(resolve(lockOf(output)), output, 'choose another output'));
    return await work();
  } finally {
    for (const unlock of locks) await unlock();
  }
}

/**
 * @param path of the lock
 * @param subject what it keeps
 * @param instead what to do where somebody else has it
 */
async function lock(path: string, subject: string, instead: string): Promise<() => Promise<void>> {
  await assertWritable(path);
  const text = `${JSON.stringify({ pid: process.pid, host: hostname(), since: new Date().toISOString() } satisfies Holder)}\n`;
  for (let attempt = 0; !(await create(path, text)); attempt++) {
    const found = await readFile(path, 'utf8').catch(() => undefined);
    if (found === undefined) continue;
    if (attempt > 2 || !isStale(path, found) || !(await takeAway(path, found)))
      throw taken(subject, path, found, instead);
  }
  held.add(path);
  return async () => {
    held.delete(path);
    if ((await readFile(path, 'utf8').catch(() => undefined)) === text) await rm(path, { force: true });
  };
}

/** Makes a file with all of its contents at once. @returns false when there is one */
async function create(path: string, text: string): Promise<boolean> {
  const whole = join(dirname(path), temporaryName());
  try {
    await writeAtomically(whole, text);
    await link(whole, path);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return false;
    if (error instanceof UserError) throw error;
  } finally {
    await rm(whole, { force: true });
  }
  // File systems without links.
  try {
    const file = await open(path, 'wx');
    await file.writeFile(text);
    await file.close();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** Removes a lock of a dead process. @returns false when another process was faster */
async function takeAway(path: string, found: string): Promise<boolean> {
  const aside = join(dirname(path), temporaryName());
  try {
    await rename(path, aside);
  } catch {
    return true;
  }
  const moved = await readFile(aside, 'utf8');
  // What was moved is a new lock: back with it.
  if (moved !== found) await link(aside, path).catch(() => {});
  await rm(aside, { force: true });
  return moved === found;
}

function isStale(path: string, text: string): boolean {
  const holder = parse(text);
  if (!holder || holder.host !== hostname()) return false;
  return holder.pid === process.pid ? !held.has(path) : !isAlive(holder.pid);
}

function parse(text: string): Holder | undefined {
  try {
    const { pid, host, since } = JSON.parse(text) as Holder;
    const isWhole = Number.isSafeInteger(pid) && pid > 0 && typeof host === 'string' && typeof since === 'string';
    return isWhole ? { pid, host, since } : undefined;
  } catch {
    return undefined;
  }
}

function taken(subject: string, path: string, text: string, instead: string): UserError {
  const holder = parse(text);
  const who = holder ? `process ${holder.pid} on ${holder.host} since ${holder.since}` : 'another process';
  return new UserError(
    `${subject} is in use by ${who}.`,
    `Wait for it, ${instead}, or remove ${path} if nothing runs there.`,
  );
}
