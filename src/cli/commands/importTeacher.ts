import { writeSafetensors } from '../../formats/safetensors.ts';
import { importTeacher } from '../../interchange/teacher.ts';
import { PDN_SIZES } from '../../networks/pdn.ts';
import { readBytes } from '../../node/files.ts';
import { assertWritable, writeAtomically } from '../../node/output.ts';
import { type Arguments, UsageError } from '../arguments.ts';
import { printLine } from '../print.ts';

export async function run(args: Arguments): Promise<void> {
  const [file] = args.positionals;
  const output = args.text('output');
  if (!file || !output)
    throw new UsageError('import-teacher needs a file and -o.', 'raad import-teacher FILE -o TEACHER.safetensors');
  const size = args.choice('size', PDN_SIZES);
  await assertWritable(output, [file]);
  const teacher = await importTeacher(await readBytes(file), file, size);
  const bytes = writeSafetensors(teacher.tensors, teacher.metadata);
  await writeAtomically(output, bytes);
  printLine(`${output}: PDN-${teacher.size.toUpperCase()} teacher, ${bytes.length} bytes`);
}
