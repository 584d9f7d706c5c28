import { isRecord, parseJson } from '../checks/json.ts';
import { firstNotFinite } from '../checks/numbers.ts';
import type { Parameter } from '../engine/graph.ts';
import { Tuning } from '../engine/tuning.ts';
import { quote, UserError } from '../errors.ts';
import { openChecked, writeChecked } from '../formats/checksum.ts';
import { decodeFile, type StoredTensor, type TensorFile } from '../formats/safetensors.ts';

/** What training needs to continue bit for bit: weights, optimizer moments, step state, and the choice of kernels. */
export interface Checkpoint {
  readonly parameters: readonly Parameter[];
  readonly tuning: Tuning;
}

export type Fingerprint = Readonly<Record<string, string | number>>;

const FORMAT = 'raad-checkpoint';

/** @throws UserError for values that {@link readCheckpoint} would refuse */
export async function writeCheckpoint(
  { parameters, tuning }: Checkpoint,
  fingerprint: Fingerprint,
  step: number,
): Promise<Uint8Array> {
  const tensors = new Map<string, StoredTensor>();
  for (const { name, type, data } of parameters) tensors.set(name, { shape: type.shape, data });
  const metadata = {
    format: FORMAT,
    step: String(step),
    settings: JSON.stringify(fingerprint),
    tuning: JSON.stringify(tuning),
  };
  checkMetadata(metadata, 'the checkpoint to write');
  checkTensors(tensors, 'the checkpoint to write');
  return writeChecked(tensors, metadata);
}

const FIX = 'Start anew.';

/** @throws UserError for metadata that no run could go on from */
function checkMetadata({ format, step = '', settings = '', tuning = '' }: TensorFile['metadata'], name: string): void {
  if (format !== FORMAT) {
    throw new UserError(`${name} is not a training checkpoint.`, 'Pass the file that `raad fit` wrote while training.');
  }
  if (!/^\d{1,15}$/.test(step)) throw new UserError(`${name} was made after ${quote(step)} steps.`, FIX);
  const parsed = parseJson(settings, `${name} is not usable: the text of its settings`, FIX);
  const values = isRecord(parsed) ? Object.values(parsed) : [undefined];
  if (values.some((value) => typeof value !== 'string' && typeof value !== 'number'))
    throw new UserError(`${name} has settings that are no texts and numbers.`, FIX);
  Tuning.parse(tuning);
}

/** @throws UserError for values that training cannot go on from */
function checkTensors(tensors: TensorFile['tensors'], name: string): void {
  for (const [tensor, { data }] of tensors) {
    if (data instanceof Float32Array && firstNotFinite(data) >= 0)
      throw new UserError(`${name} holds values in ${quote(tensor)} that are not finite.`, FIX);
  }
}

/** @throws UserError for a damaged or foreign file, or contents that no training could go on from */
export async function readCheckpoint(bytes: Uint8Array, name = 'the checkpoint'): Promise<TensorFile> {
  const file = openChecked(bytes, name);
  checkMetadata(file.metadata, name);
  await file.verify();
  const decoded = decodeFile(file);
  checkTensors(decoded.tensors, name);
  return decoded;
}

/** The choice of kernels that a checkpoint was made with. @throws UserError when it holds none */
export function checkpointTuning(file: TensorFile): Tuning {
  return Tuning.parse(file.metadata['tuning'] ?? '');
}

/**
 * Copies a checkpoint into the parameters.
 * @returns the number of steps done
 * @throws UserError naming the first setting or tensor that differs
 */
export function restore(
  file: TensorFile,
  { parameters }: Pick<Checkpoint, 'parameters'>,
  fingerprint: Fingerprint,
): number {
  const stored = JSON.parse(file.metadata['settings']!) as Fingerprint;
  for (const key of new Set([...Object.keys(fingerprint), ...Object.keys(stored)])) {
    if (stored[key] !== fingerprint[key]) {
      throw new UserError(
        `the checkpoint was made with ${key} ${stored[key]}, this run has ${fingerprint[key]}.`,
        'Resume with the same settings, data and adapter, or start anew.',
      );
    }
  }
  for (const parameter of parameters) {
    const tensor = file.tensors.get(parameter.name);
    if (!tensor) throw new UserError(`the checkpoint lacks ${parameter.name}.`, FIX);
    const { shape, data } = tensor;
    const typed = parameter.type.dtype === 'f32' ? data instanceof Float32Array : data instanceof Uint32Array;
    if (!typed || shape.join() !== parameter.type.shape.join())
      throw new UserError(`the checkpoint holds ${parameter.name} in another type or shape.`, FIX);
    parameter.data = data as Float32Array | Uint32Array;
  }
  return Number(file.metadata['step']);
}
