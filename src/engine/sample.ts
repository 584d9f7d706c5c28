import busyShader from '../../shaders/peak_f32.wgsl';
import type { Caps } from './caps.ts';
import type { Engine } from './engine.ts';
import { expand } from './expand.ts';
import { BUFFER_USAGE } from './flags.ts';
import type { Plan } from './plan.ts';
import { loadShader } from './shaderText.ts';

/** One sample repeats a run until it takes about so many milliseconds, or has repeated it so often. */
export interface SampleSize {
  readonly milliseconds: number;
  readonly most: number;
}

/** A sample that the host times is so many times as long as an empty submission, which varies. */
const ABOVE_EMPTY = 8;

/**
 * Dispatches of a GPU take microseconds, and many are recorded faster than a CPU adapter runs one.
 * @param clock what takes the time
 */
export function sampleSize(
  { isCpu }: Pick<Caps, 'isCpu'>,
  { isFine, emptySubmit }: Pick<Stopwatch, 'isFine' | 'emptySubmit'>,
): SampleSize {
  const least = isFine ? 0 : ABOVE_EMPTY * emptySubmit;
  return isCpu ? { milliseconds: Math.max(8, least), most: 64 } : { milliseconds: Math.max(3, least), most: 1024 };
}

/** How often a sample should repeat a run of so many milliseconds. */
export function repeatsFor(milliseconds: number, sample: SampleSize): number {
  return Math.min(sample.most, Math.max(1, Math.round(sample.milliseconds / milliseconds)));
}

/** Timestamps whose low bits are masked: what Dawn and browsers do, nanoseconds. */
const COARSE_STEP = 65536n;
/** A sample is timed by coarse steps only if it has so many of them. */
const ENOUGH_STEPS = 64;

function areCoarse(from: bigint, to: bigint): boolean {
  return from % COARSE_STEP === 0n && to % COARSE_STEP === 0n;
}

/**
 * Milliseconds between two timestamps, or undefined where they do not tell: none advanced, more time than the host saw, or a
 * clock whose steps are coarse for so short a time.
 * @param from nanoseconds
 * @param to nanoseconds
 * @param elapsed milliseconds on the host, at least as long
 */
export function stampedTime(from: bigint, to: bigint, elapsed: number): number | undefined {
  const milliseconds = Number(to - from) / 1e6;
  if (milliseconds <= 0 || milliseconds > elapsed) return undefined;
  return areCoarse(from, to) && to - from < BigInt(ENOUGH_STEPS) * COARSE_STEP ? undefined : milliseconds;
}

const EMPTY_SUBMITS = 21;

/**
 * Times what a submission does on the device: by timestamps around it where there are some, else by the host's clock less
 * what an empty submission takes.
 */
export class Stopwatch {
  /** Milliseconds of a submission that does nothing, as it is timed: the median of some. */
  readonly emptySubmit: number;
  /** Short samples are timed by timestamps, too: these have fine steps. */
  readonly isFine: boolean;
  readonly #engine: Engine;
  readonly #stamps: Stamps | undefined;

  private constructor(engine: Engine, stamps: Stamps | undefined, emptySubmit: number, isFine: boolean) {
    this.isFine = isFine;
    this.#engine = engine;
    this.#stamps = stamps;
    this.emptySubmit = emptySubmit;
  }

  static async open(engine: Engine): Promise<Stopwatch> {
    const stamps = engine.caps.timestampQuery ? makeStamps(engine.device) : undefined;
    const times: number[] = [];
    for (let i = 0; i < EMPTY_SUBMITS; i++) times.push((await submit(engine, stamps, () => {})).elapsed);
    times.sort((a, b) => a - b);
    const emptySubmit = times[EMPTY_SUBMITS >> 1]!;
    const quality = stamps ? await compare(engine, stamps, emptySubmit) : 'none';
    return new Stopwatch(engine, quality === 'none' ? undefined : stamps, emptySubmit, quality === 'fine');
  }

