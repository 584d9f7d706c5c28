/**
 * How well defects are found: memory banks, RAAD, RAAD with filtered maps, each as floats and at 5 bits on average, on data sets and
 * seeds, by the command line. What is in the file is not measured again, and models are kept, so that a run can be stopped.
 *
 *   npm run bench:quality -- --sets NAME=DIR,...      one data set each
 *                            [--side 128] [--seeds 0,1,2]
 *                            [--arms bank,bank5,bankMaps,bankGaussian,bankLocation,backbone,raad,raad5,maps,mapsGaussian,mapsLocation,maps5]
 *                            [--preset quick] [--iterations N]   as `raad fit` takes them
 *                            [--backbone FILE.onnx --layers A,B --backbone-side 512 --normalize symmetric --channels 512]
 *                            [--models DIR]           where models are kept: out/quality
 *                            [--minutes N]            nothing is begun later
 *                            [--untimed]              leaves milliseconds to a later run, when nothing else runs
 *                            [--json FILE]            bench/results/quality/quality.json
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { splitHeldOut } from '../src/data/dataset.ts';
import { loadDetector, readModel } from '../src/detector/modelFile.ts';
import { graphCost } from '../src/engine/cost.ts';
import { Engine } from '../src/engine/engine.ts';
import { input, Parameter } from '../src/engine/graph.ts';
import { UserError } from '../src/errors.ts';
import type { Metrics } from '../src/evaluation/evaluate.ts';
import { exactQuantile } from '../src/math/statistics.ts';
import { anomalyMaps } from '../src/networks/inference.ts';
import type { Networks } from '../src/networks/networks.ts';
import { NORMALIZATION_NAMES, openBackbone } from '../src/node/backbone.ts';
import { openDatasets } from '../src/node/datasets.ts';
import { openDevice } from '../src/node/device.ts';
import { ownVersion } from '../src/node/version.ts';
import { choice, choices } from './choice.ts';
import { evaluateBackboneBank, type FeatureCache } from './quality/backboneBank.ts';
import { convolutionWork } from './quality/onnxWork.ts';
import { ARM_NAMES, type Arm, keyOf, type QualityReport, type QualityRow, readReport } from './quality/report.ts';

const { values } = parseArgs({
  options: {
    sets: { type: 'string' },
    side: { type: 'string', default: '128' },
    seeds: { type: 'string', default: '0,1,2' },
    arms: { type: 'string', default: ARM_NAMES.join(',') },
    preset: { type: 'string', default: 'quick' },
    iterations: { type: 'string' },
    backbone: { type: 'string' },
    layers: { type: 'string', default: '' },
    'backbone-side': { type: 'string', default: '512' },
    normalize: { type: 'string', default: 'imagenet' },
    channels: { type: 'string', default: '512' },
    models: { type: 'string', default: 'out/quality' },
    minutes: { type: 'string' },
    untimed: { type: 'boolean', default: false },
    json: { type: 'string', default: 'bench/results/quality/quality.json' },
  },
});
if (!values.sets) throw new UserError('there are no data sets.', 'Name some: --sets cubes=DIR,tile=DIR');
if (!existsSync('dist/cli.js')) throw new UserError('dist/cli.js is missing.', 'Run: npm run build');
const sets = values.sets.split(',').map((entry) => {
  const at = entry.indexOf('=');
  if (at < 1) throw new UserError(`--sets ${entry} has no name.`, 'Write NAME=DIR.');
  return { name: entry.slice(0, at), folder: entry.slice(at + 1) };
});
const arms = choices('arms', values.arms, ARM_NAMES);
const normalization = choice('normalize', values.normalize, NORMALIZATION_NAMES);
const seeds = values.seeds.split(',').map(Number);
const side = Number(values.side);
const end =
  values.minutes === undefined ? Number.POSITIVE_INFINITY : performance.now() + 60_000 * Number(values.minutes);
const preset = ['--preset', values.preset];
const settings = [...preset, ...(values.iterations ? ['--iterations', values.iterations] : [])];
const AVERAGE_BITS = '5';
/** Whose maps pass which filter. */
const FILTERED = {
  bankMaps: ['bank', 'auto'],
  bankGaussian: ['bank', 'gaussian'],
  bankLocation: ['bank', 'location'],
  maps: ['raad', 'auto'],
  mapsGaussian: ['raad', 'gaussian'],
  mapsLocation: ['raad', 'location'],
  maps5: ['raad5', 'auto'],
} as const;
/** Of timing. */
const ROUNDS = 10;

