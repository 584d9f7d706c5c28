// Bundles a TypeScript file into node_modules/.cache and runs it: node scripts/run.mjs FILE [arguments]

import { createRequire } from 'node:module';
import { join, parse } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const [file, ...rest] = process.argv.slice(2);
const outfile = join('node_modules', '.cache', 'raad-webgpu', `${parse(file).name}.mjs`);
/** Files deep inside a package may be ES modules that Node does not take for such: they are bundled. */
const deepImports = {
  name: 'deep-imports',
  setup(builder) {
    const { resolve } = createRequire(import.meta.url);
    builder.onResolve({ filter: /^@tensorflow\/.*\/dist\// }, ({ path }) => ({ path: resolve(path) }));
  },
};

await build({
  entryPoints: [file],
  outfile,
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'es2023',
  loader: { '.wgsl': 'text' },
  packages: 'external',
  plugins: [deepImports],
  logLevel: 'warning',
});
process.argv = [process.argv[0], outfile, ...rest];
try {
  await import(pathToFileURL(outfile).href);
} catch (error) {
  const isUsage = String(error.code).startsWith('ERR_PARSE_ARGS');
  // A UserError, or options that are none: told without a stack trace.
  if (!isUsage && !('fix' in error)) throw error;
  console.error(`${parse(file).name}: ${error.message}${error.fix ? ` ${error.fix}` : ''}`);
  process.exit(isUsage ? 2 : 1);
}
