import { GOOD } from '../../data/dataset.ts';
import { safeFileName } from '../../data/names.ts';
import { gridOf } from '../../detector/seen.ts';
import { UserError } from '../../errors.ts';
import { MapStatistics } from '../../evaluation/bias.ts';
import { extent } from '../../math/extent.ts';
import { datasetFiles, testSource } from '../../node/datasets.ts';
import { encodePng } from '../../node/images.ts';
import { assertWritable, writeAtomically } from '../../node/output.ts';
import { resample } from '../../report/canvas.ts';
import { colorMap, type Panel, renderPanels } from '../../report/panels.ts';
import { type Arguments, UsageError } from '../arguments.ts';
import { openModel, openModelDataset, readModelFile } from '../modelData.ts';
import { printLine } from '../print.ts';
import { startProgress } from '../progress.ts';
import { inputFiles, notice, withEngine } from '../withEngine.ts';

/** Side of a drawn map. */
const DRAWN = 256;

export async function run(args: Arguments, signal: AbortSignal): Promise<void> {
  const [model, folder] = args.positionals;
  if (!model || !folder) throw new UsageError('bias needs a model and a data set.', 'raad bias MODEL DATA');
  const state = await readModelFile(model);
  const set = await openModelDataset(args, folder, state, signal);
  const source = testSource(set.root, set.dataset);
  const output = args.text('output') ?? `${safeFileName(set.dataset.name)}.bias.png`;
  if (!set.dataset.test.some(({ defect }) => defect === GOOD)) throw withoutNormal(set.dataset.name);
  await assertWritable(output, [model, ...datasetFiles(set), ...inputFiles(args)]);
  await withEngine(args, async (engine) => {
    const { detector } = await openModel(engine, state, set);
    const kinds = { normal: new MapStatistics(), anomalous: new MapStatistics() };
    const progress = startProgress(set.dataset.name, source.count, 'images');
    let failed = 0;
    for (let i = 0; i < source.count; i++) {
      signal.throwIfAborted();
      try {
        const { image } = await source.load(i);
        const { gridMap } = await detector.predict(image);
        kinds[source.sample(i).defect === GOOD ? 'normal' : 'anomalous'].add(gridMap);
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        const { name } = source.sample(i);
        notice(`left out: ${error.message.includes(name) ? '' : `${name}: `}${error.message}`);
        failed++;
      }
      progress.update(i + 1);
    }
    progress.stop();
    const { biasIndex } = kinds.normal;
    if (biasIndex === undefined)
      throw new UserError(
        `none of the normal test images of ${set.dataset.name} could be scored.`,
        'They are named above.',
      );
    const { rows, columns } = gridOf(detector.state);
    const shown = Object.entries(kinds).flatMap(([name, { mean, count }]) => (mean ? [{ name, mean, count }] : []));
    // One scale for both, over what the means hold: single images reach far beyond it.
    const ends = shown.map(({ mean }) => extent(mean));
    const range = extent(ends.flatMap(({ low, high }) => [low, high]));
    const panels = shown.map(({ name, mean, count }): Panel => {
      const drawn = resample(mean, columns, rows, 1, DRAWN, DRAWN);
      return { title: `${name}, mean`, note: `${count} images`, picture: colorMap(drawn, DRAWN, DRAWN, range) };
    });
    await writeAtomically(
      output,
      await encodePng(renderPanels(`${set.dataset.name}: bias index ${biasIndex.toFixed(3)}`, panels)),
    );
    printLine(
      `bias index ${biasIndex.toFixed(4)}, ${kinds.normal.count} normal and ${kinds.anomalous.count} anomalous images`,
    );
    printLine(output);
    detector.destroy();
    if (failed > 0)
      throw new UserError(
        `${failed} of ${source.count} images were left out.`,
        'They are named above; the figures are of the others.',
      );
  });
}

function withoutNormal(name: string): UserError {
  return new UserError(`${name} has no normal test images.`, 'Put good images into test/good.');
}
