import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, lstatSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build as bundle } from 'esbuild';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { beforeAll, describe, expect, test } from 'vitest';
import type { RgbImage } from '../src/data/image.ts';
import { renderSpecimen } from '../src/data/synthetic/generate.ts';
import { Detector, type Prediction } from '../src/detector/detector.ts';
import { heatmapRange } from '../src/detector/heatmapRange.ts';
import { saveDetector } from '../src/detector/modelFile.ts';
import { encodePng } from '../src/node/images.ts';
import { overlayHeatmap } from '../src/report/heatmap.ts';
import { hasChromium } from './support/chromium.ts';
import { engine } from './support/gpu.ts';
import { temporaryFolder, writeTree } from './support/temporary.ts';
import { untrainedDetector } from './support/untrained.ts';
import { showOnVitePage } from './support/vitePage.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const TSC = join(ROOT, 'node_modules/typescript/bin/tsc');
const ENTRIES = ['', '/engine', '/generator', '/node', '/browser'];

const project = writeTree(temporaryFolder(), {
  'package.json': JSON.stringify({ name: 'consumer', version: '1.0.0', type: 'module', private: true }),
});
const installed = join(project, 'node_modules/raad-webgpu');
const node = (code: string) =>
  spawnSync(process.execPath, ['--input-type=module', '--eval', code], { cwd: project, encoding: 'utf8' });

/** Bytes of all files below a folder. */
function bytesBelow(folder: string): number {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((path) => lstatSync(join(folder, path)))
    .reduce((sum, stats) => sum + (stats.isFile() ? stats.size : 0), 0);
}

