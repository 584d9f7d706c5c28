import { openDatasets } from '../../node/datasets.ts';
import { type Arguments, type OptionTable, UsageError } from '../arguments.ts';
import { chooseCategories, printDatasets } from '../datasets.ts';

export const usage = `raad data DATA
  What fit, eval and run would read of a data set: images, kinds of defects, the masks that match them, and everything that is
  left out, with its reason. Headers of all files are looked at; no GPU is needed.

  --good DIR --bad DIR --masks DIR   folders instead of DATA
  --category NAME        one of several data sets
  --json                 every file by name`;

export const options: OptionTable = {
  good: { type: 'string' },
  bad: { type: 'string' },
  masks: { type: 'string' },
  category: { type: 'string' },
  json: { type: 'boolean' },
};

export async function run(args: Arguments, signal: AbortSignal): Promise<void> {
  const [folder] = args.positionals;
  const named = namedFolders(args);
  if (!folder && Object.keys(named).length === 0) throw new UsageError('data needs a data set.', 'raad data DATA');
  const { root, datasets, leftOut } = await openDatasets(folder, named);
  const chosen = chooseCategories(datasets, args.text('category'));
  await printDatasets(
    args,
    chosen.map((dataset) => ({ root, dataset })),
    args.text('category') ? [] : leftOut,
    signal,
  );
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
