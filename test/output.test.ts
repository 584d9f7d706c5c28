import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { assertOutputs, assertWritable, writeAtomically } from '../src/node/output.ts';
import { temporaryFolder } from './support/temporary.ts';

const folder = temporaryFolder();
const at = (...parts: string[]) => join(folder, ...parts);
const isWindows = process.platform === 'win32';
const isRoot = process.getuid?.() === 0;

describe('writing', () => {
  test('makes folders, replaces contents, leaves nothing else', async () => {
    await writeAtomically(at('plain/a/b.txt'), 'one');
    await writeAtomically(at('plain/a/b.txt'), 'two');
    expect(readFileSync(at('plain/a/b.txt'), 'utf8')).toBe('two');
    expect(readdirSync(at('plain/a'))).toEqual(['b.txt']);
  });

  test('names of 255 bytes', async () => {
    const name = 'n'.repeat(255);
    await assertWritable(at('long', name));
    await writeAtomically(at('long', name), 'x');
    expect(readdirSync(at('long'))).toEqual([name]);
    await expect(assertWritable(at('long', `${name}n`))).rejects.toThrow(/a name in it is too long/);
    await expect(writeAtomically(at('long', `${name}n`), 'x')).rejects.toThrow(/a name in it is too long/);
  });

  test.skipIf(isWindows)('the mode of a file stays, and for root its owner', async () => {
    const file = at('secret.txt');
    writeFileSync(file, 'old', { mode: 0o600 });
    if (isRoot) execFileSync('chown', ['1234:1235', file]);
    await writeAtomically(file, 'new');
    const { mode, uid, gid } = statSync(file);
    expect(mode & 0o7777).toBe(0o600);
    if (isRoot) expect([uid, gid]).toEqual([1234, 1235]);
    expect(readFileSync(file, 'utf8')).toBe('new');
    chmodSync(file, 0o664);
    await writeAtomically(file, 'newer');
    expect(statSync(file).mode & 0o7777).toBe(0o664);
  });

  test.skipIf(isWindows)('symbolic links are written through', async () => {
    mkdirSync(at('links/far'), { recursive: true });
    writeFileSync(at('links/far/target'), 'old');
    symlinkSync('far/target', at('links/link'));
    symlinkSync('link', at('links/chain'));
    symlinkSync('far/not-yet', at('links/dangling'));
    for (const [link, target] of [
      ['link', 'target'],
      ['chain', 'target'],
      ['dangling', 'not-yet'],
    ] as const) {
      await assertWritable(at('links', link));
      await writeAtomically(at('links', link), link);
      expect(lstatSync(at('links', link)).isSymbolicLink()).toBe(true);
      expect(readFileSync(at('links/far', target), 'utf8')).toBe(link);
    }
    expect(readlinkSync(at('links/chain'))).toBe('link');
    symlinkSync('round', at('links/round'));
    await expect(assertWritable(at('links/round'))).rejects.toThrow(/lead round in a circle/);
    await expect(writeAtomically(at('links/round'), 'x')).rejects.toThrow(/lead round in a circle/);
  });

  test.skipIf(isWindows)('what is no regular file is refused and stays', async () => {
    mkdirSync(at('special/folder'), { recursive: true });
    execFileSync('mkfifo', [at('special/pipe')]);
    const server = createServer().listen(at('special/socket'));
    const isDevice = spawnSync('mknod', [at('special/device'), 'c', '1', '3']).status === 0;
    symlinkSync('pipe', at('special/link'));
    try {
      for (const [name, reason] of [
        ['folder', 'it is a folder'],
        ['pipe', 'it is a pipe, not a file'],
        ['link', 'it is a pipe, not a file'],
        ['socket', 'it is a socket, not a file'],
        ...(isDevice ? [['device', 'it is a device, not a file'] as const] : []),
      ] as const) {
        const before = lstatSync(at('special', name)).ino;
        const message = `${at('special', name)} cannot be written: ${reason}.`;
        await expect(assertWritable(at('special', name))).rejects.toThrow(message);
        await expect(writeAtomically(at('special', name), 'x')).rejects.toThrow(message);
        expect(lstatSync(at('special', name)).ino).toBe(before);
      }
      const left = readdirSync(at('special')).filter((name) => name.endsWith('.part'));
      expect(left).toEqual([]);
    } finally {
      server.close();
    }
  });
});

describe('checking outputs early', () => {
  test('a path below a file, and places where nothing can be made', async () => {
    writeFileSync(at('file'), '');
    await expect(assertWritable(at('file/below'))).rejects.toThrow(/a part of the path is a file/);
    await expect(assertWritable(`${at('not-there')}/`)).rejects.toThrow(/it is a folder/);
    await expect(assertWritable(at('file/far/below'))).rejects.toThrow(/a part of the path is a file/);
    if (process.platform === 'linux')
      await expect(assertWritable('/proc/raad.png')).rejects.toThrow(/^\/proc\/raad\.png cannot be written/);
  });

  test.skipIf(isWindows || isRoot)('folders and files without permission to write', async () => {
    mkdirSync(at('read-only'));
    writeFileSync(at('read-only/file'), '');
    chmodSync(at('read-only/file'), 0o444);
    await expect(assertWritable(at('read-only/file'))).rejects.toThrow(/permission denied/);
    chmodSync(at('read-only'), 0o555);
    await expect(assertWritable(at('read-only/other'))).rejects.toThrow(/permission denied/);
  });

  test('an input is not an output, by whatever name', async () => {
    const input = at('inputs/model');
    mkdirSync(at('inputs/sub'), { recursive: true });
    writeFileSync(input, 'model');
    writeFileSync(at('inputs/other'), 'other');
    const inputs = [undefined, at('inputs/missing'), input];
    const names = [input, at('inputs/sub/../model'), ...(isWindows ? [] : [at('inputs/hard'), at('inputs/soft')])];
    if (!isWindows) {
      linkSync(input, at('inputs/hard'));
      symlinkSync('model', at('inputs/soft'));
    }
    for (const name of names)
      await expect(assertWritable(name, inputs), name).rejects.toThrow(/would replace .*this command reads/);
    await assertOutputs([at('inputs/other'), at('inputs/new'), undefined], inputs);
    expect(readFileSync(input, 'utf8')).toBe('model');
  });

  test('two outputs are not one file', async () => {
    await expect(assertOutputs([at('both'), at('.', 'sub', '..', 'both')])).rejects.toThrow(/are one file/);
  });

  test('what dead processes of this machine have left is removed, and nothing else', async () => {
    const { pid } = spawnSync(process.execPath, ['-e', '']);
    const host = hostname()
      .replace(/[^\w-]/g, '_')
      .slice(0, 40);
    const kept = [`.raad-${host}-${process.pid}-99999.part`, `.raad-another-${pid}-0.part`, 'a.part', '.raad-x.part'];
    mkdirSync(at('left'));
    for (const name of [...kept, `.raad-${host}-${pid}-0.part`]) writeFileSync(at('left', name), '');
    await assertWritable(at('left/output'));
    expect(readdirSync(at('left')).sort()).toEqual([...kept].sort());
    expect(existsSync(at('left/output'))).toBe(false);
  });
});
