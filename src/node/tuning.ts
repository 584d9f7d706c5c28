import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Caps } from '../engine/caps.ts';
import { shippedTuning } from '../engine/shippedTuning.ts';
import { adapterIdentity, Tuning } from '../engine/tuning.ts';
import { UserError } from '../errors.ts';
import { writeAtomically } from './output.ts';

/** The user's folder for what can be made again: `RAAD_CACHE`, or where the system keeps such things. */
export function cacheFolder(): string {
  const { RAAD_CACHE, XDG_CACHE_HOME, LOCALAPPDATA } = process.env;
  if (RAAD_CACHE) return RAAD_CACHE;
  if (process.platform === 'win32' && LOCALAPPDATA) return join(LOCALAPPDATA, 'raad-webgpu');
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Caches', 'raad-webgpu');
  return join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'raad-webgpu');
}

/** Where the choices for an adapter are kept. */
export function tuningFile(caps: Caps): string {
  const digest = createHash('sha256').update(adapterIdentity(caps)).digest('hex').slice(0, 16);
  return join(cacheFolder(), `tuning-${digest}.json`);
}

/**
 * The user's measured choices for an adapter, over those that the package brings.
 * @param notice told about a table that cannot be used, which is then ignored
 */
export async function loadTuning(caps: Caps, notice: (message: string) => void): Promise<Tuning> {
  const file = tuningFile(caps);
  const shipped = await shippedTuning(caps);
  const text = await readFile(file, 'utf8').catch(() => undefined);
  if (text === undefined) return shipped;
  try {
    const own = Tuning.parse(text, adapterIdentity(caps));
    own.addMissing(shipped);
    return own;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    notice(`${file} is ignored: ${error.message}`);
    return shipped;
  }
}

/** Keeps choices for later runs on this adapter. @returns the file */
export async function saveTuning(caps: Caps, tuning: Tuning): Promise<string> {
  const file = tuningFile(caps);
  await writeAtomically(file, tuning.text());
  return file;
}
