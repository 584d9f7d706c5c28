import type { Parameter } from '../engine/graph.ts';
import { Tuning } from '../engine/tuning.ts';
import { UserError } from '../errors.ts';
import { readChecked, writeChecked } from '../model/checksum.ts';
import type { StoredTensor, TensorFile } from '../model/safetensors.ts';

/** What training needs to continue bit for bit: weights, optimiser moments, step state, and the choice of kernels. */
export interface Checkpoint {
  readonly parameters: readonly Parameter[];
  readonly tuning: Tuning;
}

export type Fingerprint = Readonly<Record<string, string | number>>;

const FORMAT = 'raad-checkpoint';

export function writeCheckpoint(
  { parameters, tuning }: Checkpoint,
  fingerprint: Fingerprint,
  step: number,
): Promise<Uint8Array> {
  const tensors = new Map<string, StoredTensor>();
  for (const { name, type, data } of parameters) tensors.set(name, { shape: type.shape, data });
  return writeChecked(tensors, {
    format: FORMAT,
    step: String(step),
    settings: JSON.stringify(fingerprint),
    tuning: JSON.stringify(tuning),
  });
}

/** @throws UserError for a damaged or foreign file */
export async function readCheckpoint(bytes: Uint8Array, name = 'the checkpoint'): Promise<TensorFile> {
  const file = await readChecked(bytes, name);
  if (file.metadata['format'] !== FORMAT) {
    throw new UserError(`${name} is not a training checkpoint.`, 'Pass the file that `raad fit` wrote while training.');
  }
  return file;
}

/** The choice of kernels that a checkpoint was made with. @throws UserError when it holds none */
export function checkpointTuning(file: TensorFile): Tuning {
  return Tuning.parse(file.metadata['tuning'] ?? '');
}

/**
 * Copies a checkpoint into the parameters.
 * @returns the number of steps done
 * @throws UserError naming the first setting that differs
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
    if (!tensor || tensor.data.length !== parameter.data.length) {
      throw new UserError(`the checkpoint lacks ${parameter.name}.`, 'Start anew.');
    }
    parameter.data = tensor.data as Float32Array | Uint32Array;
  }
  return Number(file.metadata['step']);
}
