import { graphCost } from '../engine/cost.ts';
import type { Engine } from '../engine/engine.ts';
import { isRefusal } from '../engine/errors.ts';
import { input, isInput, makeNode, type Node, Parameter, parameterOf, topologicalOrder } from '../engine/graph.ts';
import type { VariantChoice } from '../engine/lower.ts';
import { fuse } from '../engine/lower.ts';
import type { Plan } from '../engine/plan.ts';
import { firstRun, planRepeats, spin, timeRuns } from '../engine/sample.ts';
import { type Precision, supportedVariants } from '../engine/variants.ts';
import { type MeasureOptions, measure, type TimedCase, type Timing, WARM_UP } from '../measure/measure.ts';
import { workOf } from '../measure/roofline.ts';
import { anomalyMaps, fusedAnomalyMaps } from '../networks/inference.ts';
import type { Networks } from '../networks/networks.ts';
import { cachesFeatures, PRESETS, trainingGraph } from '../train/fit.ts';

/** One line of a benchmark. */
export interface BenchResult extends Timing {
  readonly suite: 'layers' | 'networks' | 'training';
  /** Of the plain definition, multiply-adds as two, whatever the kernels really do. */
  readonly flops: number;
  /** Bytes that have to be read and written at least once. */
  readonly bytes: number;
  readonly images: number;
  /** Milliseconds of a run on the device, without the host's part; the median of as many. */
  readonly deviceMs: number;
  /** What the dispatches of a run execute. */
  readonly work: ReturnType<typeof workOf>;
  /** Bytes on the device, of parameters and intermediate values. */
  readonly memoryBytes: number;
}

interface Subject {
  readonly name: string;
  readonly outputs: Readonly<Record<string, Node>>;
  readonly effects?: readonly Node[] | undefined;
  /** The definition, which costs are counted on. */
  readonly definition: readonly Node[];
  readonly variants?: VariantChoice | undefined;
  readonly images: number;
}

/** Told about a subject that this device cannot run. */
export type OnRefused = (name: string, reason: string) => void;

interface Candidate {
  readonly subject: Subject;
  readonly plan: Plan;
}

/**
 * Compiles all at once and runs each for the first time. What the device refuses is left out where `onRefused` is there to be
 * told.
 */
async function prepare(
  engine: Engine,
  subjects: readonly Subject[],
  precision: Precision,
  onRefused?: OnRefused,
): Promise<Candidate[]> {
  const settled = await Promise.allSettled(
    subjects.map(({ outputs, effects, variants }) =>
      // Plans that train stay exact.
      engine.compile({ outputs, effects, variants, precision: effects ? undefined : precision }),
    ),
  );
  const plans = settled.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
  const candidates: Candidate[] = [];
  try {
    for (const [i, each] of settled.entries()) {
      const subject = subjects[i]!;
      try {
        if (each.status === 'rejected') throw each.reason;
        await firstRun(engine, each.value);
        candidates.push({ subject, plan: each.value });
      } catch (error) {
        if (!onRefused || !isRefusal(error)) throw error;
        if (each.status === 'fulfilled') each.value.destroy();
        onRefused(subject.name, error.message);
      }
    }
    return candidates;
  } catch (error) {
    for (const plan of plans) plan.destroy();
    throw error;
  }
}

/** @param read whether results are read on the host, which then takes the time, too */
async function run(
  engine: Engine,
  suite: BenchResult['suite'],
  all: readonly Subject[],
  options: MeasureOptions,
  read: boolean,
  onRefused?: OnRefused,
): Promise<BenchResult[]> {
  const candidates = await prepare(engine, all, options.precision ?? 'f32', onRefused);
  const subjects = candidates.map(({ subject }) => subject);
  const plans = candidates.map(({ plan }) => plan);
  try {
    const device: TimedCase[] = [];
    // A CPU adapter's host part is nothing beside its kernels.
    const isHostEnough = read && engine.caps.isCpu;
    for (const [i, { name }] of subjects.entries()) {
      if (isHostEnough) break;
      const repeats = await planRepeats(engine, plans[i]!);
      device.push({ name, time: () => timeRuns(engine, plans[i]!, repeats) });
    }
    const host = subjects.map(({ name, outputs }, i) => ({
      name,
      run: () => plans[i]!.run({}, Object.keys(outputs)),
    }));
    await spin(engine, WARM_UP);
    const timings = await measure(read ? [...host, ...device] : device, options);
    return subjects.map(({ definition, images }, i) => ({
      ...timings[i]!,
      suite,
      ...graphCost(definition),
      images,
      deviceMs: timings.at(i - subjects.length)!.median,
      work: workOf(plans[i]!.dispatches, plans[i]!.shaders),
      memoryBytes: plans[i]!.memoryBytes + plans[i]!.parameterBytes,
    }));
  } finally {
    for (const plan of plans) plan.destroy();
  }
}

