import { isNumber, threeDigits } from '../../src/report/format.ts';
import { markdown, visible } from '../../src/report/markup.ts';
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
  const { card, steps, notes = '' } = file;
  const parts = [
    `## ${markdown(card.name)}\n`,
    heading(file),
    part('What stands out', notes),
    part('Do the kernels compute the right thing?', doctors(fields(steps['doctor-full']), fields(steps['doctor']))),
    part('Detector, one image', latency(steps)),
    part('Detector, 16 images at once', throughput(steps)),
    part('Teacher alone, one image', peerTable(fields(steps['peers-teacher']))),
    part('Training', training(steps)),
    part('What a run costs the host', host(fields(steps['host']))),
    part('What the card can do', peaks(steps)),
    part('Whole networks, input already on the card', suite(steps, 'networks', ['bench', 'batch16'])),
    part('Every dispatch of the detector', dispatches(steps)),
    part('Every layer of the teacher by every variant', suite(steps, 'layers', ['layers', 'bench'])),
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
  const toggles = new Set(
    Object.values(steps).flatMap((step) => {
      const { on } = asFields(fields(step)['toggles']);
      return Array.isArray(on) ? on.map(String) : [];
    }),
  );
  const used = Object.entries({ ...versions, ...(torch !== undefined && { PyTorch: torch }) });
  const facts = [
    ['driver', card.driver],
    ['backend', card.backend],
    ['architecture', [card.vendor, card.architecture].filter(Boolean).join(' ')],
    ["Dawn's toggles", [...toggles].join(', ')],
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

const failure = ({ name, error }: Pick<TimeRow, 'name' | 'error'>): string =>
  error ? `\n${markdown(name)}: ${markdown(error)}.\n` : '';

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
  return rows.length === 0
    ? ''
    : `${setting(result)}${timeTable(rows, { perSecond: 'images/s' })}${deviceErrors(result)}`;
}

/** What the device reported outside of any call: figures beside it are not to be trusted. */
function deviceErrors({ deviceErrors: found }: Fields): string {
  if (!Array.isArray(found)) return '';
  return found.map((message) => `\nThe device reported: ${markdown(String(message).split('\n')[0]!)}\n`).join('');
}

function setting(result: Fields): string {
  const { size, side, batch } = result;
  if (size === undefined) return '';
  return `PDN-${markdown(String(size).toUpperCase())}, ${number(batch)} x 3 x ${number(side)} x ${number(side)}.\n\n`;
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
  const found =
    rows.length === 0 ? '' : `${setting(result)}${timeTable(rows, { perSecond: 'images/s' })}${deviceErrors(result)}`;
  return [found, protocol(steps, batch), onDevice(steps, batch)].filter(Boolean).join('\n');
}

const latency = (steps: CardFile['steps']) => detector(steps, fields(steps['peers-detector']), 1);
const throughput = (steps: CardFile['steps']) => detector(steps, fields(steps['peers-batch16']), 16);

/** `raad bench protocol`, whose image is of 8-bit pixels. */
function protocol(steps: CardFile['steps'], batch: number): string {
  const rows = list(fields(steps['bench'])['protocol']);
  const row = rows.find(({ name }) => String(name).endsWith(`batch ${batch}`));
  const median = number(row?.['median']);
  if (!row || median === undefined) return '';
  const rate = threeDigits((1000 * batch) / median);
  const [middle, high] = [median, number(row['p95']) ?? median].map(threeDigits);
  const alone = `With 8-bit pixels as input, as \`raad predict\` has them: median ${middle} ms, p95 ${high} ms, ${rate} images/s.\n`;
  const inFlight = batch === 1 && rows.find(({ name }) => String(name).endsWith('several in flight'));
  const all = inFlight && number(inFlight['median']);
  if (!all) return alone;
  const images = Number.parseInt(String(inFlight['name']), 10);
  return `${alone}\nOne by one with several under way (\`stream\`): ${threeDigits((1000 * images) / all)} images/s.\n`;
}

/** Both sides without transfers where ours was measured so, else ours with its map copied to the host. */
function onDevice(steps: CardFile['steps'], batch: number): string {
  const torch = torchRows(steps, batch, isOnDevice);
  if (torch.length === 0) return '';
  const measured = ['bench', 'batch16'].flatMap((name) => list(fields(steps[name])['results']));
  const row = measured.find(({ name }) => /^detector /.test(String(name)) && String(name).endsWith(` x ${batch}`));
  const alone = number(row?.['device ms']) ?? number(runOnDevice(fields(steps['bench']), batch)?.['median']);
  const median = alone ?? number(row?.['median ms']);
  const ours: TimeRow[] =
    median === undefined ? [] : [{ name: OURS, median, batch }, ...halves(steps, batch), ...quantized(steps, batch)];
  const head = `With the input on the card already${alone === undefined ? '' : ', and the map left there'}`;
  return `${head}:\n\n${timeTable([...ours, ...torch], { perSecond: 'images/s' })}`;
}

/** The device's time of a run, as `raad bench protocol` measures it. */
function runOnDevice(result: Fields, batch: number): Fields | undefined {
  return list(result['protocol']).find(({ name }) => name === `a run, batch ${batch}, on the device`);
}

/** A run on the device of the detector with halves between Winograd's transforms. */
function halves(steps: CardFile['steps'], batch: number): TimeRow[] {
  const row = runOnDevice(fields(steps['halves']), batch);
  return row ? [{ name: `${OURS} f16`, median: number(row['median']), batch }] : [];
}

/** A run on the device of the detector with quantized weights. */
function quantized(steps: CardFile['steps'], batch: number): TimeRow[] {
  const result = fields(steps['quantized'] ?? steps['quantised']);
  const row = runOnDevice(result, batch);
  const { weights } = asFields(result['settings']);
  return row ? [{ name: `${OURS} w${weights}a8`, median: number(row['median']), batch }] : [];
}

/** Calls that the host makes, and round trips, of a detector's run. */
function host(result: Fields): string {
  const table = (name: string, title: string) => {
    const rows = list(result[name]).map((row): Fields => {
      const microseconds = (key: string) => (number(row[key]) ?? 0) * 1000;
      return { [title]: row['name'], 'median us': microseconds('median'), 'p95 us': microseconds('p95') };
    });
    return rows.length === 0 ? '' : markdownTable(rows);
  };
  const tables = [table('host', 'on the host'), table('waited', 'waited for')].filter(Boolean);
  if (tables.length === 0) return '';
  return `The detector of ${number(result['dispatches'])} dispatches at ${number(result['side'])} px:\n\n${tables.join('\n')}`;
}

function training(steps: CardFile['steps']): string {
  const parts: string[] = [];
  const peers = fields(steps['peers-training']);
  const rows = peerRows(peers);
  if (rows.length > 0)
    parts.push(
      `One step with plain means as losses, which other engines can state:\n\n${setting(peers)}${timeTable(rows, { perSecond: 'steps/s' })}${deviceErrors(peers)}`,
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
  ['dot4I8GOps', 'dot4I8Packed', 'TOP/s', 1000],
  ['copyGBs', 'copy, read and written', 'GB/s', 1],
  ['readGBs', 'reading', 'GB/s', 1],
  ['emptySubmitUs', 'an empty submission', 'us', 1],
  ['dispatchUs', 'a tiny dispatch that waits for the one before', 'us', 1],
];

function peaks(steps: CardFile['steps']): string {
  const found = asFields(
    ['bench', 'dispatches', 'layers', 'doctor'].map((name) => fields(steps[name])['peaks']).find(Boolean),
  );
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

/** What steps measured of a suite. */
function suite(steps: CardFile['steps'], name: string, from: readonly string[]): string {
  const all = from.flatMap((step) => list(fields(steps[step])['results']));
  const rows = all.filter((row) => row['suite'] === name);
  return rows.length === 0 ? '' : measuredTable(rows, ['suite', 'p5 ms', 'p99 ms']);
}

/** Dispatches with what was predicted of them, and how long all of them take together. */
function dispatches(steps: CardFile['steps']): string {
  const measured = ['dispatches', 'bench']
    .map((name) => list(fields(steps[name])['dispatches']))
    .find(({ length }) => length > 0);
  if (!measured) return '';
  const { machine, dispatches: predicted } =
    list(fields(steps['estimate'])['predictions']).find(({ bits }) => bits === 32) ?? {};
  const left = [...list(predicted)];
  const rows = measured.map((row): Fields => {
    const normal = normalize(row);
    const at = left.findIndex(({ label }) => label === normal['name']);
    const [found] = at < 0 ? [] : left.splice(at, 1);
    // Timestamps show the work without the gap before it.
    return found
      ? normalize({ ...row, predictedMs: found['workMilliseconds'], 'predicted bound': found['bound'] })
      : normal;
  });
  const total = (name: string, of: readonly Fields[]) => of.reduce((sum, row) => sum + (number(row[name]) ?? 0), 0);
  const both = rows.filter((row) => row['predicted ms'] !== undefined);
  const lines = [`${rows.length} dispatches, ${threeDigits(total('median ms', rows))} ms together.\n`];
  if (both.length > 0) {
    const model = asFields(machine)['name'];
    const [real, guess] = [total('median ms', both), total('predicted ms', both)];
    lines.push(
      `Of ${both.length} of them the time was predicted${model === undefined ? '' : ` for ${markdown(String(model))}`}: ${threeDigits(guess)} ms, measured were ${threeDigits(real)} ms, ${threeDigits(real / guess)} times that.\n`,
    );
  }
  lines.push(measuredTable(rows, ['runs', 'workgroups', 'p5 ms']));
  return lines.join('\n');
}

function measuredTable(rows: readonly Fields[], without: readonly string[]): string {
  const shown = rows.map((row) =>
    Object.fromEntries(Object.entries(normalize(row)).filter(([name]) => !without.includes(name))),
  );
  return markdownTable(shown);
}

/** Fields as columns: predictions beside what was measured, what bounds a kernel in words. */
function normalize(row: Fields): Fields {
  const { name, dispatch, median, p95, kernel, predicted, predictedMs, bound, ...rest } = row;
  const middle = number(median) ?? number(rest['median ms']);
  const guess = number(predictedMs) ?? number(predicted) ?? number(rest['predicted ms']);
  const { 'median ms': _, 'p95 ms': high, 'predicted ms': __, 'measured / predicted': ___, ...more } = rest;
  return {
    name: name ?? dispatch,
    ...(typeof kernel === 'string' && { kernel: kernel.split(' ')[0]!.replace('.wgsl', '') }),
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

/** Both checks: a full one, and what a quick one ran beyond it, since variants may have come later. */
function doctors(full: Fields, quick: Fields): string {
  if (full['verdict'] === undefined) return doctor(quick);
  const nameOf = ({ op, variant }: Fields) => `${op}/${variant}`;
  const known = new Set(list(full['variants']).map(nameOf));
  const more = list(quick['variants']).filter((each) => !known.has(nameOf(each)));
  return [doctor(full), doctor({ ...quick, variants: more, allVariants: list(quick['variants']).length })]
    .filter(Boolean)
    .join('\n');
}

/** The verdict, what is not used on this card, and the worst case of every variant. */
function doctor(result: Fields): string {
  const { verdict, cases, rows, full, allVariants } = result;
  if (verdict === undefined) return '';
  const variants = list(result['variants']);
  const excluded = Array.isArray(result['excluded']) ? result['excluded'].map(String) : [];
  const failures = list(result['failures']);
  const scope = full === true ? 'Full check' : 'Check';
  const lines = [
    `${scope}: **${markdown(String(verdict))}**. ${number(cases)} cases of ${number(allVariants) ?? variants.length} variants on ${number(rows)} shapes against a float64 reference, ${failures.length} wrong. Not used on this card: ${markdown(excluded.join(', ')) || 'none'}.\n`,
  ];
  for (const { name, isRight, error, limit } of list(result['smoke']))
    lines.push(
      `${markdown(String(name))} of a whole network: ${isRight ? 'right' : 'wrong'}, error ${exponential(error)}, allowed ${number(limit)}.\n`,
    );
  if (failures.length > 0) {
    const shown = failures
      .slice(0, MOST_FAILURES)
      .map(({ path, row, message }) => ({ variant: path, shape: row, message }));
    const more = failures.length > MOST_FAILURES ? `\n... and ${failures.length - MOST_FAILURES} more.\n` : '';
    lines.push(`${markdownTable(shown)}${more}`);
  }
  if (variants.length > 0)
    lines.push(
      markdownTable(
        variants.map((row) => ({
          op: row['op'],
          variant: row['variant'],
          cases: row['cases'],
          wrong: row['failed'],
          'worst error': exponential(row['worstError']),
          'share of limit':
            number(row['worst']) === undefined ? undefined : `${Math.round(100 * Number(row['worst']))} %`,
          'worst case': row['worstCase'],
        })),
      ),
    );
  return lines.join('\n');
}

const MOST_FAILURES = 25;
const exponential = (value: unknown) => number(value)?.toExponential(1);

function missing(steps: CardFile['steps']): string {
  return Object.entries(steps)
    .flatMap(([name, { error, note, result }]) => {
      if (note !== undefined) return [`* ${name} was ${markdown(note)}.\n`];
      if (error === undefined) return [];
      const text = error.split('\n')[0]!.replace(/\.$/, '');
      return [`* ${name} ${result === undefined ? 'failed' : 'is not complete'}: ${markdown(text)}.\n`];
    })
    .join('');
}

function commands(steps: CardFile['steps']): string {
  const lines = Object.entries(steps).flatMap(([name, { command }]) =>
    command === '' || name === 'torch' ? [] : [visible(command)],
  );
  const torch =
    fields(steps['torch'])['rows'] === undefined
      ? ''
      : "PyTorch's rows are those of a program outside this project: the same networks of `torch.nn` with cuDNN, random weights,\n" +
        'medians of many runs. `npm run bench:card -- --torch FILE` reads its JSON in.\n';
  return lines.length === 0 ? torch : [`\`\`\`sh\n${lines.join('\n')}\n\`\`\`\n`, torch].filter(Boolean).join('\n');
}
