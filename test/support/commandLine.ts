import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';

/** The built command-line program. */
export const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));

/** Runs `raad` in a folder. @throws Error before the first build */
export function commandLine(cwd: string) {
  if (!existsSync(CLI)) throw new Error('dist/cli.js is not there. Run `node scripts/build.mjs`.');
  const raad = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, ...args], { encoding: 'utf8', cwd });
    return { status, stdout, stderr };
  };
  /** Expects success. */
  const ok = (...args: string[]) => {
    const result = raad(...args);
    expect(result.status, result.stderr).toBe(0);
    return result;
  };
  return { raad, ok };
}
