import { checkAlpha } from '../../detector/conformal.ts';
import { saveDetector } from '../../detector/modelFile.ts';
import { datasetFiles } from '../../node/datasets.ts';
import { assertWritable, writeAtomically } from '../../node/output.ts';
import { type Arguments, UsageError } from '../arguments.ts';
import { applyMaps, readMaps } from '../mapFilter.ts';
import { openModel, openModelDataset, readModelFile } from '../modelData.ts';
import { printLine } from '../print.ts';
import { inputFiles, withEngine } from '../withEngine.ts';

export async function run(args: Arguments, signal: AbortSignal): Promise<void> {
  const [model, folder] = args.positionals;
  const output = args.text('output');
  if (!model || !output || (!folder && !args.text('good')))
    throw new UsageError('maps needs a model, a data set and -o.', 'raad maps MODEL DATA -o OUT.safetensors');
  const maps = readMaps(args) ?? 'auto';
  const alpha = args.number('alpha');
  checkAlpha(alpha);
  const state = await readModelFile(model);
  const set = await openModelDataset(args, folder, state, signal);
  await assertWritable(output, [model, ...datasetFiles(set), ...inputFiles(args)]);
  await withEngine(args, async (engine) => {
    const { detector, data } = await openModel(engine, state, set);
    try {
      const filtered = await applyMaps(detector, maps, data.heldOut, { alpha, signal });
      await writeAtomically(output, await saveDetector(filtered));
      const { filter, threshold } = filtered.state;
      printLine(`${output}: maps ${filter?.kind ?? 'none'}, threshold ${threshold!.value.toFixed(4)}`);
      filtered.destroy();
    } finally {
      detector.destroy();
    }
  });
}
