// Builds dist/: the library as a module per source file, so that bundlers take what is used and a class exists once whichever entry
// it came from; the command line as a bundle, which starts faster; the page. With --types the type declarations, too.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, posix, relative } from 'node:path';
import { build } from 'esbuild';
import { globSync } from 'tinyglobby';
import {
  COLOR_TABLE,
  colorTable,
  colorTables,
  optionalPeers,
  peerModule,
  peersOf,
  shaderModules,
  shaderPacks,
} from './packages.mjs';
import { buildPage } from './page.mjs';

const common = { format: 'esm', target: 'es2023', platform: 'node', logLevel: 'warning' };
const write = (path, text) => {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
};
const slashes = (path) => path.replaceAll('\\', '/');

rmSync('dist', { recursive: true, force: true });
await Promise.all([library(), commandLine(), buildPage('dist/web')]);
if (process.argv.includes('--types')) {
  execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json'], {
    stdio: 'inherit',
  });
}

async function library() {
  const sources = globSync('src/**/*.ts').map(slashes);
  const colors = sources.find((file) => COLOR_TABLE.test(file));
  const entryPoints = sources.filter(
    (file) => !file.endsWith('.d.ts') && !file.startsWith('src/cli/') && file !== colors,
  );
  const { outputFiles } = await build({
    ...common,
    entryPoints,
    outdir: 'dist',
    outbase: 'src',
    bundle: false,
    write: false,
  });
  const peers = new Set();
  for (const { path, text } of outputFiles) {
    const from = slashes(relative('', path));
    const up = (to) => {
      const way = posix.relative(posix.dirname(from), to);
      return way.startsWith('.') ? way : `./${way}`;
    };
    const rewritten = text.replace(
      /(\bfrom |\bimport\(|\bimport )"([^"]+)"(, \{ with: \{ type: "json" \} \}| with \{ type: "json" \})?/g,
      (_, head, name) => {
        const shader = /shaders\/(.*\.wgsl)$/.exec(name);
        if (shader) return `${head}"${up(`dist/shaders/${shader[1]}.js`)}"`;
        if (name.endsWith('.json')) return `${head}"${name}.js"`;
        if (name.startsWith('.')) return `${head}"${name.replace(/\.ts$/, '.js')}"`;
        if (head === 'from ' && peersOf(name)) {
          peers.add(name);
          return `${head}"${up(peerModule(name).path)}"`;
        }
        return `${head}"${name}"`;
      },
    );
    write(from, rewritten);
  }
  for (const name of peers) write(peerModule(name).path, peerModule(name).text);
  for (const file of globSync('src/**/*.json').map(slashes)) {
    write(
      join('dist', `${file.slice('src/'.length)}.js`),
      `export default ${JSON.stringify(JSON.parse(readFileSync(file, 'utf8')))};\n`,
    );
  }
  write(colors.replace('src/', 'dist/').replace('.ts', '.js'), colorTable());
  for (const [path, text] of shaderModules()) write(join('dist/shaders', path), text);
}

function commandLine() {
  return build({
    ...common,
    bundle: true,
    splitting: true,
    packages: 'external',
    entryPoints: { cli: 'src/cli/main.ts' },
    outdir: 'dist',
    chunkNames: 'cli/[name]-[hash]',
    // Names stay: they tell where an error comes from.
    minifyWhitespace: true,
    minifySyntax: true,
    plugins: [shaderPacks, colorTables, optionalPeers],
  });
}
