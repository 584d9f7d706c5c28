import type { Engine } from './engine.ts';
import {
  input,
  isInput,
  makeNode,
  type Node,
  Parameter,
  parameterOf,
  topologicalOrder,
  type Variant,
} from './graph.ts';
import { type CompileOptions, fuse, type Plan } from './plan.ts';
import type { Tuning } from './tuning.ts';
import { isConstant, tuningKey } from './tuning.ts';

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
/** One sample repeats a dispatch until it takes about so long, milliseconds; the host's share is then small. */
const SAMPLE = 8;
const MOST_REPEATS = 64;

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
    if (candidates(engine, node).length > 1) open.set(tuningKey(node), node);
  }
  let done = 0;
  for (const node of open.values()) {
    const result = await tuneNode(engine, node, tuning, options);
    done++;
    if (result) options.onProgress?.({ ...result, done, total: open.size, label: node.label });
  }
}

function candidates(engine: Engine, node: Node): Variant<unknown>[] {
  return node.op.variants.filter((variant) => variant.supports?.(engine.caps, node) ?? true);
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
  const variants = candidates(engine, node);
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
    const first = await sample(engine, entry);
    if (first > HOPELESS * least && first > SAMPLE) continue;
    const second = await sample(engine, entry);
    least = Math.min(least, second);
    entry.repeats = Math.min(MOST_REPEATS, Math.max(1, Math.round(SAMPLE / second)));
    running.push(entry);
  }
  for (let round = 0; round < ROUNDS && running.length > 1; round++) {
    for (const entry of running) entry.times.push(await sample(engine, entry));
    const fastest = Math.min(...running.map(({ times }) => median(times)));
    running = running.filter(({ times }) => median(times) <= GIVE_UP * fastest);
  }
  return running.reduce((a, b) => (median(b.times) < median(a.times) ? b : a));
}

/** Milliseconds of one run. */
async function sample(engine: Engine, { plan, repeats }: Candidate): Promise<number> {
  const { queue } = engine.device;
  const encoder = engine.device.createCommandEncoder();
  for (let i = 0; i < repeats; i++) plan.encode(encoder);
  const start = performance.now();
  queue.submit([encoder.finish()]);
  await queue.onSubmittedWorkDone();
  return (performance.now() - start) / repeats;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) / 2)]!;
}
