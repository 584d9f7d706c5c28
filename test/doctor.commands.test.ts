import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { BROKEN } from './support/brokenShader.ts';
import { commandLine } from './support/commandLine.ts';
import { temporaryFolder, writeTree } from './support/temporary.ts';

const shipped = readFileSync(new URL('../src/tuning/lavapipe.json', import.meta.url), 'utf8');
const folder = writeTree(temporaryFolder(), { [BROKEN.name]: BROKEN.text });
const { raad } = commandLine(folder);
const checked = ['doctor', '--no-peaks', '--only', 'conv2dInputGrad'];
const before = process.env['RAAD_CACHE'];

test('refuses an op that is not there before anything else', () => {
  const { status, stdout, stderr } = raad('doctor', '--only', 'convolution');
  expect(stderr).toMatch(/^raad: there is no op 'convolution' to check\. Use some of: conv2d, /);
  expect(stdout).toBe('');
  expect(status).toBe(1);
});

test('keeps an exclusion until a check finds the variant right', { timeout: 300_000 }, () => {
  process.env['RAAD_CACHE'] = join(folder, 'cache');
  try {
    const broken = raad(...checked, '--shader', BROKEN.name, '--json', 'report.json');
    expect(broken.status, broken.stderr).toBe(1);
    expect(broken.stdout).toMatch(/WRONG: conv2dInputGrad\/direct on 'conv2dInputGrad /);
    expect(broken.stdout).toMatch(/verdict: limited; .* excluded here: conv2dInputGrad\/direct/);
    expect(broken.stderr).toMatch(/^raad: \d+ cases are wrong on this adapter/m);
    const report = JSON.parse(readFileSync(join(folder, 'report.json'), 'utf8'));
    expect(report).toMatchObject({ verdict: 'limited', excluded: ['conv2dInputGrad/direct'] });

    const { choices: _, ...table } = JSON.parse(shipped);
    writeTree(folder, { 'other.json': JSON.stringify({ ...table, adapter: 'another one', choices: {} }) });
    const after = raad('tune', '--import', 'other.json');
    expect(after.stderr).toMatch(/note: conv2dInputGrad\/direct is not used: `raad doctor` found it wrong here/);

    const passing = raad(...checked);
    expect(passing.status, passing.stderr).toBe(0);
    expect(passing.stdout).toMatch('conv2dInputGrad/direct is right again and used from now on');
    expect(passing.stdout).toMatch(/verdict: healthy/);
    expect(readdirSync(join(folder, 'cache')).filter((name) => name.startsWith('exclusions-'))).toEqual([]);
    expect(raad('devices').stderr).not.toMatch(/is not used/);
  } finally {
    if (before === undefined) delete process.env['RAAD_CACHE'];
    else process.env['RAAD_CACHE'] = before;
  }
});
