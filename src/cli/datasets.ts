import type { Dataset, LeftOut, TestSample } from '../data/dataset.ts';
import { countImages, datasetLine, datasetNotes, leftOutText, metricNotes } from '../data/leftOut.ts';
import { UserError } from '../errors.ts';
import { assertUsable, checkDataset, type DataCheck } from '../node/checkData.ts';
import { metricsTable } from '../report/table.ts';
import type { Arguments } from './arguments.ts';
import { printLine, printText, say } from './print.ts';
import { notice } from './withEngine.ts';

/** A data set and where it lies. */
export interface PlacedDataset {
  readonly root: string;
  readonly dataset: Dataset;
}

/** The folders of `--good`, `--bad` and `--masks`. */
export function namedFolders(args: Arguments): {
  readonly good?: string;
  readonly bad?: string;
  readonly masks?: string;
} {
  return Object.fromEntries(
    ['good', 'bad', 'masks'].flatMap((name) => (args.text(name) ? [[name, args.text(name)!]] : [])),
  );
}

/**
 * The data sets to work on: the named one, or all. A name is also one by its last part where no other ends so.
 * @throws UserError when the name is not among them, or that of several
 */
export function chooseCategories<T extends Pick<Dataset, 'name'>>(
  datasets: readonly T[],
  name: string | undefined,
): readonly T[] {
  if (name === undefined) return datasets;
  const exact = datasets.filter((dataset) => dataset.name === name);
  const found = exact.length > 0 ? exact : datasets.filter((dataset) => dataset.name.endsWith(`/${name}`));
  if (found.length === 1) return found;
  const names = (some: readonly T[]) => some.map((dataset) => dataset.name).join(', ');
  if (found.length > 1)
    throw new UserError(`there are ${found.length} data sets '${name}'.`, `Use one of: ${names(found)}.`);
  throw new UserError(`there is no data set '${name}'.`, `Use one of: ${names(datasets)}.`);
}

/**
 * Says in a line what is read of each data set and what is not, after a look at the headers of all files that are needed.
 * Images to learn from are decoded later, before training.
 * @param isEvaluated whether metrics are wanted, so that what they lack is said
 * @throws UserError for masks that cannot be used, before anything is computed
 */
export async function announceDatasets(
  sets: readonly PlacedDataset[],
  {
    isEvaluated,
    between = [],
    signal,
  }: { readonly isEvaluated: boolean; readonly between?: readonly LeftOut[]; readonly signal: AbortSignal },
): Promise<void> {
  for (const { root, dataset } of sets) {
    const check = await checkDataset(root, dataset, 'test', signal);
    say(datasetLine(dataset, check.unreadable));
    for (const note of datasetNotes(dataset, check.resized)) notice(note);
    for (const note of isEvaluated ? metricNotes(dataset) : []) notice(note);
    assertUsable(check);
  }
  if (between.length > 0) say(`left out: ${leftOutText(between)}`);
}

/** What a data set holds, for a program. Paths are relative to the root. */
interface DatasetReport extends Omit<Dataset, 'leftOut' | 'defects' | 'folder'> {
  readonly root: string;
  readonly leftOut: readonly LeftOut[];
  readonly check: DataCheck;
}

/**
 * Prints what would be read, matched and left out of data sets, as a table or, with `--json`, as JSON.
 * @throws UserError, after printing, for masks that cannot be used
 */
export async function printDatasets(
  args: Arguments,
  sets: readonly PlacedDataset[],
  between: readonly LeftOut[],
  signal: AbortSignal,
): Promise<void> {
  const reports: DatasetReport[] = [];
  for (const { root, dataset } of sets) {
    const { name, layout, train, validation, test, leftOut = [] } = dataset;
    const check = await checkDataset(root, dataset, 'all', signal);
    reports.push({ name, layout, root, train, validation, test, leftOut, check });
  }
  if (args.flag('json')) printText(JSON.stringify({ datasets: reports, leftOut: between }, null, 2));
  else printTables(reports, between);
  for (const { check } of reports) assertUsable(check);
}

function printTables(reports: readonly DatasetReport[], between: readonly LeftOut[]): void {
  const rows = reports.map((report) => {
    const { testGood, testBad, kinds, masked } = countImages(report);
    return {
      'data set': report.name,
      layout: report.layout,
      train: report.train.length,
      validation: report.validation.length,
      'test good': testGood,
      'test bad': testBad,
      kinds: kinds.length,
      masks: masked,
      'left out': report.leftOut.length,
      unreadable: report.check.unreadable.length,
    };
  });
  printText(metricsTable(rows));
  for (const report of reports) {
    const { check, test } = report;
    printLine('', datasetLine(report, check.unreadable));
    const byKind = new Map<string, TestSample[]>(countImages(report).kinds.map((kind) => [kind, []]));
    for (const sample of test) byKind.get(sample.defect)?.push(sample);
    for (const [kind, images] of byKind) {
      printLine(
        `  ${kind}: ${images.length} images, masks for ${images.filter(({ masks }) => masks.length > 0).length}`,
      );
    }
    for (const { path, reason } of check.unreadable) printLine(`  cannot be read: ${path} (${reason})`);
    for (const problem of check.problems) printLine(`  ${problem}`);
    for (const note of [...datasetNotes(report, check.resized), ...metricNotes(report)]) printLine(`  ${note}`);
  }
  if (between.length > 0) printLine('', `left out: ${leftOutText(between)}`);
}
