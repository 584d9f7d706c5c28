/**
 * The only place that makes shader text: expands a `.wgsl` template into WGSL.
 *
 * A template is WGSL with four additions, each chosen so that the file stays readable by itself:
 *
 *     ${EXPRESSION}              replaced by the value (integer arithmetic, comparison, && || ! and names)
 *     #for i in A..B, j in C..D  the lines up to #end i, j, once for all integers A <= i < B and C <= j < D, the last one fastest
 *     #if EXPRESSION             the lines up to #else or #end, when the value is not 0
 *     #include NAME              the text of the named snippet, expanded with the same values
 *     #params                    the uniform struct `Params` and its binding (name `params`), from the kernel's own list
 *
 * Register tiles have to be unrolled into named variables, since drivers do not keep indexed private arrays in registers.
 */
export type Defines = Readonly<Record<string, number | string>>;

export interface ExpandOptions {
  readonly defines: Defines;
  /** The text of a snippet, if there is one of that name. */
  readonly snippet?: (name: string) => string | undefined;
  /** Text that replaces a `#params` line. */
  readonly params?: string;
}

/** @throws Error naming the template line when a directive is malformed or a name is unknown. */
export function expand(template: string, options: ExpandOptions): string {
  const out: string[] = [];
  run(parsed(template), { scope: new Map(Object.entries(options.defines)), options, out });
  return out.join('\n');
}

type Value = number | string;
type Scope = Map<string, Value>;
type Expression = (scope: Scope) => Value;

/** What lines of a template do when they are expanded. */
type Statement = (context: Context) => void;

interface Context {
  /** What names stand for. */
  readonly scope: Scope;
  readonly options: ExpandOptions;
  readonly out: string[];
}

function run(statements: readonly Statement[], context: Context): void {
  for (const statement of statements) statement(context);
}

/** Templates are few, and expanded for every kernel of every plan. */
const templates = new Map<string, readonly Statement[]>();

function parsed(template: string): readonly Statement[] {
  let statements = templates.get(template);
  if (!statements) {
    const lines = template.split('\n');
    const { end, ...block } = parseBlock(lines, 0);
    if (end < lines.length) fail(end, "'#end' or '#else' without '#for' or '#if'");
    statements = block.statements;
    templates.set(template, statements);
  }
  return statements;
}

/** @param at the line's index */
function fail(at: number, message: string): never {
  throw new Error(`shader template line ${at + 1}: ${message}`);
}

const DIRECTIVE = /^\s*#(\w+)\s*(.*?)\s*$/;

/** @returns the statements up to the `#end` or `#else` that belongs to a line before, and that one's index */
function parseBlock(lines: readonly string[], from: number): { statements: Statement[]; end: number } {
  const statements: Statement[] = [];
  for (let i = from; i < lines.length; i++) {
    const [, word, rest = ''] = DIRECTIVE.exec(lines[i]!) ?? [];
    if (word === undefined) statements.push(textLine(lines[i]!, i));
    else if (word === 'end' || word === 'else') return { statements, end: i };
    else if (word === 'params') statements.push(parameters);
    else if (word === 'include') statements.push(inclusion(rest, i));
    else if (word === 'for') {
      const loops = rest.split(',').map((part) => parseLoop(part, i));
      const body = parseBlock(lines, i + 1);
      requireEnd(lines, i, body.end, loops.map(({ name }) => name).join(', '));
      statements.push((context) => runLoops(loops, body.statements, context));
      i = body.end;
    } else if (word === 'if') {
      const condition = parseNumber(rest, i);
      const then = parseBlock(lines, i + 1);
      const hasElse = DIRECTIVE.exec(lines[then.end] ?? '')?.[1] === 'else';
      const other = hasElse ? parseBlock(lines, then.end + 1) : { statements: [], end: then.end };
      requireEnd(lines, i, other.end);
      statements.push((context) => run((condition(context.scope) ? then : other).statements, context));
      i = other.end;
    } else fail(i, `unknown directive '#${word}'`);
  }
  return { statements, end: lines.length };
}

/** `#end` closes any block; where names follow, they have to be those of its loop. */
function requireEnd(lines: readonly string[], start: number, end: number, names = ''): void {
  const [, word, rest] = DIRECTIVE.exec(lines[end] ?? '') ?? [];
  if (word !== 'end') fail(start, "block without '#end'");
  if (rest !== '' && rest !== names) fail(end, `'#end ${rest}' closes '${lines[start]!.trim()}' of line ${start + 1}`);
}

