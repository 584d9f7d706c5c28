import type { Caps } from '../engine/caps.ts';
import type { Engine } from '../engine/engine.ts';
import { isRefusal, ShapeError } from '../engine/errors.ts';
import {
  evaluateReference,
  input,
  type Node,
  type Op,
  Parameter,
  parameterOf,
  size,
  type Values,
} from '../engine/graph.ts';
import type { Plan, TypedArray } from '../engine/plan.ts';
import { firstRun, planRepeats, spin, timeRuns } from '../engine/sample.ts';
import { isConstant } from '../engine/tuning.ts';
import { supportedVariants, variantsOf } from '../engine/variants.ts';
import { UserError } from '../errors.ts';
import { codeRange, dequantizeWeights, type QuantizedWeights, type WeightBits } from '../formats/weightCodes.ts';
import { conv2d, conv2dOp } from '../kernels/conv2d.ts';
import { qconv2d, qconv2dOp } from '../kernels/qconv2d.ts';
import {
  type ActivationStorage,
  type CodeStorage,
  isCodes,
  largestCode,
  RANGE_LENGTH,
  rangeOf,
  reader,
  store,
  storedType,
} from '../kernels/storage.ts';
import { packBlocks, scaleTable } from '../kernels/weightBlocks.ts';
import { Random } from '../math/random.ts';
import { type MeasureOptions, measure, type Timing, WARM_UP } from './measure.ts';
import { type Arithmetic, arithmeticOf, workOf } from './roofline.ts';

/** Ops whose variants can be timed on shapes of one's own. */
export const BENCH_KERNELS = ['conv2d', 'qconv2d'] as const;
export type BenchKernel = (typeof BENCH_KERNELS)[number];
const OPS: Readonly<Record<BenchKernel, Op<unknown>>> = { conv2d: conv2dOp, qconv2d: qconv2dOp };

/** A convolution without rectifier and pooling. */
export interface ConvShape {
  /** [N, CI, H, W] */
  readonly input: readonly [number, number, number, number];
  /** [CO, KH, KW] */
  readonly kernel: readonly [number, number, number];
  readonly stride: number;
  /** Zeros on all four sides. */
  readonly padding: number;
}

/** `N,CI,H,W:CO,KH,KW`, then `:stride,padding` where these are not 1 and 0. */
export function shapeText({ input, kernel, stride, padding }: ConvShape): string {
  return `${input.join()}:${kernel.join()}${stride === 1 && padding === 0 ? '' : `:${stride},${padding}`}`;
}

export interface KernelBenchOptions extends MeasureOptions {
  readonly kernels: readonly BenchKernel[];
  readonly shapes: readonly ConvShape[];
  /** Widths of qconv2d's weights. */
  readonly bits: readonly WeightBits[];
  /** How qconv2d's input and result are stored. */
  readonly activations: readonly ActivationStorage[];
  /** Input channels of qconv2d that share a scale; all by default. */
  readonly groupSize?: number | undefined;
  /** By name; all that are supported by default. */
  readonly variants?: readonly string[] | undefined;
  /** Told about a variant that was asked for and cannot run; without it, one that the device refuses ends the bench. */
  readonly onSkip?: ((skipped: SkippedVariant) => void) | undefined;
}

export interface SkippedVariant {
  readonly kernel: BenchKernel;
  readonly shape: ConvShape;
  readonly bits: WeightBits | 32;
  readonly activations: ActivationStorage;
  readonly variant: string;
  /** What it does not support: this shape on any adapter, this precision, or this adapter; or the device refused it. */
  readonly because: 'shape' | 'precision' | 'adapter' | 'device';
  /** What the device said. */
  readonly reason?: string;
}

