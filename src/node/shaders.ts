import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { UserError } from '../errors.ts';

/** A replacement for the kernel of the same file name. @throws UserError when it cannot be read */
export async function readShader(file: string): Promise<ReadonlyMap<string, string>> {
  try {
    return new Map([[basename(file), await readFile(file, 'utf8')]]);
  } catch {
    throw new UserError(`the shader ${file} cannot be read.`, 'Copy one of the files in shaders/ and change it.');
  }
}
