import { existsSync } from 'node:fs';
import { readdir, readFile, realpath, rm, stat } from 'node:fs/promises';
import { join, resolve, sep } from 'node:path';
import { glob } from 'tinyglobby';
import type { FileTree, LeftOut } from '../data/dataset.ts';
import { leftOutText } from '../data/leftOut.ts';
import { endingOf, endsAsImage, isImageFile, isOwnPicture, mayBeImage, naturally } from '../data/names.ts';
import { quote, UserError } from '../errors.ts';

/** All files below a folder but for hidden ones; links are followed. @throws UserError when it is none, or holds one that cannot be read */
export async function readFolder(folder: string): Promise<FileTree> {
  const found = await stat(folder).catch(() => undefined);
  if (!found) throw new UserError(`the folder ${folder} does not exist.`, 'Check the path.');
  if (!found.isDirectory()) throw new UserError(`${folder} is a file, not a folder.`, 'Give the folder that holds it.');
  return {
    name: resolve(folder).replaceAll(sep, '/'),
    files: await filesBelow(folder),
    readText: (path) => readText(join(folder, path)),
  };
}

/**
 * Paths of all files below a folder, whatever their names: `**` of glob patterns stops at a line end.
 * @param inside its ending, with a slash, below which files are looked for
 * @param around where it and the folders around it really are: links that lead back to one of them are not followed
 */
async function filesBelow(folder: string, inside = '', around: readonly string[] = []): Promise<string[]> {
  const place = join(folder, inside);
  try {
    const real = await realpath(place);
    if (around.includes(real)) return [];
    const files: string[] = [];
    for (const entry of await readdir(place, { withFileTypes: true })) {
      if (entry.name.startsWith('.')) continue;
      const path = `${inside}${entry.name}`;
      // A link that leads nowhere is no file.
      const found = entry.isSymbolicLink() ? await stat(join(folder, path)).catch(() => undefined) : entry;
      if (found?.isFile()) files.push(path);
      else if (found?.isDirectory()) files.push(...(await filesBelow(folder, `${path}/`, [...around, real])));
    }
    return files;
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`the folder ${place} cannot be read: ${systemReason(error)}.`, 'Check its permissions.');
  }
}

/** Told of files that are not taken, in one sentence. */
export type OnLeftOut = (sentence: string) => void;

/**
 * Paths of all images below a folder, in natural order, but for pictures that this program wrote.
 * @throws UserError when there is none
 */
export async function imagesBelow(folder: string, onLeftOut?: OnLeftOut): Promise<string[]> {
  const { files } = await readFolder(folder);
  const images = takeImages(
    folder,
    files.filter((file) => isImageFile(file) || mayBeImage(file)),
    onLeftOut,
  );
  if (images.length === 0)
    throw new UserError(`the folder ${folder} holds no images.`, 'Give PNG, JPEG, WebP, BMP or TIFF files.');
  return images.map((file) => join(folder, file));
}

/** Images among files, in natural order; the others are told. */
function takeImages(where: string, files: readonly string[], onLeftOut: OnLeftOut | undefined): string[] {
  const reasonOf = (path: string) => {
    if (!endsAsImage(path)) return `of type ${endingOf(path)}`;
    return isOwnPicture(path) ? 'pictures that this program wrote' : undefined;
  };
  const leftOut = files.flatMap((path): LeftOut[] => {
    const reason = reasonOf(path);
    return reason === undefined ? [] : [{ path, reason }];
  });
  if (leftOut.length > 0) onLeftOut?.(`left out of ${where}: ${leftOutText(leftOut)}.`);
  return files.filter((path) => reasonOf(path) === undefined).sort(naturally);
}

/**
 * Image files from paths, folders and glob patterns, in the order given, each once. What a pattern or folder finds of pictures
 * that this program wrote is left out.
 * @throws UserError for one that names nothing
 */
export async function expandImages(patterns: readonly string[], onLeftOut?: OnLeftOut): Promise<string[]> {
  const all = new Map<string, string>();
  for (const pattern of patterns) {
    const found = await stat(pattern).catch(() => undefined);
    const paths = found
      ? found.isDirectory()
        ? await imagesBelow(pattern, onLeftOut)
        : [pattern]
      : await matchPattern(pattern, onLeftOut);
    for (const path of paths) {
      const place = resolve(path);
      if (!all.has(place)) all.set(place, path);
    }
  }
  return [...all.values()];
}

/** @throws UserError when a pattern matches no image */
async function matchPattern(pattern: string, onLeftOut: OnLeftOut | undefined): Promise<string[]> {
  const [folder, rest] = await splitPattern(sep === '\\' ? pattern.replaceAll('\\', '/') : pattern);
  const files = rest === '' ? [] : await glob(rest, { cwd: folder || '.', dot: false, expandDirectories: false });
  const images = takeImages(pattern, files, onLeftOut);
  const unseen = rest.includes('**') ? foldersWithLineEnds(await filesBelow(folder || '.')) : [];
  if (unseen.length > 0)
    onLeftOut?.(
      `${pattern} finds nothing in folders with a line end in their names: ${unseen.map(quote).join(', ')}; name them instead.`,
    );
  if (images.length === 0) throw new UserError(`${pattern} does not exist and matches no image.`, 'Check the path.');
  return images.map((file) => folder + file);
}

/** Folders of some files that `**` passes over. */
function foldersWithLineEnds(files: readonly string[]): string[] {
  return [...new Set(files.flatMap((file) => /^.*[\n\r\u2028\u2029][^/]*(?=\/)/.exec(file)?.[0] ?? []))];
}

/** The folders that a pattern begins with, which may lie anywhere and be hidden, and what is to be matched below them. */
async function splitPattern(pattern: string): Promise<readonly [folder: string, rest: string]> {
  const parts = pattern.split('/');
  let folder = '';
  while (parts.length > 1) {
    const next = `${folder}${parts[0]}/`;
    if (!(await stat(next).catch(() => undefined))?.isDirectory()) break;
    folder = next;
    parts.shift();
  }
  return [folder, parts.join('/')];
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
    throw new UserError(`${path} cannot be read: ${systemReason(error)}.`, 'Check the path and its permissions.');
  }
}

/**
 * A checkpoint to go on from; undefined, which is told, where there is none.
 * @throws UserError for one that cannot be read
 */
export async function readCheckpoint(
  path: string,
  onMissing: (sentence: string) => void,
): Promise<Uint8Array | undefined> {
  if (existsSync(path)) return readBytes(path);
  onMissing(`${path} is not there: starting from the beginning.`);
  return undefined;
}

/** A text file, as UTF-8. @throws UserError as {@link readBytes} does */
export async function readText(path: string): Promise<string> {
  return new TextDecoder().decode(await readBytes(path));
}

/** Removes a file if it is there. */
export function removeFile(path: string): Promise<void> {
  return rm(path, { force: true });
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
  ENAMETOOLONG: 'a name in it is too long',
  EBUSY: 'it is in use or mounted',
  ELOOP: 'its symbolic links lead round in a circle',
};

/** Why the system refused something, in words. */
export function systemReason(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return (code && REASONS[code]) ?? code ?? message;
}
