import { type BenchResult, benchLayers, benchNetworks, benchTraining } from '../src/bench/suites.ts';
import { adapterIdentity } from '../src/engine/tuning.ts';
import { UserError } from '../src/errors.ts';
import { measurePeaks, type Peaks } from '../src/measure/peak.ts';
import { Networks } from '../src/networks/networks.ts';
import type { PdnSize } from '../src/networks/pdn.ts';
import { engine } from './device.ts';
import { byId, downloadJson, table } from './dom.ts';
import { Task, type TaskControl } from './task.ts';

const PARTS = ['peaks', 'networks', 'training', 'layers'] as const;

interface Choice {
  readonly parts: ReadonlySet<(typeof PARTS)[number]>;
  readonly size: PdnSize;
  readonly side: number;
  readonly batch: number;
  readonly rounds: number;
}

interface BenchReport {
  readonly userAgent: string;
  readonly adapter: string;
  readonly settings: Omit<Choice, 'parts'>;
  readonly peaks?: Peaks | undefined;
  readonly results: readonly BenchResult[];
  /** What this device could not run, with the reason. */
  readonly refused: readonly string[];
}

/** Runs of each case before those that are timed. */
const WARM_UP_RUNS = 3;

/** Sets up the panel that measures this adapter. */
export function startBench(): void {
  const task = new Task(byId('bench-task', HTMLElement));
  const save = byId('bench-save', HTMLButtonElement);
  const place = byId('bench-result', HTMLElement);
  let report: BenchReport | undefined;

  byId('bench-start', HTMLButtonElement).addEventListener('click', () => {
    void task.run(async (control) => {
      report = await measureAll(readChoice(), control);
      save.disabled = false;
      place.replaceChildren(...resultOf(report));
      return 'Measured.';
    });
  });
  save.addEventListener('click', () => downloadJson('raad-bench.json', report));
}

function readChoice(): Choice {
  const parts = new Set(PARTS.filter((part) => byId(`bench-${part}`, HTMLInputElement).checked));
  if (parts.size === 0) throw new UserError('nothing is chosen to be measured.', 'Tick peaks, networks or others.');
  return {
    parts,
    size: byId('bench-size', HTMLSelectElement).value as PdnSize,
    side: Number(byId('bench-side', HTMLSelectElement).value),
    batch: wholeNumber('bench-batch', 'batch'),
    rounds: wholeNumber('bench-rounds', 'runs'),
  };
}

/** @throws UserError unless the field's value is within its bounds */
function wholeNumber(id: string, name: string): number {
  const { valueAsNumber, min, max, validity } = byId(id, HTMLInputElement);
  if (!validity.valid || !Number.isInteger(valueAsNumber))
    throw new UserError(`the number of ${name} cannot be used.`, `Give a whole number from ${min} to ${max}.`);
  return valueAsNumber;
}

async function measureAll(choice: Choice, { signal, progress }: TaskControl): Promise<BenchReport> {
  const { parts, size, side, batch, rounds } = choice;
  progress('Opening the adapter.');
  const current = await engine();
  const { caps } = current;
  const refused: string[] = [];
  const results: BenchResult[] = [];
  const options = { rounds, warmUp: WARM_UP_RUNS, signal };
  const networks = new Networks(size, side);
  networks.initialize(0);
  let peaks: Peaks | undefined;
  const part = async (name: (typeof PARTS)[number], text: string, work: () => Promise<void>) => {
    if (!parts.has(name)) return;
    signal.throwIfAborted();
    progress(text);
    await work();
  };
  try {
    await part('peaks', 'Measuring what the adapter can do at most.', async () => {
      peaks = await measurePeaks(current);
    });
    await part('networks', 'Timing the networks.', async () => {
      results.push(...(await benchNetworks(current, networks, batch, options)));
    });
    await part('training', 'Timing a training step.', async () => {
      results.push(...(await benchTraining(current, networks, batch, options)));
    });
    await part('layers', 'Timing every convolution by every variant.', async () => {
      const onRefused = (name: string, reason: string) => refused.push(`${name}: ${reason}`);
      results.push(...(await benchLayers(current, networks, batch, options, () => true, onRefused)));
    });
  } finally {
    current.release(networks.parameters);
  }
  return {
    userAgent: navigator.userAgent,
    adapter: adapterIdentity(caps),
    settings: { size, side, batch, rounds },
    peaks,
    results,
    refused,
  };
}

function resultOf({ peaks, results, refused }: BenchReport): HTMLElement[] {
  const tables: HTMLElement[] = [];
  if (peaks) tables.push(table('Peaks', ['what', 'at most', 'unit'], peakRows(peaks), [1]));
  if (results.length > 0) {
    const rows = results.map(({ name, median, p5, p95, images, flops, deviceMs }) => [
      name,
      short(median),
      short((1000 * images) / median),
      short(flops / median / 1e6),
      short(deviceMs),
      `${short(p5)} to ${short(p95)}`,
    ]);
    const names = ['what', 'ms', 'images/s', 'GFLOP/s', 'ms on the device', 'ms, 5 % to 95 %'];
    tables.push(table('Times; operations are those of the plain definition', names, rows, [1, 2, 3, 4, 5]));
  }
  if (refused.length > 0) {
    const rows = refused.map((each) => [each]);
    tables.push(table('Not run here', ['what and why'], rows));
  }
  return tables;
}

function peakRows({ f32GFlops, f16GFlops, dot4I8GOps, readGBs, copyGBs, emptySubmitUs, dispatchUs }: Peaks) {
  const has = (value: number) => (value > 0 ? short(value) : '-');
  return [
    ['arithmetic, f32', has(f32GFlops), 'GFLOP/s'],
    ['arithmetic, f16', has(f16GFlops), 'GFLOP/s'],
    ['dot4I8Packed', has(dot4I8GOps), 'GOP/s'],
    ['reading memory', has(readGBs), 'GB/s'],
    ['copying buffers', has(copyGBs), 'GB/s'],
    ['empty submission', has(emptySubmitUs), 'µs'],
    ['dispatch', has(dispatchUs), 'µs'],
  ];
}

/** Three digits, or those of the whole part. */
function short(value: number): string {
  return value < 100 ? value.toPrecision(3) : value.toFixed(0);
}
