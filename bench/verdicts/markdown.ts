import { markdown } from '../../src/report/markup.ts';
import { markdownTable } from '../card/table.ts';
import { METHODS } from '../methods.ts';
import { BORDERS, type BorderReport, type BorderRow } from './border.ts';
import { type FalseAlarms, rates } from './falseAlarms.ts';

/** Those that have been made. */
export interface VerdictReports {
  readonly border: BorderReport | undefined;
  readonly falseAlarms: FalseAlarms | undefined;
}

const percent = (share: number | undefined) => (share === undefined ? undefined : (100 * share).toFixed(1));

const groupOf = ({ set, method }: BorderRow) => `${set} ${method}`;

/** Rows of one set and method together, in the order of {@link BORDERS}. */
function inOrder(rows: readonly BorderRow[]): readonly BorderRow[] {
  const groups = new Set(rows.map(groupOf));
  const place = ({ border }: BorderRow) => BORDERS.indexOf(border);
  return [...groups].flatMap((group) =>
    rows.filter((row) => groupOf(row) === group).toSorted((a, b) => place(a) - place(b)),
  );
}

/** What stands between the markers `<!-- NAME: npm run docs:verdicts -->` and `<!-- /NAME -->`, by their names. */
const TABLES: Readonly<Record<string, (reports: VerdictReports) => string | undefined>> = {
  border: ({ border }) =>
    border &&
    markdownTable(
      inOrder(border.rows).map((row) => ({
        set: row.set,
        method: METHODS[row.method],
        border: row.border === 'filtered' ? 'reflect, --maps border' : row.border,
        'good images, %': percent(row.good),
        'defect in the outer 16 px, %': percent(row.band),
        'defect inside, %': percent(row.inside),
        'AUROC in the outer 16 px': percent(row.bandAuroc),
        'AUROC inside': percent(row.insideAuroc),
        'highest pixels in the outer 16 px, %': percent(row.bandPixels),
        'highest pixels inside, %': percent(row.insidePixels),
        'maximum in the outer 16 px, %': percent(row.highest),
      })),
    ),
  'false alarms': ({ falseAlarms }) =>
    falseAlarms &&
    markdownTable(
      rates(falseAlarms).map((row) => ({
        set: row.set,
        method: METHODS[row.method],
        'good test images': row.test,
        splits: row.splits,
        'promised, %': percent(row.promised),
        'seen, mean, %': percent(row.mean),
        'standard error': percent(row.error),
        'in the given split, %': percent(row.given),
      })),
    ),
};

/** The page with its tables. @throws Error for a page without markers */
export function withTables(page: string, reports: VerdictReports): string {
  return Object.entries(TABLES).reduce((text, [name, table]) => {
    const [open, close] = [`<!-- ${name}: npm run docs:verdicts -->`, `<!-- /${name} -->`];
    const [start, end] = [text.indexOf(open), text.indexOf(close)];
    if (start < 0 || end < start) throw new Error(`the page lacks the markers ${open} and ${close}`);
    const report = name === 'border' ? reports.border : reports.falseAlarms;
    const shown = report
      ? `${table(reports)}\nPDN-XS at ${report.resolution} px on ${markdown(report.adapter)}.`
      : 'Nothing has been measured yet.';
    return `${text.slice(0, start)}${open}\n\n${shown}\n\n${text.slice(end)}`;
  }, page);
}
