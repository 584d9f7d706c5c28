import type { DetectorState } from '../../detector/detectorState.ts';
import { DETECTOR_FORMAT, readModel } from '../../detector/modelFile.ts';
import { readSafetensors } from '../../formats/safetensors.ts';
import { exportTorchDetector, exportTorchTeacher, type TeacherNames } from '../../interchange/export.ts';
import { readBytes } from '../../node/files.ts';
import { assertWritable, writeAtomically } from '../../node/output.ts';
import { exportDetector } from '../../onnx/detector.ts';
import { type Arguments, UsageError } from '../arguments.ts';
import { printLine } from '../print.ts';
import { notice } from '../withEngine.ts';

const USAGE = 'raad export MODEL --onnx FILE.onnx';
const NAMES: readonly TeacherNames[] = ['plain', 'sequential'];

export async function run(args: Arguments): Promise<void> {
  const [path] = args.positionals;
  const [onnx, torch] = [args.text('onnx'), args.text('torch')];
  if (!path || (onnx === undefined) === (torch === undefined))
    throw new UsageError('export needs a model file and --onnx or --torch.', USAGE);
  if (onnx !== undefined) await toOnnx(args, path, onnx);
  if (torch !== undefined) await toTorch(args, path, torch);
}

async function toOnnx(args: Arguments, path: string, output: string): Promise<void> {
  const batch = args.number('batch') ?? 1;
  if (!Number.isInteger(batch) || batch < 1)
    throw new UsageError(`--batch ${batch} cannot be used.`, 'Give a whole number from 1 on.');
  const state = await readModel(await readBytes(path), path);
  await assertWritable(output, [path]);
  noticeRegion(state, output);
  const bytes = exportDetector(state, batch);
  await writeAtomically(output, bytes);
  printLine(
    `${output}: ${bytes.length} bytes, input image [${batch}, 3, ${state.networks.side}, ${state.networks.side}]`,
  );
}

async function toTorch(args: Arguments, path: string, output: string): Promise<void> {
  const names = args.choice('names', NAMES);
  const given = await readBytes(path);
  const file = readSafetensors(given, path);
  const isDetector = file.metadata['format'] === DETECTOR_FORMAT;
  if (isDetector && names) throw new UsageError('--names is for teachers.', 'A detector has the names of anomalib.');
  await assertWritable(output, [path]);
  const state = isDetector ? await readModel(given, path) : undefined;
  if (state) noticeRegion(state, output);
  const bytes = state ? exportTorchDetector(state) : exportTorchTeacher(file, path, names);
  await writeAtomically(output, bytes);
  printLine(
    `${output}: ${bytes.length} bytes, ${isDetector ? "a state dict of anomalib's EfficientAdModel" : 'a teacher'}`,
  );
}

/** Both formats hold the networks alone, whose input is the region upright. */
function noticeRegion({ region }: DetectorState, output: string): void {
  if (!region) return;
  const corners = region.corners.map((corner) => corner.join(',')).join(' ');
  notice(
    `the detector's region is no part of ${output}: give it images of which only the region is left, upright (corners ${corners} in images of ${region.width}x${region.height}).`,
  );
}
