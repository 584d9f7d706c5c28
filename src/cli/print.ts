import { visible, visibleLines } from '../report/markup.ts';

// Whatever commands show to people leaves through these functions: names of files, provenance of models and results may be
// anybody's, and a terminal obeys what it is sent. The linter refuses `console` elsewhere.

/** Lines of results, to stdout. Line ends inside a line are shown, not made. */
export function printLine(...lines: readonly string[]): void {
  console.log(lines.map(visible).join('\n'));
}

/** Results that are laid out in lines, to stdout: a table, JSON, a program. Foreign text in them has no line ends. */
export function printText(text: string): void {
  console.log(visibleLines(text));
}

/** Lines about the work, to stderr. */
export function say(...lines: readonly string[]): void {
  console.error(lines.map(visible).join('\n'));
}

/** What is laid out in lines, to stderr: an error with its stack. */
export function sayText(text: string): void {
  console.error(visibleLines(text));
}
