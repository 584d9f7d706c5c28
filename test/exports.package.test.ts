import { spawnSync } from 'node:child_process';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const SOURCE = join(ROOT, 'src');

const config = ts.getParsedCommandLineOfConfigFile(
  join(ROOT, 'tsconfig.json'),
  {},
  {
    ...ts.sys,
    onUnRecoverableConfigFileDiagnostic: () => {},
  },
)!;
const program = ts.createProgram(
  config.fileNames.filter((name) => name.includes('/src/')),
  config.options,
);
const checker = program.getTypeChecker();

const resolved = (symbol: ts.Symbol) =>
  symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
const isOurs = (node: ts.Node) => node.getSourceFile().fileName.startsWith(SOURCE);

/** A body is no part of what is declared, and neither is what is private. */
function isHidden(node: ts.Node): boolean {
  if (ts.isBlock(node) && ts.isFunctionLike(node.parent)) return true;
  return ts.isClassElement(node) && node.name !== undefined && ts.isPrivateIdentifier(node.name);
}

/** Types that an entry's exports refer to and it does not export, such as `Plan of Engine`. */
function missing(entry: string): string[] {
  const module = checker.getSymbolAtLocation(program.getSourceFile(join(SOURCE, `${entry}.ts`))!)!;
  const exported = new Set(checker.getExportsOfModule(module).map(resolved));
  const found = new Set<string>();
  const visit = (node: ts.Node, of: ts.Symbol): void => {
    if (isHidden(node)) return;
    const name = ts.isTypeReferenceNode(node)
      ? node.typeName
      : ts.isExpressionWithTypeArguments(node)
        ? node.expression
        : undefined;
    const symbol = name && checker.getSymbolAtLocation(name);
    const declaration = symbol && resolved(symbol).declarations?.[0];
    // What is not exported at all is inlined in the declarations.
    const isNamed = declaration && ts.getCombinedModifierFlags(declaration) & ts.ModifierFlags.Export;
    if (isNamed && isOurs(declaration) && !exported.has(resolved(symbol))) {
      found.add(`${symbol.name} (${relative(SOURCE, declaration.getSourceFile().fileName)}) of ${of.name}`);
    }
    // Values are declared by their type alone.
    if (ts.isVariableDeclaration(node)) {
      if (node.type) visit(node.type, of);
    } else ts.forEachChild(node, (child) => visit(child, of));
  };
  for (const symbol of exported) for (const each of symbol.declarations ?? []) if (isOurs(each)) visit(each, symbol);
  return [...found];
}

test.each(['index', 'engine', 'generator', 'node', 'browser'])('%s exports every type that it refers to', (entry) => {
  expect(missing(entry)).toEqual([]);
});

test('the API’s pages are written without a warning', () => {
  const typedoc = join(ROOT, 'node_modules/typedoc/bin/typedoc');
  const options = ['--emit', 'none', '--treatWarningsAsErrors'];
  const { status, stdout, stderr } = spawnSync(process.execPath, [typedoc, ...options], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  expect(stdout + stderr).not.toMatch(/warning|error/i);
  expect(status).toBe(0);
});