/** One variant on one shape. Times are of one run; see {@link Timing}. */
export interface KernelBenchResult extends Timing {
  readonly kernel: BenchKernel;
  readonly shape: ConvShape;
  /** Width of the weights; 32 is float. */
  readonly bits: WeightBits | 32;
  /** How input and result are stored. */
  readonly activations: ActivationStorage;
  readonly variant: string;
  /** Of the definition, multiply-adds as two, whatever the kernel really does. */
  readonly flops: number;
  /** Bytes that have to be read and written at least once. */
  readonly bytes: number;
  /** max |y - reference| / max |reference| against the op's float64 reference, over {@link checkedChannels}. */
  readonly error: number;
  /** Whether all codes of a result equal those of the reference; undefined for floats. */
  readonly isExact: boolean | undefined;
  /** Output channels that were compared: all, or of large shapes some from the first to the last. */
  readonly checkedChannels: number;
  /** Bytes of weights and scales that the kernels read, in the form that they read. */
  readonly weightBytes: number;
  /** The instruction that does the products, whose measured peak is the ceiling. @see Peaks */
  readonly ceiling: Arithmetic;
  /** What the variant's dispatches execute, transforms and all. */
  readonly work: ReturnType<typeof workOf>;
  /** Bytes on the device, of parameters and intermediate values. */
  readonly memoryBytes: number;
}

/** Names of an op's variants on an engine, those that were added included. */
export function variantNames(engine: Engine, kernel: BenchKernel): string[] {
  return variantsOf(OPS[kernel], engine.variants).map(({ name }) => name);
}

/**
 * Times variants of the convolutions on shapes of one's own, all of a shape interleaved, and compares what each computes with
 * the float64 reference. Nothing else should use the adapter meanwhile.
 * @throws ShapeError for a kernel larger than its input, or groups that do not divide the input channels
 * @throws UserError when no variant is left to time
 */
export async function benchKernel(engine: Engine, options: KernelBenchOptions): Promise<KernelBenchResult[]> {
  const results: KernelBenchResult[] = [];
  for (const shape of options.shapes) {
    const problems = options.kernels.flatMap((kernel) =>
      kernel === 'conv2d'
        ? [floatProblem(shape)]
        : options.bits.flatMap((bits) =>
            options.activations.map((storage) => quantizedProblem(shape, bits, storage, options.groupSize)),
          ),
    );
    results.push(...(await benchProblems(engine, shape, problems, options)));
  }
  if (results.length === 0)
    throw new UserError('no variant that was asked for can run here.', 'Leave the choice of variants out.');
  return results;
}

interface Problem {
  readonly kernel: BenchKernel;
  readonly bits: WeightBits | 32;
  readonly activations: ActivationStorage;
  readonly x: Node;
  /** Values of `x`. */
  readonly values: Values;
  /** What stands for zero in the result: its zero point where it is codes. */
  readonly zero: number;
  readonly y: Node;
  /** The same with some of the output channels. */
  readonly part: (channels: readonly number[]) => Node;
}

interface Entry {
  readonly plan: Plan;
  /** Runs in one sample. */
  readonly repeats: number;
  readonly result: Omit<KernelBenchResult, keyof Timing>;
}

async function benchProblems(
  engine: Engine,
  shape: ConvShape,
  problems: readonly Problem[],
  options: KernelBenchOptions,
): Promise<KernelBenchResult[]> {
  const plans: Plan[] = [];
  const entries: Entry[] = [];
  try {
    for (const problem of problems) {
      const compare = comparison(problem, shape);
      for (const variant of chosenVariants(engine, shape, problem, options)) {
        options.signal?.throwIfAborted();
        try {
          const { precision = 'f32' } = options;
          const variants = { [problem.kernel]: variant };
          const plan = await engine.compile({ outputs: { y: problem.y }, variants, precision });
          plans.push(plan);
          entries.push(await prepare(engine, shape, problem, variant, plan, compare));
        } catch (error) {
          if (!options.onSkip || !isRefusal(error)) throw error;
          const { kernel, bits, activations } = problem;
          options.onSkip({ kernel, shape, bits, activations, variant, because: 'device', reason: error.message });
        }
      }
    }
    const cases = entries.map(({ result, plan, repeats }) => ({
      name: `${result.kernel} ${result.variant}`,
      time: () => timeRuns(engine, plan, repeats),
    }));
    await spin(engine, WARM_UP);
    const timings = await measure(cases, options);
    return timings.map((timing, i) => ({ ...timing, ...entries[i]!.result }));
  } finally {
    for (const plan of plans) {
      plan.destroy();
      engine.release(plan.parameters);
    }
  }
}