beforeAll(() => {
  execFileSync(process.execPath, ['scripts/build.mjs', '--types'], { cwd: ROOT });
  const packed = execFileSync('npm', ['pack', '--pack-destination', project, '--silent'], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  execFileSync(
    'npm',
    ['install', '--no-audit', '--no-fund', '--silent', join(project, packed.trim().split('\n').at(-1)!)],
    {
      cwd: project,
    },
  );
});

describe('the package in an empty project', () => {
  test('is small, and brings nothing that only Node needs', () => {
    const names = readdirSync(join(project, 'node_modules'));
    for (const name of ['webgpu', 'sharp', 'bullmq', '@observablehq']) expect(names).not.toContain(name);
    expect(bytesBelow(join(project, 'node_modules'))).toBeLessThan(12e6);
    const files = readdirSync(installed, { recursive: true, encoding: 'utf8' });
    expect(files.filter((file) => file.endsWith('.map') || file.includes('types/cli'))).toEqual([]);
  });

  test('holds what its README links', () => {
    for (const page of ['README.md', ...readdirSync(join(installed, 'docs')).map((file) => `docs/${file}`)]) {
      if (!page.endsWith('.md')) continue;
      const text = readFileSync(join(installed, page), 'utf8');
      for (const [, link] of text.matchAll(/\]\((?!https?:|#)([^)#\s]+)[^)]*\)/g)) {
        expect(() => statSync(join(installed, page, '..', link!)), `${page} links ${link}`).not.toThrow();
      }
    }
  });

  test('is what publint expects', async () => {
    const { messages, pkg } = await publint({ pkgDir: installed, pack: false });
    expect(messages.map((message) => formatMessage(message, pkg!))).toEqual([]);
  });

  test('in Node says how to install what is missing', () => {
    const { stderr, status } = node(
      "await import('raad-webgpu/node').catch((error) => { console.error(error.name + ': ' + error.message + ' ' + error.fix); process.exitCode = 3; });",
    );
    expect(status).toBe(3);
    expect(stderr).toMatch(
      /^UserError: raad-webgpu in Node needs packages that are not installed: .*sharp, .*webgpu\. Run: npm install .*"sharp@\^/,
    );
    const command = spawnSync(process.execPath, [join(installed, 'dist/cli.js'), 'devices'], { encoding: 'utf8' });
    expect(command.stderr).toMatch(/^raad: raad-webgpu in Node needs packages that are not installed: /);
    expect(command.status).toBe(1);
  });
});

describe('types', () => {
  const uses = (names: readonly string[]) =>
    names
      .map(
        (name, i) =>
          `import * as entry${i} from 'raad-webgpu${name}';\nexport const keys${i} = Object.keys(entry${i});`,
      )
      .join('\n');
  const code = (names: readonly string[]) => `${uses(names)}
import { Engine, add, conv2d, input, type Node } from 'raad-webgpu/engine';
import { type Detector, loadDetector } from 'raad-webgpu';
export async function run(device: GPUDevice, bytes: Uint8Array): Promise<number> {
  const engine = new Engine({ device });
  const x: Node = input('x', [1, 3, 8, 8]);
  const plan = await engine.compile({ outputs: { y: add(x, conv2d(x, input('w', [3, 3, 1, 1]), undefined)) } });
  const detector: Detector = await loadDetector(engine, bytes);
  const { score } = await detector.predict({ width: 1, height: 1, data: new Uint8Array(3) });
  return score + plan.memoryBytes;
}
`;

  for (const [what, module, moduleResolution, lib, names, types] of [
    [
      'bundler resolution and the DOM library',
      'ESNext',
      'Bundler',
      ['ES2023', 'ESNext.Disposable', 'DOM', 'DOM.Iterable'],
      ['', '/engine', '/generator', '/browser'],
      [],
    ],
    [
      'bundler resolution without the DOM library',
      'ESNext',
      'Bundler',
      ['ES2023', 'ESNext.Disposable'],
      ['', '/engine', '/generator'],
      ['node'],
    ],
    [
      'node16 resolution and the DOM library',
      'Node16',
      'Node16',
      ['ES2023', 'ESNext.Disposable', 'DOM', 'DOM.Iterable'],
      ENTRIES,
      ['node'],
    ],
    [
      'node16 resolution without the DOM library',
      'Node16',
      'Node16',
      ['ES2023', 'ESNext.Disposable'],
      ['', '/engine', '/generator', '/node'],
      ['node'],
    ],
  ] as const) {
    test(`compile as they are with ${what}`, () => {
      const folder = join(project, `types-${module}-${lib.length}`);
      writeTree(folder, {
        'use.ts': code(names),
        'tsconfig.json': JSON.stringify({
          compilerOptions: {
            target: 'ES2023',
            module,
            moduleResolution,
            lib,
            types,
            typeRoots: [join(ROOT, 'node_modules/@types')],
            strict: true,
            exactOptionalPropertyTypes: true,
            skipLibCheck: false,
            noEmit: true,
          },
          files: ['use.ts'],
        }),
      });
      const { stdout, status } = spawnSync(process.execPath, [TSC, '-p', folder], { encoding: 'utf8' });
      expect(stdout).toBe('');
      expect(status).toBe(0);
    });
  }
});

/** What a page fetches: bytes of gzip by what it is for. */
async function chunks(code: string): Promise<{ main: number; of: Readonly<Record<string, number>> }> {
  const { outputFiles, metafile } = await bundle({
    stdin: { contents: code, resolveDir: project, loader: 'js' },
    bundle: true,
    splitting: true,
    format: 'esm',
    minify: true,
    platform: 'browser',
    target: 'es2023',
    write: false,
    metafile: true,
    outdir: join(project, 'out'),
    logLevel: 'silent',
  });
  const isShader = (name: string) => /(?:packs|tuning)\/([\w-]+)\./.exec(name)?.[1];
  const sizes = new Map(
    outputFiles.map(({ path, contents }) => [basename(path), gzipSync(contents, { level: 9 }).length]),
  );
  const outputs = Object.entries(metafile.outputs);
  // What is fetched before anything runs: the entry, and what it imports statically.
  const first = new Set<string>();
  const visit = (name: string): void => {
    if (first.has(name)) return;
    first.add(name);
    for (const { path, kind } of metafile.outputs[name]!.imports) if (kind !== 'dynamic-import') visit(path);
  };
  visit(outputs.find(([name]) => basename(name) === 'stdin.js')![0]);
  let main = 0;
  const of: Record<string, number> = {};
  for (const [name, { inputs }] of outputs) {
    const bytes = sizes.get(basename(name))!;
    if (first.has(name)) main += bytes;
    const pack = Object.keys(inputs).map(isShader).find(Boolean);
    if (pack) of[pack] = bytes;
  }
  return { main, of };
}

describe('what a page fetches, kB of gzip', () => {
  /** The chunks of an adapter without halves and matrices, on which float and w8a8 have run. */
  const GPU = ['common', 'convolution', 'gpu-convolution', 'gpu-detector'];
  const sum = ({ main, of }: Awaited<ReturnType<typeof chunks>>, packs: readonly string[]) =>
    packs.reduce((total, pack) => total + of[pack]!, main) / 1000;

  test.each([
    [
      'a float and a quantized detector',
      "export { Engine, imageFrom, loadDetector, openBrowserDevice } from 'raad-webgpu/browser';",
      [...GPU, 'integers', 'gpu-integers'],
      79,
    ],
    [
      'engine, graph and conv2d',
      "export { Engine, conv2d, input } from 'raad-webgpu/engine';",
      ['convolution', 'gpu-convolution'],
      33,
    ],
    ['training', "export { Engine, fit } from 'raad-webgpu';", [...GPU, 'training'], 94.5],
    ['one pure function', "export { auroc } from 'raad-webgpu';", [], 2],
  ] as const)('%s', async (what, code, packs, budget) => {
    const fetched = await chunks(code);
    console.log(`${what}: ${sum(fetched, packs).toFixed(1)} kB, of which code ${(fetched.main / 1000).toFixed(1)} kB`);
    expect(sum(fetched, packs)).toBeLessThan(budget);
  });
});

describe('the page of examples/vite', () => {
  const page = join(project, 'page');
  const { image } = renderSpecimen('biscuit', 'crack', 3, 160);
  let prediction: Prediction;
  let expected: RgbImage;

  beforeAll(async () => {
    const detector = new Detector(await engine(), await untrainedDetector());
    prediction = await detector.predict(image);
    expected = overlayHeatmap({ image, map: prediction.map, ...heatmapRange(detector.state) });
    cpSync(join(ROOT, 'examples/vite'), page, { recursive: true });
    writeTree(page, { 'public/model.safetensors': await saveDetector(detector) });
    detector.destroy();
  });

  test('is built from the package', () => {
    const vite = join(ROOT, 'node_modules/vite/bin/vite.js');
    const { status, stderr } = spawnSync(process.execPath, [vite, 'build'], { encoding: 'utf8', cwd: page });
    expect(stderr).not.toMatch(/error/i);
    expect(status).toBe(0);
    // Kernels come when they are needed.
    expect(readdirSync(join(page, 'dist/assets')).length).toBeGreaterThan(5);
  });

  test.runIf(hasChromium)('shows the heat map of Node in Chromium', async () => {
    const { said, width, height, rgba, errors } = await showOnVitePage(
      join(page, 'dist'),
      'crack.png',
      await encodePng(image),
    );
    expect(errors).toEqual([]);
    expect(said).toBe(
      `crack.png: score ${prediction.score.toFixed(3)}, ${prediction.isAnomalous ? 'anomalous' : 'normal'}.`,
    );
    expect([width, height]).toEqual([expected.width, expected.height]);
    const off = expected.data.filter((value, i) => Math.abs(value - rgba[Math.floor(i / 3) * 4 + (i % 3)]!) > 2);
    expect(off.length / expected.data.length).toBeLessThan(1e-3);
  });
});

test('a class is one, whichever entry it came from', () => {
  const modules = join(project, 'node_modules');
  const { peerDependencies } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
  for (const name of Object.keys(peerDependencies)) {
    mkdirSync(join(modules, name, '..'), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules', name), join(modules, name));
  }
  const { stdout, stderr } = node(`
    const entries = await Promise.all(${JSON.stringify(ENTRIES)}.map((name) => import('raad-webgpu' + name)));
    const names = new Set(entries.flatMap((entry) => Object.keys(entry).filter((name) => /^[A-Z][a-z]/.test(name) && typeof entry[name] === 'function')));
    let shared = 0;
    for (const name of names) {
      const all = entries.flatMap((entry) => entry[name] ?? []);
      if (all.length > 1) shared++;
      if (new Set(all).size > 1) throw new Error(name + ' is not one');
    }
    console.log(shared);`);
  expect(stderr).toBe('');
  expect(Number(stdout)).toBeGreaterThan(8);
});
