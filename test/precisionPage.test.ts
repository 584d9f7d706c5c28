import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { withTables } from '../bench/precision/markdown.ts';
import { type KernelReport, readReports } from '../bench/precision/report.ts';
import { temporaryFolder, writeTree } from './support/temporary.ts';

const page = readFileSync(new URL('../docs/mixed-precision.md', import.meta.url), 'utf8');
const committed = readReports(fileURLToPath(new URL('../bench/results/precision', import.meta.url)));

describe('the page of what widths cost', () => {
  test('is written from the committed files', () => {
    expect(withTables(page, committed)).toBe(page);
  });

  const row = (change: object) => ({
    ...{ shape: '1,4,8,8:4,3,3', kernel: 'qconv2d', bits: 4, activations: 'u4', variant: 'rows', error: 0 },
    ...{ 'median ms': 2, 'GOP/s': 3, 'GB/s': 0.25, 'executed GOP/s': 1.5, 'weight bytes': 1250, 'memory bytes': 4000 },
    ...change,
  });
  const report = (rounds: number): KernelReport => ({
    adapter: { description: 'A card', subgroupMaxSize: 32 },
    versions: { node: 'v22' },
    settings: { rounds },
    results: [
      row({}),
      row({ kernel: 'conv2d', bits: 32, activations: 'f32', variant: 'tile', 'median ms': 4, error: 2e-7 }),
    ],
  });

  test('shows counts, and times as shares of the fastest float variant where there are enough rounds', () => {
    const timed = withTables(page, [report(20)]);
    expect(timed).toContain('### A card');
    expect(timed).toContain('medians of 20 rounds in turns');
    expect(timed).toContain('| 4 bits | u4 | rows | 0 | 6 | 3 | 500 | 1.25 | 4 | 2 | 0.5 |');
    expect(timed).toContain('| float | float | tile | 2.0e-7 |');
    const counted = withTables(page, [report(1)]);
    expect(counted).toContain('counted, not timed');
    expect(counted).toContain('| 4 bits | u4 | rows | 0 | 6 | 3 | 500 | 1.25 | 4 |\n');
    expect(withTables(page, [])).toContain('No adapter has been measured yet.');
  });

  test('is refused without markers, and files that are no reports are', () => {
    expect(() => withTables('# a page', [])).toThrow(/lacks the markers/);
    const folder = temporaryFolder();
    writeTree(folder, { 'other.json': '{"results": []}' });
    expect(() => readReports(folder)).toThrow(/other\.json/);
  });
});
