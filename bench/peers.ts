/**
 * Other engines against this one: the same network and input, on the same adapter, interleaved in one run, host array to host
 * array, our floats being 32 bits wide. Every output is compared with the first peer's. A peer that fails is a row with its
 * error; the file is written again after every peer, so that one which ends the process loses its own times only.
 *
 *   npm run bench:peers -- [--what teacher|detector|training] [--size xs|s] [--side 128] [--batch 1]
 *                          [--rounds N]   50 on a GPU, else 10
 *                          [--seconds N]  for everything; slow peers are run less often. 300
 *                          [--precisions f32,f16]  of our float plans: f16 adds one with halves between Winograd's
 *                                         transforms, which may differ by 5 % of the largest value. f32
 *                          [--bits 8,4]   adds our integer networks with weights of these widths and 8-bit activations
 *                          [--plans FILE,...] adds our networks by bit plans, such as those of raad allocate
 *                          [--peers onnxruntime-webgpu,onnxruntime-cpu,onnxruntime-wasm,tfjs-webgpu]
 *                                         on a GPU those on WebGPU by default, else all; "none" for ours alone
 *                          [--toggles A,-B] Dawn's toggles for our own device
 *                          [--json FILE]
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { parse } from 'node:path';
import { parseArgs } from 'node:util';
import { detectCaps } from '../src/engine/caps.ts';
import type { CompileOptions } from '../src/engine/compile.ts';
import { Engine } from '../src/engine/engine.ts';
import { input, type Node, Parameter } from '../src/engine/graph.ts';
import { PRECISIONS } from '../src/engine/variants.ts';
import { UserError } from '../src/errors.ts';
import type { WeightBits } from '../src/formats/weightCodes.ts';
import { activationRange } from '../src/kernels/storage.ts';
import { anomalyMaps, fusedAnomalyMaps } from '../src/networks/inference.ts';
import { Networks } from '../src/networks/networks.ts';
import { parsePdnSize } from '../src/networks/pdn.ts';
import { openDevice } from '../src/node/device.ts';
import { loadExclusions } from '../src/node/exclusions.ts';
import { readTeacher } from '../src/node/teachers.ts';
import { parseToggles } from '../src/node/toggles.ts';
import { loadTuning } from '../src/node/tuning.ts';
import { ownVersion } from '../src/node/version.ts';
import { onlyDriverOf } from '../src/node/vulkan.ts';
import { exportOnnx } from '../src/onnx/export.ts';
import { type BitPlan, isCodeBits, parseBitPlan, uniformPlan } from '../src/quantization/bitPlan.ts';
import { integerGraph } from '../src/quantization/integerGraph.ts';
import { layerInputs } from '../src/quantization/layerInputs.ts';
import { quantizeNetworks } from '../src/quantization/layers.ts';
import { metricsTable } from '../src/report/table.ts';
import { loadTeacher } from '../src/train/teacher.ts';
import { choice, choices } from './choice.ts';
import { comparePeers, type PeerRow } from './peers/compare.ts';
import { nativePeer, wasmPeer } from './peers/onnxruntime.ts';
import type { Peer, PeerMaker } from './peers/peer.ts';
import { trainingStep } from './peers/training.ts';

const { values } = parseArgs({
  options: {
    what: { type: 'string', default: 'teacher' },
    size: { type: 'string', default: 's' },
    side: { type: 'string', default: '128' },
    batch: { type: 'string', default: '1' },
    rounds: { type: 'string' },
    seconds: { type: 'string', default: '300' },
    peers: { type: 'string' },
    precisions: { type: 'string', default: 'f32' },
    bits: { type: 'string' },
    plans: { type: 'string' },
    toggles: { type: 'string' },
    json: { type: 'string' },
  },
});

/** Errors of the device that are kept. */
const MOST_ERRORS = 5;

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1)
    throw new UserError(`--${name} ${text} cannot be used.`, 'Give 1 or more.');
  return value;
}

const WHAT = ['teacher', 'detector', 'training'] as const;
const what = choice('what', values.what, WHAT);
const side = positive('side', values.side);
const batch = positive('batch', values.batch);
const seconds = positive('seconds', values.seconds);
const size = parsePdnSize(values.size);

const precisions = choices('precisions', values.precisions, PRECISIONS);

