import { type BenchResult, benchLayers, benchNetworks, benchTraining } from '../../bench/suites.ts';
import { untrainedDetector, untrainedQuantized } from '../../bench/untrained.ts';
import type { RgbImage } from '../../data/image.ts';
import { renderSpecimen } from '../../data/synthetic/generate.ts';
import type { Detector, Prediction } from '../../detector/detector.ts';
import type { Engine } from '../../engine/engine.ts';
import type { Plan } from '../../engine/plan.ts';
import { chromeTrace, type DispatchTiming, profile } from '../../engine/profile.ts';
import { planRepeats, spin, timeRuns } from '../../engine/sample.ts';
import type { Precision } from '../../engine/variants.ts';
import { WEIGHT_BITS, type WeightBits } from '../../formats/weightCodes.ts';
import { packPixels } from '../../imaging/pixels.ts';
import { measure, summarize, type Timing, WARM_UP } from '../../measure/measure.ts';
import { measurePeaks, type Peaks } from '../../measure/peak.ts';
import { boundOf, workOf } from '../../measure/roofline.ts';
import { Networks } from '../../networks/networks.ts';
import { parsePdnSize } from '../../networks/pdn.ts';
import { assertOutputs, writeAtomically } from '../../node/output.ts';
import { barChart } from '../../report/barChart.ts';
import { metricsTable } from '../../report/table.ts';
import { type Arguments, readPrecision, UsageError, wholeNumber } from '../arguments.ts';
import { gigas, peaksText, reportHead, writeJson } from '../benchReport.ts';
import { printLine, printText } from '../print.ts';
import { inputFiles, MEASURING, notice, withEngine } from '../withEngine.ts';

const SUITES = ['peak', 'layers', 'networks', 'training', 'protocol', 'dispatches'] as const;
type Suite = (typeof SUITES)[number];

function chosenSuites(args: Arguments): readonly Suite[] {
  const names = args.positionals.length > 0 ? args.positionals : ['networks'];
  return names.map((name) => {
    const suite = SUITES.find((each) => each === name);
    if (!suite) throw new UsageError(`there is no suite '${name}'.`, `Use some of: ${SUITES.join(', ')}.`);
    return suite;
  });
}

function list(args: Arguments, name: string, fallback: string): string[] {
  return (args.text(name) ?? fallback).split(',');
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1)
    throw new UsageError(`--${name} ${text} cannot be used.`, 'Give whole numbers from 1 on.');
  return value;
}

/** Which numbers a detector computes with. */
interface Numbers {
  /** Width of the weights; absent: floats. */
  readonly weights: WeightBits | undefined;
  readonly precision: Precision;
}

/** A detector with random weights: its speed does not depend on them. */
function untrained(engine: Engine, networks: Networks, { weights, precision }: Numbers): Detector {
  networks.initialize(0);
  return weights
    ? untrainedQuantized(engine, networks, { weights, activations: 8 })
    : untrainedDetector(engine, networks, { precision });
}

const PROTOCOL_BATCH = 16;
/** Milliseconds for which a GPU is kept busy before the first measurement. */
const FIRST_WARM_UP = 200;

/** The field's own figures, and what a run takes on the device alone. */
async function protocol(
  engine: Engine,
  networks: Networks,
  numbers: Numbers,
  rounds: number,
  warmUp: number,
  signal: AbortSignal,
): Promise<Timing[]> {
  const detector = untrained(engine, networks, numbers);
  const plans: Plan[] = [];
  try {
    const { image } = renderSpecimen('bracket', undefined, 1, networks.side);
    const latency = { name: 'image to map, batch 1', run: () => detector.predict(image) };
    const one = await detector.compile(1);
    plans.push(one);
    const plan = await detector.compile(PROTOCOL_BATCH);
    plans.push(plan);
    const packed = packPixels(image);
    const pixels = new Uint32Array(PROTOCOL_BATCH * packed.length);
    for (let i = 0; i < PROTOCOL_BATCH; i++) pixels.set(packed, i * packed.length);
    const throughput = {
      name: `images to maps, batch ${PROTOCOL_BATCH}`,
      run: () => plan.run({ image: pixels }, ['combined']),
    };
    const inFlight = {
      name: `${PROTOCOL_BATCH} images to maps, one by one, several in flight`,
      run: async () => {
        let last: Prediction | undefined;
        const frames = Array<RgbImage>(PROTOCOL_BATCH).fill(image);
        for await (const prediction of detector.stream(frames, { batch: 1 })) last = prediction;
        return last;
      },
    };
    const device = async (name: string, subject: Plan) => {
      const repeats = await planRepeats(engine, subject);
      return { name: `${name}, on the device`, time: () => timeRuns(engine, subject, repeats) };
    };
    const [oneAlone, manyAlone] = [
      await device('a run, batch 1', one),
      await device(`a run, batch ${PROTOCOL_BATCH}`, plan),
    ];
    const runs = (count: number) => Math.max(1, Math.ceil(count / PROTOCOL_BATCH));
    // A GPU's runs are short, and so are its clocks' pauses.
    const fewer = engine.caps.isCpu
      ? { rounds: runs(rounds), warmUp: runs(warmUp), signal }
      : { rounds, warmUp, signal };
    const timings: Timing[] = [];
    for (const [cases, options] of [
      [[latency], { rounds, warmUp, signal }],
      [[throughput], fewer],
      [[oneAlone, manyAlone], fewer],
      [[inFlight], fewer],
    ] as const) {
      await spin(engine, FIRST_WARM_UP);
      timings.push(...(await measure(cases, options)));
    }
    return timings;
  } finally {
    for (const each of plans) each.destroy();
    detector.destroy();
  }
}

