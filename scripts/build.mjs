// Bundles the library and the command line into dist/, and with --types writes the type declarations.
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { build } from 'esbuild';

const common = {
  bundle: true,
  format: 'esm',
  target: 'es2023',
  loader: { '.wgsl': 'text' },
  packages: 'external',
  sourcemap: true,
  logLevel: 'warning',
};

rmSync('dist', { recursive: true, force: true });
await Promise.all([
  build({
    ...common,
    platform: 'node',
    entryPoints: { index: 'src/index.ts', node: 'src/node.ts', cli: 'src/cli/main.ts' },
    outdir: 'dist',
    splitting: true,
  }),
  build({ ...common, platform: 'browser', entryPoints: { browser: 'src/browser.ts' }, outdir: 'dist' }),
]);
if (process.argv.includes('--types')) {
  execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json'], {
    stdio: 'inherit',
  });
}
