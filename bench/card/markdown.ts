import { isNumber, threeDigits } from '../../src/report/format.ts';
import type { CardFile, CardStep } from './format.ts';
import { type Fields, markdownTable } from './table.ts';

const HEAD = `<!-- Generated from bench/results/*.json by \`npm run docs:card\`; not edited by hand. -->

# Measured GPUs

Every figure on this page was measured on the card that heads its section, by commands that end the section; ratios are
computed from the figures when the page is made. All programs of a table use the same card. Times are medians in milliseconds
from arrays on the host to arrays on the host, networks have 32-bit floats and random weights unless the row says otherwise.

Have another card? \`npm run bench:card\`, then \`npm run docs:card\`, and commit \`bench/results/NAME.json\` with this page;
[bench/results/README.md](../bench/results/README.md) says what is in the file.
`;

/** The page of all measured cards, in the order of their names. */
export function cardsMarkdown(files: readonly CardFile[]): string {
  const sorted = [...files].sort((a, b) => (a.card.name < b.card.name ? -1 : 1));
  const sections = sorted.map(cardSection);
  return `${[HEAD, ...(sections.length > 0 ? sections : ['No card has been measured yet.\n'])].join('\n')}`;
}

function cardSection(file: CardFile): string {
  const { card, steps } = file;
  const parts = [
    `## ${card.name}\n`,
    heading(file),
    part('Do the kernels compute the right thing?', doctor(fields(steps['doctor']))),
    part('Detector, one image', latency(steps)),
    part('Detector, 16 images at once', throughput(steps)),
    part('Teacher alone, one image', peerTable(fields(steps['peers-teacher']))),
    part('Training', training(steps)),
    part('What the card can do', peaks(steps)),
    part('Whole networks, input already on the card', networks(steps)),
    part('Every dispatch of the detector', dispatches(fields(steps['dispatches'] ?? steps['bench']))),
    part('Every layer of the teacher by every variant', suite(fields(steps['layers'] ?? steps['bench']), 'layers')),
    part('What is missing', missing(steps)),
    part('Commands', commands(steps)),
  ];
  return parts.filter((text) => text !== '').join('\n');
}

const part = (title: string, text: string): string => (text === '' ? '' : `### ${title}\n\n${text}`);

/** A step's result as an object, whatever it is. */
function fields(step: CardStep | undefined): Fields {
  return asFields(step?.result);
}