function protocolText([latency, throughput, one, many, inFlight]: readonly Timing[]): string {
  const { median, p5, p95, p99, runs } = latency!;
  const percentiles = [`p5 ${p5.toFixed(2)}`, `p95 ${p95.toFixed(2)}`, p99 !== undefined && `p99 ${p99.toFixed(2)}`];
  const rate = (time: number) => `${((PROTOCOL_BATCH * 1000) / time).toFixed(2)} images/s`;
  return [
    `latency, batch 1: median ${median.toFixed(2)} ms, ${percentiles.filter(Boolean).join(', ')}, ${runs} runs`,
    `throughput, batch ${PROTOCOL_BATCH}: ${rate(throughput!.median)}, ${throughput!.runs} runs`,
    `throughput, batch 1, several in flight: ${rate(inFlight!.median)}, ${inFlight!.runs} runs`,
    `on the device: batch 1 ${one!.median.toFixed(3)} ms, batch ${PROTOCOL_BATCH} ${rate(many!.median)}`,
  ].join('\n');
}

async function dispatches(
  engine: Engine,
  networks: Networks,
  numbers: Numbers,
  batch: number,
  rounds: number,
  isolated: boolean,
): Promise<{ timings: DispatchTiming[]; plan: Plan }> {
  const detector = untrained(engine, networks, numbers);
  const plan = await detector.compile(batch);
  try {
    await spin(engine, WARM_UP);
    // Dispatches of microseconds need many rounds, and those of a GPU take no time.
    const most = engine.caps.isCpu ? rounds : Math.max(rounds, GPU_ROUNDS);
    return { timings: await profile(engine, plan, { mode: isolated ? 'isolated' : 'inPlace', rounds: most }), plan };
  } finally {
    plan.destroy();
    detector.destroy();
  }
}

const GPU_ROUNDS = 100;

function dispatchRow({ dispatch, times }: DispatchTiming, plan: Plan, peaks: Peaks | undefined) {
  const { median, p5, p95 } = summarize(dispatch.label, times);
  const work = workOf([dispatch], plan.shaders);
  const bound = peaks && median > 0 ? boundOf({ ...work, milliseconds: median }, peaks) : undefined;
  const rate = (amount: number) => (amount > 0 && median > 0 ? gigas(amount, median) : undefined);
  return {
    dispatch: dispatch.label,
    kernel: dispatch.kernel.split(' ')[0]!,
    variant: dispatch.variant,
    grid: dispatch.grid.join('x'),
    workgroups: dispatch.grid.reduce((a, b) => a * b),
    'median ms': median,
    'p5 ms': p5,
    'p95 ms': p95,
    'GFLOP/s': rate(work.executed),
    'GB/s': rate(work.bytes),
    ...(peaks && { 'bound by': bound?.by, '% of bound': bound && 100 * bound.share }),
  };
}

/** Effective figures are those of the definition; what is executed is less with Winograd's method. */
function row(result: BenchResult, peaks: Peaks | undefined) {
  const { suite, name, median, p5, p95, p99, flops, bytes, images, deviceMs, work, memoryBytes } = result;
  const bound = peaks && boundOf({ ...work, milliseconds: deviceMs }, peaks);
  return {
    name,
    'median ms': median,
    'p5 ms': p5,
    'p95 ms': p95,
    ...(p99 !== undefined && { 'p99 ms': p99 }),
    ...(suite !== 'layers' && { 'device ms': deviceMs }),
    'effective GFLOP/s': gigas(flops, deviceMs),
    'executed GFLOP/s': gigas(work.executed, deviceMs),
    'GB/s': gigas(bytes, deviceMs),
    'images/s': (images * 1000) / median,
    dispatches: work.dispatches,
    ...(peaks && bound && { 'bound by': bound.by, '% of bound': 100 * bound.share }),
    MiB: memoryBytes / 2 ** 20,
  };
}

