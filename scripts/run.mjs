// Bundles a TypeScript file into node_modules/.cache and runs it: node scripts/run.mjs FILE [arguments]
import { join, parse } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const [file, ...rest] = process.argv.slice(2);
const outfile = join('node_modules', '.cache', 'raad-webgpu', `${parse(file).name}.mjs`);
await build({
  entryPoints: [file],
  outfile,
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'es2023',
  loader: { '.wgsl': 'text' },
  packages: 'external',
  logLevel: 'warning',
});
process.argv = [process.argv[0], outfile, ...rest];
await import(pathToFileURL(outfile).href);
