/** Writes the tables of docs/verdicts.md from bench/results/verdicts: npm run docs:verdicts */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import type { Shape } from '../src/checks/shape.ts';
import { readJson } from '../src/node/jsonFile.ts';
import { BORDER, type BorderReport } from './verdicts/border.ts';
import { FALSE_ALARMS, type FalseAlarms } from './verdicts/falseAlarms.ts';
import { withTables } from './verdicts/markdown.ts';

const PAGE = 'docs/verdicts.md';
const FOLDER = 'bench/results/verdicts';

const read = async <T>(name: string, shape: Shape) =>
  existsSync(`${FOLDER}/${name}`) ? readJson<T>(`${FOLDER}/${name}`, shape) : undefined;
const border = await read<BorderReport>('border.json', BORDER);
const falseAlarms = await read<FalseAlarms>('falseAlarms.json', FALSE_ALARMS);
writeFileSync(PAGE, withTables(readFileSync(PAGE, 'utf8'), { border, falseAlarms }));
console.log(PAGE);
