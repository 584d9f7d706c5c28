import { renderSpecimen } from '../data/synthetic/generate.ts';
import type { SmokeResult } from '../doctor/doctor.ts';
import type { Engine } from '../engine/engine.ts';
import { evaluateReference, isInput, type Node, Parameter, topologicalOrder, type Values } from '../engine/graph.ts';
import type { Plan, TypedArray } from '../engine/plan.ts';
import { Tuning } from '../engine/tuning.ts';
import { packPixels } from '../imaging/pixels.ts';
import { ADAM, adamOp } from '../kernels/adam.ts';
import { anomalyMaps, fusedAnomalyMaps, inferenceGraph } from '../networks/inference.ts';
import { initialize } from '../networks/initialize.ts';
import { Networks } from '../networks/networks.ts';
import { PRESETS, trainingGraph } from '../train/fit.ts';
import { LOSS_NAMES } from '../train/step.ts';

/** Values that the float64 references give for {@link inferenceSmoke} and {@link trainingSmoke}. */
export interface GoldenValues {
  /** Every {@link STRIDE}th value of the combined map. */
  readonly map: readonly number[];
  readonly losses: readonly number[];
  /** Euclidean norm of the gradient, by parameter. */
  readonly gradientNorms: Readonly<Record<string, number>>;
}

export const STRIDE = 7;
const SIDE = 128;

function networksOf(): Networks {
  const networks = new Networks('xs', SIDE);
  initialize(networks.teacher.convolutions, 1);
  networks.initialize(2);
  return networks;
}

function specimen(seed: number): Uint32Array {
  return packPixels(renderSpecimen('bracket', undefined, seed, SIDE).image);
}

/** The anomaly map of an untrained XS detector for a generated image of 128 px. */
export function inferenceSmoke(maps = fusedAnomalyMaps) {
  const networks = networksOf();
  const quantiles = new Parameter('map.quantiles', { shape: [4], dtype: 'f32' }, Float32Array.of(0, 1, 0, 1));
  const { image, combined } = inferenceGraph(networks, quantiles.node, 1, { maps });
  return { outputs: { combined }, inputs: new Map<Node, TypedArray>([[image, specimen(1)]]) };
}

/** One training step of the same networks: losses, gradients, and Adam's update of every parameter. */
export function trainingSmoke() {
  const networks = networksOf();
  const { training, lossNodes } = trainingGraph(networks, { ...PRESETS.quick, batch: 1 });
  const losses = Object.fromEntries(LOSS_NAMES.map((name, i) => [name, lossNodes[i]!]));
  const gradients = Object.fromEntries([...training.gradients].map(([{ name }, node]) => [name, node]));
  const features = Float32Array.from(
    { length: networks.channels * networks.mapSide ** 2 },
    (_, i) => Math.sin(i * 0.37) + Math.cos(i * 0.011),
  );
  const data: Record<string, TypedArray> = {
    images: specimen(1),
    penalty: specimen(2),
    imageChange: Float32Array.of(2, 1.1),
    penaltyChange: Float32Array.of(0, 0.9),
    teacherFeatures: features,
  };
  return { networks, training, losses, gradients, data };
}

/** What the float64 references say. Takes a minute. */
export function goldenValues(): GoldenValues {
  const { outputs, inputs } = inferenceSmoke(anomalyMaps);
  const [map] = evaluateReference([outputs.combined], new Map(inputs as unknown as Map<Node, Values>)) as [Values];
  const { losses, gradients, data } = trainingSmoke();
  const roots = [...Object.values(losses), ...Object.values(gradients)];
  const values = new Map(
    inputsOf(roots).map((node) => {
      const given = data[node.label]!;
      return [node, given instanceof Uint32Array ? given : Float64Array.from(given)] as const;
    }),
  );
  const results = evaluateReference(roots, values);
  const names = Object.keys(gradients);
  return {
    map: samples(map),
    losses: results.slice(0, LOSS_NAMES.length).map(([loss]) => loss!),
    gradientNorms: Object.fromEntries(names.map((name, i) => [name, norm(results[LOSS_NAMES.length + i]!)])),
  };
}

const LIMIT = { inference: 1e-4, training: 2e-3 } as const;

