import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { buildPage } from '../scripts/page.mjs';
import { servePage } from '../src/node/page.ts';
import { encodeNpy } from '../web/npy.ts';
import { temporaryFolder, writeTree } from './support/temporary.ts';

/** Status of a path that is sent as it is, which `fetch` would tidy up. */
function statusOf(url: string, path: string, method = 'GET'): Promise<number | undefined> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    request({ hostname, port, path, method }, ({ statusCode }) => resolve(statusCode))
      .on('error', reject)
      .end();
  });
}

test('what the page shares with the package is served from there', async () => {
  const root = temporaryFolder();
  const [folder, shared] = [join(root, 'page'), join(root, 'shared')];
  writeTree(root, { 'page/index.html': 'page', 'shared/teacher.safetensors': 'weights', 'shared/index.html': 'other' });
  const page = await servePage(folder, 0, shared);
  try {
    expect(await (await fetch(new URL('teacher.safetensors', page.url))).text()).toBe('weights');
    expect(await (await fetch(page.url)).text()).toBe('page');
    expect(await statusOf(page.url, '/none.safetensors')).toBe(404);
  } finally {
    await page.close();
  }
});

test('the page is served to this machine alone, with the policy that it has in itself', async () => {
  const root = temporaryFolder();
  const folder = join(root, 'page');
  await buildPage(folder);
  const page = await servePage(folder, 0);
  try {
    expect(page.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/$/);
    const answer = await fetch(page.url);
    const html = await answer.text();
    const policy = answer.headers.get('content-security-policy')!;
    expect(policy).toMatch(/^default-src 'self';/);
    expect(policy).toContain(/http-equiv="Content-Security-Policy"\s+content="([^"]+)"/.exec(html)![1]);
    // Whatever the page names is there, and nothing in it is of another place.
    for (const [, name] of html.matchAll(/(?:src|href)="([^"]+)"/g)) {
      const file = await fetch(new URL(name!, page.url));
      expect([name, file.status]).toEqual([name, 200]);
      expect(file.headers.get('x-content-type-options')).toBe('nosniff');
    }
    const worker = await (await fetch(new URL('worker.js', page.url))).text();
    for (const name of ['./', 'main.js', 'style.css', 'teacher-pdn-xs.safetensors'])
      expect(worker).toContain(`"${name}"`);
    for (const path of [
      '/../package.json',
      '/%2e%2e/package.json',
      '/chunks/../../x.js',
      '/none.js',
      '/chunks',
      '//x.js',
    ])
      expect([path, await statusOf(page.url, path)]).toEqual([path, 404]);
    expect(await statusOf(page.url, '/', 'POST')).toBe(405);
    expect(await statusOf(page.url, '/?a=b', 'HEAD')).toBe(200);
    const { port } = new URL(page.url);
    await expect(servePage(folder, Number(port))).rejects.toThrow(`port ${port} is in use.`);
  } finally {
    await page.close();
  }
});

/** A file below a folder with all that it imports statically. */
function staticClosure(folder: string, path: string, found = new Set<string>()): ReadonlySet<string> {
  if (found.has(path)) return found;
  found.add(path);
  for (const [, name] of readFileSync(join(folder, path), 'utf8').matchAll(/(?:\bfrom|\bimport)"(\.[^"]+)"/g))
    staticClosure(folder, join(path, '..', name!), found);
  return found;
}

/** kB of gzip that each panel's code takes, shaders apart. */
const PANEL_BUDGETS = { inspect: 81, teach: 96, doctor: 114.5, bench: 88.5 } as const;

test('a panel loads its own code alone', async () => {
  const folder = join(temporaryFolder(), 'page');
  await buildPage(folder);
  const main = readFileSync(join(folder, 'main.js'), 'utf8');
  for (const [panel, budget] of Object.entries(PANEL_BUDGETS)) {
    const chunk = new RegExp(`chunks/${panel}-\\w+\\.js`).exec(main)![0];
    const files = [...staticClosure(folder, chunk)].map((path) => readFileSync(join(folder, path)));
    const kilobytes = files.reduce((sum, bytes) => sum + gzipSync(bytes, { level: 9 }).length, 0) / 1000;
    console.log(`${panel}: ${kilobytes.toFixed(1)} kB`);
    expect(kilobytes, panel).toBeLessThan(budget);
    // A sentence of the training loop.
    if (panel === 'inspect') expect(files.join('')).not.toContain('training diverged');
  }
});

test('a map as a NumPy file', () => {
  const bytes = Buffer.from(encodeNpy(Float32Array.of(1, 2, 3, 4, 5, -6.5), 3, 2));
  const start = 10 + bytes.readUInt16LE(8);
  expect(bytes.subarray(0, 8).toString('latin1')).toBe('\u0093NUMPY\u0001\u0000');
  expect(start % 64).toBe(0);
  expect(bytes.subarray(10, start).toString()).toMatch(
    /^\{'descr': '<f4', 'fortran_order': False, 'shape': \(2, 3\), \} *\n$/,
  );
  expect(Array.from({ length: 6 }, (_, i) => bytes.readFloatLE(start + 4 * i))).toEqual([1, 2, 3, 4, 5, -6.5]);
});
