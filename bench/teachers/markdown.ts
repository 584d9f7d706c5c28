import * as Plot from '@observablehq/plot';
import { markdown } from '../../src/report/markup.ts';
import { plotSvg } from '../../src/report/plot.ts';
import { markdownTable } from '../card/table.ts';
import type { DistillRun, TeacherReport } from './report.ts';

/** What stands between them on the page is generated. */
const MARKERS = ['<!-- teachers: npm run docs:teachers -->', '<!-- /teachers -->'] as const;

const percent = (share: number | undefined) => (share === undefined ? '' : (100 * share).toFixed(1));

/** The page with the report between its markers. @param chart path of the loss curves from the page @throws Error for a page without markers */
export function withTeachers(page: string, { adapter, rows, runs }: TeacherReport, chart: string): string {
  const [start, end] = MARKERS.map((marker) => page.indexOf(marker)) as [number, number];
  if (start < 0 || end < start) throw new Error(`the page lacks the markers ${MARKERS.join(' and ')}`);
  const told = runs.map(({ teacher, size, options, minutes, curve }) => {
    const { step, heldOutLoss, explained } = curve.at(-1)!;
    return `* **${markdown(teacher)}**, PDN-${size.toUpperCase()}: \`raad distill ${options}\`, ${Math.round(minutes)} minutes, ${step} steps; held-out loss ${heldOutLoss.toFixed(3)}, ${percent(explained)} % explained.`;
  });
  const places = [...new Set(rows.map(({ set, side, size }) => `${size} ${set} ${side}`))];
  const placeOf = ({ set, side, size }: TeacherReport['rows'][number]) => places.indexOf(`${size} ${set} ${side}`);
  const table = markdownTable(
    [...rows]
      .sort((a, b) => placeOf(a) - placeOf(b))
      .map(({ set, side, size, teacher, auroc, overlap, fitSeconds }) => ({
        set: `${set}, ${side} px`,
        network: `PDN-${size.toUpperCase()}`,
        teacher,
        AUROC: percent(auroc),
        'AU-PRO': percent(overlap),
        'fit, s': Math.round(fitSeconds),
      })),
  );
  const parts = [
    `Measured on ${markdown(adapter)}.`,
    ...(told.length > 0 ? [told.join('\n'), `![Losses by step](${chart})`] : []),
    table,
  ];
  return `${page.slice(0, start)}${MARKERS[0]}\n\n${parts.join('\n\n')}\n${page.slice(end)}`;
}

// Of medium brightness, to be read on light and dark ground.
const INK = '#737373';

/** Losses over the steps, of training and of held-out photographs, a line each for every run. */
export function lossChart({ runs }: Pick<TeacherReport, 'runs'>): string {
  const nameOf = ({ teacher, size }: DistillRun) => `${teacher} ${size.toUpperCase()}`;
  const points = runs.flatMap((run) =>
    run.curve.flatMap(({ step, loss, heldOutLoss }) => {
      const share = (100 * step) / run.curve.at(-1)!.step;
      return [
        { share, value: loss, line: `${nameOf(run)}, training` },
        { share, value: heldOutLoss, line: `${nameOf(run)}, held out` },
      ];
    }),
  );
  const ends = runs.map((run) => `${nameOf(run)} ${run.curve.at(-1)!.heldOutLoss.toFixed(3)}`);
  return plotSvg(
    {
      width: 640,
      height: 320,
      marginLeft: 48,
      marginRight: 150,
      style: { color: INK, fontSize: '12px', background: 'none' },
      color: { legend: false, scheme: 'Tableau10' },
      x: { label: 'steps, %', ticks: 6 },
      y: { label: 'mean squared error', grid: true, zero: true },
      marks: [
        Plot.line(points, { x: 'share', y: 'value', stroke: 'line', strokeWidth: 2 }),
        // Above the one line and below the other.
        ...(['held out', 'training'] as const).map((kind) =>
          Plot.text(
            points.filter(({ line }) => line.endsWith(kind)),
            Plot.selectLast({
              ...{ x: 'share', y: 'value', z: 'line', text: 'line', fill: 'line' },
              ...{ textAnchor: 'start' as const, dx: 6, dy: kind === 'training' ? 6 : -6 },
            }),
          ),
        ),
      ],
    },
    `Mean squared error over the steps; at the end on held-out photographs: ${ends.join(', ')}`,
  );
}
