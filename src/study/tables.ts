import type { CellResult } from './cells.ts';
export function studyCsv(results: readonly CellResult[]): string {
  return results.map((r) => r.id).join('\n');
}
export function studyMarkdown(results: readonly CellResult[]): string {
  return results.map((r) => r.id).join('\n');
}
