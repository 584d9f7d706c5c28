/**
 * Other engines against this one: the same network and input, on the same adapter, interleaved in one run, host array to host
 * array. Every peer's output is compared with ours before anything is timed.
 *
 *   npm run bench:peers -- [--what teacher|detector|training] [--size xs|s] [--side 128] [--rounds 10]
 *                          [--bits 8,4]  adds our integer networks with weights of these widths and 8-bit activations
 *                          [--peers onnxruntime-webgpu,onnxruntime-cpu,onnxruntime-wasm,tfjs-webgpu] [--json FILE]
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Engine } from '../src/engine/engine.ts';
import { input, type Node, Parameter } from '../src/engine/graph.ts';
import { activationRange } from '../src/kernels/storage.ts';
import { anomalyMaps, fusedAnomalyMaps } from '../src/model/inference.ts';
import { Networks } from '../src/model/networks.ts';
import { parsePdnSize } from '../src/model/pdn.ts';
import { openDevice } from '../src/node/device.ts';
import { readTeacher } from '../src/node/teachers.ts';
import { onlyDriverOf } from '../src/node/vulkan.ts';
import { exportOnnx } from '../src/onnx/export.ts';
import { uniformPlan } from '../src/quantisation/bitPlan.ts';
import { integerGraph } from '../src/quantisation/integerGraph.ts';
import { quantiseNetworks } from '../src/quantisation/layers.ts';
import type { WeightBits } from '../src/quantisation/weights.ts';
import { metricsTable } from '../src/report/table.ts';
import { layerInputs } from '../src/train/quantize.ts';
import { loadTeacher } from '../src/train/teacher.ts';
import { nativePeer, wasmPeer } from './peers/onnxruntime.ts';
import { type Peer, worstDifference } from './peers/peer.ts';
import { tfjsTeacher, tfjsTraining } from './peers/tfjs.ts';
import { trainingStep } from './peers/training.ts';

const { values } = parseArgs({
  options: {
    what: { type: 'string', default: 'teacher' },
    size: { type: 'string', default: 's' },
    side: { type: 'string', default: '128' },
    rounds: { type: 'string', default: '10' },
    peers: { type: 'string' },
    bits: { type: 'string' },
    json: { type: 'string' },
  },
});
const side = Number(values.side);
const rounds = Number(values.rounds);
const size = parsePdnSize(values.size);

const opened = await openDevice();
onlyDriverOf(opened.adapter.kind);
const engine = new Engine({ device: opened.device });
const networks = new Networks(size, side);
const weights = await readTeacher(size);
loadTeacher(networks, weights, weights.name);
networks.initialise(1);
const image = Float32Array.from({ length: 3 * side * side }, (_, i) => Math.sin(i * 0.37) + Math.cos(i * 0.011));

/** Everything as direct convolutions, to tell what Winograd's method gains. */
const DIRECT = { conv2d: ['rows', 'lanes', 'tile64x64', 'direct'], convDistance: 'features' };

async function ours(name: string, y: Node, variants?: Record<string, string | readonly string[]>): Promise<Peer> {
  const plan = await engine.compile({ outputs: { y }, ...(variants && { variants }) });
  return { name, run: async () => (await plan.run({ x: image }, ['y']))['y'] as Float32Array };
}

async function inferencePeers(): Promise<Peer[]> {
  const x = input('x', [1, 3, side, side]);
  const teacher = values.what === 'teacher';
  const quantiles = new Parameter('map.quantiles', { shape: [4], dtype: 'f32' }, Float32Array.of(0, 1, 0, 1));
  const plain = teacher ? networks.teacher.forward(x) : anomalyMaps(networks, quantiles.node, x).combined;
  const fast = teacher ? plain : fusedAnomalyMaps(networks, quantiles.node, x).combined;
  const onnx = exportOnnx({ y: plain });
  const shape = [1, 3, side, side];
  const makers: Record<string, () => Promise<Peer>> = {
    'onnxruntime-webgpu': () => nativePeer('webgpu', onnx, image, shape),
    'onnxruntime-cpu': () => nativePeer('cpu', onnx, image, shape),
    'onnxruntime-wasm': () => wasmPeer(2, onnx, image, shape),
    ...(teacher && { 'tfjs-webgpu': () => tfjsTeacher(opened, networks, image) }),
  };
  const wanted = values.peers?.split(',') ?? Object.keys(makers);
  const peers = [await ours('raad-webgpu', fast), await ours('raad-webgpu direct', fast, DIRECT)];
  for (const bits of values.bits?.split(',') ?? []) peers.push(await integerPeer(Number(bits) as WeightBits, teacher));
  for (const name of wanted) {
    const make = makers[name];
    if (!make) throw new Error(`no peer '${name}' for ${values.what}; there are ${Object.keys(makers).join(', ')}`);
    peers.push(await make());
  }
  return peers;
}

