import { quote, UserError } from '../errors.ts';
import type { StoredTensor, TensorFile } from '../formats/safetensors.ts';
import { Networks } from '../networks/networks.ts';
import { Pdn, type PdnSize } from '../networks/pdn.ts';
import { loadTeacher } from '../train/teacher.ts';
import { describeMisfit, type FoundPdn, fillConvolutions, findPdns } from './networks.ts';
import { openSources, type TensorSource } from './source.ts';

/** A teacher as `raad fit --teacher` takes it: `conv1.weight`, `conv1.bias`, ... */
export interface ImportedTeacher extends TensorFile {
  readonly size: PdnSize;
}

/** Teachers are checked in networks of any side. */
const SIDE = 128;

/**
 * Reads a teacher of another program: a state dict of PyTorch's with plain or `Sequential` names, a checkpoint that holds one among
 * other things, a pickled module, safetensors, ONNX, or a zip archive of these.
 * @param name of the file, shown in messages
 * @param size where a file holds teachers of several sizes
 * @throws UserError for a file without a teacher, with several, or with one that would teach nothing
 */
export async function importTeacher(bytes: Uint8Array, name: string, size?: PdnSize): Promise<ImportedTeacher> {
  const sources = await openSources(bytes, name);
  const found = chooseTeacher(sources, name, size);
  const pdn = new Pdn(found.size, 'teacher', new Networks(found.size, SIDE).channels);
  await fillConvolutions(pdn.convolutions, found);
  const tensors = new Map<string, StoredTensor>(
    pdn.parameters.map(({ name, type, data }) => [name.slice('teacher.'.length), { shape: type.shape, data }]),
  );
  const network = `PDN-${found.size.toUpperCase()}`;
  const file = { tensors, metadata: { network, role: 'teacher', input: 'RGB, ImageNet mean and std', layout: 'OIHW' } };
  loadTeacher(new Networks(found.size, SIDE), file, found.source.name);
  return { ...file, size: found.size };
}

/**
 * The one teacher that files hold. Where networks have names, `teacher` decides.
 * @throws UserError for none, or several
 */
export function chooseTeacher(sources: readonly TensorSource[], name: string, size?: PdnSize): FoundPdn {
  const all = sources.flatMap(findPdns).filter(({ role }) => role === 'teacher');
  const ofSize = all.filter((found) => size === undefined || found.size === size);
  const named = ofSize.filter(({ prefix, source }) => /teacher\.$/i.test(prefix) || /teacher/i.test(baseName(source)));
  const chosen = named.length > 0 ? named : ofSize;
  if (chosen.length === 1) return chosen[0]!;
  if (chosen.length > 1) {
    const sizes = [...new Set(chosen.map((found) => found.size))];
    throw new UserError(
      `${name} holds ${chosen.length} teachers: ${chosen.map(describe).join(', ')}.`,
      sizes.length > 1 ? `Choose a size with --size (${sizes.join(', ')}).` : 'Save the one that is meant by itself.',
    );
  }
  if (all.length > 0)
    throw new UserError(
      `${name} holds no teacher of size ${size}: ${all.map(describe).join(', ')}.`,
      'Leave --size out.',
    );
  const misfit = sources.map(describeMisfit).find((sentence) => sentence !== undefined);
  throw new UserError(
    misfit ?? `${name} holds no PDN teacher: there are no convolutions of these names and shapes in it.`,
    'Give a teacher of EfficientAD: weights named conv1.weight or 0.weight and so on, under any prefix.',
  );
}

const baseName = ({ name }: TensorSource) => name.slice(name.lastIndexOf('/') + 1);

const describe = ({ size, prefix, source }: FoundPdn) =>
  `PDN-${size.toUpperCase()}${prefix === '' ? '' : ` under ${quote(prefix)}`} in ${source.name}`;
