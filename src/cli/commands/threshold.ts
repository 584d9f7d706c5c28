import { judge } from '../../detector/calibrate.ts';
import { checkAlpha } from '../../detector/conformal.ts';
import { Detector } from '../../detector/detector.ts';
import { saveDetector } from '../../detector/modelFile.ts';
import { UserError } from '../../errors.ts';
import { loadImages } from '../../node/datasets.ts';
import { expandImages } from '../../node/files.ts';
import { assertWritable, writeAtomically } from '../../node/output.ts';
import { type Arguments, UsageError } from '../arguments.ts';
import { readModelFile } from '../modelData.ts';
import { printLine } from '../print.ts';
import { thresholdText } from '../verdict.ts';
import { inputFiles, notice, withEngine } from '../withEngine.ts';

export async function run(args: Arguments, signal: AbortSignal): Promise<void> {
  const [model] = args.positionals;
  const good = args.text('good');
  const output = args.text('output');
  if (!model || !good || !output)
    throw new UsageError(
      'threshold needs a model, --good and -o.',
      'raad threshold MODEL --good DIR -o OUT.safetensors',
    );
  const alpha = args.number('alpha');
  checkAlpha(alpha);
  const state = await readModelFile(model);
  const paths = await expandImages([good], notice);
  await assertWritable(output, [model, ...paths, ...inputFiles(args)]);
  const images = await loadImages(paths, notice, undefined, signal);
  if (images.count === 0)
    throw new UserError(`${good} holds no images that can be read.`, 'Give a folder of good parts.');
  await withEngine(args, async (engine) => {
    const detector = new Detector(engine, state);
    try {
      const verdict = await judge(detector, images, { alpha: alpha ?? state.threshold?.alpha, signal });
      await writeAtomically(output, await saveDetector({ state: { ...state, ...verdict } }));
      if (state.threshold) printLine(`before: ${thresholdText(state)}`);
      printLine(`${output}: ${thresholdText(verdict)}`);
    } finally {
      detector.destroy();
    }
  });
}
