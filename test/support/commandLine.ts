import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';

/** The built command-line program. */
export const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));

/** Runs `raad` in a folder. */
export function commandLine(cwd: string) {
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
