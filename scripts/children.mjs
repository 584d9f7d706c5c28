import { spawn } from 'node:child_process';
import { constants } from 'node:os';

/** The process was asked to end: its children have ended, and what it made is still to be removed. */
export class Stopped extends Error {
  constructor(signal) {
    super(`stopped by ${signal}`);
    this.exitCode = 128 + constants.signals[signal];
  }
}

let stoppedBy;
let running;

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    stoppedBy ??= signal;
    running?.kill(signal);
  });
}

/** @throws Stopped after a signal */
export function throwIfStopped() {
  if (stoppedBy) throw new Stopped(stoppedBy);
}

/**
 * Runs a program to its end. One that cannot be started has the status 127.
 * @param {import('node:child_process').SpawnOptions} options of `spawn`; stdout is collected unless `stdio` says otherwise
 * @returns {Promise<{status: number, stdout: string}>}
 * @throws Stopped when a signal came meanwhile
 */
export async function run(command, args, options = {}) {
  throwIfStopped();
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 2], ...options });
  running = child;
  let stdout = '';
  child.stdout?.setEncoding('utf8').on('data', (text) => {
    stdout += text;
  });
  const status = await new Promise((resolve) => {
    child.on('error', () => resolve(127));
    child.on('close', (code) => resolve(code ?? 1));
  });
  running = undefined;
  throwIfStopped();
  return { status, stdout };
}
