import { join } from 'node:path';
import { assertWritable, writeAtomically } from '../../node/output.ts';
import { byteSize } from '../../report/format.ts';
import { type Arguments, UsageError } from '../arguments.ts';
import { printLine } from '../print.ts';
import { notice } from '../withEngine.ts';

export async function run(args: Arguments): Promise<void> {
  const [folder, ...more] = args.positionals;
  if (!folder || more.length > 0) throw new UsageError('report needs the folder of one run.', 'raad report DIR');
  await writeReport(folder, args.text('output') ?? join(folder, 'report.html'));
}

/** Reads a run and writes its report. @throws UserError */
export async function writeReport(folder: string, output: string): Promise<void> {
  // Charts take long to load, and other commands do without.
  const [{ openRun }, { reportHtml }] = await Promise.all([
    import('../../node/report.ts'),
    import('../../report/html.ts'),
  ]);
  const { record, pictures } = await openRun(folder, notice);
  await assertWritable(output, [join(folder, 'run.json')]);
  const html = reportHtml(record, pictures);
  await writeAtomically(output, html);
  printLine(`${output}: ${byteSize(Buffer.byteLength(html))}`);
}
