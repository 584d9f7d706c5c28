import { isRecord } from '../checks/json.ts';
import type { Placement } from '../detectorOps/maps.ts';
import { quote, UserError } from '../errors.ts';
import { IMAGE_MEAN, IMAGE_STD } from '../kernels/image.ts';
import { isSide, SIDES } from '../networks/autoencoder.ts';
import type { Bank } from '../networks/bank.ts';
import { Networks } from '../networks/networks.ts';
import { PADDINGS, type Padding, PDN_SIZES, type PdnSize } from '../networks/pdn.ts';
import { checkLayerPlan, type LayerPlan, quantizableLayers } from '../quantization/bitPlan.ts';
import { type ActivationQuantizer, needsRange } from '../quantization/layers.ts';
import { KEPT_SCORES } from './conformal.ts';
import type { DetectorState } from './detectorState.ts';

/** A quantized layer without its weights. */
export interface HeaderLayer {
  readonly plan: LayerPlan;
  readonly input?: ActivationQuantizer | undefined;
}

/** What a model file's metadata says beside the tensors. @see docs/model-format.md */
export interface ModelHeader
  extends Pick<DetectorState, 'quantiles' | 'placement' | 'region' | 'threshold' | 'calibration' | 'provenance'> {
  readonly size: PdnSize;
  /** Input side in pixels. */
  readonly resolution: number;
  /** Of teacher and student; absent: none. */
  readonly padding?: Padding | undefined;
  readonly preprocessing: typeof PREPROCESSING;
  /** Of detectors that remember normal features. */
  readonly bank?: BankHeader | undefined;
  /** Size at which images are looked at in tiles; checked by the code that does, which is loaded when there is one. */
  readonly tiles?: unknown;
  /** Of the combined map; checked by the code that runs it, which is loaded when there is one. */
  readonly filter?: unknown;
  /** Of quantized detectors: the plan and the quantizer of the input, by layer. */
  readonly layers?: Readonly<Record<string, HeaderLayer>> | undefined;
}

/** What a file says of a memory bank. */
export interface BankHeader {
  /** Vectors in it. */
  readonly vectors: number;
}

/** How pixels become the networks' input; the only way that there is. */
export const PREPROCESSING = { resize: 'bilinear-antialiased', mean: IMAGE_MEAN, std: IMAGE_STD } as const;
export const PLACEMENTS: readonly Placement[] = ['exact', 'reference', 'anomalib'];

const FIX = 'Copy or make the file again.';
const LARGEST_FLOAT = (2 - 2 ** -23) * 2 ** 127;
/** The smallest float32 whose reciprocal is finite for certain on every device. */
const SMALLEST_SCALE = 2 ** -126;

/** Checks values of the header one by one. Every method throws a UserError that names the value by its path. */
class Checker {
  readonly #name: string;

  constructor(name: string) {
    this.#name = name;
  }

  wrong(path: string, value: unknown, expected: string): UserError {
    return new UserError(`${this.#name} gives ${path} as ${quote(value)}.`, `It has to be ${expected}. ${FIX}`);
  }

  /** An object with all of some fields, perhaps some others, and nothing else. */
  record(path: string, value: unknown, required: readonly string[], optional: readonly string[] = []) {
    if (!isRecord(value)) throw this.wrong(path, value, 'an object');
    const missing = required.find((field) => !Object.hasOwn(value, field));
    if (missing !== undefined) throw new UserError(`${this.#name} lacks ${missing} in ${path}.`, FIX);
    // A field that is not understood may change what the others mean.
    const unknown = Object.keys(value).find((field) => !required.includes(field) && !optional.includes(field));
    if (unknown !== undefined)
      throw new UserError(`${this.#name} has the unknown field ${quote(unknown)} in ${path}.`, FIX);
    return value;
  }

  number(path: string, value: unknown, least: number, most: number): number {
    if (typeof value !== 'number' || !(value >= least && value <= most))
      throw this.wrong(path, value, `a number from ${least} to ${most}`);
    return value;
  }

  /** A number that is finite in float32 too. */
  float(path: string, value: unknown): number {
    return this.number(path, value, -LARGEST_FLOAT, LARGEST_FLOAT);
  }

  whole(path: string, value: unknown, least: number, most = Number.MAX_SAFE_INTEGER): number {
    if (!Number.isSafeInteger(this.number(path, value, least, most)))
      throw this.wrong(path, value, `a whole number from ${least} to ${most}`);
    return value as number;
  }

  oneOf<T>(path: string, value: unknown, allowed: readonly T[]): T {
    if (!allowed.includes(value as T)) throw this.wrong(path, value, allowed.map(quote).join(' or '));
    return value as T;
  }
}

/**
 * All of a header but its region. @see checkRegion
 * @param parsed JSON: the fields of {@link ModelHeader}, from a file of any version
 * @param name of the file, shown in messages
 * @param makeBank is there where the header says that there is a memory bank
 * @returns the header, and networks of the size that it names, still without any memory for weights
 * @throws UserError naming the first value that is missing, unknown, of another type or out of its range
 */
