/**
 * What a replay of a plan costs the host, beside a bare loop that makes the same calls: encoder, pass, pipelines, bind groups,
 * dispatches, finish, submit. Interleaved; the device's own work is waited for outside the clock.
 *
 *   npm run bench:host -- [--rounds 300]
 */
import { parseArgs } from 'node:util';
import { summarise } from '../src/bench/measure.ts';
import { Engine } from '../src/engine/engine.ts';
import { input, Parameter } from '../src/engine/graph.ts';
import { fusedAnomalyMaps } from '../src/model/inference.ts';
import { Networks } from '../src/model/networks.ts';
import { openDevice } from '../src/node/device.ts';
import { metricsTable } from '../src/report/table.ts';

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '300' } } });
const opened = await openDevice();
const { device } = opened;
const engine = new Engine({ device });
const networks = new Networks('xs', 128);
const quantiles = new Parameter('map.quantiles', { shape: [4], dtype: 'f32' }, Float32Array.of(0, 1, 0, 1));
const { combined } = fusedAnomalyMaps(networks, quantiles.node, input('x', [1, 3, 128, 128]));
const plan = await engine.compile({ outputs: { combined } });

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

const calls = recordCalls();
const cases = {
  'plan.encode and submit': () => {
    const encoder = device.createCommandEncoder();
    plan.encode(encoder);
    device.queue.submit([encoder.finish()]);
  },
  'bare loop': () => {
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (const call of calls) call(pass);
    pass.end();
    device.queue.submit([encoder.finish()]);
  },
};
const times: Record<string, number[]> = Object.fromEntries(Object.keys(cases).map((name) => [name, []]));
const rounds = Number(values.rounds);
for (let round = -20; round < rounds; round++) {
  for (const [name, run] of Object.entries(cases)) {
    const start = performance.now();
    run();
    if (round >= 0) times[name]!.push(performance.now() - start);
    await device.queue.onSubmittedWorkDone();
  }
}
const rows = Object.entries(times).map(([name, list]) => {
  const { median, p95 } = summarise(name, list);
  return { replay: name, 'median us': median * 1000, 'p95 us': p95 * 1000 };
});
console.log(`adapter: ${engine.caps.description}; ${plan.dispatches.length} dispatches, ${rounds} interleaved rounds`);
console.log(metricsTable(rows, { digits: 1 }));
console.log(`ratio of medians: ${(rows[0]!['median us'] / rows[1]!['median us']).toFixed(3)}`);
opened.close();
