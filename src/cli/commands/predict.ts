import { basename, join } from 'node:path';
import { distinctFileNames } from '../../data/names.ts';
import { Detector, type Prediction } from '../../detector/detector.ts';
import { UserError } from '../../errors.ts';
import { type Drift, DriftWatch } from '../../evaluation/drift.ts';
import { expandImages } from '../../node/files.ts';
import { readImage } from '../../node/images.ts';
import { assertOutputs, writeAtomically } from '../../node/output.ts';
import { type Arguments, readPrecision, UsageError } from '../arguments.ts';
import { drawHeatmap } from '../heatmap.ts';
import { readModelFile } from '../modelData.ts';
import { printLine, printText } from '../print.ts';
import { rawFrames, readFrameSize } from '../rawFrames.ts';
import { verdictOf } from '../verdict.ts';
import { watchFolder } from '../watch.ts';
import { inputFiles, notice, withEngine } from '../withEngine.ts';

export async function run(args: Arguments, signal: AbortSignal): Promise<void> {
  const [modelFile, ...patterns] = args.positionals;
  const [folder, frames] = [args.text('watch'), args.text('frames')];
  if (folder !== undefined || frames !== undefined) {
    if (!modelFile || patterns.length > 0 || (folder !== undefined && frames !== undefined))
      throw new UsageError('predict takes one of images, --watch and --frames.', 'raad predict MODEL --watch DIR');
    return folder !== undefined ? watch(args, modelFile, folder, signal) : stream(args, modelFile, frames!, signal);
  }
  if (!modelFile || patterns.length === 0)
    throw new UsageError('predict needs a model and images.', 'raad predict MODEL IMAGE...');
  const precision = readPrecision(args);
  const state = await readModelFile(modelFile);
  const paths = await expandImages(patterns, notice);
  const names = distinctFileNames(paths.map((path) => path.replaceAll('\\', '/')));
  const out = args.text('out') ?? '.';
  const heatmapOf = (index: number) => (args.flag('no-heatmap') ? undefined : join(out, `${names[index]}.heatmap.png`));
  const heatmaps = [...paths.keys()].map(heatmapOf);
  await assertOutputs(heatmaps, [modelFile, ...paths, ...inputFiles(args)]);
  await withEngine(args, async (engine) => {
    const detector = new Detector(engine, state, { precision });
    let done = 0;
    const watch = state.calibration && new DriftWatch(state.calibration);
    let drift: Drift | undefined;
    for (const [index, path] of paths.entries()) {
      signal.throwIfAborted();
      const heatmap = heatmaps[index];
      let prediction: Prediction;
      let picture: Uint8Array | undefined;
      try {
        const image = await readImage(path);
        prediction = await detector.predict(image);
        picture = heatmap ? await drawHeatmap(basename(path), image, prediction, detector) : undefined;
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        notice(`left out: ${error.message.includes(path) ? '' : `${path}: `}${error.message}`);
        continue;
      }
      if (heatmap && picture) await writeAtomically(heatmap, picture);
      done++;
      drift = watch?.add(prediction.score);
      print(args.flag('json'), path, prediction, heatmap, drift);
    }
    detector.destroy();
    if (drift?.drifted) notice(driftText(drift));
    const failed = paths.length - done;
    if (done === 0) throw new UserError('none of the images could be scored.', 'They are named above.');
    if (failed > 0)
      throw new UserError(
        `${failed} of ${paths.length} images were left out.`,
        'They are named above; all others are done.',
      );
  });
}

/** Ends when it is stopped, which is no failure. */
async function watch(args: Arguments, modelFile: string, folder: string, signal: AbortSignal): Promise<void> {
  const precision = readPrecision(args);
  const state = await readModelFile(modelFile);
  const list = args.text('scores') ?? `${folder.replace(/[\\/]+$/, '')}.scores.csv`;
  await assertOutputs([list], [modelFile, ...inputFiles(args)]);
  await withEngine(args, async (engine) => {
    const detector = new Detector(engine, state, { precision });
    try {
      await watchFolder({
        detector,
        folder,
        list,
        signal,
        onImage({ image, score, anomalous, error }) {
          if (args.flag('json'))
            printText(
              JSON.stringify({
                image,
                ...(error ? { error } : { score: Number(score), anomalous: anomalous === 'true' }),
              }),
            );
          else printLine(error ? `${image}  left out: ${error}` : `${image}  score ${Number(score).toFixed(4)}`);
        },
      });
    } finally {
      detector.destroy();
    }
  });
}

async function stream(args: Arguments, modelFile: string, size: string, signal: AbortSignal): Promise<void> {
  const { width, height } = readFrameSize(size);
  const precision = readPrecision(args);
  const state = await readModelFile(modelFile);
  await withEngine(args, async (engine) => {
    const detector = new Detector(engine, state, { precision });
    let frame = 0;
    try {
      for await (const prediction of detector.stream(rawFrames(process.stdin, width, height), { signal }))
        print(args.flag('json'), `frame ${++frame}`, prediction, undefined, undefined);
    } finally {
      detector.destroy();
    }
  });
}

function driftText({ images, above }: Drift): string {
  const share = 100 * Math.max(above, 1 - above);
  return `these ${images} images score ${above > 0.5 ? 'higher' : 'lower'} than those of the calibration, in ${share.toFixed(0)} % of pairs: if most of them are good parts, set the threshold anew with \`raad threshold\`.`;
}

function print(
  json: boolean,
  path: string,
  prediction: Prediction,
  heatmap: string | undefined,
  drift: Drift | undefined,
): void {
  const { score, isAnomalous, width, height } = prediction;
  if (json) {
    printText(JSON.stringify({ image: path, score, anomalous: isAnomalous ?? null, width, height, heatmap, drift }));
    return;
  }
  const parts = [path, `score ${score.toFixed(4)}`, verdictOf(prediction), heatmap && `-> ${heatmap}`];
  printLine(parts.filter(Boolean).join('  '));
}
