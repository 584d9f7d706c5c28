import { defectNames, PART_NAMES } from '../../data/synthetic/generate.ts';
import { writeInspectionSet } from '../../node/generated.ts';
import { type Arguments, readSeed, UsageError } from '../arguments.ts';
import { printLine } from '../print.ts';
import { startProgress } from '../progress.ts';

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
