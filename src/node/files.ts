import { constants } from 'node:fs';
import { access, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { glob } from 'tinyglobby';
import type { FileTree } from '../data/dataset.ts';
import { isImageFile, naturally } from '../data/layouts.ts';
import { UserError } from '../errors.ts';

/** All files below a folder. @throws UserError when it is none */
export async function readFolder(folder: string): Promise<FileTree> {
  const found = await stat(folder).catch(() => undefined);
  if (!found) throw new UserError(`the folder ${folder} does not exist.`, 'Check the path.');
  if (!found.isDirectory()) throw new UserError(`${folder} is a file, not a folder.`, 'Give the folder that holds it.');
  const files = await glob('**/*', { cwd: folder, onlyFiles: true, dot: false, expandDirectories: false });
  return {
    name: resolve(folder),
    files,
    readText: async (path) => new TextDecoder().decode(await readBytes(join(folder, path))),
  };
}

/** Paths of all images below a folder, in natural order. @throws UserError when there is none */
export async function imagesBelow(folder: string): Promise<string[]> {
  const { files } = await readFolder(folder);
  const images = files.filter(isImageFile).sort(naturally);
  if (images.length === 0)
    throw new UserError(`the folder ${folder} holds no images.`, 'Give PNG, JPEG, WebP, BMP or TIFF files.');
  return images.map((file) => join(folder, file));
}

/** Image files from paths, folders and glob patterns, in the order given. @throws UserError for one that names nothing */
export async function expandImages(patterns: readonly string[]): Promise<string[]> {
  const all: string[][] = [];
  for (const pattern of patterns) {
    const found = await stat(pattern).catch(() => undefined);
    if (found?.isDirectory()) all.push(await imagesBelow(pattern));
    else if (found) all.push([pattern]);
    else {
      const matches = (await glob(pattern, { absolute: false })).filter(isImageFile).sort(naturally);
      if (matches.length === 0)
        throw new UserError(`${pattern} does not exist and matches no image.`, 'Check the path.');
      all.push(matches);
    }
  }
  return [...new Set(all.flat())];
}

/** Longer files are refused before they take memory. */
const MAX_FILE_BYTES = 2 ** 30;

/** @throws UserError when the file cannot be read, is no file but a pipe or a device, or is too long */
export async function readBytes(path: string): Promise<Uint8Array> {
  try {
    const found = await stat(path);
    // Pipes and devices may never end, or never begin.
    if (!found.isFile() && !found.isDirectory()) throw new Error('it is a pipe or a device, not a file');
    if (found.size > MAX_FILE_BYTES) throw new Error(`it has ${found.size} bytes, more than ${MAX_FILE_BYTES}`);
    return await readFile(path);
  } catch (error) {
    throw new UserError(`${path} cannot be read: ${reasonOf(error)}.`, 'Check the path and its permissions.');
  }
}

/**
 * Writes a file so that a reader, or a crash, sees the old contents or the new, never a part.
 * @throws UserError for a full disk or a place that cannot be written
 */
export async function writeAtomically(path: string, bytes: Uint8Array | string): Promise<void> {
  const temporary = `${path}.${process.pid}.part`;
  try {
    await makeFolder(dirname(resolve(path)));
    const file = await open(temporary, 'w');
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw new UserError(`${path} cannot be written: ${reasonOf(error)}.`, 'Free space or choose another place.');
  }
}

/** Makes a folder and those above it. Node's own recursive `mkdir` never returns in places such as /proc. */
async function makeFolder(folder: string): Promise<void> {
  if ((await stat(folder).catch(() => undefined))?.isDirectory()) return;
  if (dirname(folder) !== folder) await makeFolder(dirname(folder));
  await mkdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
}

/** Removes a file if it is there. */
export function removeFile(path: string): Promise<void> {
  return rm(path, { force: true });
}

/** Fails early, before hours of work, when a file could not be written in the end. @throws UserError */
export async function assertWritable(path: string): Promise<void> {
  try {
    if ((await stat(path).catch(() => undefined))?.isDirectory()) throw Object.assign(new Error(), { code: 'EISDIR' });
    await makeFolder(dirname(resolve(path)));
    await access(dirname(resolve(path)), constants.W_OK);
  } catch (error) {
    throw new UserError(`${path} cannot be written: ${reasonOf(error)}.`, 'Choose another place.');
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'it does not exist',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the quota is used up',
  EISDIR: 'it is a folder',
  ENOTDIR: 'a part of the path is a file',
  EEXIST: 'a part of the path is a file',
};

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return (code && REASONS[code]) ?? code ?? message;
}
