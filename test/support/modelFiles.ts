import { isDeepStrictEqual } from 'node:util';
import { expect } from 'vitest';
import type { DetectorState } from '../../src/detector/detectorState.ts';
import { readModel, saveDetector } from '../../src/detector/modelFile.ts';
import { UserError } from '../../src/errors.ts';
import { codeRange } from '../../src/formats/weightCodes.ts';
import { type LayerPlan, quantizableLayers, uniformPlan } from '../../src/quantization/bitPlan.ts';
import { needsRange, quantizeNetworks } from '../../src/quantization/layers.ts';
import type { Mutation } from './mutations.ts';
import { untrainedDetector } from './untrained.ts';

const WIDTHS = [2, 3, 4, 5, 6, 7, 8, 16, 32] as const;

/** A detector whose layers have every width of weights and activations, with and without groups; one stays float. */
export async function mixedDetector(): Promise<DetectorState> {
  const state = await untrainedDetector();
  const { networks } = state;
  const layers: Record<string, LayerPlan> = {};
  const inputs = new Map<string, { scale: number; zeroPoint: number }>();
  [...quantizableLayers(networks)].slice(1).forEach(([name, { weight }], i) => {
    const plan: LayerPlan = {
      weights: WIDTHS[i % WIDTHS.length]!,
      activations: ([8, 16, 8, 32, 4] as const)[i % 5]!,
      granularity: i % 2 === 0 && weight.type.shape[1]! % 8 === 0 ? { groupSize: 8 } : 'channel',
      range: i % 4 > 0 ? undefined : i % 8 === 0 ? 'dynamic' : 'static',
    };
    layers[name] = plan;
    if (needsRange(plan)) inputs.set(name, { scale: 0.02 + i / 7, zeroPoint: i % 16 });
  });
  const plan = { ...uniformPlan(networks, { weights: 32, activations: 32 }), layers };
  return { ...state, ...quantizeNetworks(networks, plan, inputs) };
}

/** A model file and what it means. */
export interface Subject {
  readonly bytes: Uint8Array;
  readonly state: DetectorState;
}

export async function subjectOf(state: DetectorState): Promise<Subject> {
  const bytes = await saveDetector({ state });
  return { bytes, state: await readModel(bytes) };
}

/** What a detector says, without its weights; what is undefined, it does not say. */
function described({ networks, quantization = new Map(), ...rest }: DetectorState): unknown {
  const layers = [...quantization].map(([name, { plan, input }]) => [name, { plan, input }]);
  const all = { size: networks.size, side: networks.side, layers: Object.fromEntries(layers), ...rest };
  return JSON.parse(JSON.stringify(all));
}

/** Whether two detectors are the same but for the order of keys. */
export function sameMeaning(a: DetectorState, b: DetectorState): boolean {
  return isDeepStrictEqual(described(a), described(b)) && sameWeights(a, b);
}

function sameWeights(a: DetectorState, b: DetectorState): boolean {
  const theirs = b.networks.parameters;
  return a.networks.parameters.every(({ data }, i) => Buffer.compare(bytesOf(data), bytesOf(theirs[i]!.data)) === 0);
}

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView) => new Uint8Array(buffer, byteOffset, byteLength);

/** Asserts what every consumer of a detector relies on. Plain conditions: it runs over hundreds of thousands of values. */
function assertValid({ networks, quantiles, threshold, provenance, quantization = new Map() }: DetectorState): void {
  const numbers: unknown[] = [...quantiles.studentTeacher, ...quantiles.autoencoder, provenance.seed];
  if (threshold) numbers.push(threshold.value, threshold.alpha, threshold.promised, threshold.images);
  expect(numbers.every(Number.isFinite)).toBe(true);
  for (const { name, data, type } of networks.parameters) {
    expect(data).toHaveLength(type.shape.reduce((a, b) => a * b, 1));
    for (let i = 0; i < data.length; i++) if (!Number.isFinite(data[i])) expect.fail(`${name} is not finite`);
  }
  for (const [name, { plan, input, weights }] of quantization) {
    expect([...WIDTHS], name).toContain(plan.weights);
    if (input) expect(input.scale > 0 && Number.isInteger(input.zeroPoint) && input.zeroPoint <= 255).toBe(true);
    expect(weights !== undefined, name).toBe(plan.weights <= 8);
    if (!weights) continue;
    const [least, most] = codeRange(weights.bits);
    const { codes } = weights;
    for (let i = 0; i < codes.length; i++)
      if (codes[i]! < least || codes[i]! > most) expect.fail(`${name} has the code ${codes[i]}`);
  }
}

