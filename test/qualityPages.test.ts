import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { withQuality } from '../bench/quality/markdown.ts';
import { type Arm, type QualityReport, type QualityRow, readReport } from '../bench/quality/report.ts';
import { readLog } from '../bench/teachers/logs.ts';
import { lossChart, withTeachers } from '../bench/teachers/markdown.ts';
import { TEACHERS, type TeacherReport } from '../bench/teachers/report.ts';
import { BORDER, type BorderReport } from '../bench/verdicts/border.ts';
import { FALSE_ALARMS, type FalseAlarms, rates } from '../bench/verdicts/falseAlarms.ts';
import { withTables } from '../bench/verdicts/markdown.ts';
import { readJson } from '../src/node/jsonFile.ts';
import { temporaryFolder } from './support/temporary.ts';

const docs = (name: string) => readFileSync(new URL(`../docs/${name}`, import.meta.url), 'utf8');
const results = fileURLToPath(new URL('../bench/results', import.meta.url));

describe('pages are written from the committed files', () => {
  test('how well defects are found', () => {
    const folder = join(results, 'quality');
    const files = readdirSync(folder).filter((name) => /^quality.*\.json$/.test(name));
    const reports = files.sort().map((name) => readReport(join(folder, name))!);
    expect(withQuality(docs('quality.md'), reports)).toBe(docs('quality.md'));
  });

  test('what teachers are worth, with its chart', async () => {
    const report = await readJson<TeacherReport>(join(results, 'quality/teachers.json'), TEACHERS);
    expect(withTeachers(docs('distill.md'), report, 'distill-losses.svg')).toBe(docs('distill.md'));
    expect(`${lossChart(report)}\n`).toBe(docs('distill-losses.svg'));
  });

  test('borders and false alarms', async () => {
    const border = await readJson<BorderReport>(join(results, 'verdicts/border.json'), BORDER);
    const falseAlarms = await readJson<FalseAlarms>(join(results, 'verdicts/falseAlarms.json'), FALSE_ALARMS);
    expect(withTables(docs('verdicts.md'), { border, falseAlarms })).toBe(docs('verdicts.md'));
  });
});

const EMPTY = '<!-- quality: npm run docs:quality -->\n<!-- /quality -->';

describe('the page of quality', () => {
  const row = (arm: Arm, auroc: number, change: Partial<QualityRow> = {}): QualityRow => ({
    ...{ set: 'parts', side: 128, seed: 0, arm, auroc, goodImages: 9, badImages: 8, multiplyAdds: 2e6, bytes: 3000 },
    ...change,
  });
  const page = (...rows: QualityRow[]) => {
    const report: QualityReport = { adapter: 'A card', versions: { node: 'v22' }, settings: '--preset quick', rows };
    return withQuality(EMPTY, [report]);
  };

  test('tells how far the best is from the backbone, and with how much of its work', () => {
    const backbone = row('backbone', 0.9, { multiplyAdds: 8e6 });
    expect(page(row('bank', 0.885), row('raad', 0.7), backbone)).toContain(
      "memory bank has the best AUROC without the backbone: 88.5, the backbone's bank 90.0, with 0.25 of its multiply-adds.\n",
    );
    expect(page(row('bank', 0.8), backbone)).toContain('That is 10.0 points less: the goal of 2 is missed.');
    expect(page(row('bank', 0.8))).toContain('The backbone was not measured here.');
  });

  test('means over seeds have their range; what was not measured stays open', () => {
    const seeds = [0.8, 0.9].map((auroc, seed) => row('raad', auroc, { seed, fitSeconds: 10 + seed }));
    expect(page(...seeds)).toContain('| RAAD, float | 2 | 85.0 (80.0 to 90.0) | 11 | 2 | 3 |');
    expect(page(row('raad', 0.8))).toContain('| RAAD, float | 1 | 80.0 | 2 | 3 |');
  });

  test('tells what --maps auto chose, and what would have been best', () => {
    const filters = [row('bank', 0.7), row('bankGaussian', 0.8), row('bankLocation', 0.6)];
    expect(page(...filters, row('bankMaps', 0.7, { filter: 'none' }))).toContain(
      'For the bank, `--maps auto` chose none. Each filter gives: none 70.0, gaussian 80.0, location 60.0.',
    );
    expect(page(...filters)).not.toContain('chose');
  });
});

test('the curve of a log has a point for every look at held-out photographs', () => {
  const file = join(temporaryFolder(), 'log.jsonl');
  const line = (step: number, heldOutLoss: number, loss?: number) =>
    JSON.stringify({ step, seconds: 90 * step, loss, heldOutLoss, explained: 1 - heldOutLoss });
  writeFileSync(file, `${[line(0, 1), line(1, 1, 0.9), line(2, 0.5, 0.7), line(3, 0.5, 0.6)].join('\n')}\n`);
  expect(readLog(file)).toEqual({
    minutes: 4.5,
    curve: [{ step: 2, loss: expect.closeTo(0.8), heldOutLoss: 0.5, explained: 0.5 }],
  });
});

test('rates of false alarms are means over the random splits of one set and one method', () => {
  const split = (method: 'nearest' | 'student', name: string, seen: number) => ({
    ...{ set: 'parts', method, split: name, test: 10 },
    rates: [{ alpha: 0.1, promised: 0.1, seen }],
  });
  const splits = [split('nearest', 'given', 0.3), split('nearest', '0', 0), split('nearest', '1', 0.2)];
  const found = rates({ alphas: [0.1], splits: [...splits, split('student', '0', 0.5), split('student', '1', 0.5)] });
  expect(found).toMatchObject([
    { method: 'nearest', splits: 2, mean: 0.1, error: expect.closeTo(0.1), given: 0.3 },
    { method: 'student', splits: 2, mean: 0.5, error: 0 },
  ]);
});
