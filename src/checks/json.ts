import { quote, UserError } from '../errors.ts';

/** Levels of nesting: more than any of our formats has, few enough for recursion over what was parsed. */
const MAX_DEPTH = 8;

/**
 * JSON that means the same to every reader: no key twice in an object, no `__proto__`, no deep nesting.
 * @param subject begins the message of the error
 * @throws UserError saying which of these it is not
 */
export function parseJson(text: string, subject: string, fix: string): unknown {
  const wrong = (what: string) => new UserError(`${subject} ${what}.`, fix);
  let problem: string | undefined;
  let value: unknown;
  try {
    // Depth first: what is too deep is not worth parsing.
    problem = structureProblem(text);
    if (!problem) value = JSON.parse(text);
  } catch {
    throw wrong('is not JSON');
  }
  if (problem) throw wrong(problem);
  return value;
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Finds what `JSON.parse` lets through. Text that is no JSON may pass. @throws SyntaxError for a key that is no string */
function structureProblem(text: string): string | undefined {
  const keys: Set<string>[] = [];
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    if (char === '{' || char === '[') {
      if (keys.push(new Set()) > MAX_DEPTH) return `is nested deeper than ${MAX_DEPTH} levels`;
    } else if (char === '}' || char === ']') keys.pop();
    else if (char === '"') {
      const start = i;
      for (i++; i < text.length && text[i] !== '"'; i++) if (text[i] === '\\') i++;
      let next = i + 1;
      while (next < text.length && ' \t\r\n'.includes(text[next]!)) next++;
      if (text[next] !== ':') continue;
      // Escapes may spell one key in two ways.
      const key: string = JSON.parse(text.slice(start, i + 1));
      if (key === '__proto__') return `has the key "__proto__"`;
      if (keys.at(-1)?.has(key)) return `has the key ${quote(key)} twice`;
      keys.at(-1)?.add(key);
    }
  }
  return undefined;
}
