import type { DetectorState, MapQuantiles } from '../detector/detectorState.ts';
import type { Placement } from '../detectorOps/maps.ts';
import { quote, UserError } from '../errors.ts';
import { Networks } from '../networks/networks.ts';
import type { Padding } from '../networks/pdn.ts';
import { QUANTILES, STATISTICS } from './names.ts';
import {
  type FoundPdn,
  fillAutoencoder,
  fillConvolutions,
  findAutoencoders,
  findPdns,
  readFloats,
  readNumber,
} from './networks.ts';
import { openSources, type TensorSource } from './source.ts';
import { chooseTeacher } from './teacher.ts';

/** A detector of another program, perhaps without what it takes from images of good parts. */
export interface ImportedDetector {
  /** Without a threshold; its quantiles mean nothing where there are none. */
  readonly state: DetectorState;
  /** Whether the files held mean and deviation of the teacher's features. */
  readonly hasStatistics: boolean;
  /** Whether the files held the quantiles that maps are normalized by. */
  readonly hasQuantiles: boolean;
}

/** What files of a detector do not say themselves. */
export interface ImportOptions {
  /** `exact` by default; `anomalib` and `reference` for maps as those programs place them. */
  readonly placement?: Placement;
  /** Of teacher and student; what the files say by default, and none where they do not. */
  readonly padding?: Padding | undefined;
  /** Of the split of a data set that it may be calibrated with. */
  readonly seed?: number;
}

/** A file's contents and its name, for messages. */
export interface NamedBytes {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/**
 * Reads a detector of another program: anomalib's checkpoint or state dict, or the three modules that nelson1425's program saves,
 * each in a file of its own or all in one archive.
 * @throws UserError for files that lack one of the networks, or hold networks that do not belong together
 */
export async function importDetector(
  files: readonly NamedBytes[],
  { placement = 'exact', padding, seed = 0 }: ImportOptions = {},
): Promise<ImportedDetector> {
  const sources: TensorSource[] = [];
  for (const { bytes, name } of files) sources.push(...(await openSources(bytes, name)));
  const name = files.map((file) => file.name).join(', ');
  if (placement === 'anomalib' && sources.some(({ settings }) => settings.get('hyper_parameters.pad_maps') === false))
    throw new UserError(`${name} does not pad its maps, so 'anomalib' is not their placement.`, 'Use exact placement.');
  const teacher = chooseTeacher(sources, name);
  const { size } = teacher;
  const student = only(
    sources.flatMap(findPdns).filter((found) => found.role === 'student' && found.size === size),
    name,
    `PDN-${size.toUpperCase()} student`,
  );
  const autoencoder = only(
    sources.flatMap(findAutoencoders).filter((found) => found.size === size),
    name,
    `autoencoder that goes with PDN-${size.toUpperCase()}`,
  );
  const networks = new Networks(size, autoencoder.side, padding ?? paddingOf(teacher, student));
  await fillConvolutions(networks.teacher.convolutions, teacher);
  await fillConvolutions(networks.student.convolutions, student);
  await fillAutoencoder(networks.autoencoder, autoencoder);
  const hasStatistics = await readStatistics(networks, sources);
  const quantiles = await readQuantiles(sources);
  const steps = sources.map(({ settings }) => settings.get('global_step')).find((value) => typeof value === 'number');
  return {
    hasStatistics,
    hasQuantiles: quantiles !== undefined,
    state: {
      networks,
      placement,
      quantiles: quantiles ?? { studentTeacher: [0, 1], autoencoder: [0, 1] },
      provenance: {
        dataset: 'unknown',
        seed,
        iterations: steps !== undefined && Number.isSafeInteger(steps) && steps >= 0 ? steps : 0,
        batch: 1,
        learningRate: 0,
        teacher: 'imported',
        penalty: 'unknown',
        trainImages: 0,
        heldOutImages: 0,
        imported: files.map((file) => file.name.slice(file.name.lastIndexOf('/') + 1)).join(', '),
      },
    },
  };
}

/** @throws UserError for none, or several */
function only<Found extends { readonly source: TensorSource; readonly prefix: string }>(
  found: readonly Found[],
  name: string,
  what: string,
): Found {
  if (found.length === 1) return found[0]!;
  if (found.length === 0)
    throw new UserError(
      `${name} holds no ${what}.`,
      'Give all files of the detector: teacher, student and autoencoder.',
    );
  const places = found.map(({ source, prefix }) => `${quote(prefix)} in ${source.name}`);
  throw new UserError(`${name} holds ${found.length} of a ${what}: ${places.join(', ')}.`, 'Give the files of one.');
}

/** @throws UserError where the two networks differ in it */
function paddingOf(teacher: FoundPdn, student: FoundPdn): Padding {
  if (teacher.padding !== undefined && student.padding !== undefined && teacher.padding !== student.padding)
    throw new UserError(
      `one of ${teacher.source.name} and ${student.source.name} is padded and the other is not.`,
      'Give networks that were trained together.',
    );
  return teacher.padding ?? student.padding ?? 'none';
}

/** Names of tensors that end in a name, under whatever prefix. */
function endingIn({ shapes }: TensorSource, name: string): string[] {
  return [...shapes.keys()].filter((key) => key === name || key.endsWith(`.${name}`));
}

/** What the first tensor of a name holds; undefined where there is none. */
async function readNamed<T>(
  sources: readonly TensorSource[],
  name: string,
  read: (source: TensorSource, tensor: string) => Promise<T>,
): Promise<T | undefined> {
  for (const source of sources) {
    const [tensor] = endingIn(source, name);
    if (tensor !== undefined) return read(source, tensor);
  }
  return undefined;
}

/** @returns whether there were some: before training, both are zero */
async function readStatistics(networks: Networks, sources: readonly TensorSource[]): Promise<boolean> {
  const mean = await readNamed(sources, STATISTICS.mean, readFloats);
  const std = await readNamed(sources, STATISTICS.std, readFloats);
  if (!mean || !std || [...mean, ...std].every((value) => value === 0)) return false;
  const { channels } = networks;
  if (mean.length !== channels || std.length !== channels)
    throw new UserError(
      `the statistics have ${mean.length} and ${std.length} channels, the teacher has ${channels}.`,
      'Give the files of one detector.',
    );
  networks.teacherMean.data = mean;
  // A channel that never varies says nothing: its deviation divides by one.
  networks.teacherStd.data = std.map((deviation) => (deviation > 0 ? deviation : 1));
  return true;
}

/** Undefined where there are none: before validation, all are zero. @throws UserError for quantiles that are none */
async function readQuantiles(sources: readonly TensorSource[]): Promise<MapQuantiles | undefined> {
  const read = async ([low, high]: readonly [string, string]) =>
    [await readNamed(sources, low, readNumber), await readNamed(sources, high, readNumber)] as const;
  const [studentTeacher, autoencoder] = [await read(QUANTILES.studentTeacher), await read(QUANTILES.autoencoder)];
  const values = [...studentTeacher, ...autoencoder];
  if (values.some((value) => value === undefined) || values.every((value) => value === 0)) return undefined;
  for (const [low, high] of [studentTeacher, autoencoder])
    if (!(low! <= high!))
      throw new UserError(`the quantiles ${low} and ${high} are not in order.`, 'Leave them out and use --calibrate.');
  return { studentTeacher, autoencoder } as MapQuantiles;
}
