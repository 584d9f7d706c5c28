/**
 * What the host's part of a run costs, in two tables, interleaved. "On the host": the calls of a replay beside a bare loop that
 * makes the same ones (encoder, pass, pipelines, bind groups, dispatches, finish, submit) and beside what else a run calls; the
 * device's own work is waited for outside the clock. "Waited for": from the call to the answer, for ways to bring an image to
 * the device and a map back.
 *
 *   npm run bench:host -- [--size xs|s|m --resolution PX]   xs, 128
 *                         [--rounds 300] [--toggles A,-B] [--json FILE]
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { detectCaps } from '../src/engine/caps.ts';
import { Engine } from '../src/engine/engine.ts';
import { input, Parameter } from '../src/engine/graph.ts';
import { spin } from '../src/engine/sample.ts';
import { scoped } from '../src/engine/scopes.ts';
import { summarize, type Timing } from '../src/measure/measure.ts';
import { fusedAnomalyMaps } from '../src/networks/inference.ts';
import { Networks } from '../src/networks/networks.ts';
import { parsePdnSize } from '../src/networks/pdn.ts';
import { openDevice } from '../src/node/device.ts';
import { parseToggles } from '../src/node/toggles.ts';
import { loadTuning } from '../src/node/tuning.ts';
import { metricsTable } from '../src/report/table.ts';

const { values } = parseArgs({
  options: {
    size: { type: 'string', default: 'xs' },
    resolution: { type: 'string', default: '128' },
    rounds: { type: 'string', default: '300' },
    toggles: { type: 'string' },
    json: { type: 'string' },
  },
});
const opened = await openDevice({ toggles: parseToggles(values.toggles) });
const { device } = opened;
const tuning = await loadTuning(detectCaps(device), (message) => console.error(`note: ${message}`));
const engine = new Engine({ device, tuning });
const side = Number(values.resolution);
const networks = new Networks(parsePdnSize(values.size), side);
const quantiles = new Parameter('map.quantiles', { shape: [4], dtype: 'f32' }, Float32Array.of(0, 1, 0, 1));
const { combined } = fusedAnomalyMaps(networks, quantiles.node, input('x', [1, 3, side, side]));
const plan = await engine.compile({ outputs: { combined } });
const image = Float32Array.from({ length: 3 * side * side }, (_, i) => Math.sin(i * 0.37));

type Call = (pass: GPUComputePassEncoder) => void;

/** The calls that a run of the plan makes on its pass. */
function recordCalls(): Call[] {
  const calls: Call[] = [];
  const pass = {
    setPipeline: (pipeline: GPUComputePipeline) => calls.push((real) => real.setPipeline(pipeline)),
    setBindGroup: (index: number, group: GPUBindGroup) => calls.push((real) => real.setBindGroup(index, group)),
    dispatchWorkgroups: (x: number, y: number, z: number) => calls.push((real) => real.dispatchWorkgroups(x, y, z)),
    end() {},
  };
  plan.encode({ beginComputePass: () => pass } as unknown as GPUCommandEncoder);
  return calls;
}

/** Submits what is recorded. */
function submit(encode: (encoder: GPUCommandEncoder) => void): void {
  const encoder = device.createCommandEncoder();
  encode(encoder);
  device.queue.submit([encoder.finish()]);
}

