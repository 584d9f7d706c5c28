import dotShader from '../../shaders/peak_dot.wgsl';
import halfShader from '../../shaders/peak_f16.wgsl';
import floatShader from '../../shaders/peak_f32.wgsl';
import launchShader from '../../shaders/peak_launch.wgsl';
import memoryShader from '../../shaders/peak_memory.wgsl';
import type { Engine } from '../engine/engine.ts';
import { OutOfMemoryError } from '../engine/errors.ts';
import { type Defines, expand } from '../engine/expand.ts';
import { BUFFER_USAGE } from '../engine/flags.ts';
import { repeatsFor, type Stopwatch, spin, stopwatch } from '../engine/sample.ts';
import { loadShader, type ShaderSource } from '../engine/shaderText.ts';
import { lanes } from '../kernels/common.ts';
import { sampleQuantile } from '../math/statistics.ts';

/** What an adapter can do at most, measured: the ceilings that kernels are held against. */
export interface Peaks {
  /** Multiply-adds count as two, 10^9 per second. */
  readonly f32GFlops: number;
  /** The same in half precision; 0 where the device has no f16. */
  readonly f16GFlops: number;
  /** `dot4I8Packed` counts as eight, 10^9 per second; 0 where it does not compile. */
  readonly dot4I8GOps: number;
  /** Buffer to buffer, read and written bytes, 10^9 per second. */
  readonly copyGBs: number;
  /** Bytes that a kernel reads from more data than caches hold, 10^9 per second. */
  readonly readGBs: number;
  /** Bytes that a kernel reads, or reads and writes, whichever is more, by the size of the data; smallest first. */
  readonly memory: readonly { readonly bytes: number; readonly GBs: number }[];
  /** Microseconds from an empty submission until the host knows that it is done. */
  readonly emptySubmitUs: number;
  /** Microseconds of a tiny dispatch that waits for the one before it, in one pass. */
  readonly dispatchUs: number;
}

const STEPS = 128;
/** Independent sums and their width: what is fastest depends on the latency of an instruction and on registers. */
const SUMS = {
  f32: [
    [4, 1],
    [8, 1],
    [16, 1],
    [2, 4],
    [4, 4],
    [8, 4],
  ],
  f16: [
    [4, 2],
    [8, 2],
    [16, 2],
    [4, 4],
    [8, 4],
  ],
  dot: [
    [4, 1],
    [8, 1],
    [12, 1],
    [16, 1],
  ],
} as const;
/** Operations of a step and sum, by element. */
const PER_STEP = { f32: 8, f16: 8, dot: 16 } as const;
const SHADERS = { f32: floatShader, f16: halfShader, dot: dotShader } as const;

const MIB = 2 ** 20;
/** Sizes of data for bandwidths, the largest beyond all caches where memory allows. */
const SIZES = {
  cpu: [MIB / 4, 4 * MIB, 64 * MIB],
  gpu: [8, 16, 32, 64, 128, 256, 1024].map((size) => size * MIB),
} as const;
const MEMORY_STEPS = 32;

/** Milliseconds of one dispatch, what one sample is, and how many samples are taken of the best probes. */
const LENGTHS = {
  cpu: { dispatch: 8, sample: { milliseconds: 16, most: 64 }, samples: 9, finalists: 2 },
  gpu: { dispatch: 2, sample: { milliseconds: 8, most: 64 }, samples: 15, finalists: 3 },
} as const;
const FIRST_WORKGROUPS = 64;
const MOST_WORKGROUPS = 65535;
/** Of the rates of samples: near the highest one, and not a single lucky one. */
const HIGH = 0.9;

const WARM_UP = 200;
const LAUNCHES = { cpu: 100, gpu: 1000 } as const;

/** Something that can be repeated within a submission. */
interface Probe {
  /** Operations or bytes of one repetition. */
  readonly amount: number;
  record(encoder: GPUCommandEncoder, repetitions: number): void;
}

/** Measures the adapter's peaks; takes a few seconds. @throws OutOfMemoryError where not even a few MiB can be had */
export async function measurePeaks(engine: Engine): Promise<Peaks> {
  await spin(engine, WARM_UP);
  const meter = new Meter(engine, await stopwatch(engine));
  const buffers = await allocate(engine);
  try {
    const f32 = await meter.arithmetic('f32', buffers);
    const f16 = engine.caps.f16 ? await meter.arithmetic('f16', buffers) : 0;
    const dot = await meter.arithmetic('dot', buffers);
    const memory = await meter.memory(buffers);
    return {
      f32GFlops: f32,
      f16GFlops: f16,
      dot4I8GOps: dot,
      copyGBs: await meter.copy(buffers),
      readGBs: memory.at(-1)!.read,
      memory: memory.map(({ bytes, read, both }) => ({ bytes, GBs: Math.max(read, both) })),
      emptySubmitUs: await emptySubmit(engine),
      dispatchUs: await meter.launch(buffers),
    };
  } finally {
    buffers.from.destroy();
    buffers.to.destroy();
  }
}

