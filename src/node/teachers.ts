import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { UserError } from '../errors.ts';
import { readSafetensors, type TensorFile } from '../formats/safetensors.ts';
import type { PdnSize } from '../networks/pdn.ts';
import { readBytes } from './files.ts';

/** Folder of the teachers that come with the package. */
function assets(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const candidate = join(folder, 'assets/teachers');
    if (existsSync(candidate)) return candidate;
    if (dirname(folder) === folder) throw new Error('the package is incomplete: assets/teachers is missing');
  }
}

/**
 * A teacher's weights: those that come with the package for a size, or a safetensors file.
 * @throws UserError for a size without one, or a file that is none
 */
export async function readTeacher(size: PdnSize, file?: string): Promise<TensorFile & { readonly name: string }> {
  const path = file ?? join(assets(), `teacher-pdn-${size}.safetensors`);
  if (!file && !existsSync(path)) {
    throw new UserError(`no teacher comes with size ${size}.`, 'Give one with --teacher FILE, or use size xs or s.');
  }
  const tensors = readSafetensors(await readBytes(path), path);
  return { ...tensors, name: basename(path, '.safetensors') };
}