const done = () => device.queue.onSubmittedWorkDone();
const calls = recordCalls();
const output = plan.outputBinding('combined');
const bytes = output.size!;
const staging = device.createBuffer({ size: bytes, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
const upload = { size: image.byteLength, usage: GPUBufferUsage.MAP_WRITE | GPUBufferUsage.COPY_SRC };
/** Mapped for the next image, in turns. */
const uploads = [0, 1].map(() => device.createBuffer({ ...upload, mappedAtCreation: true }));
const target = plan.inputBuffer('x');
let turn = 0;

/** An image through a buffer that is mapped already, and mapped again for the next but one. */
function uploadMapped(encode: (encoder: GPUCommandEncoder) => void): void {
  const buffer = uploads[turn++ % uploads.length]!;
  new Float32Array(buffer.getMappedRange()).set(image);
  buffer.unmap();
  submit((encoder) => {
    encoder.copyBufferToBuffer(buffer, 0, target, 0, image.byteLength);
    encode(encoder);
  });
  remapped = buffer.mapAsync(GPUMapMode.WRITE);
}
let remapped: Promise<undefined> | undefined;

function copyOut(encoder: GPUCommandEncoder): void {
  encoder.copyBufferToBuffer(output.buffer, output.offset ?? 0, staging, 0, bytes);
}

async function readBack(): Promise<void> {
  await staging.mapAsync(GPUMapMode.READ);
  staging.getMappedRange().slice(0);
  staging.unmap();
}

const onHost: Record<string, () => void> = {
  'plan.encode and submit': () => submit((encoder) => plan.encode(encoder)),
  'bare loop': () =>
    submit((encoder) => {
      const pass = encoder.beginComputePass();
      for (const call of calls) call(pass);
      pass.end();
    }),
  'empty submit': () => submit(() => {}),
  'three error scopes': () => void scoped(device, 'nothing', () => {}),
  'queue.writeBuffer of the image': () => device.queue.writeBuffer(target, 0, image),
  'upload through a mapped buffer': () => uploadMapped(() => {}),
};
const waitedFor: Record<string, () => Promise<unknown>> = {
  'empty submit': async () => {
    submit(() => {});
    await done();
  },
  'copy and map of the result': async () => {
    submit(copyOut);
    await readBack();
  },
  'queue.writeBuffer of the image, empty submit': async () => {
    device.queue.writeBuffer(target, 0, image);
    submit(() => {});
    await done();
  },
  'upload through a mapped buffer': async () => {
    uploadMapped(() => {});
    await done();
  },
  'the run alone': async () => {
    submit((encoder) => plan.encode(encoder));
    await done();
  },
  'the run and its result': async () => {
    submit((encoder) => {
      plan.encode(encoder);
      copyOut(encoder);
    });
    await readBack();
  },
  'mapped upload, run, result': async () => {
    uploadMapped((encoder) => {
      plan.encode(encoder);
      copyOut(encoder);
    });
    await readBack();
  },
  'plan.run without an image': () => plan.run({}, ['combined']),
  'plan.run of an image': () => plan.run({ x: image }, ['combined']),
};

const rounds = Number(values.rounds);

async function time(cases: Readonly<Record<string, () => unknown>>, waits: boolean): Promise<Timing[]> {
  const times: Record<string, number[]> = Object.fromEntries(Object.keys(cases).map((name) => [name, []]));
  await spin(engine, 200);
  for (let round = -20; round < rounds; round++) {
    for (const [name, run] of Object.entries(cases)) {
      const start = performance.now();
      const result = run();
      if (waits) await result;
      if (round >= 0) times[name]!.push(performance.now() - start);
      await done();
      await remapped;
    }
  }
  return Object.entries(times).map(([name, list]) => summarize(name, list));
}

function show(title: string, timings: readonly Timing[]): void {
  console.log(title);
  const rows = timings.map(({ name, median, p5, p95 }) => ({
    what: name,
    'median us': median * 1000,
    'p5 us': p5 * 1000,
    'p95 us': p95 * 1000,
  }));
  console.log(metricsTable(rows, { digits: 1 }));
}

console.log(
  `adapter: ${opened.adapter.name}, ${engine.caps.description}; detector ${networks.size} ${side} px, ` +
    `${plan.dispatches.length} dispatches, ${rounds} interleaved rounds`,
);
const host = await time(onHost, false);
show('On the host', host);
const waited = await time(waitedFor, true);
show('Waited for', waited);
console.log(`replay over bare loop: ${(host[0]!.median / host[1]!.median).toFixed(3)}`);
if (values.json) {
  const adapter = { name: opened.adapter.name, kind: opened.adapter.kind, description: engine.caps.description };
  const head = { adapter, size: networks.size, side, dispatches: plan.dispatches.length };
  writeFileSync(values.json, `${JSON.stringify({ ...head, host, waited }, null, 2)}\n`);
}
opened.close();
