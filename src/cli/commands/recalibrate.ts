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
import { type Arguments, type OptionTable, UsageError, wholeNumber } from '../arguments.ts';
import { assertFloat, openModel, openModelDataset, readModelFile } from '../modelData.ts';
import { printLine, say } from '../print.ts';
import { inputFiles, notice, withEngine } from '../session.ts';
import { findPhotographs, openPenalty, startPhases } from '../study.ts';
import { CHECKPOINT_EVERY, checkpointOf, outputsOf } from './fit.ts';

export const usage = `raad recalibrate MODEL --plan plan.json DATA -o OUT
  Quantises a float model by a plan and trains student, autoencoder and scales on, as the integers will round; the quantised
  teacher is the target. Statistics, map quantiles and threshold are taken anew.

  --iterations N --batch N --lr RATE   a tenth of the model's training, its batch, 1e-5
  --penalty DIR          photographs for the penalty loss; generated pictures by default
  --checkpoint-every N   steps between checkpoints, 100; the file is OUT.checkpoint
  --resume               continue from that file
  --alpha RATE           wanted false-alarm rate of the threshold; the model's own by default
  --good DIR, --category NAME   as in quantize`;

export const options: OptionTable = {
  plan: { type: 'string' },
  output: { type: 'string', short: 'o' },
  iterations: { type: 'string' },
  batch: { type: 'string' },
  lr: { type: 'string' },
  penalty: { type: 'string' },
  'checkpoint-every': { type: 'string' },
  resume: { type: 'boolean' },
  alpha: { type: 'string' },
  good: { type: 'string' },
  category: { type: 'string' },
};

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
  const settings = {
    ...(iterations !== undefined && { iterations }),
    ...(batch !== undefined && { batch }),
    ...(learningRate !== undefined && { learningRate }),
  };
  recalibrateSettings(state.provenance, settings);
  const every = wholeNumber(args, 'checkpoint-every', CHECKPOINT_EVERY, 1);
  const set = await openModelDataset(args, folder, state, signal);
  const photographs = await findPhotographs(args);
  const checkpointFile = checkpointOf(output);
  await assertOutputs(outputsOf(output), [
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
          ...(alpha !== undefined && { alpha }),
          checkpoint: {
            every,
            save: (bytes) => writeAtomically(checkpointFile, bytes),
          },
          ...(resume && { resume }),
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
