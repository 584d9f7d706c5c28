import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type DistillProgress, distill } from '../../distill/distill.ts';
import { checkDistillSettings, DISTILL_DEFAULTS, type DistillSettings } from '../../distill/settings.ts';
import { writeSafetensors } from '../../formats/safetensors.ts';
import { PDN_SIZES } from '../../networks/pdn.ts';
import { featureFolder, NORMALIZATION_NAMES, openBackbone } from '../../node/backbone.ts';
import { loadImages } from '../../node/datasets.ts';
import { imagesBelow, readCheckpoint, removeFile } from '../../node/files.ts';
import { holdOutputs } from '../../node/lock.ts';
import { assertOutputs, writeAtomically } from '../../node/output.ts';
import { readCheckpoint as parseCheckpoint } from '../../train/checkpoint.ts';
import { type Arguments, readSeed, UsageError, wholeNumber } from '../arguments.ts';
import { printLine, say } from '../print.ts';
import { startPhases } from '../studyOptions.ts';
import { CHECKPOINT_EVERY, checkpointOf, trainingOutputs } from '../training.ts';
import { TrainingLog } from '../trainingLog.ts';
import { inputFiles, notice, withEngine } from '../withEngine.ts';

const USAGE = 'raad distill --backbone FILE.onnx --layers A,B --images DIR -o TEACHER.safetensors';

function readSettings(args: Arguments): DistillSettings {
  return {
    ...DISTILL_DEFAULTS,
    size: args.choice('size', PDN_SIZES) ?? DISTILL_DEFAULTS.size,
    resolution: args.number('resolution') ?? DISTILL_DEFAULTS.resolution,
    iterations: args.number('iterations') ?? DISTILL_DEFAULTS.iterations,
    batch: args.number('batch') ?? DISTILL_DEFAULTS.batch,
    learningRate: args.number('lr') ?? DISTILL_DEFAULTS.learningRate,
    views: args.number('views') ?? DISTILL_DEFAULTS.views,
    seed: readSeed(args, DISTILL_DEFAULTS.seed),
  };
}

export async function run(args: Arguments, signal: AbortSignal): Promise<void> {
  const [output, backboneFile, folder, names] = ['output', 'backbone', 'images', 'layers'].map(args.text);
  const layers = names?.split(',').filter((name) => name !== '') ?? [];
  if (!output || !backboneFile || !folder || layers.length === 0)
    throw new UsageError('distill needs a backbone, its layers, images and -o.', USAGE);
  const settings = readSettings(args);
  checkDistillSettings(settings);
  const every = wholeNumber(args, 'checkpoint-every', CHECKPOINT_EVERY, 1);
  const side = wholeNumber(args, 'backbone-side', 2 * settings.resolution, 32);
  const normalization = args.choice('normalize', NORMALIZATION_NAMES) ?? 'imagenet';
  const paths = await imagesBelow(folder, notice);
  await assertOutputs([...trainingOutputs(output), args.text('log')], [backboneFile, ...paths, ...inputFiles(args)]);
  await holdOutputs([output], async () => {
    const checkpointFile = checkpointOf(output);
    const kept = args.flag('resume') ? await readCheckpoint(checkpointFile, notice) : undefined;
    const resume = kept && (await parseCheckpoint(kept, checkpointFile));
    const backbone = await openBackbone(backboneFile, { layers, side, normalization });
    const photographs = await loadImages(paths, notice, undefined, signal);
    const { size, resolution, seed } = settings;
    const looks = createHash('sha256')
      .update(JSON.stringify([backbone.digest, photographs.digest, size, resolution, seed]))
      .digest('hex');
    const store = await featureFolder(join(args.text('cache') ?? `${output}.features`, looks.slice(0, 16)));
    say(`${photographs.count} photographs, ${settings.views} looks at each`);
    const log = await TrainingLog.open(args.text('log'), resume !== undefined);
    log.begin();
    await withEngine(args, async (engine) => {
      try {
        const teacher = await distill({
          ...{ engine, settings, backbone, photographs, store, signal },
          checkpoint: {
            every,
            save: async (bytes) => {
              await writeAtomically(checkpointFile, bytes);
              await log.write();
            },
          },
          resume,
          onProgress: (progress) => report(progress, log),
        });
        await writeAtomically(output, writeSafetensors(teacher.tensors, teacher.metadata));
        await removeFile(checkpointFile);
        printLine(
          `${output}: PDN-${size.toUpperCase()} teacher, explains ${(100 * teacher.explained).toFixed(1)} % of held-out features`,
        );
      } catch (error) {
        if (signal.aborted && existsSync(checkpointFile))
          say(`stopped; the state is in ${checkpointFile}, go on with --resume`);
        throw error;
      } finally {
        await log.write();
      }
    });
  });
}

const LABELS: Readonly<Record<DistillProgress['phase'], string>> = {
  statistics: 'features for their mean and deviation',
  'held-out': 'features of held-out photographs',
  compile: 'compiling kernels',
  train: 'training steps',
};
const showPhase = startPhases();

function report({ phase, done, total, loss, heldOutLoss, explained }: DistillProgress, log: TrainingLog): void {
  const share = explained === undefined ? '' : `, explains ${(100 * explained).toFixed(1)} %`;
  const note = loss === undefined ? share : `, loss ${loss.toFixed(3)}, held out ${heldOutLoss?.toFixed(3)}${share}`;
  showPhase(`${LABELS[phase]}${note && phase === 'train' ? note : ''}`, done, total);
  // Where a run goes on, its first look is of a step that the log holds.
  if (phase === 'train' && (loss !== undefined || done === 0)) log.add(done, { loss, heldOutLoss, explained });
}