  /** @returns milliseconds of what was recorded, more than 0 */
  async time(record: (encoder: GPUCommandEncoder) => void): Promise<number> {
    const { elapsed, stamped } = await submit(this.#engine, this.#stamps, record);
    // The empty submission varies, too: some time is always left.
    return stamped ?? Math.max(elapsed - this.emptySubmit, elapsed / 20);
  }
}

interface Stamps {
  readonly queries: GPUQuerySet;
  readonly resolved: GPUBuffer;
  readonly staging: GPUBuffer;
}

function makeStamps(device: GPUDevice): Stamps {
  return {
    queries: device.createQuerySet({ type: 'timestamp', count: 2 }),
    resolved: device.createBuffer({ size: 16, usage: BUFFER_USAGE.QUERY_RESOLVE | BUFFER_USAGE.COPY_SRC }),
    staging: device.createBuffer({ size: 16, usage: BUFFER_USAGE.MAP_READ | BUFFER_USAGE.COPY_DST }),
  };
}

/** An empty pass at whose end a timestamp is taken, when all before it is done. */
function stamp(encoder: GPUCommandEncoder, querySet: GPUQuerySet, index: number): void {
  encoder.beginComputePass({ timestampWrites: { querySet, endOfPassWriteIndex: index } }).end();
}

async function submit(
  engine: Engine,
  stamps: Stamps | undefined,
  record: (encoder: GPUCommandEncoder) => void,
): Promise<{ readonly elapsed: number; readonly stamped: number | undefined; readonly isCoarse: boolean }> {
  engine.assertUsable();
  const { device } = engine;
  const encoder = device.createCommandEncoder();
  if (stamps) stamp(encoder, stamps.queries, 0);
  record(encoder);
  if (stamps) {
    stamp(encoder, stamps.queries, 1);
    encoder.resolveQuerySet(stamps.queries, 0, 2, stamps.resolved, 0);
    encoder.copyBufferToBuffer(stamps.resolved, 0, stamps.staging, 0, 16);
  }
  const commands = encoder.finish();
  const start = performance.now();
  device.queue.submit([commands]);
  if (!stamps) {
    await device.queue.onSubmittedWorkDone();
    engine.assertUsable();
    return { elapsed: performance.now() - start, stamped: undefined, isCoarse: true };
  }
  await engine.map(stamps.staging);
  const elapsed = performance.now() - start;
  const [from, to] = new BigUint64Array(stamps.staging.getMappedRange().slice(0)) as unknown as [bigint, bigint];
  stamps.staging.unmap();
  return { elapsed, stamped: stampedTime(from, to, elapsed), isCoarse: areCoarse(from, to) };
}

/** Milliseconds of work that timestamps and the host's clock are compared on, dispatches in it at most, and tries. */
const CHECK = { length: 10, dispatches: 4096, tries: 3 } as const;

/** What timestamps are good for: nothing unless they see at least half of the work that the host waits for. */
async function compare(engine: Engine, stamps: Stamps, emptySubmit: number): Promise<'none' | 'coarse' | 'fine'> {
  const work = await busyWork(engine);
  let dispatches = 1;
  for (let tries = 0; tries < CHECK.tries; ) {
    const { elapsed, stamped, isCoarse } = await submit(engine, stamps, (encoder) => work.record(encoder, dispatches));
    const length = elapsed - emptySubmit;
    if (length < CHECK.length && dispatches < CHECK.dispatches) {
      dispatches *= 2;
      continue;
    }
    if (stamped !== undefined && stamped > length / 2) return isCoarse ? 'coarse' : 'fine';
    tries++;
  }
  return 'none';
}

const watches = new WeakMap<Engine, Promise<Stopwatch>>();

/** The engine's stopwatch, made on first use. It takes one time after another, never two at once. */
export function stopwatch(engine: Engine): Promise<Stopwatch> {
  let known = watches.get(engine);
  if (!known) {
    known = Stopwatch.open(engine);
    watches.set(engine, known);
  }
  return known;
}

/** Runs a plan so many times in one submission. @returns milliseconds of one run on the device */
export async function timeRuns(engine: Engine, plan: Plan, runs = 1): Promise<number> {
  const watch = await stopwatch(engine);
  const total = await watch.time((encoder) => {
    for (let i = 0; i < runs; i++) plan.encode(encoder);
  });
  return total / runs;
}

/**
 * The first run of a plan, in which drivers compile what they compile late. What a device rejects takes no time at all, and
 * would seem to be the fastest: it is told here.
 * @returns milliseconds
 * @throws DeviceError when the device refuses the run
 */
export async function firstRun(engine: Engine, plan: Plan): Promise<number> {
  await stopwatch(engine);
  const start = performance.now();
  await engine.submit('the first run of a plan', (encoder) => plan.encode(encoder));
  await engine.device.queue.onSubmittedWorkDone();
  return performance.now() - start;
}

/** How often a sample should repeat a plan. @throws DeviceError when the device refuses its run */
export async function planRepeats(engine: Engine, plan: Plan): Promise<number> {
  await firstRun(engine, plan);
  return repeatsFor(await timeRuns(engine, plan), sampleSize(engine.caps, await stopwatch(engine)));
}

/** The chain of multiply-adds that keeps a device busy. */
interface BusyWork {
  record(encoder: GPUCommandEncoder, dispatches: number): void;
}

const BUSY = { cpu: 64, gpu: 4096 } as const;
const BUSY_WORKGROUP = 64;
const busyWorks = new WeakMap<Engine, Promise<BusyWork>>();

function busyWork(engine: Engine): Promise<BusyWork> {
  let known = busyWorks.get(engine);
  if (!known) {
    known = makeBusyWork(engine);
    busyWorks.set(engine, known);
  }
  return known;
}

async function makeBusyWork({ device, caps }: Engine): Promise<BusyWork> {
  const workgroups = caps.isCpu ? BUSY.cpu : BUSY.gpu;
  const code = expand(await loadShader(busyShader), {
    defines: { WORKGROUP: BUSY_WORKGROUP, CHAINS: 8, WIDE: 1, STEPS: 500 },
  });
  const compute = { module: device.createShaderModule({ label: 'busy', code }) };
  const pipeline = await device.createComputePipelineAsync({ label: 'busy', layout: 'auto', compute });
  const buffer = device.createBuffer({ size: workgroups * BUSY_WORKGROUP * 4, usage: BUFFER_USAGE.STORAGE });
  const group = device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: [{ binding: 0, resource: { buffer } }],
  });
  return {
    record(encoder, dispatches) {
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      for (let i = 0; i < dispatches; i++) pass.dispatchWorkgroups(workgroups);
      pass.end();
    },
  };
}

/**
 * Keeps a GPU busy for so many milliseconds, since idle ones run at a fraction of their clock. Does nothing on CPU adapters.
 */
export async function spin(engine: Engine, milliseconds: number): Promise<void> {
  if (engine.caps.isCpu) return;
  const work = await busyWork(engine);
  const end = performance.now() + milliseconds;
  do {
    engine.assertUsable();
    const encoder = engine.device.createCommandEncoder();
    work.record(encoder, 8);
    engine.device.queue.submit([encoder.finish()]);
    await engine.device.queue.onSubmittedWorkDone();
  } while (performance.now() < end);
}
