import { readFileSync } from 'node:fs';

/** The files that a page of the documentation holds: its fenced blocks that name one behind the language. */
export function filesOf(page: URL): Record<string, string> {
  const blocks = [...readFileSync(page, 'utf8').matchAll(/^```\w+ (\S+)\n(.*?)^```$/gms)];
  return Object.fromEntries(blocks.map(([, name, code]) => [name!, code!]));
}
