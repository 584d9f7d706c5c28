import { stat } from 'node:fs/promises';
import { renderSpecimen } from '../../data/synthetic/generate.ts';
import { Detector } from '../../detector/detector.ts';
import type { DetectorState } from '../../detector/detectorState.ts';
import { spin } from '../../engine/sample.ts';
import { type BenchCase, measure, type Timing } from '../../measure/measure.ts';
import { assertOutputs } from '../../node/output.ts';
import { metricsTable } from '../../report/table.ts';
import { type Arguments, readPrecision, UsageError, wholeNumber } from '../arguments.ts';
import { reportHead, writeJson } from '../benchReport.ts';
import { readModelFile } from '../modelData.ts';
import { printText } from '../print.ts';
import { inputFiles, MEASURING, withEngine } from '../withEngine.ts';

interface ModelTiming extends Timing {
  readonly fileBytes: number;
  /** Of parameters and intermediate values on the device. */
  readonly deviceBytes: number;
}

/** Model files in turns, from an image on the host to its map on the host. */
export async function run(args: Arguments, signal: AbortSignal): Promise<void> {
  const named = args.texts('model');
  if (named.length > 0 && args.positionals.length > 0)
    throw new UsageError(`${args.positionals[0]} does not go with --model.`, 'See `raad bench models --help`.');
  const files = named.length > 0 ? named : args.positionals;
  if (files.length === 0) throw new UsageError('bench models needs model files.', 'raad bench models MODEL...');
  const rounds = wholeNumber(args, 'rounds', 10, 1);
  const warmUp = wholeNumber(args, 'warm-up', 3, 0);
  const precision = readPrecision(args);
  const json = args.text('json');
  await assertOutputs([json], [...files, ...inputFiles(args)]);
  const states: DetectorState[] = [];
  for (const file of files) states.push(await readModelFile(file));
  await withEngine(
    args,
    async (engine) => {
      const detectors: Detector[] = [];
      try {
        const models: (Pick<ModelTiming, 'fileBytes' | 'deviceBytes'> & { readonly case: BenchCase })[] = [];
        for (const [i, file] of files.entries()) {
          const detector = new Detector(engine, states[i]!, { precision });
          detectors.push(detector);
          const { image } = renderSpecimen('bracket', undefined, 1, detector.state.networks.side);
          models.push({
            case: { name: file, run: () => detector.predict(image) },
            fileBytes: (await stat(file)).size,
            deviceBytes: await detector.deviceBytes(),
          });
        }
        await spin(engine, 200);
        const timings = await measure(
          models.map((model) => model.case),
          { rounds, warmUp, signal },
        );
        const results = timings.map((timing, i): ModelTiming => {
          const { fileBytes, deviceBytes } = models[i]!;
          return { ...timing, fileBytes, deviceBytes };
        });
        printText(
          metricsTable(
            results.map(({ name, median, p5, p95, fileBytes, deviceBytes }) => ({
              model: name,
              'median ms': median,
              'p5 ms': p5,
              'p95 ms': p95,
              'first = 1': median / results[0]!.median,
              'file bytes': fileBytes,
              'device bytes': deviceBytes,
            })),
            { digits: 2 },
          ),
        );
        if (json)
          await writeJson(json, {
            ...(await reportHead(args, engine.caps)),
            settings: { rounds, warmUp, precision },
            models: results,
          });
      } finally {
        for (const detector of detectors) detector.destroy();
      }
    },
    { toggles: MEASURING },
  );
}
