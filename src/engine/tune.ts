import type { Engine } from './engine.ts';
import { input, isInput, makeNode, type Node, Parameter, parameterOf, topologicalOrder } from './graph.ts';
import { type CompileOptions, fuse, type Plan } from './plan.ts';
import { repeatsFor, SAMPLE, timeRuns } from './sample.ts';
import type { Tuning } from './tuning.ts';
import { isConstant, tuningKey } from './tuning.ts';
import { supportedVariants } from './variants.ts';

export interface TuneProgress {
  readonly done: number;
  readonly total: number;
  readonly label: string;
  readonly variant: string;
  /** Median milliseconds by variant, of those that were not given up early. */
  readonly times: Readonly<Record<string, number>>;
}

export interface TuneOptions {
  /** Measures what is known, too. */
  readonly again?: boolean;
  readonly onProgress?: (progress: TuneProgress) => void;
  readonly signal?: AbortSignal;
}

/** A candidate this much slower than the best one so far is given up. */
const GIVE_UP = 1.3;
/** ... and after its very first run already if it is this much slower. */
const HOPELESS = 4;
const ROUNDS = 7;

interface Candidate {
  readonly name: string;
  readonly plan: Plan;
  readonly times: number[];
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
  const roots = fuse([...Object.values(graph.outputs), ...(graph.effects ?? [])]);
  const open = new Map<string, Node>();
  for (const node of topologicalOrder(roots)) {
    if (isInput(node) || parameterOf(node) || node.op.updates) continue;
    if (supportedVariants(node, engine).length > 1) open.set(tuningKey(node), node);
  }
  let done = 0;
  for (const node of open.values()) {
    const result = await tuneNode(engine, node, tuning, options);
    done++;
    if (result) options.onProgress?.({ ...result, done, total: open.size, label: node.label });
  }
}

/** The node over inputs of its own: parameters stay such, so that what depends on them alone is not timed. */
function standalone(node: Node): Node {
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
): Promise<{ variant: string; times: Record<string, number> } | undefined> {
  options.signal?.throwIfAborted();
  if (tuning.get(original) && !options.again) return undefined;
  const node = standalone(original);
  const entries: Candidate[] = [];
  const variants = supportedVariants(node, engine);
  if (variants.length < 2) return undefined;
  try {
    for (const variant of variants) {
      // What the variant consists of may have variants itself.
      const lowered = variant.lower?.(node, engine.caps);
      if (lowered) {
        for (const inner of topologicalOrder([lowered])) {
          if (isInput(inner) || parameterOf(inner) || inner === node) continue;
          await tuneNode(engine, inner, tuning, options);
        }
      }
      const plan = await engine.compile({ outputs: { y: node }, variants: { [node.op.name]: variant.name }, tuning });
      entries.push({ name: variant.name, plan, times: [], repeats: 1 });
    }
    const best = await race(engine, entries);
    tuning.set(original, best.name);
    const times = entries.filter(({ times }) => times.length > 0).map(({ name, times }) => [name, median(times)]);
    return { variant: best.name, times: Object.fromEntries(times) };
  } finally {
    for (const { plan } of entries) {
      plan.destroy();
      engine.release(plan.parameters);
    }
  }
}

async function race(engine: Engine, entries: readonly Candidate[]): Promise<Candidate> {
  let least = Number.POSITIVE_INFINITY;
  let running: Candidate[] = [];
  for (const entry of entries) {
    // The first run compiles what drivers compile late, the second one tells how often to repeat.
    const first = await timeRuns(engine, entry.plan);
    if (first > HOPELESS * least && first > SAMPLE) continue;
    const second = await timeRuns(engine, entry.plan);
    least = Math.min(least, second);
    entry.repeats = repeatsFor(second);
    running.push(entry);
  }
  for (let round = 0; round < ROUNDS && running.length > 1; round++) {
    for (const entry of running) entry.times.push(await timeRuns(engine, entry.plan, entry.repeats));
    const fastest = Math.min(...running.map(({ times }) => median(times)));
    running = running.filter(({ times }) => median(times) <= GIVE_UP * fastest);
  }
  return running.reduce((a, b) => (median(b.times) < median(a.times) ? b : a));
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) / 2)]!;
}
