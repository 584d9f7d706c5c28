/** Writes the tables of docs/verdicts.md from bench/results/verdicts: npm run docs:verdicts */
import { readFileSync, writeFileSync } from 'node:fs';
import { readJson } from '../src/node/jsonFile.ts';
import { BORDER, type BorderReport } from './verdicts/border.ts';
import { FALSE_ALARMS, type FalseAlarms } from './verdicts/falseAlarms.ts';
import { withTables } from './verdicts/markdown.ts';

const PAGE = 'docs/verdicts.md';
const FOLDER = 'bench/results/verdicts';

const border = await readJson<BorderReport>(`${FOLDER}/border.json`, BORDER);
const falseAlarms = await readJson<FalseAlarms>(`${FOLDER}/falseAlarms.json`, FALSE_ALARMS);
writeFileSync(PAGE, withTables(readFileSync(PAGE, 'utf8'), { border, falseAlarms }));
console.log(PAGE);