/** Dawn's toggles for our own device. */
const toggles = parseToggles(values.toggles);
const opened = await openDevice({ toggles });
onlyDriverOf(opened.adapter.kind);
const deviceErrors: string[] = [];
opened.device.addEventListener('uncapturederror', ({ error }) => {
  if (deviceErrors.length < MOST_ERRORS) deviceErrors.push(error.message);
});
const caps = detectCaps(opened.device);
const notice = (message: string) => console.error(`note: ${message}`);
const engine = new Engine({
  device: opened.device,
  tuning: await loadTuning(caps, notice),
  excluded: new Set((await loadExclusions(caps, notice)).map(({ variant }) => variant)),
  memoryBytes: opened.memoryBytes,
});
const rounds = positive('rounds', values.rounds ?? (engine.caps.isCpu ? '10' : '50'));
const networks = new Networks(size, side);
const weights = await readTeacher(size);
loadTeacher(networks, weights, weights.name);
networks.initialize(1);
const shape = [batch, 3, side, side];
const images = Float32Array.from(
  { length: batch * 3 * side * side },
  (_, i) => Math.sin(i * 0.37) + Math.cos(i * 0.011),
);

/** Everything as direct convolutions, to tell what Winograd's method gains. */
const DIRECT = { conv2d: ['rows', 'lanes', 'tile64x64', 'direct'], convDistance: 'features' };

async function ours(
  name: string,
  y: Node,
  options: Pick<CompileOptions, 'variants' | 'precision'> = {},
): Promise<Peer> {
  const plan = await engine.compile({ outputs: { y }, ...options });
  return { name, run: async () => (await plan.run({ x: images }, ['y']))['y'] as Float32Array };
}

function inferencePeers(): PeerMaker[] {
  const x = input('x', shape);
  const teacher = what === 'teacher';
  const quantiles = new Parameter('map.quantiles', { shape: [4], dtype: 'f32' }, Float32Array.of(0, 1, 0, 1));
  const plain = teacher ? networks.teacher.forward(x) : anomalyMaps(networks, quantiles.node, x).combined;
  const fast = teacher ? plain : fusedAnomalyMaps(networks, quantiles.node, x).combined;
  const others: Record<string, PeerMaker['open']> = {
    'onnxruntime-webgpu': () => nativePeer('webgpu', exportOnnx({ y: plain }), images, shape),
    'onnxruntime-cpu': () => nativePeer('cpu', exportOnnx({ y: plain }), images, shape),
    'onnxruntime-wasm': () => wasmPeer(2, exportOnnx({ y: plain }), images, shape),
    'tfjs-webgpu': async () => {
      const { tfjsDetector, tfjsTeacher } = await import('./peers/tfjs.ts');
      return (teacher ? tfjsTeacher : tfjsDetector)(opened, networks, images);
    },
  };
  const bits = values.bits?.split(',') ?? [];
  const plans = values.plans?.split(',') ?? [];
  return [
    maker('raad-webgpu', (name) => ours(name, fast)),
    maker('raad-webgpu direct', (name) => ours(name, fast, { variants: DIRECT })),
    ...(precisions.includes('f16') ? [maker('raad-webgpu f16', (name) => halvesPeer(name, fast))] : []),
    ...bits.map((width) => {
      const plan = uniformPlan(networks, { weights: Number(width) as WeightBits, activations: 8 });
      return maker(`raad-webgpu w${width}a8`, (name) =>
        plannedPeer(name, plan, teacher, width === '8' ? 0.2 : undefined),
      );
    }),
    ...plans.map((file) => {
      const plan = parseBitPlan(readFileSync(file, 'utf8'), networks);
      return maker(`raad-webgpu ${parse(file).name}`, (name) => plannedPeer(name, plan, teacher));
    }),
    ...wanted(others),
  ];
}

/** Of the largest value: rounding of a few layers, of which the last one's is halvesError, at most 0.027. */
const HALVES_TOLERANCE = 0.05;

async function halvesPeer(name: string, y: Node): Promise<Peer> {
  return { ...(await ours(name, y, { precision: 'f16' })), tolerance: HALVES_TOLERANCE };
}

/**
 * The same network quantized, with ranges from the images that are timed.
 * @param tolerance of the largest value; what is lost to few bits is no error: evaluation on data measures it
 */
