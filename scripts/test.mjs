// Type check, lint, then the tests; closes with a line of counts. Arguments go to vitest; --full adds the long ones, --suite=NAME runs
// one of the suites of vitest.config.ts alone.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const node = (...args) =>
  new Promise((resolve) => {
    const child = spawn(process.execPath, args, { stdio: 'inherit' });
    child.on('error', () => resolve(false));
    child.on('close', (code) => resolve(code === 0));
  });
const work = mkdtempSync(join(tmpdir(), 'raad-test-'));
const report = join(work, 'report.json');
let passed = 0;
let failed = 0;
const count = (ok) => {
  if (ok) passed++;
  else failed++;
};
try {
  const isOwn = (argument) => argument === '--full' || argument.startsWith('--suite=');
  const only = process.argv.slice(2).filter((argument) => !isOwn(argument));
  const suite = process.argv.find((argument) => argument.startsWith('--suite='))?.slice('--suite='.length);
  if (process.argv.includes('--full')) process.env.RAAD_TEST = 'full';
  if (suite) process.env.RAAD_TEST = suite;
  const checks = [];
  if (only.length === 0 && !suite) {
    checks.push(node('node_modules/typescript/bin/tsc', '--noEmit'));
    checks.push(node('node_modules/@biomejs/biome/bin/biome', 'check', '--log-level=error'));
  }
  // What is built is what the command-line and browser tests run.
  if (only.length === 0) checks.push(node('scripts/build.mjs'));
  for (const check of checks) count(await check);
  const ran = await node(
    ...['node_modules/vitest/vitest.mjs', 'run', '--reporter=default', '--reporter=json', `--outputFile=${report}`],
    ...only,
  );
  const { numPassedTests, numFailedTests, numTotalTestSuites } = JSON.parse(readFileSync(report, 'utf8'));
  passed += numPassedTests;
  failed += numFailedTests;
  // A file that does not load fails without a test in it.
  if (!ran && numFailedTests === 0) failed += 1;
  if (numTotalTestSuites === 0) failed += 1;
} catch (error) {
  console.error(error.message);
  failed += 1;
} finally {
  rmSync(work, { recursive: true, force: true });
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
