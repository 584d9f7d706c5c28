import { sampleQuantile } from '../math/statistics.ts';
import type { CompileOptions } from './compile.ts';
import { fetchModules } from './deferred.ts';
import { bytesIfHeld, candidatesOf } from './deviceBytes.ts';
import type { Engine } from './engine.ts';
import { isRefusal, ShaderError } from './errors.ts';
import { input, isInput, makeNode, type Node, Parameter, parameterOf, size, topologicalOrder } from './graph.ts';
import { fuse, lower } from './lower.ts';
import type { Plan } from './plan.ts';
import { firstRun, repeatsFor, sampleSize, spin, stopwatch, timeRuns } from './sample.ts';
import type { Tuning } from './tuning.ts';
import { isConstant, tuningKey } from './tuning.ts';
import { choicePrecision, type Precision, type VariantTarget } from './variants.ts';

export interface TuneProgress {
  readonly done: number;
  readonly total: number;
  readonly label: string;
  readonly variant: string;
  /** Median milliseconds by variant, of those that were not given up early. */
  readonly times: Readonly<Record<string, number>>;
  /** Why a variant could not be timed, by name. */
  readonly failed: Readonly<Record<string, string>>;
  /** Bytes on the device by variant: parameters, what is made of them once, and values of a run. */
  readonly bytes: Readonly<Record<string, number>>;
}

/** What a choice should be the least of: time, or bytes on the device, then time. */
export type Optimize = 'speed' | 'memory';

