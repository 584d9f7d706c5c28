import { basename } from 'node:path';
import { readText } from './files.ts';

/** A replacement for the kernel of the same file name. @throws UserError when it cannot be read */
export async function readShader(file: string): Promise<ReadonlyMap<string, string>> {
  return new Map([[basename(file), await readText(file)]]);
}
