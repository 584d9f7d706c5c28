import { fetchModules } from '../engine/deferred.ts';
import { Engine } from '../engine/engine.ts';
import { DeviceLostError } from '../engine/errors.ts';
import { isInput, parameterOf, topologicalOrder } from '../engine/graph.ts';
import { adapterIdentity, Tuning } from '../engine/tuning.ts';
import { supportedVariants, type VariantTarget } from '../engine/variants.ts';
import { UserError } from '../errors.ts';
import type { Case } from './cases.ts';
import { type Comparison, compareResult, type PreparedCase, prepareCase } from './check.ts';
import { pathName, type RowLimits, rowPaths, thinOut, type VariantPath } from './paths.ts';
import { table } from './table.ts';

/** One check of a whole graph. */
export interface SmokeResult {
  readonly name: string;
  /** Largest deviation from the golden values, relative to the largest of their kind. */
  readonly error: number;
  readonly limit: number;
  readonly isRight: boolean;
  readonly message?: string | undefined;
}

/** A whole graph that is compared with golden values. */
export interface SmokeTest {
  readonly name: string;
  /** @throws what the engine throws where a plan cannot be compiled or run */
  run(engine: Engine): Promise<SmokeResult>;
}

/** What a doctor knows beside the general ops. */
export interface DoctorKnowledge {
  /** The table of ops. */
  readonly table: readonly Case[];
  readonly smokeTests: readonly SmokeTest[];
}

