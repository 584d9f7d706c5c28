import { markdownTable } from './card/table.ts';

/** Something that was run somewhere, or was not. */
export interface Run {
  /** Browser or runtime. */
  readonly where: string;
  readonly version?: string;
  readonly adapter?: string;
  readonly what?: string;
  /** Absent where it was not run. */
  readonly date?: string;
  /** What came out, or why it was not run. */
  readonly result: string;
}

/** docs/compatibility.md */
export function compatibilityPage(runs: readonly Run[]): string {
  const rows = (isRun: boolean) => runs.filter(({ date }) => (date !== undefined) === isRun).map((run) => ({ ...run }));
  return `# What was run where

Written by \`npm run docs:compatibility\` from [compatibility.json](compatibility.json). Kernels on GPUs have a page of their own:
[variants.md](variants.md).

${markdownTable(rows(true), ['where', 'version', 'adapter', 'what', 'date', 'result'])}
## Not run

What stands here may work, and nobody has seen it.

${markdownTable(rows(false), ['where', 'version', 'adapter', 'what', 'result'])}`;
}
