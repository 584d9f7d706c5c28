/** Writes the tables of docs/quality.md from the files of bench/results/quality/quality*.json: npm run docs:quality */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { withQuality } from './quality/markdown.ts';
import { readReport } from './quality/report.ts';

const PAGE = 'docs/quality.md';
const FOLDER = 'bench/results/quality';

const files = readdirSync(FOLDER).filter((name) => /^quality.*\.json$/.test(name));
const reports = files.sort().map((name) => readReport(join(FOLDER, name))!);
writeFileSync(PAGE, withQuality(readFileSync(PAGE, 'utf8'), reports));
console.log(`${PAGE}: ${reports.length} reports`);
