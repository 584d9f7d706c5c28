/** Writes docs/compatibility.md from docs/compatibility.json, where each run is a line: npm run docs:compatibility */
import { readFileSync, writeFileSync } from 'node:fs';
import { compatibilityPage, type Run } from './compatibility.ts';

const runs: readonly Run[] = JSON.parse(readFileSync('docs/compatibility.json', 'utf8'));
writeFileSync('docs/compatibility.md', compatibilityPage(runs));