export function checkModelHeader(
  parsed: unknown,
  name: string,
  makeBank?: MakeBank,
): { header: ModelHeader; networks: Networks } {
  const check = new Checker(name);
  const required = ['size', 'resolution', 'preprocessing', 'quantiles', 'placement', 'provenance'];
  const header = check.record('the detector', parsed, required, [
    'threshold',
    'calibration',
    'filter',
    'region',
    'tiles',
    'bank',
    'layers',
    'padding',
  ]);
  const size = check.oneOf('size', header['size'], PDN_SIZES);
  const { resolution } = header;
  if (!isSide(resolution)) throw check.wrong('resolution', resolution, SIDES);
  checkPreprocessing(check, header['preprocessing']);
  checkQuantiles(check, header['quantiles']);
  check.oneOf('placement', header['placement'], PLACEMENTS);
  if (header['threshold'] !== undefined) checkThreshold(check, header['threshold']);
  if (header['calibration'] !== undefined) checkCalibration(check, header['calibration']);
  checkProvenance(check, header['provenance']);
  const padding = check.oneOf('padding', header['padding'] ?? 'none', PADDINGS);
  const vectors = makeBank && checkBank(check, header['bank'], makeBank);
  const networks = new Networks(size, resolution, padding, makeBank && ((channels) => makeBank.of(vectors!, channels)));
  if (header['layers'] !== undefined) checkLayers(check, header['layers'], networks, name);
  return { header: header as unknown as ModelHeader, networks };
}

/** Makes the banks of files, and says how large they may be. */
export interface MakeBank {
  readonly most: number;
  of(vectors: number, channels: number): Bank;
}

function checkBank(check: Checker, value: unknown, { most }: MakeBank): number {
  return check.whole('bank.vectors', check.record('bank', value, ['vectors'])['vectors'], 1, most);
}

function checkPreprocessing(check: Checker, value: unknown): void {
  const preprocessing = check.record('preprocessing', value, Object.keys(PREPROCESSING));
  for (const [field, expected] of Object.entries(PREPROCESSING)) {
    const found = preprocessing[field];
    if (JSON.stringify(found) !== JSON.stringify(expected))
      throw check.wrong(`preprocessing.${field}`, found, JSON.stringify(expected));
  }
}

function checkQuantiles(check: Checker, value: unknown): void {
  for (const [map, pair] of Object.entries(check.record('quantiles', value, ['studentTeacher', 'autoencoder']))) {
    const path = `quantiles.${map}`;
    if (!Array.isArray(pair) || pair.length !== 2) throw check.wrong(path, pair, 'two numbers');
    const [low, high] = pair.map((quantile) => check.float(path, quantile));
    if (low! > high!) throw check.wrong(path, pair, 'two numbers in ascending order');
  }
}

function checkThreshold(check: Checker, value: unknown): void {
  const threshold = check.record('threshold', value, ['value', 'alpha', 'promised', 'images']);
  check.float('threshold.value', threshold['value']);
  check.number('threshold.alpha', threshold['alpha'], 0, 1);
  check.number('threshold.promised', threshold['promised'], 0, 1);
  check.whole('threshold.images', threshold['images'], 1);
}

function checkCalibration(check: Checker, value: unknown): void {
  const { scores } = check.record('calibration', value, ['scores']);
  if (!Array.isArray(scores) || scores.length === 0 || scores.length > KEPT_SCORES)
    throw check.wrong('calibration.scores', scores, `1 to ${KEPT_SCORES} numbers`);
  scores.forEach((score, i) => {
    check.number(`calibration.scores[${i}]`, score, i > 0 ? scores[i - 1] : -LARGEST_FLOAT, LARGEST_FLOAT);
  });
}

function checkProvenance(check: Checker, value: unknown): void {
  const texts = ['dataset', 'teacher', 'penalty'];
  const counts = ['seed', 'iterations', 'batch', 'trainImages', 'heldOutImages'];
  const required = [...texts, ...counts, 'learningRate'];
  // What else is known about a run may be noted here.
  const noted = isRecord(value) ? Object.keys(value) : [];
  for (const [field, entry] of Object.entries(check.record('provenance', value, required, noted))) {
    const path = `provenance.${/^\w{1,40}$/.test(field) ? field : quote(field)}`;
    if (counts.includes(field)) check.whole(path, entry, 0);
    else if (field === 'dataDigest') {
      if (typeof entry !== 'string' || !/^[0-9a-f]{64}$/.test(entry))
        throw check.wrong(path, entry, '64 lower-case hexadecimal digits');
    } else if (field === 'learningRate' || (typeof entry === 'number' && !texts.includes(field)))
      check.float(path, entry);
    else if (typeof entry !== 'string') throw check.wrong(path, entry, 'text');
  }
}

function checkLayers(check: Checker, value: unknown, networks: Networks, name: string): void {
  if (!isRecord(value)) throw check.wrong('layers', value, 'an object');
  const known = quantizableLayers(networks);
  for (const [layer, entry] of Object.entries(value)) {
    const convolution = known.get(layer);
    if (!convolution)
      throw new UserError(
        `${name} has the unknown layer ${quote(layer)}.`,
        `Known are ${[...known.keys()].join(', ')}.`,
      );
    const path = `layers.${layer}`;
    const { plan, input } = check.record(path, entry, ['plan'], ['input']);
    checkLayerPlan(layer, plan, convolution.weight.type.shape[1]!, name);
    if (input !== undefined) {
      const { scale, zeroPoint } = check.record(`${path}.input`, input, ['scale', 'zeroPoint']);
      check.number(`${path}.input.scale`, scale, SMALLEST_SCALE, LARGEST_FLOAT);
      check.whole(`${path}.input.zeroPoint`, zeroPoint, 0, 2 ** plan.activations - 1);
    } else if (needsRange(plan)) throw new UserError(`${name} lacks input in ${path}.`, FIX);
  }
}
