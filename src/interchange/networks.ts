import { firstNotFinite } from '../checks/numbers.ts';
import { quote, UserError } from '../errors.ts';
import { decodeTensor } from '../formats/safetensors.ts';
import { Autoencoder, isSide } from '../networks/autoencoder.ts';
import { type ConvParameters, type Padding, PDN_CHANNELS, PDN_SIZES, Pdn, type PdnSize } from '../networks/pdn.ts';
import { AUTOENCODER_NAMES, PDN_NAMES } from './names.ts';
import type { TensorSource } from './source.ts';

/** Convolutions of a file that have the names and shapes of a network's. */
export interface FoundNetwork {
  readonly source: TensorSource;
  /** What the names of its tensors begin with. */
  readonly prefix: string;
  /** Names of its convolutions in order, without the prefix. */
  readonly names: readonly string[];
}

export interface FoundPdn extends FoundNetwork {
  readonly size: PdnSize;
  readonly role: 'teacher' | 'student';
  /** Undefined where the file does not tell. */
  readonly padding: Padding | undefined;
}

export interface FoundAutoencoder extends FoundNetwork {
  readonly size: PdnSize;
  readonly side: number;
}

/** What a network's convolutions look like. */
type Expected = readonly ConvParameters[];

const convolutionsOf = ({ encoder, decoder }: Autoencoder) => [...encoder, ...decoder];

/** All PDNs of all sizes and both roles in a file. */
export function findPdns(source: TensorSource): FoundPdn[] {
  return PDN_SIZES.flatMap((size) =>
    (['teacher', 'student'] as const).flatMap((role) => {
      const outputs = PDN_CHANNELS[size] * (role === 'teacher' ? 1 : 2);
      const { convolutions } = new Pdn(size, role, outputs);
      return PDN_NAMES[convolutions.length]!.flatMap((names) =>
        findAll(source, names, convolutions).map((prefix) => {
          const padding = paddingOf(source, prefix + names[0]!);
          return { source, prefix, names, size, role, padding };
        }),
      );
    }),
  );
}

/** All autoencoders of all sizes and input sides in a file. */
export function findAutoencoders(source: TensorSource): FoundAutoencoder[] {
  return AUTOENCODER_NAMES.flatMap((names) =>
    prefixesOf(source, names).flatMap((prefix) => {
      // The last convolution of the encoder spans what is left of the image.
      const side = 32 * (source.shapes.get(`${prefix}${names[5]}.weight`)?.[2] ?? 0);
      if (!isSide(side)) return [];
      return PDN_SIZES.filter((size) => fits(source, prefix, names, convolutionsOf(new Autoencoder(size, side)))).map(
        (size) => ({ source, prefix, names, size, side }),
      );
    }),
  );
}

/** Prefixes of all sets of tensors with these names. */
function prefixesOf({ shapes }: TensorSource, names: readonly string[]): string[] {
  const first = `${names[0]}.weight`;
  const isWhole = (prefix: string) =>
    names.every((name) => ['weight', 'bias'].every((part) => shapes.has(`${prefix}${name}.${part}`)));
  return [...shapes.keys()]
    .filter((key) => key === first || key.endsWith(`.${first}`))
    .map((key) => key.slice(0, -first.length))
    .filter(isWhole);
}

function findAll(source: TensorSource, names: readonly string[], expected: Expected): string[] {
  return prefixesOf(source, names).filter((prefix) => fits(source, prefix, names, expected));
}

/** The name and the shapes of the first tensor that has another shape than a network's. */
function firstMisfit({ shapes }: TensorSource, prefix: string, names: readonly string[], expected: Expected) {
  return expected
    .flatMap(({ weight, bias }, i) => [
      { tensor: `${prefix}${names[i]}.weight`, wanted: weight.type.shape },
      { tensor: `${prefix}${names[i]}.bias`, wanted: bias.type.shape },
    ])
    .find(({ tensor, wanted }) => {
      const shape = shapes.get(tensor);
      // What cannot be read is refused by its own name later.
      return shape && shape.join() !== wanted.join();
    });
}

function fits(source: TensorSource, prefix: string, names: readonly string[], expected: Expected): boolean {
  return firstMisfit(source, prefix, names, expected) === undefined;
}

/** What keeps a file's likely PDN from being one, in a sentence; undefined where there is nothing like it. */
export function describeMisfit(source: TensorSource): string | undefined {
  for (const size of PDN_SIZES.toReversed()) {
    const { convolutions } = new Pdn(size, 'teacher', PDN_CHANNELS[size]);
    for (const names of PDN_NAMES[convolutions.length]!) {
      for (const prefix of prefixesOf(source, names)) {
        const first = source.shapes.get(`${prefix}${names[0]}.weight`);
        if (first?.[0] !== convolutions[0]!.weight.type.shape[0]) continue;
        const { tensor, wanted } = firstMisfit(source, prefix, names, convolutions) ?? {};
        if (tensor !== undefined)
          return `${source.name}: the tensor ${quote(tensor)} has shape [${source.shapes.get(tensor)!.join(', ')}], a PDN-${size.toUpperCase()} teacher has [${wanted!.join(', ')}].`;
      }
    }
  }
  return undefined;
}

/** What a file says of a network's padding: by its first convolution, or by the parameters that it was made with. */
function paddingOf({ settings }: TensorSource, first: string): Padding | undefined {
  const own = settings.get(`${first}.padding.0`);
  const given = typeof own === 'number' ? own > 0 : settings.get('hyper_parameters.padding');
  if (typeof given !== 'boolean') return undefined;
  return given ? 'zeros' : 'none';
}

/**
 * Fills convolutions with what was found for them.
 * @throws UserError naming a tensor that cannot be read, or has values that are not finite
 */
export async function fillConvolutions(
  convolutions: readonly ConvParameters[],
  { source, prefix, names }: FoundNetwork,
): Promise<void> {
  for (const [i, { weight, bias }] of convolutions.entries()) {
    weight.data = await readFloats(source, `${prefix}${names[i]}.weight`);
    bias.data = await readFloats(source, `${prefix}${names[i]}.bias`);
  }
}

/** Fills an autoencoder. @throws as {@link fillConvolutions} */
export function fillAutoencoder(autoencoder: Autoencoder, found: FoundAutoencoder): Promise<void> {
  return fillConvolutions(convolutionsOf(autoencoder), found);
}

/** A number that a tensor holds, in full. @throws UserError as {@link readFloats} */
export async function readNumber(source: TensorSource, tensor: string): Promise<number | undefined> {
  const [rounded] = await readFloats(source, tensor);
  const { dtype, bytes } = await source.read(tensor);
  return dtype === 'F64' ? new Float64Array(new Uint8Array(bytes).buffer)[0] : rounded;
}

/** A tensor's values as float32. @throws UserError for integers, and values that are not finite */
export async function readFloats(source: TensorSource, tensor: string): Promise<Float32Array> {
  const data = decodeTensor(await source.read(tensor));
  const wrong = (what: string) =>
    new UserError(`${source.name}: the tensor ${quote(tensor)} ${what}.`, 'Save it again from a whole model.');
  if (!(data instanceof Float32Array)) throw wrong('holds no floats');
  if (firstNotFinite(data) >= 0) throw wrong('holds values that are not finite');
  return data;
}
