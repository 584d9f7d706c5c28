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
  const lines = template.split('\n');
  const end = emit(lines, 0, lines.length, new Map(Object.entries(options.defines)), options, out);
  if (end !== lines.length) throw new Error(`shader template line ${end + 1}: '#end' without '#for' or '#if'`);
  return out.join('\n');
}

type Scope = Map<string, number | string>;

/** `#end` closes any block; where names follow, they have to be those of its loop. */
interface Block {
  /** Line of its `#end`. */
  readonly end: number;
  /** Line of its `#else`. */
  readonly middle?: number;
}

function emit(lines: string[], from: number, to: number, scope: Scope, options: ExpandOptions, out: string[]): number {
  for (let i = from; i < to; i++) {
    const line = lines[i]!;
    const directive = /^\s*#(\w+)\s*(.*?)\s*$/.exec(line);
    if (!directive) {
      out.push(substitute(line, scope, i));
      continue;
    }
    const [, word, rest] = directive as unknown as [string, string, string];
    if (word === 'end' || word === 'else') return i;
    if (word === 'params') {
      if (options.params) out.push(options.params);
    } else if (word === 'include') {
      const snippet = options.snippet?.(rest);
      if (snippet === undefined) throw new Error(`shader template line ${i + 1}: unknown snippet '${rest}'`);
      const inner = snippet.split('\n');
      emit(inner, 0, inner.length, scope, options, out);
    } else if (word === 'for') {
      const loops = rest.split(',').map((part) => parseLoop(part, i));
      const { end } = blockEnd(lines, i, to, loops.map(({ name }) => name).join(', '));
      for (const values of indices(loops, scope, i)) emit(lines, i + 1, end, values, options, out);
      i = end;
    } else if (word === 'if') {
      const { end, middle } = blockEnd(lines, i, to);
      if (integer(rest, scope, i) !== 0) emit(lines, i + 1, middle ?? end, scope, options, out);
      else if (middle !== undefined) emit(lines, middle + 1, end, scope, options, out);
      i = end;
    } else {
      throw new Error(`shader template line ${i + 1}: unknown directive '#${word}'`);
    }
  }
  return to;
}

/** An index of a loop and its bounds, as they are written. */
interface Loop {
  readonly name: string;
  readonly low: string;
  readonly high: string;
}

function parseLoop(text: string, at: number): Loop {
  const [, name, low, high] = /^\s*(\w+) in (.+?)\.\.(.+)$/.exec(text) ?? [];
  if (name === undefined)
    throw new Error(`shader template line ${at + 1}: expected '#for name in A..B, name in C..D' instead of '${text}'`);
  return { name, low: low!, high: high! };
}

/** What names stand for in every turn of nested loops; inner bounds may use outer names. */
function* indices([loop, ...inner]: readonly Loop[], scope: Scope, at: number): Generator<Scope> {
  if (!loop) {
    yield scope;
    return;
  }
  const stop = integer(loop.high, scope, at);
  for (let value = integer(loop.low, scope, at); value < stop; value++)
    yield* indices(inner, new Map(scope).set(loop.name, value), at);
}

/** @param names of the loop that begins there */
function blockEnd(lines: string[], start: number, to: number, names = ''): Block {
  let depth = 0;
  let middle: number | undefined;
  for (let i = start + 1; i < to; i++) {
    const [, word, rest] = /^\s*#(\w+)\s*(.*?)\s*$/.exec(lines[i]!) ?? [];
    if (word === 'for' || word === 'if') depth++;
    else if (word === 'else' && depth === 0) middle = i;
    else if (word === 'end' && depth-- === 0) {
      if (rest !== '' && rest !== names)
        throw new Error(
          `shader template line ${i + 1}: '#end ${rest}' closes '${lines[start]!.trim()}' of line ${start + 1}`,
        );
      return middle === undefined ? { end: i } : { end: i, middle };
    }
  }
  throw new Error(`shader template line ${start + 1}: block without '#end'`);
}

function substitute(line: string, scope: Scope, at: number): string {
  return line.replace(/\$\{([^}]*)\}/g, (_, text: string) => String(evaluate(text, scope, at)));
}

function integer(text: string, scope: Scope, at: number): number {
  const value = evaluate(text, scope, at);
  if (typeof value !== 'number') throw new Error(`shader template line ${at + 1}: '${text}' is not a number`);
  return value;
}

const OPERATORS: readonly (readonly string[])[] = [
  ['||'],
  ['&&'],
  ['==', '!=', '<=', '>=', '<', '>'],
  ['+', '-'],
  ['*', '/', '%'],
];

/** Precedence climbing over integers; a lone name may also stand for text. Division rounds towards zero. */
function evaluate(text: string, scope: Scope, at: number): number | string {
  const tokens = text.match(/\d+|\w+|\|\||&&|[=!<>]=|[-+*/%()<>!]/g) ?? [];
  let next = 0;
  const fail = (): never => {
    throw new Error(`shader template line ${at + 1}: cannot evaluate '${text}'`);
  };
  const primary = (): number | string => {
    const token = tokens[next++];
    if (token === undefined) return fail();
    if (token === '(') {
      const value = binary(0);
      if (tokens[next++] !== ')') fail();
      return value;
    }
    if (token === '-') return -(primary() as number);
    if (token === '!') return primary() === 0 ? 1 : 0;
    if (/^\d/.test(token)) return Number(token);
    const value = scope.get(token);
    if (value === undefined) throw new Error(`shader template line ${at + 1}: unknown name '${token}'`);
    return value;
  };
  const binary = (level: number): number | string => {
    if (level === OPERATORS.length) return primary();
    let left = binary(level + 1);
    while (next < tokens.length && OPERATORS[level]!.includes(tokens[next]!)) {
      const operator = tokens[next++]!;
      const right = binary(level + 1);
      left = apply(operator, left as number, right as number);
    }
    return left;
  };
  const value = binary(0);
  if (next !== tokens.length) fail();
  return value;
}

function apply(operator: string, a: number, b: number): number {
  switch (operator) {
    case '||':
      return a !== 0 || b !== 0 ? 1 : 0;
    case '&&':
      return a !== 0 && b !== 0 ? 1 : 0;
    case '==':
      return a === b ? 1 : 0;
    case '!=':
      return a !== b ? 1 : 0;
    case '<=':
      return a <= b ? 1 : 0;
    case '>=':
      return a >= b ? 1 : 0;
    case '<':
      return a < b ? 1 : 0;
    case '>':
      return a > b ? 1 : 0;
    case '+':
      return a + b;
    case '-':
      return a - b;
    case '*':
      return a * b;
    case '/':
      return Math.trunc(a / b);
    default:
      return a % b;
  }
}
