import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const SOURCE = fileURLToPath(new URL('../src/', import.meta.url));
const ENTRIES = ['index.ts', 'engine.ts', 'generator.ts', 'node.ts', 'browser.ts'];

/** Which folders may import which, by ARCHITECTURE.md's table. */
function allowedImports(): Map<string, ReadonlySet<string>> {
  const page = readFileSync(new URL('../ARCHITECTURE.md', import.meta.url), 'utf8');
  const text = /^## Folders$.*?^## /ms.exec(page)![0];
  const rows = [...text.matchAll(/^\| `(\w+)` \| [^|]* \| ([^|]*) \|$/gm)].map(([, folder, list]) => ({
    folder: folder!,
    list: list!.trim(),
  }));
  const all = rows.map(({ folder }) => folder);
  return new Map(
    rows.map(({ folder, list }) => {
      const names = list.startsWith('everything') ? all : list.split(', ').filter(Boolean);
      return [folder, new Set([folder, ...names])];
    }),
  );
}

/** What a module imports of the package: statically, for types, by re-export or dynamically. */
function importsOf(path: string, text: string): string[] {
  const specifiers = [
    ...text.matchAll(/(?:^|[\s;}])(?:import|export)\b[^'"`;]*?\bfrom\s*['"](\.[^'"]+)['"]/g),
    ...text.matchAll(/(?:^|[\s;])import\s*['"](\.[^'"]+)['"]/g),
    ...text.matchAll(/\bimport\s*\(\s*['"](\.[^'"]+)['"]/g),
  ];
  return specifiers.map(([, specifier]) => posix.normalize(posix.join(posix.dirname(path), specifier!)));
}

/** One sentence for every import that the table does not allow. */
function violations(files: Iterable<readonly [path: string, text: string]>): string[] {
  const allowed = allowedImports();
  const found: string[] = [];
  for (const [path, text] of files) {
    const [folder, file] = path.split('/');
    if (file === undefined) continue;
    const own = allowed.get(folder!);
    if (!own) {
      found.push(`${path} lies in no folder of the table`);
      continue;
    }
    for (const imported of importsOf(path, text)) {
      const [other, inner] = imported.split('/');
      // Shaders lie beside `src`, measured choices are data.
      if (other === '..' || other === 'tuning' || imported === 'errors.ts') continue;
      if (inner === undefined ? ENTRIES.includes(other!) : !own.has(other!)) found.push(`${path} imports ${imported}`);
    }
  }
  return found;
}

const files = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' })
  .map((path) => path.replaceAll('\\', '/'))
  .filter((path) => path.endsWith('.ts') && !path.endsWith('.d.ts'))
  .map((path) => [path, readFileSync(SOURCE + path, 'utf8')] as const);

test('no module imports what its folder may not', () => {
  expect(files.length).toBeGreaterThan(200);
  expect(violations(files)).toEqual([]);
});

test('imports of every kind count', () => {
  for (const statement of [
    "import { Detector } from '../detector/detector.ts';",
    "import type { Detector } from '../detector/detector.ts';",
    "import {\n  type Detector,\n} from '../detector/detector.ts';",
    "export type { Detector } from '../detector/detector.ts';",
    "export * from '../detector/detector.ts';",
    "const load = () => import('../detector/detector.ts');",
    "type Detector = import('../detector/detector.ts').Detector;",
    "import '../detector/detector.ts';",
  ]) {
    expect(violations([['engine/new.ts', statement]]), statement).toEqual([
      'engine/new.ts imports detector/detector.ts',
    ]);
  }
  expect(violations([['engine/new.ts', "import { add } from './graph.ts';"]])).toEqual([]);
  expect(violations([['engine/new.ts', "import { Engine } from '../index.ts';"]])).toHaveLength(1);
  expect(violations([['elsewhere/new.ts', '']])).toEqual(['elsewhere/new.ts lies in no folder of the table']);
});

test('files that pages and shaders name are there', () => {
  const root = fileURLToPath(new URL('../', import.meta.url));
  const pages = ['', 'docs/', 'shaders/', 'shaders/snippets/'].flatMap((folder) =>
    readdirSync(root + folder)
      .filter((name) => /\.(md|wgsl)$/.test(name))
      .map((name) => folder + name),
  );
  for (const page of pages) {
    for (const [path] of readFileSync(root + page, 'utf8').matchAll(/(?<![\w./])src\/[\w/]+\.ts\b/g)) {
      expect(existsSync(root + path), `${page} names ${path}`).toBe(true);
    }
  }
});

test('the table has no circle, and neither have the files', () => {
  const allowed = allowedImports();
  const order = [...allowed.keys()];
  for (const [folder, imported] of allowed) {
    for (const other of imported)
      expect(order.indexOf(other), `${folder} -> ${other}`).toBeLessThanOrEqual(order.indexOf(folder));
  }
  const graph = new Map(files.map(([path, text]) => [path, importsOf(path, text)]));
  const state = new Map<string, 'open' | 'done'>();
  const visit = (path: string, way: readonly string[]): void => {
    if (state.get(path) === 'done') return;
    if (state.get(path) === 'open') expect.fail([...way.slice(way.indexOf(path)), path].join(' -> '));
    state.set(path, 'open');
    for (const next of graph.get(path) ?? []) visit(next, [...way, path]);
    state.set(path, 'done');
  };
  for (const path of graph.keys()) visit(path, []);
});