function inputOf(networks: Networks, batch: number): Node {
  return input('x', [batch, 3, networks.side, networks.side]);
}

/** Teacher, student, autoencoder and detector, from the normalized image on the device to the result on the host. */
export function benchNetworks(
  engine: Engine,
  networks: Networks,
  batch: number,
  options: MeasureOptions,
): Promise<BenchResult[]> {
  const x = inputOf(networks, batch);
  const quantiles = new Parameter('map.quantiles', { shape: [4], dtype: 'f32' }, Float32Array.of(0, 1, 0, 1)).node;
  const subject = (name: string, y: Node, definition = y): Subject => ({
    name: `${name} ${networks.size} ${networks.side} px x ${batch}`,
    outputs: { y },
    definition: [definition],
    images: batch,
  });
  const subjects = [
    subject('teacher', networks.teacher.forward(x)),
    subject('student', networks.student.forward(x)),
    subject('autoencoder', networks.autoencoder.forward(x)),
    subject(
      'detector',
      fusedAnomalyMaps(networks, quantiles, x).combined,
      anomalyMaps(networks, quantiles, x).combined,
    ),
  ];
  return run(engine, 'networks', subjects, options, true);
}

/** One training step with all its losses. */
export function benchTraining(
  engine: Engine,
  networks: Networks,
  batch: number,
  options: MeasureOptions,
): Promise<BenchResult[]> {
  const { training, lossNodes } = trainingGraph(
    networks,
    { ...PRESETS.quick, batch },
    { cachesFeatures: cachesFeatures(engine) },
  );
  const definition = [...lossNodes, ...training.gradients.values()];
  const subject: Subject = {
    name: `training step ${networks.size} ${networks.side} px x ${batch}`,
    outputs: Object.fromEntries(lossNodes.map((node, i) => [`loss${i}`, node])),
    effects: training.effects,
    definition,
    images: batch,
  };
  return run(engine, 'training', [subject], options, true);
}

/** Every different convolution of the teacher, each by every variant that the adapter supports. */
export async function benchLayers(
  engine: Engine,
  networks: Networks,
  batch: number,
  options: MeasureOptions,
  only: (variant: string) => boolean,
  onRefused?: OnRefused,
): Promise<BenchResult[]> {
  const [root] = fuse([networks.teacher.forward(inputOf(networks, batch))]);
  const results: BenchResult[] = [];
  for (const node of topologicalOrder([root!])) {
    if (isInput(node) || parameterOf(node) || node.op.name !== 'conv2d') continue;
    const inputs = node.inputs.map((from, i) =>
      parameterOf(from) ? new Parameter(`p${i}`, from.type).node : input(`in${i}`, from.type.shape),
    );
    const alone = makeNode(node.op, inputs, node.attrs, node.label);
    const { caps, variants, excluded } = engine;
    const target = { caps, variants, excluded, precision: options.precision };
    const subjects = supportedVariants(alone, target)
      .filter((variant) => only(variant.name))
      .map(
        (variant): Subject => ({
          name: `${node.label} ${variant.name}`,
          outputs: { y: alone },
          definition: [alone],
          variants: { conv2d: variant.name },
          images: batch,
        }),
      );
    results.push(...(await run(engine, 'layers', subjects, options, false, onRefused)));
  }
  return results;
}