/** @throws what the engine throws where a plan cannot be compiled or run */
export async function runInferenceSmoke(engine: Engine, golden: GoldenValues): Promise<SmokeResult> {
  const { outputs, inputs } = inferenceSmoke();
  const [[image, pixels]] = [...inputs] as [[Node, TypedArray]];
  const plan = await engine.compile({ outputs, tuning: new Tuning('none') });
  try {
    const { combined } = await plan.run({ [image.label]: pixels }, ['combined']);
    return result('inference', LIMIT.inference, [['the map', samples(combined!), golden.map]]);
  } finally {
    release(engine, plan);
  }
}

/** @throws what the engine throws where a plan cannot be compiled or run */
export async function runTrainingSmoke(engine: Engine, golden: GoldenValues): Promise<SmokeResult> {
  const { networks, training, losses, gradients, data } = trainingSmoke();
  const before = new Map(networks.trained.map((parameter) => [parameter, parameter.data.slice()]));
  const plan = await engine.compile({
    outputs: { ...losses, ...prefixed(gradients) },
    effects: training.effects,
    tuning: new Tuning('none'),
  });
  try {
    const results = await plan.run(data, [...Object.keys(losses), ...Object.keys(prefixed(gradients))]);
    await engine.download([...networks.trained, training.state]);
    const names = Object.keys(gradients);
    const norms = names.map((name) => norm(results[GRADIENT + name]!));
    const expectedNorms = names.map((name) => golden.gradientNorms[name]!);
    const updates = networks.trained.map((parameter): [string, ArrayLike<number>, ArrayLike<number>] => {
      const old = before.get(parameter)!;
      const expected = adamUpdate(old, results[GRADIENT + parameter.name]!, training.state);
      return [`the update of ${parameter.name}`, differences(parameter.data, old), differences(expected, old)];
    });
    return result('training step', LIMIT.training, [
      ['the losses', LOSS_NAMES.map((name) => results[name]![0]!), golden.losses],
      ['the norms of the gradients', norms, expectedNorms],
      ...updates,
    ]);
  } finally {
    release(engine, plan);
  }
}

/** Adam's first step, by its reference. */
function adamUpdate(before: ArrayLike<number>, gradient: ArrayLike<number>, state: Parameter): Values {
  const zeros = new Float64Array(before.length);
  const [p, g] = [Float64Array.from(before), Float64Array.from(gradient)];
  const attrs = { ...ADAM, weightDecay: PRESETS.quick.weightDecay };
  return adamOp.reference([p, zeros, zeros, g, state.data as Uint32Array], { attrs } as never);
}

const GRADIENT = 'gradient of ';

function prefixed(gradients: Readonly<Record<string, Node>>): Record<string, Node> {
  return Object.fromEntries(Object.entries(gradients).map(([name, node]) => [GRADIENT + name, node]));
}

function release(engine: Engine, plan: Plan): void {
  plan.destroy();
  engine.release(plan.parameters);
}

function result(
  name: SmokeResult['name'],
  limit: number,
  compared: readonly (readonly [what: string, actual: ArrayLike<number>, expected: ArrayLike<number>])[],
): SmokeResult {
  let error = 0;
  let worst = '';
  for (const [what, actual, expected] of compared) {
    const largest = largestOf(expected);
    for (let i = 0; i < expected.length; i++) {
      const each = Math.abs(actual[i]! - expected[i]!) / (largest || 1);
      if (!(each <= error)) {
        error = each;
        worst = `${what}: got ${actual[i]}, expected ${expected[i]}`;
      }
    }
  }
  const isRight = error <= limit;
  return { name, error, limit, isRight, message: isRight ? undefined : worst };
}

function samples(values: ArrayLike<number>): number[] {
  return Array.from({ length: Math.ceil(values.length / STRIDE) }, (_, i) => values[i * STRIDE]!);
}

function differences(a: ArrayLike<number>, b: ArrayLike<number>): Float64Array {
  return Float64Array.from({ length: a.length }, (_, i) => a[i]! - b[i]!);
}

function largestOf(values: ArrayLike<number>): number {
  let largest = 0;
  for (let i = 0; i < values.length; i++) largest = Math.max(largest, Math.abs(values[i]!));
  return largest;
}

function norm(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]! ** 2;
  return Math.sqrt(sum);
}

function inputsOf(roots: readonly Node[]): Node[] {
  return topologicalOrder(roots).filter(isInput);
}
