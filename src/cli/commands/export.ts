import { readModel } from '../../detector/modelFile.ts';
import { readBytes } from '../../node/files.ts';
import { assertWritable, writeAtomically } from '../../node/output.ts';
import { exportDetector } from '../../onnx/detector.ts';
import { type Arguments, type OptionTable, UsageError } from '../arguments.ts';
import { printLine } from '../print.ts';

export const usage = `raad export MODEL --onnx FILE.onnx
  Writes a detector for other runtimes: ONNX, opset 17. Input RGB [batch, 3, side, side] in 0..1, outputs the anomaly map
  and its two parts on the network's grid.

  --batch N              images at once, 1`;

export const options: OptionTable = { onnx: { type: 'string' }, batch: { type: 'string' } };

export async function run(args: Arguments): Promise<void> {
  const [path] = args.positionals;
  const output = args.text('onnx');
  if (!path || !output)
    throw new UsageError('export needs a model file and --onnx.', 'raad export MODEL --onnx FILE.onnx');
  const batch = args.number('batch') ?? 1;
  if (!Number.isInteger(batch) || batch < 1)
    throw new UsageError(`--batch ${batch} cannot be used.`, 'Give a whole number from 1 on.');
  const state = await readModel(await readBytes(path), path);
  await assertWritable(output, [path]);
  const bytes = exportDetector(state, batch);
  await writeAtomically(output, bytes);
  printLine(
    `${output}: ${bytes.length} bytes, input image [${batch}, 3, ${state.networks.side}, ${state.networks.side}]`,
  );
}
