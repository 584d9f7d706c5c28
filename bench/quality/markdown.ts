import { markdown } from '../../src/report/markup.ts';
import { markdownTable } from '../card/table.ts';
import { ARM_NAMES, ARMS, type Arm, type QualityReport, type QualityRow } from './report.ts';

/** What stands between them on the page is generated. */
const MARKERS = ['<!-- quality: npm run docs:quality -->', '<!-- /quality -->'] as const;

/** Points by which the best row without the backbone may lie below the backbone's. */
const GOAL = 2;

/** The page with the tables of some reports between its markers. @throws Error for a page without markers */
export function withQuality(page: string, reports: readonly QualityReport[]): string {
  const [start, end] = MARKERS.map((marker) => page.indexOf(marker)) as [number, number];
  if (start < 0 || end < start) throw new Error(`the page lacks the markers ${MARKERS.join(' and ')}`);
  if (reports.length === 0)
    return `${page.slice(0, start)}${MARKERS[0]}\n\nNothing has been measured yet.\n\n${page.slice(end)}`;
  return `${page.slice(0, start)}${MARKERS[0]}\n\n${reports.map(section).join('\n')}\n${page.slice(end)}`;
}

function section({ adapter, versions, settings, backbone, rows }: QualityReport): string {
  const told = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  const head = [
    `Measured on ${markdown(adapter)} (${told.map(markdown).join(', ')}). Networks: \`raad fit ${settings}\`.`,
    backbone ? ` Backbone: ${markdown(backbone)}.` : '',
  ].join('');
  const places = [...new Set(rows.map(({ set, side }) => `${set} ${side}`))];
  return [
    `${head}\n`,
    ...places.map((place) => {
      const own = rows.filter(({ set, side }) => `${set} ${side}` === place);
      const { set, side, goodImages, badImages } = own[0]!;
      const title = `### ${markdown(set)}, ${side} px\n\n${goodImages} good and ${badImages} defective test images.\n`;
      const table = markdownTable(ARM_NAMES.flatMap((arm) => line(arm, own)));
      return `${title}\n${table}\n${[verdict(own), ...choice(own)].join('\n\n')}\n`;
    }),
  ].join('\n');
}

/** Means over the seeds, with the smallest and largest. */
function line(arm: Arm, rows: readonly QualityRow[]) {
  const own = rows.filter((row) => row.arm === arm);
  if (own.length === 0) return [];
  const { multiplyAdds, bytes } = own[0]!;
  const filters = [...new Set(own.flatMap(({ filter }) => filter ?? []))];
  return [
    {
      '': ARMS[arm].endsWith('auto') && filters.length > 0 ? `${ARMS[arm]} (${filters.join(', ')})` : ARMS[arm],
      seeds: own.length,
      AUROC: spread(own.map(({ auroc }) => auroc)),
      AP: spread(own.map(({ ap }) => ap)),
      'AU-PRO': spread(own.map(({ overlap }) => overlap)),
      'fit, s': meanOf(own.map(({ fitSeconds }) => fitSeconds))?.toFixed(0) ?? '',
      'multiply-adds, 10^6': Math.round(multiplyAdds / 1e6),
      ms: meanOf(own.map(({ milliseconds }) => milliseconds))?.toFixed(1) ?? '',
      'bytes, kB': Math.round(bytes / 1000),
    },
  ];
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Of those that were measured. */
function meanOf(values: readonly (number | undefined)[]): number | undefined {
  const known = values.flatMap((value) => value ?? []);
  return known.length > 0 ? mean(known) : undefined;
}

/** In percent. */
function spread(values: readonly (number | undefined)[]): string {
  const known = values.flatMap((value) => (value === undefined ? [] : [100 * value]));
  if (known.length === 0) return '';
  const middle = mean(known).toFixed(1);
  return known.length === 1
    ? middle
    : `${middle} (${Math.min(...known).toFixed(1)} to ${Math.max(...known).toFixed(1)})`;
}

/** Whether the goal is reached: the best row without the backbone close to it, with fewer multiply-adds. */
function verdict(rows: readonly QualityRow[]): string {
  const averages = ARM_NAMES.flatMap((arm) => {
    const own = rows.filter((row) => row.arm === arm && row.auroc !== undefined);
    if (own.length === 0) return [];
    return [{ arm, auroc: 100 * mean(own.map(({ auroc }) => auroc!)), work: own[0]!.multiplyAdds }];
  });
  const backbone = averages.find(({ arm }) => arm === 'backbone');
  const [best] = averages.filter(({ arm }) => arm !== 'backbone').sort((a, b) => b.auroc - a.auroc);
  if (!backbone || !best) return 'The backbone was not measured here.';
  const gap = backbone.auroc - best.auroc;
  const share = (best.work / backbone.work).toPrecision(2);
  const told = `${ARMS[best.arm]} has the best AUROC without the backbone: ${best.auroc.toFixed(1)}, the backbone's bank ${backbone.auroc.toFixed(1)}, with ${share} of its multiply-adds.`;
  return gap <= GOAL ? told : `${told} That is ${gap.toFixed(1)} points less: the goal of ${GOAL} is missed.`;
}

/** Where `--maps auto` chose: its arm, and those of the filters that it chose from. */
const CHOICES = [
  { of: 'the bank', auto: 'bankMaps', none: 'bank', gaussian: 'bankGaussian', location: 'bankLocation' },
  { of: 'RAAD', auto: 'maps', none: 'raad', gaussian: 'mapsGaussian', location: 'mapsLocation' },
] as const satisfies readonly (Readonly<Record<'auto' | 'none' | 'gaussian' | 'location', Arm>> & {
  readonly of: string;
})[];

/** What `--maps auto` chose, and what each filter gives, where all were measured. */
function choice(rows: readonly QualityRow[]): string[] {
  return CHOICES.flatMap(({ of, auto, ...filters }) => {
    const chosen = rows.filter(({ arm }) => arm === auto);
    const names = [...new Set(chosen.flatMap(({ filter }) => filter ?? []))];
    const told = Object.entries(filters).map(([name, arm]) => {
      const own = rows.filter((row) => row.arm === arm && chosen.some(({ seed }) => seed === row.seed));
      const figures = [spread(own.map(({ auroc }) => auroc)), spread(own.map(({ overlap }) => overlap))];
      return { name, isWhole: own.length === chosen.length, text: figures.filter((each) => each !== '').join(' / ') };
    });
    if (chosen.length === 0 || told.some(({ isWhole }) => !isWhole)) return [];
    const figures = told.map(({ name, text }) => `${name} ${text}`).join(', ');
    return [`For ${of}, \`--maps auto\` chose ${names.join(', ')}. Each filter gives: ${figures}.`];
  });
}
