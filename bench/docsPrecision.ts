/** Writes the tables of docs/mixed-precision.md from all files of bench/results/precision: npm run docs:precision */
import { readFileSync, writeFileSync } from 'node:fs';
import { withTables } from './precision/markdown.ts';
import { readReports } from './precision/report.ts';

const PAGE = 'docs/mixed-precision.md';

const reports = readReports('bench/results/precision');
writeFileSync(PAGE, withTables(readFileSync(PAGE, 'utf8'), reports));
console.log(`${PAGE}: ${reports.length} adapters`);
