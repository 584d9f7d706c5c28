import { existsSync } from 'node:fs';
import { checkAlpha } from '../../detector/conformal.ts';
import { saveDetector } from '../../detector/modelFile.ts';
import { datasetFiles } from '../../node/datasets.ts';
import { readCheckpoint, readText, removeFile } from '../../node/files.ts';
import { holdOutputs } from '../../node/lock.ts';
import { assertOutputs, writeAtomically } from '../../node/output.ts';
import { parseBitPlan } from '../../quantization/bitPlan.ts';
import { readCheckpoint as parseCheckpoint } from '../../train/checkpoint.ts';
import { recalibrate, recalibrateSettings } from '../../train/recalibrate.ts';
import { type Arguments, UsageError, wholeNumber } from '../arguments.ts';
import { assertFloat, openModel, openModelDataset, readModelFile } from '../modelData.ts';
import { findPhotographs, openPenalty } from '../penalty.ts';
import { printLine, say } from '../print.ts';
import { startPhases } from '../studyOptions.ts';
import { CHECKPOINT_EVERY, checkpointOf, trainingOutputs } from '../training.ts';
import { inputFiles, notice, withEngine } from '../withEngine.ts';

const USAGE = 'raad recalibrate MODEL --plan plan.json DATA -o OUT.safetensors';

export async function run(args: Arguments, signal: AbortSignal): Promise<void> {
  const [model, folder] = args.positionals;
  const output = args.text('output');
  const planFile = args.text('plan');
  if (!model || !output || !planFile || (!folder && !args.text('good')))
    throw new UsageError('recalibrate needs a model, --plan, a data set and -o.', USAGE);
  const text = await readText(planFile);
  const state = await readModelFile(model);
  assertFloat(state, model);
  const plan = parseBitPlan(text, state.networks);
  const [iterations, batch, learningRate, alpha] = ['iterations', 'batch', 'lr', 'alpha'].map((name) =>
    args.number(name),
  );
  checkAlpha(alpha);
  const settings = { iterations, batch, learningRate };
  recalibrateSettings(state.provenance, settings);
  const every = wholeNumber(args, 'checkpoint-every', CHECKPOINT_EVERY, 1);
  const set = await openModelDataset(args, folder, state, signal);
  const photographs = await findPhotographs(args);
  const checkpointFile = checkpointOf(output);
  await assertOutputs(trainingOutputs(output), [
    model,
    planFile,
    ...datasetFiles(set),
    ...(photographs?.paths ?? []),
    ...inputFiles(args),
  ]);
  await holdOutputs([output], async () => {
    const resume = args.flag('resume') ? await readCheckpoint(checkpointFile, notice) : undefined;
    if (resume) await parseCheckpoint(resume, checkpointFile);
    await withEngine(args, async (engine) => {
      const { detector, data } = await openModel(engine, state, set);
      const penalty = await openPenalty(photographs, engine, state.provenance.seed);
      try {
        const result = await recalibrate({
          detector,
          plan,
          train: data.train,
          heldOut: data.heldOut,
          penalty,
          settings,
          alpha,
          checkpoint: {
            every,
            save: (bytes) => writeAtomically(checkpointFile, bytes),
          },
          resume,
          onProgress: ({ phase, done, total }) => showPhase(phase, done, total),
          onNotice: notice,
          signal,
        });
        const bytes = await saveDetector(result);
        await writeAtomically(output, bytes);
        await removeFile(checkpointFile);
        printLine(`${output}: ${bytes.length} bytes, threshold ${result.state.threshold!.value.toFixed(4)}`);
        result.destroy();
      } catch (error) {
        if (signal.aborted && existsSync(checkpointFile))
          say(`stopped; the state is in ${checkpointFile}, go on with --resume`);
        throw error;
      } finally {
        penalty.destroy?.();
        detector.destroy();
      }
    });
  });
}

const showPhase = startPhases();