/** Runs a command. @returns what it printed @throws UserError when it fails */
function raad(...args: readonly string[]): Promise<string> {
  console.error(`raad ${args.join(' ')}`);
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['dist/cli.js', ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    let printed = '';
    child.stdout.on('data', (data: Buffer) => {
      printed += data;
    });
    child.on('error', reject);
    child.on('close', (code) =>
      code === 0
        ? resolve(printed)
        : reject(new UserError(`raad ${args[0]} ended with exit code ${code}.`, 'Its reason stands above.')),
    );
  });
}

/**
 * Makes a file by commands, unless it is there. A training that was stopped goes on.
 * @param make is given what a training has to be told further
 * @returns seconds that it took, also when it was made earlier; NaN when it was stopped on the way
 */
async function made(file: string, make: (more: readonly string[]) => Promise<unknown>): Promise<number> {
  const note = `${file}.seconds`;
  if (existsSync(file) && existsSync(note)) return Number(readFileSync(note, 'utf8'));
  const started = performance.now();
  const more = existsSync(`${file}.checkpoint`) ? ['--resume'] : [];
  await make(more);
  const seconds = more.length > 0 ? Number.NaN : (performance.now() - started) / 1000;
  writeFileSync(note, String(seconds));
  return seconds;
}

const { open, adapter } = await describe();
let report: QualityReport = readReport(values.json) ?? {
  adapter,
  versions: { 'raad-webgpu': await ownVersion(), node: process.version },
  settings: settings.join(' '),
  rows: [],
};
if (report.adapter !== adapter || report.settings !== settings.join(' '))
  throw new UserError(
    `${values.json} holds figures of ${report.adapter}, ${report.settings}.`,
    'Choose another file with --json.',
  );

function keep(rows: readonly QualityRow[], more: Partial<QualityReport> = {}): void {
  const added = new Set(rows.map(keyOf));
  report = { ...report, ...more, rows: [...report.rows.filter((row) => !added.has(keyOf(row))), ...rows] };
  mkdirSync(dirname(values.json), { recursive: true });
  writeFileSync(`${values.json}.part`, `${JSON.stringify(report, null, 2)}\n`);
  renameSync(`${values.json}.part`, values.json);
}

for (const set of sets) {
  const features: FeatureCache = new Map();
  for (const seed of seeds) await compare(set.name, set.folder, seed, features);
}
if (!values.untimed) for (const set of sets) for (const seed of seeds) await time(set.name, seed);
process.exit(0);

/** The model of an arm. */
function modelFile(set: string, seed: number) {
  return (arm: Arm) => join(values.models, `${set}-${side}-${seed}-${arm}.safetensors`);
}

/** All arms on one data set by one seed. */
async function compare(set: string, folder: string, seed: number, features: FeatureCache): Promise<void> {
  const place = { set, side, seed };
  const known = new Set(report.rows.map(keyOf));
  const missing = arms.filter((arm) => !known.has(keyOf({ ...place, arm })) && (arm !== 'backbone' || values.backbone));
  const file = modelFile(set, seed);
  mkdirSync(values.models, { recursive: true });
  for (const arm of missing) {
    if (performance.now() > end) return;
    if (arm === 'backbone') {
      await makeArm('bank', folder, seed, file);
      const row = await backboneRow(file('bank'), folder, seed, features);
      keep([{ ...place, arm, ...row }], {
        backbone: `${values.backbone!.split('/').pop()}, ${values['backbone-side']} px, ${values.layers}`,
      });
      continue;
    }
    const fitSeconds = await makeArm(arm, folder, seed, file);
    const metrics = Object.values(
      JSON.parse(await raad('eval', file(arm), folder, '--json')) as Record<string, Metrics>,
    )[0]!;
    const { networks, filter } = await readModel(readFileSync(file(arm)), file(arm));
    keep([
      {
        ...place,
        arm,
        ...figuresOf(metrics),
        ...(Number.isFinite(fitSeconds) && { fitSeconds }),
        multiplyAdds: multiplyAdds(networks),
        bytes: statSync(file(arm)).size,
        ...(arm in FILTERED && { filter: filter?.kind ?? 'none' }),
      },
    ]);
  }
}

/** Milliseconds of all arms on one data set by one seed, in turns. The backbone's are those of its features alone. */
async function time(set: string, seed: number): Promise<void> {
  const own = report.rows.filter((row) => row.set === set && row.side === side && row.seed === seed);
  if (performance.now() > end || own.every(({ milliseconds }) => milliseconds !== undefined)) return;
  const file = modelFile(set, seed);
  // Of rows of an earlier run, models may be gone.
  const timed = own.filter(({ arm }) => arm !== 'backbone' && existsSync(file(arm)));
  if (timed.length === 0) return;
  const times = join(values.models, 'times.json');
  const files = timed.map(({ arm }) => file(arm));
  await raad('bench', 'models', ...files, '--rounds', String(ROUNDS), '--json', times);
  const { models } = JSON.parse(readFileSync(times, 'utf8')) as { models: { median: number }[] };
  keep(timed.map((row, i) => ({ ...row, milliseconds: models[i]!.median })));
  const backbone = own.find(({ arm }) => arm === 'backbone');
  if (backbone && values.backbone) keep([{ ...backbone, milliseconds: await backboneMilliseconds() }]);
}

