import { existsSync } from 'node:fs';
import { saveDetector } from '../../model/modelFile.ts';
import { assertWritable, readCheckpoint, readText, removeFile, writeAtomically } from '../../node/files.ts';
import { parseBitPlan } from '../../quantisation/bitPlan.ts';
import { recalibrate } from '../../train/recalibrate.ts';
import { type Arguments, type OptionTable, UsageError } from '../arguments.ts';
import { openModel, openModelDataset } from '../modelData.ts';
import { printLine, say } from '../print.ts';
import { notice, withEngine } from '../session.ts';
import { startPhases } from '../study.ts';
import { openPenalty } from './fit.ts';

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
  await assertWritable(output);
  const text = await readText(planFile);
  const set = await openModelDataset(args, folder, signal);
  const [iterations, batch, learningRate, alpha] = ['iterations', 'batch', 'lr', 'alpha'].map((name) =>
    args.number(name),
  );
  const checkpointFile = `${output}.checkpoint`;
  const resume = args.flag('resume') ? await readCheckpoint(checkpointFile, notice) : undefined;
  await withEngine(args, async (engine) => {
    const { detector, data } = await openModel(engine, model, set);
    const penalty = await openPenalty(args, engine, detector.state.provenance.seed);
    try {
      const result = await recalibrate({
        detector,
        plan: parseBitPlan(text, detector.state.networks),
        train: data.train,
        heldOut: data.heldOut,
        penalty,
        settings: {
          ...(iterations !== undefined && { iterations }),
          ...(batch !== undefined && { batch }),
          ...(learningRate !== undefined && { learningRate }),
        },
        ...(alpha !== undefined && { alpha }),
        checkpoint: {
          every: args.number('checkpoint-every') ?? 100,
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
}

const showPhase = startPhases();
