import type { DetectorState } from '../detector/detectorState.ts';
import { assertWhole } from '../detector/seen.ts';
import { UserError } from '../errors.ts';
import type { TensorFile } from '../formats/safetensors.ts';
import type { ConvParameters } from '../networks/pdn.ts';
import { type TorchTensor, writeTorch } from '../torch/write.ts';
import { ANOMALIB_AUTOENCODER, plainPdn, QUANTILES, STATISTICS, sequentialPdn } from './names.ts';

/** `plain`: as anomalib names a teacher's layers. `sequential`: as nelson1425's program does. */
export type TeacherNames = 'plain' | 'sequential';

/**
 * A detector as a state dict of anomalib's EfficientAdModel: networks, statistics and quantiles. A quantized one's weights are the
 * values that its codes stand for. Threshold, placement, region, map filter and a mirrored border have no place there.
 * @returns the bytes of a `.pth` file
 * @throws UserError for a detector that looks at tiles
 */
export function exportTorchDetector(state: DetectorState): Uint8Array {
  const { networks, quantiles } = state;
  assertWhole(state, 'a state dict');
  const { teacher, student, autoencoder, teacherMean, teacherStd, channels } = networks;
  const tensors = new Map<string, TorchTensor>();
  const add = (prefix: string, names: readonly string[], convolutions: readonly ConvParameters[]) => {
    for (const [i, { weight, bias }] of convolutions.entries()) {
      tensors.set(`${prefix}.${names[i]}.weight`, { shape: weight.type.shape, data: weight.data });
      tensors.set(`${prefix}.${names[i]}.bias`, { shape: bias.type.shape, data: bias.data });
    }
  };
  for (const [name, { convolutions }] of Object.entries({ teacher, student }))
    add(name, plainPdn(convolutions.length), convolutions);
  add('ae', ANOMALIB_AUTOENCODER, [...autoencoder.encoder, ...autoencoder.decoder]);
  tensors.set(STATISTICS.mean, { shape: [1, channels, 1, 1], data: teacherMean.data });
  tensors.set(STATISTICS.std, { shape: [1, channels, 1, 1], data: teacherStd.data });
  for (const [map, names] of Object.entries(QUANTILES) as [keyof typeof QUANTILES, readonly string[]][])
    names.forEach((name, i) => {
      tensors.set(name, { shape: [], data: Float64Array.of(quantiles[map][i]!) });
    });
  return writeTorch(tensors);
}

/**
 * A teacher's weights as a state dict.
 * @param file with `conv1.weight`, `conv1.bias`, ... @param name shown in messages
 * @throws UserError for a file of other tensors
 */
export function exportTorchTeacher({ tensors }: TensorFile, name: string, names: TeacherNames = 'plain'): Uint8Array {
  const count = tensors.size / 2;
  const wanted = plainPdn(count === 6 ? 6 : 4);
  const given = names === 'plain' ? wanted : sequentialPdn(wanted.length);
  const renamed = new Map<string, TorchTensor>();
  for (const [i, layer] of wanted.entries())
    for (const part of ['weight', 'bias']) {
      const tensor = tensors.get(`${layer}.${part}`);
      if (!tensor || count !== wanted.length)
        throw new UserError(
          `${name} is neither a detector nor a teacher.`,
          'Give a model, or a teacher as `raad fit` takes it.',
        );
      renamed.set(`${given[i]}.${part}`, tensor);
    }
  return writeTorch(renamed);
}