function asFields(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

function list(value: unknown): readonly Fields[] {
  return Array.isArray(value) ? value.map(asFields) : [];
}

const number = (value: unknown): number | undefined => (isNumber(value as number) ? (value as number) : undefined);

function heading({ card, date, steps }: CardFile): string {
  const versions = Object.assign({}, ...Object.values(steps).map((step) => asFields(fields(step)['versions'])));
  const torch = fields(steps['torch'])['torch'];
  const used = Object.entries({ ...versions, ...(torch !== undefined && { PyTorch: torch }) });
  const facts = [
    ['driver', card.driver],
    ['backend', card.backend],
    ['architecture', [card.vendor, card.architecture].filter(Boolean).join(' ')],
    ['measured on', date],
    ['versions', used.map(([name, version]) => `${name} ${String(version)}`).join(', ')],
  ];
  const told = facts.filter(([, value]) => value);
  return markdownTable(
    told.map(([name, value]) => ({ ' ': name, '  ': value })),
    [' ', '  '],
  );
}

interface TimeRow {
  readonly name: string;
  readonly median: number | undefined;
  readonly p5?: number | undefined;
  readonly p95?: number | undefined;
  readonly batch: number;
  readonly difference?: number | undefined;
  readonly error?: string | undefined;
}

/** Rows against the first one, which is ours. */
function timeTable(
  rows: readonly TimeRow[],
  options: { readonly perSecond: string; readonly batches?: boolean },
): string {
  if (rows.every(({ median }) => median === undefined)) return rows.map(failure).join('');
  const oursAt = (batch: number) =>
    rows.find((row) => row.batch === batch && row.name === OURS && row.median !== undefined && !row.error)?.median;
  const table = rows.flatMap((row): Fields[] => {
    const { name, median, p5, p95, batch, difference } = row;
    if (median === undefined) return [];
    const ours = oursAt(batch);
    const unit = options.perSecond === 'steps/s' ? 1 : batch;
    return [
      {
        program: name,
        ...(options.batches && { batch }),
        'median ms': median,
        'p5 ms': p5,
        'p95 ms': p95,
        [options.perSecond]: (1000 * unit) / median,
        'time / ours': ours === undefined ? undefined : median / ours,
        'differs by': difference === undefined ? undefined : difference.toExponential(1),
      },
    ];
  });
  return `${markdownTable(table)}${rows
    .filter(({ error }) => error)
    .map(failure)
    .join('')}`;
}

const OURS = 'raad-webgpu';

const failure = ({ name, error }: Pick<TimeRow, 'name' | 'error'>): string => (error ? `\n${name}: ${error}.\n` : '');

function peerRows(result: Fields): TimeRow[] {
  const batch = number(result['batch']) ?? 1;
  return list(result['rows']).map((row) => ({
    name: String(row['name']),
    median: number(row['median']),
    p5: number(row['p5']),
    p95: number(row['p95']),
    difference: number(row['difference']),
    error: row['error'] === undefined ? undefined : String(row['error']),
    batch,
  }));
}

function peerTable(result: Fields): string {
  const rows = peerRows(result);
  return rows.length === 0 ? '' : `${setting(result)}${timeTable(rows, { perSecond: 'images/s' })}`;
}

function setting(result: Fields): string {
  const { size, side, batch } = result;
  if (size === undefined) return '';
  return `PDN-${String(size).toUpperCase()}, ${batch} x 3 x ${side} x ${side}.\n\n`;
}

/** PyTorch's rows of a kind, such as `latency host to host`. */
function torchRows(steps: CardFile['steps'], batch: number, wanted: (name: string) => boolean): TimeRow[] {
  return list(fields(steps['torch'])['rows'])
    .filter((row) => row['batch'] === batch && wanted(String(row['name'])))
    .map((row) => ({ name: `PyTorch ${row['name']}`, median: number(row['ms']), batch }));
}

const isHostToHost = (name: string) => name.endsWith('host to host');
const isOnDevice = (name: string) => / device\b/.test(name);

function detector(steps: CardFile['steps'], result: Fields, batch: number): string {
  const rows = [...peerRows(result), ...torchRows(steps, batch, isHostToHost)];
  const found = rows.length === 0 ? '' : `${setting(result)}${timeTable(rows, { perSecond: 'images/s' })}`;
  return [found, protocol(steps, batch), onDevice(steps, batch)].filter(Boolean).join('\n');
}

const latency = (steps: CardFile['steps']) => detector(steps, fields(steps['peers-detector']), 1);
const throughput = (steps: CardFile['steps']) => detector(steps, fields(steps['peers-batch16']), 16);

/** `raad bench protocol`, whose image is of 8-bit pixels. */
function protocol(steps: CardFile['steps'], batch: number): string {
  const row = list(fields(steps['bench'])['protocol']).find(({ name }) => String(name).endsWith(`batch ${batch}`));
  const median = number(row?.['median']);
  if (!row || median === undefined) return '';
  const rate = threeDigits((1000 * batch) / median);
  const [middle, high] = [median, number(row['p95']) ?? median].map(threeDigits);
  return `With 8-bit pixels as input, as \`raad predict\` has them: median ${middle} ms, p95 ${high} ms, ${rate} images/s.\n`;
}

function onDevice(steps: CardFile['steps'], batch: number): string {
  const rows = torchRows(steps, batch, isOnDevice);
  const wanted = [...list(fields(steps['bench'])['results']), ...list(fields(steps['batch16'])['results'])];
  const ours = wanted.find(({ name }) => /^detector /.test(String(name)) && String(name).endsWith(` x ${batch}`));
  const median = number(ours?.['median ms']);
  if (rows.length === 0) return '';
  const first: TimeRow[] = median === undefined ? [] : [{ name: OURS, median, batch, p95: number(ours?.['p95 ms']) }];
  return `With the input on the card already, ours with its map copied to the host:\n\n${timeTable([...first, ...rows], { perSecond: 'images/s' })}`;
}

function training(steps: CardFile['steps']): string {
  const parts: string[] = [];
  const peers = fields(steps['peers-training']);
  const rows = peerRows(peers);
  if (rows.length > 0)
    parts.push(
      `One step with plain means as losses, which other engines can state:\n\n${setting(peers)}${timeTable(rows, { perSecond: 'steps/s' })}`,
    );
  const full = list(fields(steps['training'])['results'])
    .filter(({ name }) => String(name).startsWith('training step'))
    .map(
      (row): TimeRow => ({
        name: OURS,
        median: number(row['median ms']),
        p95: number(row['p95 ms']),
        batch: Number(/ x (\d+)$/.exec(String(row['name']))?.[1] ?? 1),
      }),
    );
  const batches = [...new Set([...full.map(({ batch }) => batch), 1, 4])];
  const torch = batches.flatMap((batch) => torchRows(steps, batch, (name) => name.startsWith('training step')));
  if (full.length + torch.length > 0)
    parts.push(
      `One step with all losses of the recipe:\n\n${timeTable([...full, ...torch], { perSecond: 'steps/s', batches: true })}`,
    );
  return parts.join('\n');
}

const PEAKS: readonly [key: string, name: string, unit: string, per: number][] = [
  ['f32GFlops', 'f32 multiply-add', 'TFLOP/s', 1000],
  ['f16GFlops', 'f16 multiply-add', 'TFLOP/s', 1000],
  ['dot4I8GOps', '`dot4I8Packed`', 'TOP/s', 1000],
  ['copyGBs', 'copy, read and written', 'GB/s', 1],
  ['readGBs', 'reading', 'GB/s', 1],
  ['emptySubmitUs', 'an empty submission', 'us', 1],
  ['dispatchUs', 'a tiny dispatch that waits for the one before', 'us', 1],
];

function peaks(steps: CardFile['steps']): string {
  const found = asFields(['bench', 'dispatches', 'layers'].map((name) => fields(steps[name])['peaks']).find(Boolean));
  const rows: Fields[] = [];
  for (const [key, name, unit, per] of PEAKS) {
    const value = number(found[key]);
    if (value !== undefined) rows.push({ ceiling: name, measured: value > 0 ? value / per : 'not available', unit });
  }
  for (const row of list(found['memory'])) {
    const [bytes, rate] = [number(row['bytes']), number(row['GBs'])];
    if (bytes !== undefined)
      rows.push({ ceiling: `memory, ${bytes / 2 ** 20} MiB of data`, measured: rate, unit: 'GB/s' });
  }
  for (const row of list(fields(steps['torch'])['rows'])) {
    const [tflops, gbps] = [number(row['tflops']), number(row['gbps'])];
    const name = `PyTorch ${row['name']}`;
    if (tflops !== undefined) rows.push({ ceiling: name, measured: tflops, unit: 'TFLOP/s' });
    if (gbps !== undefined) rows.push({ ceiling: name, measured: gbps, unit: 'GB/s' });
  }
  return rows.length === 0 ? '' : markdownTable(rows);
}

function networks(steps: CardFile['steps']): string {
  return suite(
    { results: [...list(fields(steps['bench'])['results']), ...list(fields(steps['batch16'])['results'])] },
    'networks',
  );
}

function suite(result: Fields, name: string): string {
  const rows = list(result['results']).filter((row) => row['suite'] === name);
  return rows.length === 0 ? '' : measuredTable(rows, ['suite']);
}

/** Dispatches, and how long all of them take together. */
function dispatches(result: Fields): string {
  const rows = list(result['dispatches']);
  if (rows.length === 0) return '';
  const total = (name: string) => {
    const values = rows.map((row) => number(normalise(row)[name]));
    return values.every((value) => value === undefined)
      ? undefined
      : values.reduce<number>((sum, value) => sum + (value ?? 0), 0);
  };
  const [measured, predicted] = [total('median ms'), total('predicted ms')];
  const sum =
    measured === undefined
      ? ''
      : `${rows.length} dispatches, ${threeDigits(measured)} ms together${predicted === undefined ? '' : `, predicted were ${threeDigits(predicted)} ms`}.\n\n`;
  return `${sum}${measuredTable(rows, ['runs'])}`;
}

function measuredTable(rows: readonly Fields[], without: readonly string[]): string {
  const shown = rows.map((row) =>
    Object.fromEntries(Object.entries(normalise(row)).filter(([name]) => !without.includes(name))),
  );
  return markdownTable(shown);
}

/** Fields as columns: predictions beside what was measured, what bounds a kernel in words. */
function normalise(row: Fields): Fields {
  const { name, median, p95, kernel, predicted, predictedMs, bound, ...rest } = row;
  const middle = number(median) ?? number(rest['median ms']);
  const guess = number(predictedMs) ?? number(predicted) ?? number(rest['predicted ms']);
  const { 'median ms': _, 'p95 ms': high, 'predicted ms': __, ...more } = rest;
  return {
    name,
    ...(typeof kernel === 'string' && { kernel: kernel.split(' ')[0] }),
    ...(middle !== undefined && { 'median ms': middle }),
    ...(guess !== undefined && { 'predicted ms': guess }),
    ...(guess !== undefined && middle !== undefined && { 'measured / predicted': middle / guess }),
    ...((p95 ?? high) !== undefined && { 'p95 ms': p95 ?? high }),
    ...(bound !== undefined && { bound: boundText(bound) }),
    ...more,
  };
}

/** `memory, 80 %`: what bounds a kernel, and which share of that ceiling it reaches. */
function boundText(bound: unknown): unknown {
  const { by, share } = asFields(bound);
  if (typeof by !== 'string') return bound;
  const reached = number(share);
  return reached === undefined ? by : `${by}, ${Math.round(100 * reached)} %`;
}

/** Numbers and words of the summary, then lists of what was left out, failed or was worst. */
function doctor(result: Fields): string {
  const lines: string[] = [];
  const summary = Object.keys(asFields(result['summary'])).length > 0 ? asFields(result['summary']) : result;
  const facts = Object.entries(summary).filter(([, value]) => ['number', 'string', 'boolean'].includes(typeof value));
  if (facts.length > 0)
    lines.push(
      markdownTable(
        facts.map(([name, value]) => ({ ' ': name, '  ': value })),
        [' ', '  '],
      ),
    );
  for (const [name, value] of Object.entries(result)) {
    if (!/exclud|fail|worst|slow|problem/i.test(name) || !Array.isArray(value) || value.length === 0) continue;
    const rows = value
      .slice(0, MOST_ROWS)
      .map((each) => (typeof each === 'object' ? asFields(each) : { [name]: each }));
    const rest = value.length > MOST_ROWS ? `\n... and ${value.length - MOST_ROWS} more.\n` : '';
    lines.push(`${name}:\n\n${markdownTable(rows)}${rest}`);
  }
  return lines.join('\n');
}

const MOST_ROWS = 25;

function missing(steps: CardFile['steps']): string {
  return Object.entries(steps)
    .flatMap(([name, { error, note, result }]) => {
      if (note !== undefined) return [`* ${name} was ${note}.\n`];
      if (error === undefined) return [];
      const text = error.split('\n')[0]!.replace(/\.$/, '');
      return [`* ${name} ${result === undefined ? 'failed' : 'is not complete'}: ${text}.\n`];
    })
    .join('');
}

function commands(steps: CardFile['steps']): string {
  const lines = Object.values(steps).flatMap(({ command }) => (command === '' ? [] : [command]));
  return lines.length === 0 ? '' : `\`\`\`sh\n${lines.join('\n')}\n\`\`\`\n`;
}