function chosenVariants(
  engine: Engine,
  shape: ConvShape,
  { kernel, bits, activations, y }: Problem,
  { variants: wanted, precision, onSkip }: KernelBenchOptions,
): string[] {
  const { caps, variants, excluded } = engine;
  const supported = supportedVariants(y, { caps, variants, excluded, precision }).map(({ name }) => name);
  if (!wanted) return supported;
  const elsewhere = supportedVariants(y, { caps: generous(caps), variants, precision: 'f16' });
  for (const variant of variantNames(engine, kernel)) {
    if (supported.includes(variant) || !wanted.includes(variant)) continue;
    const found = elsewhere.find(({ name }) => name === variant);
    const isRefused = found?.rounds !== undefined && precision !== 'f16';
    const because = !found ? 'shape' : isRefused ? 'precision' : 'adapter';
    onSkip?.({ kernel, shape, bits, activations, variant, because });
  }
  return supported.filter((name) => wanted.includes(name));
}

/** An adapter that can do everything: what is not supported there fails by its shape. */
function generous(caps: Caps): Caps {
  const limits = Object.fromEntries(Object.keys(caps.limits).map((name) => [name, 2 ** 31]));
  const lanes = { subgroups: true, subgroupMinSize: 8, subgroupMaxSize: 8 };
  const subgroupMatrixConfigs = [{ componentType: 'i8', resultComponentType: 'i32', M: 8, N: 8, K: 8 }];
  const all = { ...caps, ...lanes, f16: true, packedDot: true, subgroupMatrixConfigs };
  return { ...all, limits: limits as unknown as Caps['limits'] };
}

/** Runs a plan once for its result and once more for its time. */
async function prepare(
  engine: Engine,
  shape: ConvShape,
  { kernel, bits, activations, y, values }: Problem,
  variant: string,
  plan: Plan,
  compare: Comparison,
): Promise<Entry> {
  const data = values instanceof Uint32Array ? values : Float32Array.from(values);
  await firstRun(engine, plan);
  const { y: actual } = await plan.run({ x: data }, ['y']);
  const repeats = await planRepeats(engine, plan);
  return {
    plan,
    repeats,
    result: {
      kernel,
      shape,
      bits,
      activations,
      variant,
      ...y.op.cost!(y),
      ...compare(actual!),
      weightBytes: weightBytes(plan, y),
      ceiling: ceilingOf(plan),
      work: workOf(plan.dispatches, plan.shaders),
      memoryBytes: plan.memoryBytes + plan.parameterBytes,
    },
  };
}

/** Constants that the run reads, but for bias and ranges. */
function weightBytes({ dispatches }: Plan, y: Node): number {
  const others = y.inputs.filter(({ label }) => label === BIAS || label === RANGE);
  const constants = new Set(dispatches.flatMap(({ node }) => node.inputs.filter(isConstant)));
  for (const other of others) constants.delete(other);
  return [...constants].reduce((sum, { type }) => sum + 4 * size(type), 0);
}

/** The instruction of the shader that does the products. */
function ceilingOf({ shaders }: Plan): Arithmetic {
  const all = [...shaders.values()].map(arithmeticOf);
  return all.find((arithmetic) => arithmetic !== 'f32') ?? 'f32';
}

type Comparison = (actual: TypedArray) => Pick<KernelBenchResult, 'error' | 'isExact' | 'checkedChannels'>;

/** Multiply-adds that the reference may take for one problem: about a second. */
const CHECKED = 2 ** 27;

