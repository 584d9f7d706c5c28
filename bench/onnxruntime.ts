/**
 * PDN-S teacher, 3x128x128, float, host array to host array: this engine against onnxruntime-node's `webgpu` provider on the
 * same adapter, interleaved in one run. Outputs are compared before anything is timed.
 *
 *   npm run bench:onnxruntime -- [--side 128] [--rounds 30] [--size s]
 */
import { parseArgs } from 'node:util';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { Engine } from '../src/engine/engine.ts';
import { input } from '../src/engine/graph.ts';
import { Networks } from '../src/model/networks.ts';
import { type Pdn, type PdnSize, pdnOutputSide } from '../src/model/pdn.ts';
import { openDevice } from '../src/node/device.ts';
import { readTeacher } from '../src/node/teachers.ts';
import { metricsTable } from '../src/report/table.ts';
import { loadTeacher } from '../src/train/teacher.ts';
import { encodeOnnx, type OnnxNode, type OnnxTensor } from './onnx.ts';

const { values } = parseArgs({
  options: {
    side: { type: 'string', default: '128' },
    rounds: { type: 'string', default: '30' },
    size: { type: 'string', default: 's' },
  },
});
const side = Number(values.side);
const rounds = Number(values.rounds);
const size = values.size as PdnSize;

/** The teacher as ONNX: convolutions with bias, ReLU but for the last, pools behind the first two. */
function teacherOnnx(teacher: Pdn, channels: number): Uint8Array {
  const nodes: OnnxNode[] = [];
  const weights: OnnxTensor[] = [];
  let current = 'image';
  const append = (type: string, inputs: readonly string[], attributes?: OnnxNode['attributes']) => {
    const output = `t${nodes.length}`;
    nodes.push({ type, inputs: [current, ...inputs], output, ...(attributes && { attributes }) });
    current = output;
  };
  teacher.convolutions.forEach(({ weight, bias }, i) => {
    for (const { name, type, data } of [weight, bias]) {
      weights.push({ name, shape: type.shape, data: data as Float32Array });
    }
    append('Conv', [weight.name, bias.name], { kernel_shape: weight.type.shape.slice(2) });
    if (i < teacher.convolutions.length - 1) append('Relu', []);
    if (i < 2) append('AveragePool', [], { kernel_shape: [2, 2], strides: [2, 2] });
  });
  const cells = pdnOutputSide(side);
  return encodeOnnx({
    nodes,
    weights,
    input: { name: 'image', shape: [1, 3, side, side] },
    output: { name: current, shape: [1, channels, cells, cells] },
  });
}

const opened = await openDevice();
const engine = new Engine({ device: opened.device });
const networks = new Networks(size, side);
const weights = await readTeacher(size);
loadTeacher(networks, weights, weights.name);
const image = Float32Array.from({ length: 3 * side * side }, (_, i) => Math.sin(i * 0.37) + Math.cos(i * 0.011));

const plan = await engine.compile({ outputs: { features: networks.teacher.forward(input('x', [1, 3, side, side])) } });
const ours = async () => (await plan.run({ x: image }, ['features']))['features'] as Float32Array;

const session = await InferenceSession.create(teacherOnnx(networks.teacher, networks.channels), {
  executionProviders: ['webgpu'],
  // Nothing may run elsewhere in silence.
  extra: { session: { disable_cpu_ep_fallback: '1' } },
});
const feed = { image: new Tensor('float32', image, [1, 3, side, side]) };
const theirs = async () => (await session.run(feed))[session.outputNames[0]!]!.data as Float32Array;

const [a, b] = [await ours(), await theirs()];
let worst = 0;
let largest = 0;
a.forEach((value, i) => {
  worst = Math.max(worst, Math.abs(value - b[i]!));
  largest = Math.max(largest, Math.abs(b[i]!));
});
if (!(worst / largest < 1e-4)) throw new Error(`the outputs differ by ${worst / largest} of the largest value`);

const times = { ours: [] as number[], theirs: [] as number[] };
const timed = async (run: () => Promise<unknown>, list: number[]) => {
  const start = performance.now();
  await run();
  list.push(performance.now() - start);
};
for (let i = 0; i < 3; i++) {
  await ours();
  await theirs();
}
for (let round = 0; round < rounds; round++) {
  await timed(ours, times.ours);
  await timed(theirs, times.theirs);
}

const at = (list: readonly number[], q: number) => [...list].sort((x, y) => x - y)[Math.floor(q * (list.length - 1))]!;
console.log(`adapter: ${engine.caps.description}; outputs differ by at most ${(worst / largest).toExponential(1)}`);
console.log(
  metricsTable(
    [
      { runtime: 'raad-webgpu', 'median ms': at(times.ours, 0.5), 'p95 ms': at(times.ours, 0.95) },
      { runtime: 'onnxruntime-node webgpu', 'median ms': at(times.theirs, 0.5), 'p95 ms': at(times.theirs, 0.95) },
    ],
    { digits: 2 },
  ),
);
console.log(`ratio of medians: ${(at(times.theirs, 0.5) / at(times.ours, 0.5)).toFixed(2)}`);
await session.release();
opened.close();
