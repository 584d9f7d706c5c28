/** Writes docs/variants.md, every op x variant x adapter, from all files of bench/results: npm run docs:variants */
import { existsSync, writeFileSync } from 'node:fs';
import { MACHINES, withMatrices } from '../src/bench/machines.ts';
import { prepareCase } from '../src/doctor/check.ts';
import type { DoctorReport, VariantHealth } from '../src/doctor/doctor.ts';
import { rowPaths } from '../src/doctor/paths.ts';
import type { Caps } from '../src/engine/caps.ts';
import { fetchModules } from '../src/engine/deferred.ts';
import { isInput, parameterOf, topologicalOrder, type Variant } from '../src/engine/graph.ts';
import { lower } from '../src/engine/lower.ts';
import { supportedVariants } from '../src/engine/variants.ts';
import { detectorTable } from '../src/selfTest/table.ts';
import type { CardFile } from './card/format.ts';
import { readCards } from './card/read.ts';
import { markdownTable } from './card/table.ts';

const PAGE = 'docs/variants.md';
const FOLDERS = ['bench/results', 'bench/results/software'];

/** What a check of every variant found on an adapter. */
interface Checked {
  readonly name: string;
  readonly date: string;
  readonly full: boolean;
  readonly cases: number;
  readonly variants: ReadonlyMap<string, VariantHealth>;
  readonly within: ReadonlySet<string>;
}

/** Ops by the names that reports of earlier versions have for them. */
const presentName = (op: string) => op.replace('tandardise', 'tandardize').replace('uantise', 'uantize');

function checkedOn({ card, date, steps }: CardFile): Checked[] {
  // Both where a card has both: the later one may know variants that the other does not.
  const reports = ['doctor', 'doctor-full'].flatMap((name) => steps[name]?.result ?? []) as DoctorReport[];
  if (reports.length === 0) return [];
  const variants = new Map<string, VariantHealth>();
  for (const health of reports.flatMap((report) => report.variants)) {
    const key = `${presentName(health.op)}/${health.variant}`;
    if ((variants.get(key)?.cases ?? 0) < health.cases) variants.set(key, health);
  }
  const within = new Set(reports.flatMap(({ testedWithin }) => testedWithin.map(presentName)));
  const cases = Math.max(...reports.map((report) => report.cases));
  return [{ name: card.name, date, full: reports.some(({ full }) => full), cases, variants, within }];
}

/** Kinds of devices that between them support every variant. */
function devices(): Caps[] {
  const card = withMatrices(MACHINES.h100).caps;
  const cpu: Caps = { ...card, kind: 'cpu', isCpu: true, subgroupMinSize: 8, subgroupMaxSize: 8 };
  return [cpu, card];
}

interface Known {
  readonly op: string;
  readonly variant: Variant<unknown>;
}

/** Every variant of every op that the doctor's table reaches, in the table's order. */
function everyVariant(): Known[] {
  const cases = detectorTable.map(prepareCase);
  const tested = new Set(cases.map(({ output }) => output.op.name));
  const known = new Map<string, Known>();
  for (const caps of devices()) {
    const target = { caps, precision: 'f16' } as const;
    for (const prepared of cases) {
      for (const { variants } of rowPaths(prepared, target, (op) => tested.has(op))) {
        const { outputs, kernels } = lower({ outputs: { y: prepared.output }, variants }, target);
        for (const node of [prepared.output, ...topologicalOrder(Object.values(outputs)), ...kernels.keys()]) {
          if (isInput(node) || parameterOf(node)) continue;
          for (const variant of supportedVariants(node, target))
            known.set(`${node.op.name}/${variant.name}`, { op: node.op.name, variant });
        }
      }
    }
  }
  const ops = [...new Set(Array.from(known.values(), ({ op }) => op))];
  return [...known.values()].sort((a, b) => ops.indexOf(a.op) - ops.indexOf(b.op));
}

function found({ op, variant }: Known, { variants, within }: Checked): string | undefined {
  const health = variants.get(`${op}/${variant.name}`);
  if (!health) return within.has(op) ? 'within' : undefined;
  if (health.failed > 0) return `**${health.failed} of ${health.cases} wrong**`;
  return `${health.cases}, ${(100 * health.worst).toFixed(0)} %`;
}

await fetchModules();
const cards = FOLDERS.filter((folder) => existsSync(folder)).flatMap(readCards);
const adapters = cards.flatMap(checkedOn);
const rows = everyVariant().map((known) => ({
  op: known.op,
  variant: known.variant.name,
  'made for': known.variant.madeFor,
  results: known.variant.rounds ? 'within f16' : known.variant.error ? 'within f32' : undefined,
  ...Object.fromEntries(adapters.map((adapter) => [adapter.name, found(known, adapter)])),
}));
const text = `# Every op, every variant

Written by \`npm run docs:variants\` from the checks in [bench/results](../bench/results/README.md).
An op is defined by a reference in float64 and computed by one of its variants ([kernels.md](kernels.md)). \`raad doctor\` holds every variant that
an adapter supports against the reference, over a table of odd shapes.

An entry has the number of cases that ran a variant there, all of them right, and the largest error as a share of what is allowed.
*within*: the op exists inside others and ran in their cases. A dash: not run there, since the adapter lacks what it needs, or it came
after the check. *made for*: on the other kind of adapter a variant runs only when it is asked for. *results*: a variant that rounds values on
the way to halves, or exact integers to floats, and has a tolerance of its own.

${markdownTable(
  adapters.map(({ name, date, full, cases }) => ({
    adapter: name,
    checked: date,
    table: full ? 'full' : 'quick',
    cases,
  })),
)}
${markdownTable(rows)}`;
writeFileSync(PAGE, text);
console.log(`${PAGE}: ${rows.length} variants, ${adapters.length} adapters`);