function parameters({ options: { params }, out }: Context): void {
  if (params) out.push(params);
}

function inclusion(name: string, at: number): Statement {
  return (context) => {
    const text = context.options.snippet?.(name);
    if (text === undefined) fail(at, `unknown snippet '${name}'`);
    run(parsed(text), context);
  };
}

/** Text with `${EXPRESSION}`s. */
function textLine(line: string, at: number): Statement {
  // Text and expressions in turns.
  const parts = line.split(/\$\{([^}]*)\}/);
  if (parts.length === 1) return ({ out }) => out.push(line);
  const pieces = parts.map((part, i) => (i % 2 === 0 ? part : parseExpression(part, at)));
  return ({ scope, out }) => {
    let text = '';
    for (const piece of pieces) text += typeof piece === 'string' ? piece : piece(scope);
    out.push(text);
  };
}

/** An index of a loop and its bounds. */
interface Loop {
  readonly name: string;
  readonly low: (scope: Scope) => number;
  readonly high: (scope: Scope) => number;
}

function parseLoop(text: string, at: number): Loop {
  const [, name, low, high] = /^\s*(\w+) in (.+?)\.\.(.+)$/.exec(text) ?? [];
  if (name === undefined) fail(at, `expected '#for name in A..B, name in C..D' instead of '${text}'`);
  return { name, low: parseNumber(low!, at), high: parseNumber(high!, at) };
}

/** The body once for all values of nested loops; inner bounds may use outer names. */
function runLoops([loop, ...inner]: readonly Loop[], body: readonly Statement[], context: Context): void {
  if (!loop) {
    run(body, context);
    return;
  }
  const { scope } = context;
  const outer = scope.get(loop.name);
  const stop = loop.high(scope);
  for (let value = loop.low(scope); value < stop; value++) {
    scope.set(loop.name, value);
    runLoops(inner, body, context);
  }
  if (outer === undefined) scope.delete(loop.name);
  else scope.set(loop.name, outer);
}

/** An expression that has to be a number. */
function parseNumber(text: string, at: number): (scope: Scope) => number {
  const expression = parseExpression(text, at);
  return (scope) => {
    const value = expression(scope);
    return typeof value === 'number' ? value : fail(at, `'${text}' is not a number`);
  };
}

type Operator = (a: number, b: number) => number;

const LEVELS: readonly Readonly<Record<string, Operator>>[] = [
  { '||': (a, b) => Number(a !== 0 || b !== 0) },
  { '&&': (a, b) => Number(a !== 0 && b !== 0) },
  {
    '==': (a, b) => Number(a === b),
    '!=': (a, b) => Number(a !== b),
    '<=': (a, b) => Number(a <= b),
    '>=': (a, b) => Number(a >= b),
    '<': (a, b) => Number(a < b),
    '>': (a, b) => Number(a > b),
  },
  { '+': (a, b) => a + b, '-': (a, b) => a - b },
  { '*': (a, b) => a * b, '/': (a, b) => Math.trunc(a / b), '%': (a, b) => a % b },
];
/** Loosest first. Division rounds towards zero. */
const OPERATORS = LEVELS.map((level) => new Map(Object.entries(level)));

/** Precedence climbing over integers; a lone name may also stand for text. */
function parseExpression(text: string, at: number): Expression {
  const tokens = text.match(/\d+|\w+|\|\||&&|[=!<>]=|[-+*/%()<>!]/g) ?? [];
  let next = 0;
  const refuse = (): never => fail(at, `cannot evaluate '${text}'`);
  const primary = (): Expression => {
    const token = tokens[next++] ?? refuse();
    if (token === '(') {
      const inner = binary(0);
      if (tokens[next++] !== ')') refuse();
      return inner;
    }
    if (token === '-' || token === '!') {
      const operand = primary() as (scope: Scope) => number;
      return token === '-' ? (scope) => -operand(scope) : (scope) => Number(operand(scope) === 0);
    }
    if (/^\d/.test(token)) return () => Number(token);
    return (scope) => scope.get(token) ?? fail(at, `unknown name '${token}'`);
  };
  const binary = (level: number): Expression => {
    const operators = OPERATORS[level];
    if (!operators) return primary();
    let left = binary(level + 1);
    for (;;) {
      const operator = operators.get(tokens[next] ?? '');
      if (!operator) return left;
      next++;
      const [a, b] = [left, binary(level + 1)];
      left = (scope) => operator(a(scope) as number, b(scope) as number);
    }
  };
  const expression = binary(0);
  if (next !== tokens.length) refuse();
  return expression;
}