/** Two buffers of the same size. */
interface Buffers {
  readonly from: GPUBuffer;
  readonly to: GPUBuffer;
}

/** As large as asked for or, where that is refused, half of it, and so on. */
async function allocate({ device, caps }: Engine): Promise<Buffers> {
  const usage = BUFFER_USAGE.STORAGE | BUFFER_USAGE.COPY_SRC | BUFFER_USAGE.COPY_DST;
  const most = Math.min(caps.limits.maxBufferSize, caps.limits.maxStorageBufferBindingSize);
  for (let size = sizes(caps.isCpu).at(-1)!; size >= 4 * MIB; size /= 2) {
    if (size > most) continue;
    device.pushErrorScope('validation');
    device.pushErrorScope('out-of-memory');
    const [from, to] = [0, 1].map(() => device.createBuffer({ label: 'peak', size, usage })) as [GPUBuffer, GPUBuffer];
    const refused = await Promise.all([device.popErrorScope(), device.popErrorScope()]);
    if (refused.every((error) => !error)) return { from, to };
    from.destroy();
    to.destroy();
  }
  throw new OutOfMemoryError('the device refused the memory for measuring its bandwidth.', 'End other programs.');
}

const sizes = (isCpu: boolean): readonly number[] => (isCpu ? SIZES.cpu : SIZES.gpu);

class Meter {
  readonly #engine: Engine;
  readonly #watch: Stopwatch;
  readonly #workgroup: number;
  readonly #lengths: (typeof LENGTHS)['cpu' | 'gpu'];

  constructor(engine: Engine, watch: Stopwatch) {
    const { caps } = engine;
    this.#engine = engine;
    this.#watch = watch;
    this.#workgroup = caps.isCpu ? Math.max(8, lanes(caps) || 64) : 256;
    this.#lengths = caps.isCpu ? LENGTHS.cpu : LENGTHS.gpu;
  }

