import dotShader from '../../shaders/peak_dot.wgsl';
import floatShader from '../../shaders/peak_f32.wgsl';
import type { Engine } from '../engine/engine.ts';
import { expand } from '../engine/expand.ts';
import { lanes } from '../kernels/common.ts';

/** What an adapter can do at most, measured: the ceilings that kernels are held against. */
export interface Peaks {
  /** Multiply-adds count as two, 10^9 per second. */
  readonly f32GFlops: number;
  /** `dot4I8Packed` counts as eight, 10^9 per second; 0 where it does not compile. */
  readonly dot4I8GOps: number;
  /** Buffer to buffer, read and written bytes, 10^9 per second. */
  readonly copyGBs: number;
}

const WORKGROUPS = 4096;
const STEPS = 500;
const CHAINS = { f32: [4, 8, 12, 16], dot: [4, 8, 12] } as const;
const COPY_BYTES = 64 * 2 ** 20;

interface Probe {
  readonly operations: number;
  record(encoder: GPUCommandEncoder): void;
  best: number;
}

/** Measures the adapter's peaks. @param seconds how long to look for the best run */
export async function measurePeaks({ device, caps }: Engine, seconds = 3): Promise<Peaks> {
  const workgroup = Math.max(8, lanes(caps) || 64);
  const data = device.createBuffer({ size: WORKGROUPS * workgroup * 4, usage: GPUBufferUsage.STORAGE });
  const prepare = async (
    source: string,
    chains: number,
    steps: number,
    perStep: number,
  ): Promise<Probe | undefined> => {
    const code = expand(source, { defines: { WORKGROUP: workgroup, CHAINS: chains, STEPS: steps } });
    device.pushErrorScope('validation');
    const module = device.createShaderModule({ label: 'peak', code });
    const refused = await device.popErrorScope();
    if (refused) return undefined;
    const pipeline = await device.createComputePipelineAsync({ layout: 'auto', compute: { module } });
    const layout = pipeline.getBindGroupLayout(0);
    const group = device.createBindGroup({ layout, entries: [{ binding: 0, resource: { buffer: data } }] });
    return {
      operations: perStep * chains * steps * WORKGROUPS * workgroup,
      best: 0,
      record(encoder) {
        const pass = encoder.beginComputePass();
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, group);
        pass.dispatchWorkgroups(WORKGROUPS);
        pass.end();
      },
    };
  };
  const usage = GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const [from, to] = [0, 1].map(() => device.createBuffer({ size: COPY_BYTES, usage })) as [GPUBuffer, GPUBuffer];
  const copy: Probe = {
    operations: 2 * COPY_BYTES,
    best: 0,
    record: (encoder) => encoder.copyBufferToBuffer(from, 0, to, 0, COPY_BYTES),
  };
  try {
    const floats = await Promise.all(CHAINS.f32.map((chains) => prepare(floatShader, chains, STEPS, 8)));
    const dots = await Promise.all(CHAINS.dot.map((chains) => prepare(dotShader, chains, STEPS / 2, 16)));
    const probes = [...floats, ...dots, copy].filter((probe) => probe !== undefined);
    const end = performance.now() + seconds * 1000;
    for (let round = 0; round < 2 || performance.now() < end; round++) {
      for (const probe of probes) {
        const encoder = device.createCommandEncoder();
        probe.record(encoder);
        const start = performance.now();
        device.queue.submit([encoder.finish()]);
        await device.queue.onSubmittedWorkDone();
        probe.best = Math.max(probe.best, probe.operations / (performance.now() - start) / 1e6);
      }
    }
    const best = (list: readonly (Probe | undefined)[]) => Math.max(0, ...list.map((probe) => probe?.best ?? 0));
    return { f32GFlops: best(floats), dot4I8GOps: best(dots), copyGBs: copy.best };
  } finally {
    for (const buffer of [data, from, to]) buffer.destroy();
  }
}