/** Makes the model of an arm, and those that it stands on. @returns seconds of all of it */
async function makeArm(arm: Arm, folder: string, seed: number, file: (arm: Arm) => string): Promise<number> {
  const words = ['--resolution', String(side), '--seed', String(seed)];
  const from = (source: Arm) => makeArm(source, folder, seed, file);
  const to = file(arm);
  const plan = `${to}.plan.json`;
  switch (arm) {
    case 'bank':
      return made(to, () => raad('fit', folder, '--method', 'nearest', ...preset, ...words, '-o', to));
    case 'raad':
      return made(to, (more) => raad('fit', folder, ...settings, ...words, ...more, '-o', to));
    case 'bankMaps':
    case 'bankGaussian':
    case 'bankLocation':
    case 'maps':
    case 'mapsGaussian':
    case 'mapsLocation':
    case 'maps5': {
      const [source, filter] = FILTERED[arm];
      return (
        (await from(source)) + (await made(to, () => raad('maps', file(source), folder, '--maps', filter, '-o', to)))
      );
    }
    case 'bank5':
      return (
        (await from('bank')) +
        (await made(to, async () => {
          await raad('quantize', file('bank'), '--bits', AVERAGE_BITS, '--calibrate', folder, '-o', to);
        }))
      );
    case 'raad5':
      return (
        (await from('raad')) +
        (await made(to, async () => {
          await raad(
            ...['allocate', file('raad'), folder, '--mode', 'budget', '--average-bits', AVERAGE_BITS],
            ...['--seed', String(seed), '-o', plan],
          );
          await raad('recalibrate', file('raad'), '--plan', plan, folder, '-o', to);
        }))
      );
    case 'backbone':
      throw new Error('a bank of a backbone is no model file');
  }
}

function figuresOf({ auroc, image, overlap, goodImages, badImages }: Metrics) {
  const area = overlap?.areas[overlap.metric === 'AU-sPRO' ? 1 : 0];
  return {
    ...(auroc !== undefined && { auroc }),
    ...(image?.ap !== undefined && { ap: image.ap }),
    ...(area !== undefined && { overlap: area }),
    goodImages,
    badImages,
  };
}

/** Of one image, as the convolutions are defined. */
function multiplyAdds(networks: Networks): number {
  const quantiles = new Parameter('quantiles', { shape: [4], dtype: 'f32' });
  const x = input('x', [1, 3, networks.side, networks.side]);
  return graphCost([anomalyMaps(networks, quantiles.node, x).combined]).flops / 2;
}

async function backboneRow(bank: string, folder: string, seed: number, features: FeatureCache) {
  const opened = await open();
  const engine = new Engine({ device: opened.device });
  try {
    const detector = await loadDetector(engine, readFileSync(bank), { name: bank });
    const { mapSide, channels, mapGeometry } = detector.state.networks;
    const { root, datasets } = await openDatasets(folder);
    const [dataset] = datasets;
    const { train } = splitHeldOut(dataset!, seed);
    const backbone = await openedBackbone();
    const { offset, stride } = mapGeometry;
    const result = await evaluateBackboneBank({
      ...{ engine, backbone, detector, root, seed, features },
      dataset: dataset!,
      channels: Number(values.channels),
      grid: { side, mapSide, channels, offset, stride },
      train: train.map((path) => join(root, path)),
    });
    detector.destroy();
    return {
      ...figuresOf(result.metrics),
      fitSeconds: result.fitSeconds,
      multiplyAdds:
        result.multiplyAdds + (await convolutionWork(values.backbone!, values.layers.split(','), backbone.side)),
      bytes: result.bytes + statSync(values.backbone!).size,
    };
  } finally {
    opened.close();
  }
}

function openedBackbone() {
  return openBackbone(values.backbone!, {
    layers: values.layers.split(','),
    side: Number(values['backbone-side']),
    normalization,
  });
}

/** Of one image, by onnxruntime's own code on the CPU. */
async function backboneMilliseconds(): Promise<number> {
  const backbone = await openedBackbone();
  const data = new Uint8Array(3 * backbone.side ** 2).map((_, i) => (i * 31) % 251);
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const started = performance.now();
    await backbone.features({ width: backbone.side, height: backbone.side, data });
    times.push(performance.now() - started);
  }
  return exactQuantile(Float32Array.from(times), 0.5);
}

async function describe() {
  const open = () => openDevice({});
  const opened = await open();
  const { name } = opened.adapter;
  opened.close();
  return { open, adapter: name };
}
