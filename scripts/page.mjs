// Builds the page of web/ into a folder: static files that any server can serve.
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { globSync } from 'tinyglobby';
import { colorTables, shaderPacks } from './packages.mjs';

const STATIC = ['web/index.html', 'web/style.css', 'web/icon.svg', 'assets/teachers/teacher-pdn-xs.safetensors'];
const common = {
  bundle: true,
  format: 'esm',
  target: 'es2023',
  platform: 'browser',
  minify: true,
  logLevel: 'warning',
};

/**
 * @param {string} folder is emptied first
 * @param {{ minify?: boolean }} options
 */
export async function buildPage(folder, { minify = true } = {}) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const file of STATIC) copyFileSync(file, join(folder, file.slice(file.lastIndexOf('/') + 1)));
  await build({
    ...common,
    entryPoints: { main: 'web/main.ts' },
    minify,
    splitting: true,
    outdir: folder,
    chunkNames: 'chunks/[name]-[hash]',
    plugins: [shaderPacks, colorTables],
  });
  await serviceWorker(folder);
}

/** A worker that holds the names of all other files, and is another one whenever one of them changes. */
function serviceWorker(folder) {
  const files = globSync('**/*', { cwd: folder })
    .map((file) => file.replaceAll('\\', '/'))
    .sort();
  const digest = createHash('sha256');
  for (const file of files) digest.update(file).update(readFileSync(join(folder, file)));
  return build({
    ...common,
    entryPoints: ['web/worker.ts'],
    outfile: join(folder, 'worker.js'),
    define: {
      FILES: JSON.stringify(['./', ...files]),
      BUILD: JSON.stringify(digest.digest('hex').slice(0, 16)),
    },
  });
}