/** How many of so many channels are compared, from the first to the last. */
function checkedChannels(channels: number, multiplyAdds: number): number[] {
  const count = Math.min(channels, Math.max(2, Math.floor((CHECKED * channels) / multiplyAdds)));
  return Array.from({ length: count }, (_, i) => Math.round((i * (channels - 1)) / Math.max(1, count - 1)));
}

/** Computes the reference once for all variants of a problem. */
function comparison({ x, values, y, part, activations, zero }: Problem, { kernel: [channels] }: ConvShape): Comparison {
  const checked = checkedChannels(channels, y.op.cost!(y).flops / 2);
  const node = part(checked);
  const [reference] = evaluateReference([node], new Map([[x, values]])) as [Values];
  const [batch, , height, width] = y.type.shape as [number, number, number, number];
  const expected = reader(reference, [batch, checked.length, height, width], activations);
  return (actual) => {
    const computed = reader(actual, [batch, channels, height, width], activations);
    let worst = 0;
    let largest = 0;
    for (let n = 0; n < batch; n++) {
      checked.forEach((channel, i) => {
        for (let place = 0; place < height * width; place++) {
          const value = expected(n, i, place);
          const difference = Math.abs(computed(n, channel, place) - value);
          // Also what is no number.
          if (!(difference <= worst)) worst = difference;
          largest = Math.max(largest, Math.abs(value - zero));
        }
      });
    }
    const isExact = isCodes(activations) ? worst === 0 : undefined;
    return { error: worst / (largest || 1), isExact, checkedChannels: checked.length };
  };
}

const BIAS = 'bias';
const RANGE = 'range';
const SEED = 5;

const floats = (name: string, shape: readonly number[], data: Float32Array) =>
  new Parameter(name, { shape, dtype: 'f32' }, data).node;

/** The range of codes, as a node. @see rangeOf */
export function rangeNode(scale: number, zeroPoint: number, most?: number): Node {
  return floats(RANGE, [RANGE_LENGTH], rangeOf(scale, zeroPoint, most));
}

/** Small whole numbers, one per output channel. @returns [CO] */
function biasNode(channels: readonly number[]): Node {
  return floats(
    BIAS,
    [channels.length],
    Float32Array.from(channels, (m) => (m % 7) - 3),
  );
}

function allOf(channels: number): number[] {
  return [...Array(channels).keys()];
}

/** Some rows of a matrix, one after another. */
function rowsOf<T extends Float32Array | Int8Array>(matrix: T, rows: readonly number[], outOf: number): T {
  const length = matrix.length / outOf;
  const result = new (matrix.constructor as new (length: number) => T)(rows.length * length);
  rows.forEach((row, i) => {
    result.set(matrix.subarray(row * length, (row + 1) * length), i * length);
  });
  return result;
}

/** Random codes with scales that are powers of two, so that sums of moderate length are exact in float32. */
export function randomWeights(
  shape: readonly number[],
  bits: WeightBits,
  groupSize = shape[1]!,
  seed = SEED,
): QuantizedWeights {
  const random = new Random(seed + bits);
  const [least, most] = codeRange(bits);
  const length = shape.reduce((a, b) => a * b, 1);
  const codes = Int8Array.from({ length }, () => least + random.integer(most - least + 1));
  const count = (shape[0]! * shape[1]!) / groupSize;
  const scales = Float32Array.from({ length: count }, (_, i) => 2 ** -((i % 3) + 4));
  return { shape, bits, groupSize, codes, scales };
}

/** The constants of a quantized layer, as nodes. @param channels which of a layer's output channels the weights are */
export function quantizedLayerNodes(weights: QuantizedWeights, channels: readonly number[] = allOf(weights.shape[0]!)) {
  const words = packBlocks(weights);
  const table = scaleTable(weights);
  const [co] = weights.shape as [number];
  return {
    weights: new Parameter('weights', { shape: [words.length], dtype: 'u32' }, words).node,
    table: floats('table', [co, table.length / (2 * co), 2], table),
    bias: biasNode(channels),
  };
}

/** Width of the interval around zero that inputs fill. */
const SPAN = 4;