  /** 10^9 operations per second by the best kernel; 0 where none compiles. */
  async arithmetic(kind: keyof typeof SUMS, buffers: Buffers): Promise<number> {
    const pipelines = await Promise.all(
      SUMS[kind].map(([chains, wide]) => this.#compile(SHADERS[kind], { CHAINS: chains, WIDE: wide, STEPS })),
    );
    const probes: { probe: Probe; rate: number }[] = [];
    for (const [i, [chains, wide]] of SUMS[kind].entries()) {
      const pipeline = pipelines[i];
      if (!pipeline) continue;
      const perInvocation = PER_STEP[kind] * chains * wide * STEPS;
      const probe = await this.#sized(pipeline, [{ buffer: buffers.from }], buffers.from.size, perInvocation);
      probes.push({ probe, rate: sampleQuantile(await this.#rates(probe, 2), HIGH) });
    }
    const finalists = probes.sort((a, b) => b.rate - a.rate).slice(0, this.#lengths.finalists);
    let best = 0;
    for (const { probe } of finalists) {
      best = Math.max(best, sampleQuantile(await this.#rates(probe, this.#lengths.samples), HIGH));
    }
    return best;
  }

  /** 10^9 bytes per second, reading and both reading and writing, for data of several sizes. */
  async memory({ from, to }: Buffers): Promise<{ bytes: number; read: number; both: number }[]> {
    const [reading, copying] = await Promise.all(
      [0, 1].map((writes) => this.#compile(memoryShader, { WRITES: writes, STEPS: MEMORY_STEPS })),
    );
    if (!reading || !copying) throw new Error('the kernels that measure bandwidth do not compile');
    const results = [];
    for (const bytes of sizes(this.#engine.caps.isCpu)) {
      if (bytes > from.size) continue;
      const source = { buffer: from, size: bytes };
      // A step reads four vec4s.
      const perInvocation = MEMORY_STEPS * 4 * 16;
      const read = await this.#sized(reading, [source, { buffer: to }], to.size, perInvocation);
      const both = await this.#sized(copying, [source, { buffer: to, size: bytes }], to.size, 2 * perInvocation);
      const rate = async (probe: Probe) => sampleQuantile(await this.#rates(probe, this.#lengths.samples), HIGH);
      results.push({ bytes, read: await rate(read), both: await rate(both) });
    }
    return results;
  }

  /** 10^9 bytes per second, read and written. */
  async copy({ from, to }: Buffers): Promise<number> {
    const probe: Probe = {
      amount: 2 * from.size,
      record(encoder, repetitions) {
        for (let i = 0; i < repetitions; i++) encoder.copyBufferToBuffer(from, 0, to, 0, from.size);
      },
    };
    // Buffers are filled with zeros when they are first used.
    await this.#time(probe, 1);
    return sampleQuantile(await this.#rates(probe, this.#lengths.samples), HIGH);
  }

  /** Microseconds of a dispatch that does next to nothing. */
  async launch({ from }: Buffers): Promise<number> {
    const pipeline = await this.#compile(launchShader, {});
    if (!pipeline) throw new Error('the kernel that measures launches does not compile');
    const probe = this.#probe(pipeline, [{ buffer: from }], 1, 0);
    const count = this.#engine.caps.isCpu ? LAUNCHES.cpu : LAUNCHES.gpu;
    await this.#time(probe, count);
    const times: number[] = [];
    for (let i = 0; i < this.#lengths.samples; i++) times.push(((await this.#time(probe, count)) * 1000) / count);
    return sampleQuantile(times, 1 - HIGH);
  }

  /** A compiled kernel, or undefined for one that the device does not take. */
  async #compile(source: ShaderSource, defines: Defines): Promise<GPUComputePipeline | undefined> {
    const { device } = this.#engine;
    const template = await loadShader(source);
    const code = expand(template, { defines: { ...defines, WORKGROUP: this.#workgroup } });
    device.pushErrorScope('validation');
    const module = device.createShaderModule({ label: 'peak', code });
    if (await device.popErrorScope()) return undefined;
    return device.createComputePipelineAsync({ label: 'peak', layout: 'auto', compute: { module } });
  }

  #probe(
    pipeline: GPUComputePipeline,
    resources: readonly GPUBufferBinding[],
    workgroups: number,
    amount: number,
  ): Probe {
    const group = this.#engine.device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: resources.map((resource, binding) => ({ binding, resource })),
    });
    return {
      amount,
      record(encoder, repetitions) {
        const pass = encoder.beginComputePass();
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, group);
        for (let i = 0; i < repetitions; i++) pass.dispatchWorkgroups(workgroups);
        pass.end();
      },
    };
  }

  /** A probe with as many workgroups as make a dispatch long enough. @param bytes of the buffer that takes a word an invocation */
  async #sized(
    pipeline: GPUComputePipeline,
    resources: readonly GPUBufferBinding[],
    bytes: number,
    perInvocation: number,
  ): Promise<Probe> {
    const most = Math.min(MOST_WORKGROUPS, Math.floor(bytes / 4 / this.#workgroup));
    const make = (count: number) => this.#probe(pipeline, resources, count, perInvocation * count * this.#workgroup);
    let workgroups = Math.min(most, FIRST_WORKGROUPS);
    let probe = make(workgroups);
    await this.#time(probe, 1);
    while (workgroups < most) {
      const time = await this.#time(probe, 1);
      if (time >= this.#lengths.dispatch / 2) break;
      // By steps: the first ones are mostly launch and tail.
      const wanted = Math.ceil((workgroups * this.#lengths.dispatch) / time);
      workgroups = Math.min(most, 16 * workgroups, Math.max(2 * workgroups, wanted));
      probe = make(workgroups);
    }
    return probe;
  }

  #time(probe: Probe, repetitions: number): Promise<number> {
    return this.#watch.time((encoder) => probe.record(encoder, repetitions));
  }

  /** 10^9 per second, by sample. */
  async #rates(probe: Probe, samples: number): Promise<number[]> {
    const repetitions = repeatsFor(await this.#time(probe, 1), this.#lengths.sample);
    const rates: number[] = [];
    for (let i = 0; i < samples; i++) {
      rates.push((probe.amount * repetitions) / (await this.#time(probe, repetitions)) / 1e6);
    }
    return rates;
  }
}

const EMPTY_SUBMITS = 51;

/** Microseconds. */
async function emptySubmit({ device }: Engine): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < EMPTY_SUBMITS; i++) {
    const commands = device.createCommandEncoder().finish();
    const start = performance.now();
    device.queue.submit([commands]);
    await device.queue.onSubmittedWorkDone();
    times.push((performance.now() - start) * 1000);
  }
  return sampleQuantile(times, 0.5);
}