/** The same network quantised, with ranges from the image that is timed. */
async function integerPeer(bits: WeightBits, teacher: boolean): Promise<Peer> {
  const plan = uniformPlan(networks, { weights: bits, activations: 8 });
  const x = input('x', [1, 3, side, side]);
  const wanted = [...layerInputs(networks, x)];
  const ranges = Object.fromEntries(wanted.map(([name, node]) => [name, activationRange(node)]));
  const rangePlan = await engine.compile({ outputs: ranges });
  const found = await rangePlan.run({ x: image }, Object.keys(ranges));
  rangePlan.destroy();
  const quantisers = Object.entries(found).map(
    ([name, [scale, zeroPoint]]) => [name, { scale: scale!, zeroPoint: zeroPoint! }] as const,
  );
  const quantised = quantiseNetworks(networks, plan, new Map(quantisers));
  const quantiles = new Parameter('map.quantiles', { shape: [4], dtype: 'f32' }, Float32Array.of(0, 1, 0, 1));
  const y = teacher
    ? quantised.networks.teacher.forward(x)
    : anomalyMaps(quantised.networks, quantiles.node, x).combined;
  const [integer] = integerGraph([y], quantised.quantisation);
  const peer = await ours(`raad-webgpu w${bits}a8`, integer!);
  // What is lost to few bits is no error: evaluation on data measures it.
  return { ...peer, tolerance: bits === 8 ? 0.2 : Number.POSITIVE_INFINITY };
}

async function trainingPeers(): Promise<Peer[]> {
  return [await trainingStep(engine, networks, image), await tfjsTraining(opened, networks, image)];
}

const peers = values.what === 'training' ? await trainingPeers() : await inferencePeers();
const expected = await peers[0]!.run();
for (const peer of peers.slice(1)) {
  const difference = worstDifference(await peer.run(), expected);
  if (!(difference < (peer.tolerance ?? 1e-4))) {
    throw new Error(`${peer.name} differs from ours by ${difference} of the largest value`);
  }
  console.log(`${peer.name}: differs from ours by at most ${difference.toExponential(1)} of the largest value`);
}
const times = peers.map((): number[] => []);
for (let round = 0; round <= rounds; round++) {
  for (const [i, peer] of peers.entries()) {
    const start = performance.now();
    await peer.run();
    // The first round warms up.
    if (round > 0) times[i]!.push(performance.now() - start);
  }
}
const at = (list: readonly number[], q: number) => [...list].sort((a, b) => a - b)[Math.floor(q * (list.length - 1))]!;
const rows = peers.map(({ name }, i) => ({
  runtime: name,
  'median ms': at(times[i]!, 0.5),
  'p95 ms': at(times[i]!, 0.95),
  'times ours': at(times[i]!, 0.5) / at(times[0]!, 0.5),
}));
const title = `${values.what}, PDN-${size.toUpperCase()}, 3x${side}x${side}, ${rounds} interleaved rounds`;
console.log(`${title}\nadapter: ${engine.caps.description}`);
console.log(metricsTable(rows, { digits: 2 }));
if (values.json) {
  const { description, vendor, architecture } = engine.caps;
  writeFileSync(
    values.json,
    `${JSON.stringify({ title, adapter: { description, vendor, architecture }, rows }, null, 2)}\n`,
  );
}
opened.close();
process.exit(0);
