/** Writes the part of docs/distill.md that bench/results/quality/teachers.json holds, and its chart: npm run docs:teachers */
import { readFileSync, writeFileSync } from 'node:fs';
import { readJson } from '../src/node/jsonFile.ts';
import { lossChart, withTeachers } from './teachers/markdown.ts';
import { TEACHERS, type TeacherReport } from './teachers/report.ts';

const PAGE = 'docs/distill.md';
const CHART = 'distill-losses.svg';

const report = await readJson<TeacherReport>('bench/results/quality/teachers.json', TEACHERS);
writeFileSync(`docs/${CHART}`, `${lossChart(report)}\n`);
writeFileSync(PAGE, withTeachers(readFileSync(PAGE, 'utf8'), report, CHART));
console.log(PAGE);
