import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { compatibilityPage, type Run } from '../bench/compatibility.ts';

const read = (file: string) => readFileSync(new URL(`../docs/${file}`, import.meta.url), 'utf8');

test('the page of what was run where is made of its runs', () => {
  const runs: readonly Run[] = JSON.parse(read('compatibility.json'));
  expect(read('compatibility.md')).toBe(compatibilityPage(runs));
  for (const { where, version, date, result } of runs) {
    expect(result, where).not.toBe('');
    if (date === undefined) continue;
    expect(date, where).toMatch(/^\d{4}-\d\d-\d\d$/);
    expect(version, where).toMatch(/\d/);
  }
});
