import { UserError } from '../errors.ts';
import { ownPackage } from './version.ts';

/** Peers of a study over Redis and of distillation, which ask for them themselves. */
const OF_SOME: ReadonlySet<string> = new Set(['bullmq', 'ioredis', 'onnxruntime-node']);

function isInstalled(name: string): boolean {
  try {
    import.meta.resolve(name);
    return true;
  } catch {
    return false;
  }
}

/**
 * Loads an optional peer dependency; what is built imports them by this.
 * @throws UserError with the command that installs all that are missing
 */
export async function loadPeer<T>(load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    const peers = Object.entries(ownPackage()?.peerDependencies ?? {});
    const missing = peers.filter(([name]) => !OF_SOME.has(name) && !isInstalled(name));
    if (missing.length === 0) throw error;
    const names = missing.map(([name]) => name).join(', ');
    throw new UserError(
      `raad-webgpu in Node needs ${missing.length === 1 ? 'a package that is' : 'packages that are'} not installed: ${names}.`,
      `Run: npm install ${missing.map(([name, version]) => `"${name}@${version}"`).join(' ')}`,
    );
  }
}