async function plannedPeer(name: string, plan: BitPlan, teacher: boolean, tolerance = Number.MAX_VALUE): Promise<Peer> {
  const x = input('x', shape);
  const ranges = Object.fromEntries(
    [...layerInputs(networks, x)].flatMap(([layer, node]) => {
      const bits = plan.layers[layer]?.activations ?? 32;
      return isCodeBits(bits) ? [[layer, activationRange(node, 2 ** bits - 1)]] : [];
    }),
  );
  const rangePlan = await engine.compile({ outputs: ranges });
  const found = await rangePlan.run({ x: images }, Object.keys(ranges));
  rangePlan.destroy();
  const quantizers = Object.entries(found).map(
    ([layer, [scale, zeroPoint]]) => [layer, { scale: scale!, zeroPoint: zeroPoint! }] as const,
  );
  const quantized = quantizeNetworks(networks, plan, new Map(quantizers));
  const quantiles = new Parameter('map.quantiles', { shape: [4], dtype: 'f32' }, Float32Array.of(0, 1, 0, 1));
  const y = teacher
    ? quantized.networks.teacher.forward(x)
    : anomalyMaps(quantized.networks, quantiles.node, x).combined;
  const [integer] = integerGraph([y], quantized.quantization);
  return { ...(await ours(name, integer!)), tolerance };
}

function trainingPeers(): PeerMaker[] {
  return [
    maker('raad-webgpu', () => trainingStep(engine, networks, images)),
    ...wanted({ 'tfjs-webgpu': async () => (await import('./peers/tfjs.ts')).tfjsTraining(opened, networks, images) }),
  ];
}

function maker(name: string, open: (name: string) => Promise<Peer>): PeerMaker {
  return { name, open: () => open(name) };
}

/** What rows are called, by the name of the option. */
const ROW_NAMES: Readonly<Record<string, string>> = {
  'onnxruntime-webgpu': 'onnxruntime-node webgpu',
  'onnxruntime-cpu': 'onnxruntime-node cpu',
  'onnxruntime-wasm': 'onnxruntime-web wasm',
  'tfjs-webgpu': 'tfjs webgpu',
};

function wanted(others: Readonly<Record<string, PeerMaker['open']>>): PeerMaker[] {
  if (values.peers === 'none') return [];
  const all = Object.keys(others).filter((name) => engine.caps.isCpu || name.endsWith('-webgpu'));
  return (values.peers?.split(',') ?? all).map((name) => {
    const open = others[name];
    if (!open)
      throw new UserError(`no peer '${name}' for ${what}.`, `Give some of: ${Object.keys(others).join(', ')}.`);
    return { name: ROW_NAMES[name]!, open };
  });
}

const title = `${what}, PDN-${size.toUpperCase()}, ${shape.join('x')}, at most ${rounds} interleaved rounds`;
console.log(`${title}\nadapter: ${opened.adapter.name}, ${engine.caps.description}`);
const head = {
  adapter: {
    name: opened.adapter.name,
    kind: opened.adapter.kind,
    vendor: engine.caps.vendor,
    architecture: engine.caps.architecture,
    device: opened.device.adapterInfo.device,
    description: engine.caps.description,
  },
  toggles,
  what,
  size,
  side,
  batch,
};
const raad = await ownVersion();

function save(rows: readonly PeerRow[], versions: Readonly<Record<string, string>>): void {
  if (!values.json) return;
  const report = {
    ...head,
    versions: { 'raad-webgpu': raad, node: process.version, ...versions },
    rows,
    ...(deviceErrors.length > 0 && { deviceErrors }),
  };
  writeFileSync(`${values.json}.part`, `${JSON.stringify(report, null, 2)}\n`);
  renameSync(`${values.json}.part`, values.json);
}

const makers = what === 'training' ? trainingPeers() : inferencePeers();
const rows = await comparePeers(makers, { rounds, seconds, batch, onProgress: save });
const first = rows[0]?.median;
console.log(
  metricsTable(
    rows.map(({ name, median, p5, p95, runs, imagesPerSecond, difference }) => ({
      runtime: name,
      'median ms': median,
      'p5 ms': p5,
      'p95 ms': p95,
      runs,
      'images/s': imagesPerSecond,
      'times ours': median !== undefined && first !== undefined ? median / first : undefined,
      'differs by': difference?.toExponential(1),
    })),
    { digits: 2 },
  ),
);
for (const message of deviceErrors) console.log(`the device reported: ${message}`);
for (const { name, error } of rows) if (error) console.log(`${name}: ${error}`);
opened.close();
process.exit(0);
