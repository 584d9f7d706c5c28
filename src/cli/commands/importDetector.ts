import { checkAlpha } from '../../detector/conformal.ts';
import type { DetectorState } from '../../detector/detectorState.ts';
import { saveDetector } from '../../detector/modelFile.ts';
import { PLACEMENTS } from '../../detector/modelHeader.ts';
import { calibrateImported } from '../../interchange/calibrate.ts';
import { type ImportedDetector, importDetector, type NamedBytes } from '../../interchange/detector.ts';
import type { Padding } from '../../networks/pdn.ts';
import { datasetFiles } from '../../node/datasets.ts';
import { readBytes } from '../../node/files.ts';
import { assertWritable, writeAtomically } from '../../node/output.ts';
import { openStudyData } from '../../node/study.ts';
import { type Arguments, readSeed, UsageError } from '../arguments.ts';
import { openModelDataset } from '../modelData.ts';
import { PhaseReport } from '../phaseReport.ts';
import { printLine } from '../print.ts';
import { inputFiles, notice, withEngine } from '../withEngine.ts';

const USAGE = 'raad import-detector FILE... -o MODEL.safetensors';

export async function run(args: Arguments, signal: AbortSignal): Promise<void> {
  const paths = args.positionals;
  const output = args.text('output');
  if (paths.length === 0 || !output) throw new UsageError('import-detector needs files and -o.', USAGE);
  checkAlpha(args.number('alpha'));
  const settings = {
    placement: args.choice('placement', PLACEMENTS) ?? 'exact',
    padding: args.choice('padding', ['none', 'zeros'] satisfies Padding[]),
    seed: readSeed(args),
  };
  await assertWritable(output, [...paths, ...inputFiles(args)]);
  const files: NamedBytes[] = [];
  for (const path of paths) files.push({ name: path, bytes: await readBytes(path) });
  const imported = await importDetector(files, settings);
  const isCalibrated = args.text('calibrate') !== undefined || args.text('good') !== undefined;
  if (!isCalibrated && !(imported.hasStatistics && imported.hasQuantiles))
    throw new UsageError(
      `${paths.join(', ')} ${paths.length > 1 ? 'have' : 'has'} no ${imported.hasStatistics ? 'quantiles of maps' : 'statistics of the teacher'}.`,
      'Give the images that the detector was trained on with --calibrate DATA or --good DIR.',
    );
  const state = isCalibrated ? await calibrated(args, imported, output, signal) : imported.state;
  const bytes = await saveDetector({ state });
  await writeAtomically(output, bytes);
  const { networks, threshold } = state;
  const said = threshold ? `threshold ${threshold.value.toFixed(4)}` : 'no threshold';
  printLine(`${output}: PDN-${networks.size.toUpperCase()}, ${networks.side} px, ${bytes.length} bytes, ${said}`);
}

/** With what images of good parts tell. */
async function calibrated(
  args: Arguments,
  imported: ImportedDetector,
  output: string,
  signal: AbortSignal,
): Promise<DetectorState> {
  const { provenance } = imported.state;
  const { root, dataset } = await openModelDataset(args, args.text('calibrate'), imported.state, signal);
  await assertWritable(output, datasetFiles({ root, dataset }));
  notice('images that count as held out here may have been trained on: their scores may promise too much.');
  return withEngine(args, async (engine) => {
    const { train, heldOut } = await openStudyData({ name: dataset.name, root, dataset }, provenance.seed, notice);
    const report = new PhaseReport();
    const alpha = args.number('alpha');
    try {
      return await calibrateImported({
        engine,
        imported,
        dataset: dataset.name,
        train,
        heldOut,
        alpha,
        onProgress: (progress) => report.show(progress),
        onNotice: notice,
        signal,
      });
    } finally {
      report.stop();
    }
  });
}
