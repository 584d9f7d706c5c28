import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { writeInspectionSet } from '../src/node/generated.ts';
import { CLI } from './support/commandLine.ts';
import { freePort, startRedis, withoutRedis } from './support/redis.ts';
import { temporaryFolder } from './support/temporary.ts';

const folder = temporaryFolder();
if (withoutRedis) console.warn(`tests of the study queue left out: ${withoutRedis}`);

function raad(args: readonly string[], node: readonly string[] = []) {
  const options = { encoding: 'utf8', cwd: folder, timeout: 60_000 } as const;
  return spawnSync(process.execPath, [...node, CLI, ...args], options);
}

/** A module that hides a package. */
function without(name: string): string {
  const url = (code: string) => `data:text/javascript,${encodeURIComponent(code)}`;
  const hooks = `export function resolve(name, context, next) {
    if (name !== '${name}') return next(name, context);
    throw Object.assign(new Error('hidden'), { code: 'ERR_MODULE_NOT_FOUND' });
  }`;
  return url(`import Module, { register } from 'node:module';
    register(${JSON.stringify(url(hooks))});
    const resolve = Module._resolveFilename;
    Module._resolveFilename = (request, ...rest) => resolve(request === '${name}' ? './hidden' : request, ...rest);`);
}

function expectRefusal({ status, stderr }: ReturnType<typeof raad>, message: RegExp, code: number): void {
  const lines = stderr.split('\n').filter((line) => line.startsWith('raad: '));
  expect(lines, stderr).toHaveLength(1);
  expect(lines[0]).toMatch(message);
  expect(stderr).not.toMatch(/^\s+at |pw/m);
  expect(status).toBe(code);
}

test.skipIf(withoutRedis !== undefined)('studies over Redis: what is wrong is said in a sentence', async () => {
  const { url, stop } = await startRedis(folder);
  onTestFinished(async () => void (await stop()));
  await writeInspectionSet(join(folder, 'data'), {
    part: 'biscuit',
    seed: 1,
    size: 64,
    train: 4,
    testGood: 1,
    testPerDefect: 1,
  });
  const port = await freePort();
  const wrong: [args: string[], message: RegExp, code: number][] = [
    [['study', 'data', '--out', 'o', '--redis', 'http://here'], /address cannot be used. Write redis:\/\/host:port/, 1],
    [
      ['study', 'data', '--out', 'o', '--redis', `redis://:pw@127.0.0.1:${port}`],
      new RegExp(`Redis at 127.0.0.1:${port} cannot be used: connect ECONNREFUSED`),
      1,
    ],
    [
      ['study-worker', 'data', '--redis', `redis://127.0.0.1:${port}`],
      new RegExp(`Redis at 127.0.0.1:${port} cannot`),
      1,
    ],
    [['study-worker', 'data', '--redis', `redis://:p%w@127.0.0.1:${port}`], /has a % in its name or password/, 1],
    [['study', 'data', '--out', 'o', '--redis', `${url}/99`], /has no database 99. It has 0 to 15/, 1],
    [['study', 'data', '--out', 'o', '--seeds', '4294967296'], /--seeds 4294967296 cannot be used/, 2],
    [['study-worker', 'data', '--redis', url, '--name', 'a b'], /a study cannot be called 'a b'/, 1],
    [['study-worker', 'data'], /study-worker needs a data set and --redis/, 2],
    [['study', 'data', '--out', 'o', '--name', 'x'], /--name and --clear go with --redis/, 2],
  ];
  for (const [args, message, code] of wrong) expectRefusal(raad(args), message, code);
  for (const name of ['bullmq', 'ioredis']) {
    const result = raad(['study', 'data', '--out', 'o', '--redis', url], ['--import', without(name)]);
    expectRefusal(result, new RegExp(`needs the package ${name}. Run .npm install bullmq ioredis`), 1);
  }
});