/** The range of codes that fill it: scales are powers of two, so that what codes are multiplied with decides about rounding. */
function inputRange(storage: CodeStorage): {
  readonly scale: number;
  readonly zeroPoint: number;
  readonly most: number;
} {
  const most = largestCode(storage);
  return { scale: SPAN / (most + 1), zeroPoint: (most + 1) / 2, most };
}

/** Numbers in [-2, 2): those that codes stand for, or any. */
function randomInput(length: number, storage: ActivationStorage): Float64Array {
  const random = new Random(SEED);
  const draw = (): number => {
    if (!isCodes(storage)) return SPAN * (random.uniform() - 0.5);
    const { scale, zeroPoint, most } = inputRange(storage);
    return (random.integer(most + 1) - zeroPoint) * scale;
  };
  return Float64Array.from({ length }, () => Math.fround(draw()));
}

/** A power of two such that four standard deviations of the sums fit into half of the codes. */
function outputScale(weights: QuantizedWeights, storage: CodeStorage): number {
  const values = dequantizeWeights(weights);
  const energy = values.reduce((sum, value) => sum + value * value, 0) / weights.shape[0]!;
  const deviation = Math.sqrt((energy * SPAN ** 2) / 12);
  return 2 ** Math.ceil(Math.log2((4 * deviation) / Math.floor(largestCode(storage) / 2)));
}

function floatProblem({ input: shape, kernel: [co, kh, kw], stride, padding }: ConvShape): Problem {
  const x = input('x', shape);
  const random = new Random(SEED);
  const weights = Float32Array.from({ length: co * shape[1] * kh * kw }, () => random.uniform() - 0.5);
  const part = (channels: readonly number[]) => {
    const w = floats('weights', [channels.length, shape[1], kh, kw], rowsOf(weights, channels, co));
    return conv2d(x, w, biasNode(channels), { stride, padding });
  };
  const y = part(allOf(co));
  return {
    kernel: 'conv2d',
    bits: 32,
    activations: 'f32',
    x,
    values: randomInput(size(x.type), 'f32'),
    zero: 0,
    y,
    part,
  };
}

function quantizedProblem(
  { input: shape, kernel: [co, kh, kw], stride, padding }: ConvShape,
  bits: WeightBits,
  storage: ActivationStorage,
  groupSize = shape[1],
): Problem {
  if (shape[1] % groupSize !== 0 || (groupSize !== shape[1] && groupSize % 4 !== 0))
    throw new ShapeError(
      `qconv2d: ${shape[1]} input channels do not fall into groups of ${groupSize}, a multiple of 4.`,
    );
  const weights = randomWeights([co, shape[1], kh, kw], bits, groupSize);
  const codes = isCodes(storage) ? inputRange(storage) : undefined;
  const inRange = codes && rangeNode(codes.scale, codes.zeroPoint, codes.most);
  const stored = storedType(shape, storage);
  const x = input('x', stored.shape, stored.dtype);
  const numbers = randomInput(size({ shape, dtype: 'f32' }), storage);
  const values = store(numbers, shape, storage, inRange && (parameterOf(inRange)!.data as Float32Array));
  const zero = codes?.zeroPoint ?? 0;
  const outRange = isCodes(storage) ? rangeNode(outputScale(weights, storage), zero, largestCode(storage)) : undefined;
  const part = (channels: readonly number[]) => {
    const chosen = {
      ...weights,
      shape: [channels.length, ...weights.shape.slice(1)],
      codes: rowsOf(weights.codes, channels, co),
      scales: rowsOf(weights.scales, channels, co),
    };
    const attrs = { input: storage, output: storage, stride, padding, relu: false, pool: false };
    return qconv2d(
      { x, ...quantizedLayerNodes(chosen, channels), inRange, outRange },
      { weights: chosen.shape, bits, groupSize, ...attrs },
    );
  };
  const y = part(allOf(co));
  return { kernel: 'qconv2d', bits, activations: storage, x, values, zero, y, part };
}
