import { Detector } from '../detector/detector.ts';
import type { DetectorState } from '../detector/detectorState.ts';
import type { Engine } from '../engine/engine.ts';
import { isOf, makeNode, type Node, Parameter, topologicalOrder } from '../engine/graph.ts';
import { fuse } from '../engine/lower.ts';
import type { Plan } from '../engine/plan.ts';
import { planRepeats, spin, timeRuns } from '../engine/sample.ts';
import { standalone } from '../engine/tune.ts';
import { tuningKey } from '../engine/tuning.ts';
import { WEIGHT_BITS, type WeightBits } from '../formats/weightCodes.ts';
import { packedWords, type Qconv2dNode, qconv2dOp } from '../kernels/qconv2d.ts';
import { randomWeights } from '../measure/kernels.ts';
import { type MeasureOptions, measure, WARM_UP } from '../measure/measure.ts';
import { type BitPlan, type LayerPlan, quantizableLayers, uniformPlan } from '../quantization/bitPlan.ts';
import { packedLayerOf } from '../quantization/integerGraph.ts';
import { isQuantized, needsRange, type Quantization, type QuantizedLayer } from '../quantization/layers.ts';
import type { Latencies } from './limits.ts';
import type { PlanTimer, PlanTiming } from './timeBudget.ts';

/** Told how many measurements of how many are done. */
export type OnMeasured = (done: number, total: number) => void;

export interface PlanTimerOptions {
  /** A float detector. */
  readonly state: DetectorState;
  /** Width of all activations; 8. */
  readonly activations?: LayerPlan['activations'] | undefined;
  readonly onMeasured?: OnMeasured | undefined;
  readonly signal?: AbortSignal | undefined;
}

const LAYER_ROUNDS = { rounds: 7, warmUp: 1 };
const PLAN_ROUNDS = { rounds: 9, warmUp: 2 };

/** Times layers and plans on an engine's adapter. Nothing else should use the adapter meanwhile. */
export function planTimer(engine: Engine, options: PlanTimerOptions): PlanTimer {
  const { state, signal } = options;
  const rounds = { ...PLAN_ROUNDS, signal };
  return {
    latencies: () => layerLatencies(engine, options),
    time: (plan) => timePlan(engine, state, plan, rounds),
  };
}

/** Any codes and ranges: kernels take the same time for all. */
function anyQuantization({ networks }: DetectorState, plan: BitPlan): Quantization {
  const layers = new Map<string, QuantizedLayer>();
  for (const [name, { weight }] of quantizableLayers(networks)) {
    const layer = plan.layers[name];
    if (!layer || !isQuantized(layer)) continue;
    const { weights: bits, granularity } = layer;
    const groupSize = granularity === 'channel' ? undefined : granularity.groupSize;
    layers.set(name, {
      plan: layer,
      weights: bits <= 8 ? randomWeights(weight.type.shape, bits as WeightBits, groupSize) : undefined,
      input: needsRange(layer) ? { scale: 1, zeroPoint: 0 } : undefined,
    });
  }
  return layers;
}

/** Milliseconds of a plan's networks and of the float ones, from the pixels on the device to the map on the host, in turns. */
async function timePlan(
  engine: Engine,
  state: DetectorState,
  plan: BitPlan,
  rounds: MeasureOptions,
): Promise<PlanTiming> {
  const detectors = [
    new Detector(engine, { ...state, quantization: anyQuantization(state, plan) }),
    new Detector(engine, state),
  ];
  const plans: Plan[] = [];
  try {
    for (const detector of detectors) plans.push(await detector.compile(1));
    await spin(engine, WARM_UP);
    const cases = plans.map((each) => ({ name: '', run: () => each.run({}, ['combined']) }));
    const [ours, float] = await measure(cases, rounds);
    return { milliseconds: ours!.median, floatMilliseconds: float!.median };
  } finally {
    for (const each of plans) each.destroy();
    for (const detector of detectors) detector.destroy();
  }
}

/**
 * Milliseconds of every layer at every width, each convolution by itself with the variant that the engine chooses for it. Equal
 * convolutions are timed once, and so are widths that run the same kernels.
 */
export async function layerLatencies(
  engine: Engine,
  { state, activations = 8, onMeasured, signal }: PlanTimerOptions,
): Promise<Latencies> {
  const plan = uniformPlan(state.networks, { weights: 8, activations });
  const detector = new Detector(engine, { ...state, quantization: anyQuantization(state, plan) });
  try {
    const { combined } = detector.fusedGraph(1);
    const nodes = new Map<string, { readonly node: Qconv2dNode; readonly layers: string[] }>();
    for (const node of topologicalOrder(fuse([combined]))) {
      if (!isOf(node, qconv2dOp)) continue;
      const key = tuningKey(node);
      const known = nodes.get(key) ?? { node, layers: [] };
      nodes.set(key, known);
      known.layers.push(packedLayerOf(node)!);
    }
    const latencies = new Map<string, Map<WeightBits, number>>();
    let done = 0;
    for (const { node, layers } of nodes.values()) {
      const times = await widthLatencies(engine, node, { ...LAYER_ROUNDS, signal });
      for (const layer of layers) {
        // A layer that is computed in parts takes the time of all of them.
        const sums = latencies.get(layer) ?? new Map<WeightBits, number>();
        latencies.set(layer, sums);
        for (const [bits, time] of times) sums.set(bits, (sums.get(bits) ?? 0) + time);
      }
      onMeasured?.(++done, nodes.size);
    }
    return latencies;
  } finally {
    detector.destroy();
  }
}

/** A convolution with weights of another width. */
function atWidth(node: Qconv2dNode, bits: WeightBits): Node {
  const { weights } = node.attrs;
  const [x, , ...rest] = node.inputs;
  const words = new Parameter('words', { shape: [packedWords(weights, bits)], dtype: 'u32' });
  return standalone(makeNode(qconv2dOp, [x, words.node, ...rest], { ...node.attrs, bits }, node.label));
}

/** Milliseconds of a convolution with weights of every width, in turns. @param node of {@link qconv2dOp} */
export async function widthLatencies(
  engine: Engine,
  node: Qconv2dNode,
  options: MeasureOptions = LAYER_ROUNDS,
): Promise<ReadonlyMap<WeightBits, number>> {
  const plans = new Map<string, Plan>();
  const kernelsOf = new Map<WeightBits, string>();
  const parameters = new Set<Parameter>();
  try {
    for (const bits of WEIGHT_BITS) {
      options.signal?.throwIfAborted();
      const plan = await engine.compile({ outputs: { y: atWidth(node, bits) } });
      for (const parameter of plan.parameters) parameters.add(parameter);
      const kernels = plan.dispatches.map(({ kernel, grid }) => `${kernel} ${grid.join('x')}`).join('; ');
      kernelsOf.set(bits, kernels);
      if (plans.has(kernels)) plan.destroy();
      else plans.set(kernels, plan);
    }
    await spin(engine, WARM_UP);
    const cases: { name: string; time: () => Promise<number> }[] = [];
    for (const [name, plan] of plans) {
      const repeats = await planRepeats(engine, plan);
      cases.push({ name, time: () => timeRuns(engine, plan, repeats) });
    }
    const medians = new Map((await measure(cases, options)).map(({ name, median }) => [name, median]));
    return new Map(WEIGHT_BITS.map((bits) => [bits, medians.get(kernelsOf.get(bits)!)!]));
  } finally {
    for (const plan of plans.values()) plan.destroy();
    engine.release(parameters);
  }
}