/** What the doctor checks. */
export interface DoctorOptions {
  /** All rows of the table by all variants, large shapes included; by default rows that cover every variant. */
  readonly full?: boolean | undefined;
  /** Only rows of these ops; all by default. */
  readonly ops?: readonly string[] | undefined;
  /** Names of rows that are run in any case, such as those that failed before. */
  readonly rows?: readonly string[] | undefined;
  /** Cases that are compiled and run at once; a few by default. */
  readonly concurrency?: number | undefined;
  readonly onProgress?: ((progress: DoctorProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** How far the doctor is. */
export interface DoctorProgress {
  readonly done: number;
  readonly total: number;
  readonly failures: number;
  /** Where the last case was wrong. */
  readonly failure?: DoctorFailure | undefined;
}

/** What was found about one variant. */
export interface VariantHealth {
  readonly op: string;
  readonly variant: string;
  /** Cases that ran it. */
  readonly cases: number;
  readonly failed: number;
  /** Largest error over its cases as a share of what is allowed; of results that have to be exact 0 or Infinity. */
  readonly worst: number;
  /** The error itself, relative to the largest value of its case, or in units of stored values. */
  readonly worstError: number;
  readonly worstCase: string;
}

/** A case that a variant got wrong. */
export interface DoctorFailure {
  /** The variants that computed it, outermost first, as `op/variant > op/variant`. */
  readonly path: string;
  readonly row: string;
  readonly error: number;
  readonly message: string;
}

/** `healthy`: everything is right. `limited`: what is wrong is excluded, and every op has another variant. `unfit`: not so. */
export type Verdict = 'healthy' | 'limited' | 'unfit';

/** What the doctor found. */
export interface DoctorReport {
  /** @see adapterIdentity */
  readonly adapter: string;
  readonly full: boolean;
  readonly rows: number;
  readonly cases: number;
  readonly variants: readonly VariantHealth[];
  /** Ops that ran inside other ops' cases. */
  readonly testedWithin: readonly string[];
  readonly failures: readonly DoctorFailure[];
  /** Variants to give to {@link EngineOptions.excluded}, as `op/variant`. */
  readonly excluded: readonly string[];
  readonly smoke: readonly SmokeResult[];
  readonly verdict: Verdict;
  /** Seconds, of which the float64 references took `referenceSeconds`. */
  readonly seconds: number;
  readonly referenceSeconds: number;
}

interface Job {
  readonly prepared: PreparedCase;
  readonly path: VariantPath;
}

interface Finding extends Job {
  readonly comparison: Comparison;
}

/**
 * Runs every variant of every op on this adapter and compares it with the op's float64 reference, then whole graphs with golden
 * values, if there are any. What is wrong is named; give {@link DoctorReport.excluded} to engines on this adapter.
 * @param engine exclusions and tuning of it are not used
 * @throws UserError for an op that the table does not have
 * @throws DeviceLostError
 */
export async function doctor(
  engine: Engine,
  options: DoctorOptions = {},
  { table: cases, smokeTests }: DoctorKnowledge = { table, smokeTests: [] },
): Promise<DoctorReport> {
  const { full = false, ops, rows: wanted = [], onProgress, signal } = options;
  const started = performance.now();
  await fetchModules();
  const { caps } = engine;
  const bare = untuned(engine);
  const target = { caps, variants: bare.variants, precision: 'f16' } as const;
  const known = cases.map(prepareCase);
  const tested = testedOps(known);
  assertTested(ops ?? [], tested);
  const planned = known
    .filter(
      ({ row, output }) =>
        wanted.includes(row.name) || ((full || isQuick(row)) && (ops?.includes(output.op.name) ?? true)),
    )
    .map((prepared) => {
      const { output } = prepared;
      return { prepared, output, paths: rowPaths(prepared, target, (op) => tested.has(op)) };
    });
  if (caps.isCpu && !full) {
    thinOut(
      planned.filter(({ prepared }) => !wanted.includes(prepared.row.name)),
      target,
      QUICK_ROWS_ON_CPU,
    );
  }
  const rows = planned.filter(({ paths }) => paths.length > 0).length;
  const total = planned.reduce((sum, { paths }) => sum + paths.length, 0);
  const jobs = jobsOf(planned);
  let referenceTime = 0;
  const findings: Finding[] = [];
  const within = new Set<string>();
  let failures = 0;
  const work = async () => {
    for (let next = jobs.next(); !next.done; next = jobs.next()) {
      signal?.throwIfAborted();
      const job = next.value;
      const comparison = await runJob(bare, job, within, (milliseconds) => {
        referenceTime += milliseconds;
      });
      const finding: Finding = { ...job, comparison };
      findings.push(finding);
      if (comparison.isRight) onProgress?.({ done: findings.length, total, failures });
      else onProgress?.({ done: findings.length, total, failures: ++failures, failure: failureOf(finding) });
    }
  };
  try {
    await Promise.all(Array.from({ length: options.concurrency ?? (caps.isCpu ? 2 : 12) }, work));
    const excluded = blame(findings);
    const smoke: SmokeResult[] = [];
    for (const test of smokeTests) smoke.push(await smokeOf(bare, test, excluded));
    const health = healthOf(findings);
    return {
      adapter: adapterIdentity(caps),
      full,
      rows,
      cases: findings.length,
      variants: health,
      testedWithin: [...within].filter((op) => !tested.has(op)).sort(),
      failures: findings.filter(({ comparison }) => !comparison.isRight).map(failureOf),
      excluded: [...excluded].sort(),
      smoke,
      verdict: verdictOf(findings, { caps, variants: bare.variants, excluded }, smoke),
      seconds: (performance.now() - started) / 1000,
      referenceSeconds: referenceTime / 1000,
    };
  } finally {
    bare.destroy();
  }
}

function failureOf({ path, prepared, comparison: { error, message = '' } }: Finding): DoctorFailure {
  return { path: pathName(path), row: prepared.row.name, error, message };
}

/** The ops that have rows of their own. */
export const testedOps = (cases: readonly PreparedCase[]): ReadonlySet<string> =>
  new Set(cases.map(({ output }) => output.op.name));

/** @throws UserError for an op without rows */
export function assertTested(ops: readonly string[], tested: ReadonlySet<string>): void {
  const unknown = ops.find((op) => !tested.has(op));
  if (unknown !== undefined)
    throw new UserError(`there is no op '${unknown}' to check.`, `Use some of: ${[...tested].join(', ')}.`);
}

/** Rows of the quick run: every op, storage and variant, at the widths whose decoders differ most. */
function isQuick({ full, perf, bits }: Case): boolean {
  return !full && !perf && (bits === undefined || QUICK_WIDTHS.has(bits));
}

/** 2 bits stand for odd numbers, codes of 3 lie across words. */
const QUICK_WIDTHS: ReadonlySet<number> = new Set([2, 3]);

/** A CPU adapter compiles one kernel after the other, for up to seconds each. */
const QUICK_ROWS_ON_CPU: RowLimits = { likely: 3, unlikely: 1 };

/** Cases row by row, so that what a row computes is needed for a short time. */
function* jobsOf(
  rows: { readonly prepared: PreparedCase; readonly paths: readonly VariantPath[] }[],
): Generator<Job, undefined> {
  for (let row = rows.shift(); row; row = rows.shift()) {
    for (const path of row.paths) yield { prepared: row.prepared, path };
  }
  return undefined;
}

async function runJob(
  engine: Engine,
  { prepared, path }: Job,
  within: Set<string>,
  onReference: (milliseconds: number) => void,
): Promise<Comparison> {
  try {
    const { variants, precision, rounding } = path;
    const plan = await engine.compile({ outputs: { y: prepared.output }, variants, precision });
    try {
      for (const { node } of [...plan.prologue, ...plan.dispatches]) within.add(node.op.name);
      const running = plan.run(prepared.data(), ['y']);
      const start = performance.now();
      prepared.expected();
      onReference(performance.now() - start);
      return compareResult(prepared, (await running)['y']!, rounding);
    } finally {
      // Parameters belong to the row: other cases of it may still run.
      plan.destroy();
    }
  } catch (error) {
    if (error instanceof DeviceLostError) {
      throw new DeviceLostError(`${pathName(path)} on '${prepared.row.name}': ${error.message}`, error.reason);
    }
    return { error: Number.POSITIVE_INFINITY, limit: 0, isRight: false, message: (error as Error).message };
  }
}

/**
 * The variants that failures are put down to: of a path the innermost step without which the same row is right. What a row takes
 * as input from an op that fails by itself is that op's fault.
 */
function blame(findings: readonly Finding[]): Set<string> {
  const failed = findings.filter(({ comparison }) => !comparison.isRight);
  const failingOps = new Set<string>();
  const excluded = new Set<string>();
  const byInputs = [...failed].sort((a, b) => depth(a) - depth(b));
  for (const { prepared, path } of byInputs) {
    const { output } = prepared;
    const before = topologicalOrder(output.inputs).filter((node) => !isInput(node) && !parameterOf(node));
    if (before.some(({ op }) => failingOps.has(op.name))) continue;
    const others = findings.filter((each) => each.prepared === prepared && each.comparison.isRight);
    let culprit = path.steps.length - 1;
    const sharesPrefix = (steps: readonly string[]) =>
      path.steps.slice(0, culprit).every((step, i) => steps[i] === step);
    while (culprit > 0 && !others.some((each) => sharesPrefix(each.path.steps))) culprit--;
    excluded.add(path.steps[culprit]!);
    if (others.length === 0) failingOps.add(output.op.name);
  }
  return excluded;
}

function depth({ prepared }: Finding): number {
  return topologicalOrder(prepared.output.inputs).length;
}

function healthOf(findings: readonly Finding[]): VariantHealth[] {
  const byStep = new Map<string, Finding[]>();
  for (const finding of findings) {
    for (const step of finding.path.steps) byStep.set(step, [...(byStep.get(step) ?? []), finding]);
  }
  return [...byStep].map(([step, all]): VariantHealth => {
    const share = ({ comparison: { error, limit } }: Finding) => (error === 0 ? 0 : error / limit);
    const worst = all.reduce((a, b) => (share(b) > share(a) ? b : a));
    const [op, variant] = step.split('/') as [string, string];
    return {
      op,
      variant,
      cases: all.length,
      failed: all.filter(({ comparison }) => !comparison.isRight).length,
      worst: share(worst),
      worstError: worst.comparison.error,
      worstCase: worst.prepared.row.name,
    };
  });
}

/** The same device, kernels and memory, with the ops' own choices of variants. */
function untuned(engine: Engine, excluded: ReadonlySet<string> = new Set()): Engine {
  const { device, caps, variants, shaders, memoryBytes } = engine;
  return new Engine({ device, caps, variants, shaders, memoryBytes, excluded, tuning: new Tuning('none') });
}

async function smokeOf(engine: Engine, test: SmokeTest, excluded: ReadonlySet<string>): Promise<SmokeResult> {
  const own = untuned(engine, excluded);
  try {
    return await test.run(own);
  } catch (error) {
    if (error instanceof DeviceLostError) throw error;
    return {
      name: test.name,
      error: Number.POSITIVE_INFINITY,
      limit: 0,
      isRight: false,
      message: (error as Error).message,
    };
  } finally {
    own.destroy();
  }
}

function verdictOf(
  findings: readonly Finding[],
  target: VariantTarget & { readonly excluded: ReadonlySet<string> },
  smoke: readonly SmokeResult[],
): Verdict {
  if (!smoke.every(({ isRight }) => isRight)) return 'unfit';
  if (findings.every(({ comparison }) => comparison.isRight)) return 'healthy';
  const right = new Set(
    findings
      .filter(({ path, comparison }) => comparison.isRight && !path.steps.some((step) => target.excluded.has(step)))
      .map(({ path }) => path.steps[0]!),
  );
  // A row may not have been run by all of its variants: what was right on others counts.
  const canRun = findings.every(({ prepared: { output } }) =>
    supportedVariants(output, target).some(({ name }) => right.has(`${output.op.name}/${name}`)),
  );
  return canRun ? 'limited' : 'unfit';
}