export interface TuneOptions {
  /** Measures what is known, too. */
  readonly again?: boolean | undefined;
  /** `speed` by default. */
  readonly optimize?: Optimize | undefined;
  /** Of the plans that the choices are for; `f32` by default. */
  readonly precision?: Precision | undefined;
  readonly onProgress?: ((progress: TuneProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A candidate this much slower than the best one is given up, after so many rounds. */
const GIVE_UP = 1.3;
const SURE = 3;
/** On a CPU adapter, where a run may take seconds: after its very first run if it is this much slower. */
const HOPELESS = 4;
const ROUNDS = 7;
/** Candidates that together take more memory than this are not held at once, bytes. */
const TOGETHER = 256 * 2 ** 20;
/** Milliseconds for which a GPU is kept busy before a race: it was idle while kernels compiled. */
const WARM_UP = 20;

interface Candidate {
  readonly name: string;
  readonly plan: Plan;
  times: number[];
  repeats: number;
}

/**
 * Times the variants of every op of a graph on its real shapes, interleaved, and keeps the fastest. Nothing else should use
 * the adapter meanwhile.
 * @param tuning receives the choices; give it to engines that compile the graph
 */
export async function tune(
  engine: Engine,
  graph: Pick<CompileOptions, 'outputs' | 'effects'>,
  tuning: Tuning,
  options: TuneOptions = {},
): Promise<void> {
  await fetchModules();
  const roots = fuse([...Object.values(graph.outputs), ...(graph.effects ?? [])]);
  const open = new Map<string, Node>();
  for (const node of topologicalOrder(roots)) {
    if (isInput(node) || parameterOf(node) || node.op.updates) continue;
    if (candidatesOf(node, targetOf(engine, options)).length > 1) open.set(tuningKey(node), node);
  }
  let done = 0;
  for (const node of open.values()) {
    const result = await tuneNode(engine, node, tuning, options);
    done++;
    if (result) options.onProgress?.({ ...result, done, total: open.size, label: node.label });
  }
}

function targetOf({ caps, variants, excluded }: Engine, { precision }: TuneOptions): VariantTarget {
  return { caps, variants, excluded, precision };
}

/** The node over inputs of its own: parameters stay such, so that what depends on them alone is not timed. */
export function standalone(node: Node): Node {
  const inputs = node.inputs.map((from, i) =>
    isConstant(from) ? new Parameter(`p${i}`, from.type).node : input(`in${i}`, from.type.shape, from.type.dtype),
  );
  return makeNode(node.op, inputs, node.attrs, node.label);
}

async function tuneNode(
  engine: Engine,
  original: Node,
  tuning: Tuning,
  options: TuneOptions,
): Promise<Pick<TuneProgress, 'variant' | 'times' | 'failed' | 'bytes'> | undefined> {
  options.signal?.throwIfAborted();
  const target = targetOf(engine, options);
  const precision = choicePrecision(original, target);
  if (tuning.get(original, precision) && !options.again) return undefined;
  const node = standalone(original);
  const variants = candidatesOf(node, target);
  if (variants.length < 2) return undefined;
  for (const variant of variants) {
    // What the variant consists of may have variants itself.
    const lowered = variant.lower?.(node, engine.caps);
    if (!lowered) continue;
    for (const inner of topologicalOrder([lowered])) {
      if (isInput(inner) || parameterOf(inner) || inner === node) continue;
      await tuneNode(engine, inner, tuning, options);
    }
  }
  const contest = new Contest(engine, node, tuning, options);
  try {
    const bytes = Object.fromEntries(variants.map(({ name }) => [name, contest.deviceBytes(name)]));
    const least = Math.min(...Object.values(bytes));
    const names = Object.keys(bytes).filter((name) => options.optimize !== 'memory' || bytes[name] === least);
    const total = names.reduce((sum, name) => sum + contest.estimate(name), 0);
    const best = await (total > TOGETHER ? contest.oneByOne(names) : contest.together(names));
    tuning.set(original, best, precision);
    return { variant: best, times: contest.medians(), failed: contest.failed, bytes };
  } finally {
    contest.end();
  }
}

/** The variants of one node against each other. */
class Contest {
  /** Why a variant could not take part, by name. */
  readonly failed: Record<string, string> = {};
  readonly #engine: Engine;
  readonly #node: Node;
  readonly #tuning: Tuning;
  readonly #precision: Precision;
  readonly #signal: AbortSignal | undefined;
  readonly #running = new Set<Candidate>();
  readonly #medians = new Map<string, number>();
  readonly #parameters = new Set<Parameter>();

  constructor(engine: Engine, node: Node, tuning: Tuning, { precision = 'f32', signal }: TuneOptions) {
    this.#engine = engine;
    this.#node = node;
    this.#tuning = tuning;
    this.#precision = precision;
    this.#signal = signal;
  }

  /** Median milliseconds by variant, of those that were not given up at once. */
  medians(): Record<string, number> {
    return Object.fromEntries(this.#medians);
  }

  /** Bytes that a variant takes; infinitely many where the device would not hold it. */
  deviceBytes(name: string): number {
    return bytesIfHeld(this.#options(name), this.#engine);
  }

  /** Bytes of all values of a variant, as if none shared memory. */
  estimate(name: string): number {
    const { outputs } = lower(this.#options(name), this.#engine);
    return topologicalOrder(Object.values(outputs)).reduce((sum, { type }) => sum + 4 * size(type), 0);
  }

  /** All at once. @returns the fastest */
  async together(names: readonly string[]): Promise<string> {
    await Promise.all(names.map((name) => this.#enter(name)));
    return (await this.#race()).name;
  }

  /** The best so far against each of the others, so that two are held at most. @returns the fastest */
  async oneByOne(names: readonly string[]): Promise<string> {
    for (const name of names) {
      const before = this.#running.size;
      await this.#enter(name);
      if (before > 0 && this.#running.size > before) await this.#race();
    }
    return (await this.#race()).name;
  }

  /** Frees all memory. */
  end(): void {
    for (const entry of this.#running) entry.plan.destroy();
    this.#running.clear();
    this.#engine.release(this.#parameters);
  }

  #options(name: string): CompileOptions {
    const { op } = this.#node;
    const precision = this.#precision;
    return { outputs: { y: this.#node }, variants: { [op.name]: name }, tuning: this.#tuning, precision };
  }

  /** Compiles a variant. What this device refuses is no reason to stop. */
  async #enter(name: string): Promise<void> {
    try {
      const plan = await this.#engine.compile(this.#options(name));
      for (const parameter of plan.parameters) this.#parameters.add(parameter);
      this.#running.add({ name, plan, times: [], repeats: 1 });
    } catch (error) {
      if (!isRefusal(error)) throw error;
      this.failed[name] = error.message;
    }
  }

  /** Milliseconds of the first run; undefined for one that the device rejects, which is out. */
  async #first(entry: Candidate): Promise<number | undefined> {
    try {
      return await firstRun(this.#engine, entry.plan);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      this.failed[entry.name] = error.message;
      this.#leave(entry);
      return undefined;
    }
  }

  #leave(entry: Candidate): void {
    this.#running.delete(entry);
    entry.plan.destroy();
  }

  /** Rounds among those who entered until one is left, the fastest. */
  async #race(): Promise<Candidate> {
    const engine = this.#engine;
    await spin(engine, WARM_UP);
    const sample = sampleSize(engine.caps, await stopwatch(engine));
    let least = Number.POSITIVE_INFINITY;
    for (const entry of [...this.#running]) {
      this.#signal?.throwIfAborted();
      entry.times = [];
      // The second run tells how often to repeat.
      const first = await this.#first(entry);
      if (first === undefined) continue;
      if (engine.caps.isCpu && first > HOPELESS * least && first > sample.milliseconds) {
        this.#leave(entry);
        continue;
      }
      const second = await timeRuns(engine, entry.plan);
      least = Math.min(least, second);
      entry.repeats = repeatsFor(second, sample);
    }
    if (this.#running.size === 0) {
      const reasons = Object.entries(this.failed).map(([name, reason]) => `${name}: ${reason}`);
      throw new ShaderError(`${this.#node.label}: no variant runs here. ${reasons.join(' ')}`);
    }
    const time = (entry: Candidate) => sampleQuantile(entry.times, 0.5);
    for (let round = 1; round <= ROUNDS && (this.#running.size > 1 || round === 1); round++) {
      for (const entry of this.#running) {
        this.#signal?.throwIfAborted();
        entry.times.push(await timeRuns(engine, entry.plan, entry.repeats));
        this.#medians.set(entry.name, time(entry));
      }
      if (round < SURE) continue;
      const fastest = Math.min(...[...this.#running].map(time));
      for (const entry of [...this.#running]) if (time(entry) > GIVE_UP * fastest) this.#leave(entry);
    }
    const best = [...this.#running].reduce((a, b) => (time(b) < time(a) ? b : a));
    for (const entry of [...this.#running]) if (entry !== best) this.#leave(entry);
    return best;
  }
}
