import { defectNames, PART_NAMES } from '../../data/synthetic/generate.ts';
import { writeInspectionSet } from '../../node/generated.ts';
import { type Arguments, type OptionTable, readSeed, UsageError } from '../arguments.ts';
import { printLine } from '../print.ts';
import { startProgress } from '../progress.ts';

export const usage = `raad generate -o DIR
  Writes a data set of generated (not photographed) inspection images in the layout of MVTec AD.

  --part bracket|biscuit|denim    what is inspected, bracket by default
  --train N --test-good N --test-per-defect N    numbers of images: 200, 40, 15
  --resolution PX        side of the square images, 256
  --seed N
  --force                replace images that are there; without it, only those of equal settings`;

export const options: OptionTable = {
  output: { type: 'string', short: 'o' },
  part: { type: 'string' },
  train: { type: 'string' },
  'test-good': { type: 'string' },
  'test-per-defect': { type: 'string' },
  resolution: { type: 'string' },
  seed: { type: 'string' },
  force: { type: 'boolean' },
};

export async function run(args: Arguments, signal: AbortSignal): Promise<void> {
  const output = args.text('output');
  if (!output) throw new UsageError('generate needs -o DIR.', 'Say where the images go.');
  const part = args.choice('part', PART_NAMES) ?? 'bracket';
  const counts = {
    train: args.number('train') ?? 200,
    testGood: args.number('test-good') ?? 40,
    testPerDefect: args.number('test-per-defect') ?? 15,
  };
  const total = counts.train + counts.testGood + counts.testPerDefect * defectNames(part).length;
  const progress = startProgress('generating', total, 'images');
  const settings = { part, seed: readSeed(args), size: args.number('resolution') ?? 256, ...counts };
  try {
    await writeInspectionSet(output, settings, {
      replace: args.flag('force') ? 'all' : 'none',
      onImage(done) {
        progress.update(done);
        signal.throwIfAborted();
      },
    });
  } finally {
    progress.stop();
  }
  printLine(`${output}: ${total} generated images of part '${part}', defects ${defectNames(part).join(', ')}`);
}
