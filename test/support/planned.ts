import { type PreparedCase, prepareCase } from '../../src/doctor/check.ts';
import { rowPaths, thinOut, type VariantPath } from '../../src/doctor/paths.ts';
import type { Target } from '../../src/engine/lower.ts';
import { detectorTable as table } from '../../src/selfTest/table.ts';

const full = process.env['RAAD_TEST'] === 'full';

/**
 * A CPU adapter compiles one kernel after the other, for up to seconds each. Where two of them share the table, `RAAD_KERNELS` says
 * whose kernels are this one's: those of CPU adapters, which may be chosen, or those of GPUs.
 */
const ROWS_ON_CPU = {
  cpu: { likely: 2, unlikely: 0 },
  gpu: { likely: 1, unlikely: 1 },
  all: { likely: 6, unlikely: 1 },
};
const kernels = process.env['RAAD_KERNELS'] as 'cpu' | 'gpu' | undefined;

/** The suite `kernels` runs all of these products, and what takes in what produces its input. */
function isInOwnFile({ row: { absorbs } }: PreparedCase, { steps }: VariantPath): boolean {
  const last = steps.at(-1)!;
  return /^winogradHalvesProduct\//.test(last) || (kernels === 'gpu' && last === `${absorbs?.op}/${absorbs?.variant}`);
}

export interface PlannedRow {
  readonly prepared: PreparedCase;
  paths: readonly VariantPath[];
}

/** The rows of the table that are tested. */
export const testedRows = table.filter((row) => full || !(row.perf || row.full)).map(prepareCase);

const tested = new Set(testedRows.map(({ output }) => output.op.name));

/** Whether an op of that name has rows of its own. */
export const isTested = (op: string): boolean => tested.has(op);

/** These rows, with the ways to compute them that are run: all of them in the full run. */
export function plannedRows(target: Target): PlannedRow[] {
  const planned = testedRows.map((prepared) => ({
    prepared,
    output: prepared.output,
    paths: rowPaths(prepared, target, isTested),
  }));
  if (full || !target.caps.isCpu) return planned;
  thinOut(planned, target, ROWS_ON_CPU[kernels ?? 'all']);
  for (const row of planned) row.paths = row.paths.filter((path) => !isInOwnFile(row.prepared, path));
  return planned;
}