export async function run(args: Arguments, signal: AbortSignal): Promise<void> {
  const suites = chosenSuites(args);
  const sizes = list(args, 'size', 'xs').map(parsePdnSize);
  const sides = list(args, 'resolution', '128').map((text) => positive('resolution', text));
  const batches = list(args, 'batch', '1').map((text) => positive('batch', text));
  const rounds = wholeNumber(args, 'rounds', 10, 1);
  const warmUp = wholeNumber(args, 'warm-up', 3, 0);
  const width = args.choice('weights', WEIGHT_BITS.map(String));
  const weights = width === undefined ? undefined : (Number(width) as WeightBits);
  const precision = readPrecision(args);
  const numbers: Numbers = { weights, precision };
  await assertOutputs(
    ['json', 'share', 'svg', 'trace'].map((name) => args.text(name)),
    inputFiles(args),
  );
  // Sides that no network takes are refused here.
  for (const size of sizes) for (const side of sides) new Networks(size, side);
  await withEngine(
    args,
    async (engine) => {
      const { caps } = engine;
      const measuring = { rounds, warmUp, signal, precision };
      await spin(engine, FIRST_WARM_UP);
      // What bounds a kernel is told by the peaks.
      const peaks = suites.some((suite) => suite !== 'protocol' && suite !== 'training')
        ? await measurePeaks(engine)
        : undefined;
      if (peaks) {
        printText(peaksText(peaks));
      }
      const results: BenchResult[] = [];
      const only = args.text('variants')?.split(',');
      for (const size of sizes) {
        for (const side of sides) {
          const networks = new Networks(size, side);
          for (const batch of batches) {
            if (suites.includes('layers')) {
              const refused = (name: string, reason: string) => notice(`${name} is left out: ${reason}`);
              const wanted = (name: string) => only?.includes(name) ?? true;
              results.push(...(await benchLayers(engine, networks, batch, measuring, wanted, refused)));
            }
            if (suites.includes('networks')) results.push(...(await benchNetworks(engine, networks, batch, measuring)));
            if (suites.includes('training')) results.push(...(await benchTraining(engine, networks, batch, measuring)));
          }
          engine.release(networks.parameters);
        }
      }
      const networks = new Networks(sizes[0]!, sides[0]!);
      const [batch] = batches as [number];
      if (results.length > 0)
        printText(
          metricsTable(
            results.map((result) => row(result, peaks)),
            { digits: 2 },
          ),
        );

      let field: Timing[] = [];
      if (suites.includes('protocol')) {
        field = await protocol(engine, networks, numbers, rounds, warmUp, signal);
        printText(protocolText(field));
      }

      let dispatchRows: ReturnType<typeof dispatchRow>[] = [];
      if (suites.includes('dispatches')) {
        const { timings, plan } = await dispatches(engine, networks, numbers, batch, rounds, args.flag('isolated'));
        dispatchRows = timings.map((timing) => dispatchRow(timing, plan, peaks));
        printText(metricsTable(dispatchRows, { digits: 3 }));
        const sum = dispatchRows.reduce((total, each) => total + each['median ms'], 0);
        printLine(`${dispatchRows.length} dispatches, ${sum.toFixed(3)} ms in all`);
        const trace = args.text('trace');
        if (trace) await writeAtomically(trace, chromeTrace(timings, `detector ${networks.size} ${networks.side} px`));
      }

      const report = {
        ...(await reportHead(args, caps)),
        settings: { sizes, resolutions: sides, batches, rounds, warmUp, precision, weights: weights || undefined },
        peaks,
        results: results.map(({ suite, ...rest }) => ({ suite, ...row({ suite, ...rest }, peaks) })),
        protocol: field,
        dispatches: dispatchRows,
      };
      const json = args.text('json');
      if (json) await writeJson(json, report);
      const share = args.text('share');
      if (share) {
        await writeAtomically(share, `${JSON.stringify(report, null, 2)}\n`);
        printLine(`${share} holds the adapter's name and these figures, nothing else; open an issue and attach it.`);
      }
      const svg = args.text('svg');
      if (svg) {
        const bars = results.map((result) => ({ label: result.name, value: gigas(result.flops, result.deviceMs) }));
        const limits = peaks ? [{ value: peaks.f32GFlops, label: 'f32 peak' }] : [];
        await writeAtomically(svg, barChart(bars, { title: caps.description, unit: 'GFLOP/s', limits }));
      }
    },
    { toggles: MEASURING },
  );
}
