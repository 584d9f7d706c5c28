import { constants, type Stats } from 'node:fs';
import { access, lstat, mkdir, open, readdir, readlink, realpath, rename, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { UserError } from '../errors.ts';
import { systemReason } from './files.ts';

/**
 * Writes a file so that a reader, or a crash, sees the old contents or the new, never a part. Every file that this program
 * leaves is written here. A symbolic link is written through; mode and, for root, owner of a file that is there stay.
 * @throws UserError for a full disk, a place that cannot be written, and what is no regular file
 */
export async function writeAtomically(path: string, bytes: Uint8Array | string): Promise<void> {
  let temporary: string | undefined;
  try {
    const target = await followLinks(path);
    const old = await regularFile(target);
    await makeFolder(dirname(target));
    temporary = join(dirname(target), temporaryName());
    const file = await open(temporary, 'wx', old ? 0o600 : 0o666);
    try {
      await file.writeFile(bytes);
      if (old) {
        // Only root may give a file away; a group that is not one's own stays behind likewise.
        await file.chown(old.uid, old.gid).catch(() => {});
        await file.chmod(old.mode & 0o7777);
      }
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, target);
  } catch (error) {
    if (temporary !== undefined) await rm(temporary, { force: true }).catch(() => {});
    throw new UserError(`${path} cannot be written: ${systemReason(error)}.`, 'Free space or choose another place.');
  }
}

/** {@link assertOutputs} for one file. @throws UserError */
export function assertWritable(path: string, inputs: readonly (string | undefined)[] = []): Promise<void> {
  return assertOutputs([path], inputs);
}

/**
 * Fails early, before hours of work, where files could not be written in the end or would replace something precious. Folders
 * of the outputs are made, and what dead processes of this machine have left there of their writing is removed.
 * @param outputs absent ones are not asked for
 * @param inputs files that the command reads: none of them is written, by whatever name or link
 * @throws UserError
 */
export async function assertOutputs(
  outputs: readonly (string | undefined)[],
  inputs: readonly (string | undefined)[] = [],
): Promise<void> {
  const checked = new Set<string>();
  const targets = new Map<string, string>();
  const read = new Inputs(inputs);
  for (const path of outputs) {
    if (path === undefined) continue;
    let target: string;
    try {
      target = await followLinks(path);
      const old = await regularFile(target);
      if (old) await access(target, constants.W_OK);
      await makeFolder(dirname(target));
      target = join(await realpath(dirname(target)), basename(target));
      if (!checked.has(dirname(target))) await tryFolder(dirname(target));
      checked.add(dirname(target));
    } catch (error) {
      throw new UserError(`${path} cannot be written: ${systemReason(error)}.`, 'Choose another place.');
    }
    const input = await read.find(target);
    if (input !== undefined)
      throw new UserError(
        `${path} would replace ${input === path ? 'a file that this command reads' : `${input}, which this command reads`}.`,
        'Choose another place.',
      );
    const other = targets.get(target);
    if (other !== undefined)
      throw new UserError(`${path} and ${other} are one file, for two outputs.`, 'Give each a place of its own.');
    targets.set(target, path);
  }
}

/** Files that a command reads, found by what they are. They are looked at when an output exists, else none can be it. */
class Inputs {
  readonly #paths: readonly string[];
  #byIdentity: Map<string, string> | undefined;

  constructor(paths: readonly (string | undefined)[]) {
    this.#paths = paths.filter((path) => path !== undefined);
  }

  /** @returns the input that a file is */
  async find(target: string): Promise<string | undefined> {
    const identity = await identityOf(target);
    if (identity === undefined) return undefined;
    if (!this.#byIdentity) {
      this.#byIdentity = new Map();
      for (const path of this.#paths) {
        const each = await identityOf(path);
        if (each !== undefined && !this.#byIdentity.has(each)) this.#byIdentity.set(each, path);
      }
    }
    return this.#byIdentity.get(identity);
  }
}

/** Equal for all names and links of one file. */
async function identityOf(path: string): Promise<string | undefined> {
  const found = await stat(path, { bigint: true }).catch(() => undefined);
  return found && `${found.dev}/${found.ino}`;
}

const MOST_LINKS = 40;

/** Where a path leads, whether or not a file is there yet. */
async function followLinks(path: string): Promise<string> {
  // Of a folder that is not there yet, it would become a file.
  if (path.endsWith('/') || path.endsWith(sep)) throw Object.assign(new Error(), { code: 'EISDIR' });
  let place = resolve(path);
  // Links such as /dev/stdout lead to what has no path.
  await regularFile(place);
  for (let links = 0; links <= MOST_LINKS; links++) {
    if (!(await present(place, lstat))?.isSymbolicLink()) return place;
    place = resolve(await realpath(dirname(place)), await readlink(place));
  }
  throw Object.assign(new Error(), { code: 'ELOOP' });
}

/** What is at a place, undefined when nothing is. A name that is too long and a file amid the path are errors. */
async function present(place: string, look: (place: string) => Promise<Stats>): Promise<Stats | undefined> {
  try {
    return await look(place);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** The file that is at a place, undefined when nothing is. @throws Error for devices, pipes, sockets and folders */
async function regularFile(target: string): Promise<Stats | undefined> {
  const found = await present(target, stat);
  if (!found || found.isFile()) return found;
  if (found.isDirectory()) throw Object.assign(new Error(), { code: 'EISDIR' });
  const kind = found.isFIFO() ? 'pipe' : found.isSocket() ? 'socket' : 'device';
  throw new Error(`it is a ${kind}, not a file`);
}

/** Makes a folder and those above it. Node's own recursive `mkdir` never returns in places such as /proc. */
async function makeFolder(folder: string): Promise<void> {
  if ((await stat(folder).catch(() => undefined))?.isDirectory()) return;
  if (dirname(folder) !== folder) await makeFolder(dirname(folder));
  await mkdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
}

let written = 0;
const HOST = hostname()
  .replace(/[^\w-]/g, '_')
  .slice(0, 40);

/** Short, and nobody else's: file systems that are shared have processes of one id. What the dead leave of it is removed. */
export function temporaryName(): string {
  return `.raad-${HOST}-${process.pid}-${written++}.part`;
}

/** Writes into a folder, as the permissions alone do not tell whether one can, and removes what the dead have left there. */
async function tryFolder(folder: string): Promise<void> {
  const temporary = join(folder, temporaryName());
  await (await open(temporary, 'wx')).close();
  await rm(temporary);
  for (const name of await readdir(folder)) {
    const [, host, id] = /^\.raad-([\w-]+)-(\d+)-\d+\.part$/.exec(name) ?? [];
    if (host === HOST && !isAlive(Number(id))) await rm(join(folder, name), { force: true });
  }
}

/** Whether a process of this machine runs. */
export function isAlive(id: number): boolean {
  try {
    process.kill(id, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