/** A reader that takes longer hangs. */
const HANGS_MS = 5000;
/** Memory that a reader may take: so many times the file, and what parsing a header takes. */
const FACTOR = 24;
const HEADER_MEMORY = 16 * 2 ** 20;

const SENTENCE = /^m\.safetensors[^\n\r]{1,380}\.$/;

const memory = () => {
  const { arrayBuffers, heapUsed } = process.memoryUsage();
  return arrayBuffers + heapUsed;
};

export interface Outcome {
  /** `same`, `other`, or the sentence of the refusal without its particulars. */
  readonly what: string;
  readonly milliseconds: number;
  /** Memory that was taken, as far as it has not been collected within the case. */
  readonly growth: number;
}

/**
 * Reads a mutated file and asserts that it is refused with a sentence and a fix, or has the meaning of the original, or, with
 * a right checksum, another meaning within all ranges; that it took memory in proportion to the file, and did not hang.
 * @param rewritten whether what was accepted is written and read once more
 */
export async function judge(
  { bytes: original, state: meaning }: Subject,
  { bytes, sealed, kind }: Mutation,
  rewritten: boolean,
): Promise<Outcome> {
  const before = memory();
  const began = performance.now();
  const result: unknown = await readModel(bytes, 'm.safetensors').catch((error) => error);
  const milliseconds = performance.now() - began;
  const growth = memory() - before;
  if (milliseconds > HANGS_MS) expect.fail(`${kind}: ${milliseconds} ms`);
  if (growth > FACTOR * bytes.length + HEADER_MEMORY) expect.fail(`${kind}: ${growth} bytes for ${bytes.length}`);
  if (result instanceof Error) {
    if (!(result instanceof UserError)) throw result;
    expect(result.message).toMatch(SENTENCE);
    expect(result.fix).toMatch(/^\S.*\.$/);
    return { what: template(result.message), milliseconds, growth };
  }
  const state = result as DetectorState;
  if (!sealed) {
    expect(Buffer.compare(bytes, original), `${kind}: loaded without a right checksum`).toBe(0);
    return { what: 'same', milliseconds, growth };
  }
  if (sameMeaning(state, meaning)) return { what: 'same', milliseconds, growth };
  assertValid(state);
  if (rewritten) expect(sameMeaning(await readModel(await saveDetector({ state })), state), kind).toBe(true);
  return { what: 'other', milliseconds, growth };
}

/** Figures of many outcomes. */
export class Tally {
  readonly counts = new Map<string, number>();
  milliseconds = 0;
  growth = 0;

  add({ what, milliseconds, growth }: Outcome): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
    this.milliseconds = Math.max(this.milliseconds, milliseconds);
    this.growth = Math.max(this.growth, growth);
  }

  toString(): string {
    const lines = [...this.counts].sort(([, a], [, b]) => b - a).map(([what, count]) => `${count}\t${what}`);
    const worst = `at most ${this.milliseconds.toFixed(0)} ms and ${this.growth} bytes for one`;
    return [worst, ...lines].join('\n');
  }
}

/** A refusal without its particulars, so that refusals of one kind count as one. */
function template(message: string): string {
  return message
    .replace(
      /(gives [^ ]+|holds [^ ]+) (as .*|weights of .*|activations of .*|the range .*|the granularity .*)\.$/,
      '$1 as VALUE.',
    )
    .replace(/"(?:[^"\\]|\\.)*"?(\.\.\.)?/g, 'TEXT')
    .replace(/(teacher|student|autoencoder)\.(conv|enc|dec)\d+(\.(weight|bias))?/g, 'LAYER')
    .replace(/-?\b\d[\d.e+-]*\b/g, 'N');
}
