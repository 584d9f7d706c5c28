import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { readText } from './files.ts';
import { ownPackage } from './version.ts';

/** A replacement for the kernel of the same file name. @throws UserError when it cannot be read */
export async function readShader(file: string): Promise<ReadonlyMap<string, string>> {
  return new Map([[basename(file), await readText(file)]]);
}

/** All of the package's shaders and snippets (`snippets/NAME.wgsl`) with the comments that its builds leave out. */
export async function readOwnShaders(): Promise<ReadonlyMap<string, string>> {
  const folder = join(ownPackage()?.folder ?? '.', 'shaders');
  const names = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith('.wgsl'));
  const texts = names.map(async (name) => [name.replaceAll('\\', '/'), await readText(join(folder, name))] as const);
  return new Map(await Promise.all(texts));
}
