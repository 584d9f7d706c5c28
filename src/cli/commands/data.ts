import { openDatasets } from '../../node/datasets.ts';
import { type Arguments, UsageError } from '../arguments.ts';
import { chooseCategories, namedFolders, printDatasets } from '../datasets.ts';

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
