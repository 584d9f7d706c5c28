import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { DetectorState } from '../src/detector/detectorState.ts';
import { readModel, saveDetector } from '../src/detector/modelFile.ts';
import { Parameter, size } from '../src/engine/graph.ts';
import { Tuning } from '../src/engine/tuning.ts';
import { UserError } from '../src/errors.ts';
import { sealChecksum } from '../src/formats/checksum.ts';
import { readSafetensors, writeSafetensors } from '../src/formats/safetensors.ts';
import { packCodes } from '../src/formats/weightCodes.ts';
import { Networks } from '../src/networks/networks.ts';
import { layerBytes, quantizableLayers, uniformPlan } from '../src/quantization/bitPlan.ts';
import { quantizeNetworks } from '../src/quantization/layers.ts';
import { checkpointTuning, readCheckpoint, restore, writeCheckpoint } from '../src/train/checkpoint.ts';
import { judge, mixedDetector, type Subject, sameMeaning, subjectOf, Tally } from './support/modelFiles.ts';
import { type Json, type JsonObject, Mutator, openHeader, raw, withHeader, withText } from './support/mutations.ts';
import { untrainedDetector } from './support/untrained.ts';

const float = await subjectOf(await untrainedDetector());
const mixed = await subjectOf(await mixedDetector());

/** Any JSON, for tests that know what it is. */
// biome-ignore lint/suspicious/noExplicitAny: reaching into JSON
type Tree = any;

/** The fields of all sections at once, which write through to them. */
function fieldsOf(sections: Tree): Tree {
  const section = (field: string) => {
    const of = {
      quantiles: 'maps',
      placement: 'maps',
      threshold: 'threshold',
      provenance: 'provenance',
      layers: 'quantization',
    };
    return Object.hasOwn(of, field) ? of[field as keyof typeof of] : 'networks';
  };
  const isWhole = (field: string) => ['threshold', 'provenance', 'layers'].includes(field);
  return new Proxy({} as JsonObject, {
    get: (_, field: string) =>
      isWhole(field) ? sections[section(field)].value : sections[section(field)].value[field],
    set(_, field: string, value: Json) {
      if (isWhole(field)) sections[section(field)].value = value;
      else sections[section(field)].value[field] = value;
      return true;
    },
    deleteProperty: (_, field: string) => delete sections[section(field)].value[field],
  });
}

/** A file with another header, and a right checksum. */
async function edited({ bytes }: Subject, change: (detector: Tree, header: Tree) => void): Promise<Uint8Array> {
  const { header, body } = openHeader(bytes, 'sections');
  change(fieldsOf((header['__metadata__'] as JsonObject)['sections']), header);
  const result = withHeader(header, body);
  await sealChecksum(result);
  return result;
}

/** A file with other values in a tensor, and a right checksum. */
async function overwritten(
  { bytes }: Subject,
  tensor: string,
  at: number,
  values: ArrayBufferView,
): Promise<Uint8Array> {
  const { header, body } = openHeader(bytes, 'sections');
  const [from] = (header[tensor] as Tree).data_offsets;
  const result = bytes.slice();
  result.set(new Uint8Array(values.buffer), bytes.length - body.length + from + at);
  await sealChecksum(result);
  return result;
}

async function expectUserError(promise: Promise<unknown>, message: string, fix = ''): Promise<void> {
  const error = await promise.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(UserError);
  expect((error as UserError).message).toBe(message);
  expect((error as UserError).fix).toContain(fix);
}

const expectRefusal = (bytes: Uint8Array, message: string, fix?: string) =>
  expectUserError(readModel(bytes, 'm'), message, fix);

describe('a file', () => {
  for (const [what, subject] of [
    ['float', float],
    ['quantized', mixed],
  ] as const) {
    test(`${what}: is written as it was read, and has the bytes that its widths say`, async () => {
      const { bytes, state } = subject;
      expect(Buffer.compare(await saveDetector({ state }), bytes)).toBe(0);
      const layers = quantizableLayers(state.networks);
      let expected = 0;
      for (const { name, type } of state.networks.parameters) {
        const layer = name.replace(/\.weight$/, '');
        const plan = layers.has(layer) ? state.quantization?.get(layer)?.plan : undefined;
        expected += plan ? layerBytes(type.shape, plan) : 4 * size(type);
      }
      const header = Number(new DataView(bytes.buffer).getBigUint64(0, true));
      expect(header % 8).toBe(0);
      expect(bytes.length).toBe(8 + header + expected);
    });
  }

  test('is read from a Buffer at any alignment, which stays as it is', async () => {
    const { bytes, state } = mixed;
    const place = Buffer.alloc(bytes.length + 1);
    const buffer = place.subarray(1);
    buffer.set(bytes);
    for (let i = 0; i < 2; i++) expect(sameMeaning(await readModel(buffer), state)).toBe(true);
    expect(Buffer.compare(buffer, bytes)).toBe(0);
  });

  test('may have its keys in another order, and other white space', async () => {
    const { header, body } = openHeader(mixed.bytes, 'sections');
    const { __metadata__: metadata, ...tensors } = header;
    const other = withHeader({ ...tensors, __metadata__: metadata! }, body, 2);
    await sealChecksum(other);
    expect(sameMeaning(await readModel(other), mixed.state)).toBe(true);
  });

  test('describing networks takes no memory for their weights', () => {
    const before = process.memoryUsage().arrayBuffers;
    expect(new Networks('m', 4096).parameters).toHaveLength(2 * (6 + 6 + 6 + 8) + 2);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 20);
  });

  test('has the checksum that docs/model-format.md describes', () => {
    const copy = float.bytes.slice();
    const { __metadata__: metadata } = openHeader(copy, 'sections').header as Tree;
    const digits = Buffer.from(copy.subarray(37, 37 + 64)).toString('latin1');
    copy.fill('0'.charCodeAt(0), 37, 37 + 64);
    expect(digits).toBe(metadata.checksum);
    expect(createHash('sha256').update(copy).digest('hex')).toBe(digits);
  });

  test('has the codes that docs/model-format.md shows', () => {
    const text = readFileSync(new URL('../docs/model-format.md', import.meta.url), 'utf8');
    const [, codes, hex] = /with b = 3: the codes ([-\d, ]+) become.*?```\n([\da-f ]+)\n```/s.exec(text)!;
    const packed = packCodes(Int8Array.from(codes!.split(','), Number), 3);
    expect(Buffer.from(packed).toString('hex')).toBe(hex!.replaceAll(' ', ''));
  });
});

describe('containers that are refused', () => {
  const entry = (from: number, to: number, shape: Json = [to - from], dtype: Json = 'U8') => ({
    dtype,
    shape,
    data_offsets: [from, to],
  });
  const file = (header: Json, body = 8) => withText(JSON.stringify(header), new Uint8Array(body));
  const length = (n: bigint) => {
    const bytes = new Uint8Array(16);
    new DataView(bytes.buffer).setBigUint64(0, n, true);
    return bytes;
  };
  const large = withText(`{}${' '.repeat(2 ** 20)}`);

  for (const [what, bytes, message] of [
    ['nothing', new Uint8Array(), "it has 0 bytes, fewer than its header's length takes"],
    ['7 bytes', new Uint8Array(7), "it has 7 bytes, fewer than its header's length takes"],
    ['a header beyond the end', length(9n), 'its header is longer than the file'],
    ['a header of 2^64 - 1 bytes', length(2n ** 64n - 1n), 'its header is longer than the file'],
    ['a large header', large, 'its header has 1048584 bytes, more than 1048576'],
    ['no text', Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 0, 0xc3, 0x28), 'its header is not UTF-8'],
    ['no JSON', withText('{"a":'), 'its header is not JSON'],
    ['an empty header', withText(''), 'its header is not JSON'],
    ['an array', withText('[]'), 'its header is not an object'],
    ['depth', withText(`{"a":${'['.repeat(5e5)}${']'.repeat(5e5)}}`), 'its header is nested deeper than 8 levels'],
    ['a name twice', withText('{"a":{},"\\u0061":{}}'), 'its header has the key "a" twice'],
    ['__proto__', withText('{"__proto__":{"a":1}}'), 'its header has the key "__proto__"'],
    ['numbers in the metadata', file({ __metadata__: { step: 1 } }), 'its metadata is not text'],
    ['metadata in an array', file({ __metadata__: [] }), 'its metadata is not text'],
    ['no entry', file({ a: null }), 'tensor "a" has a malformed entry'],
    ['a type', file({ a: entry(0, 8, [1], 'F63') }), 'tensor "a" has a malformed entry'],
    ['an inherited type', file({ a: entry(0, 8, [1], 'toString') }), 'tensor "a" has a malformed entry'],
    ['a negative size', file({ a: entry(0, 8, [-8]) }), 'tensor "a" has a malformed entry'],
    ['half a size', file({ a: entry(0, 8, [0.5]) }), 'tensor "a" has a malformed entry'],
    ['three offsets', file({ a: { ...entry(0, 8), data_offsets: [0, 8, 8] } }), 'tensor "a" has a malformed entry'],
    ['offsets in reverse', file({ a: entry(8, 0, [8]) }), 'tensor "a" has a malformed entry'],
    ['another size', file({ a: entry(0, 8, [7]) }), 'tensor "a" does not fit its place'],
    ['a size that overflows', file({ a: entry(0, 0, [2 ** 52, 2 ** 52]) }), 'tensor "a" does not fit its place'],
    ['a place outside', file({ a: entry(0, 9) }), 'tensor "a" does not fit its place'],
    ['a gap', file({ a: entry(0, 3), b: entry(4, 8) }), 'tensor "b" begins at byte 4 where byte 3 is next'],
    ['an overlap', file({ a: entry(0, 5), b: entry(4, 8) }), 'tensor "b" begins at byte 4 where byte 5 is next'],
    ['a place twice', file({ a: entry(0, 8), b: entry(0, 8) }), 'tensor "b" begins at byte 0 where byte 8 is next'],
    ['a rest', file({ a: entry(0, 7) }), 'its tensors take 7 bytes and its body has 8'],
    ['a long name', file({ ['a\n'.repeat(1000)]: 1 }), `tensor "${'a\\n'.repeat(19)}a\\... has a malformed entry`],
  ] as const) {
    test(what, async () => {
      const sentence = `m is not a usable safetensors file: ${message}.`;
      expect(() => readSafetensors(bytes, 'm')).toThrow(new UserError(sentence, 'Copy or make the file again.'));
      await expectRefusal(bytes, sentence);
    });
  }

  test('a writer refuses what no reader takes', () => {
    const long = () => writeSafetensors(new Map(), { text: 'a'.repeat(2 ** 20) });
    expect(long).toThrow(/^names and metadata of the tensors take \d+ bytes\.$/);
  });

  test('a checksum that is none', async () => {
    const none = 'm has no checksum: it was not written by this program.';
    await expectRefusal(withText('{}'), none, 'raad fit');
    await expectRefusal(file({ __metadata__: { checksum: 'f'.repeat(63) } }, 0), none);
    const digits = '\\u0030'.repeat(64);
    await expectRefusal(withText(`{"__metadata__":{"checksum":"${digits}"}}`), none);
  });

  test('a checksum of other bytes', async () => {
    const { header, body } = openHeader(float.bytes, 'sections');
    (header['__metadata__'] as Tree).checksum = 'f'.repeat(64);
    await expectRefusal(withHeader(header, body), 'm is damaged: its checksum does not match.', 'Copy or make');
  });
});

describe('contents that are refused under a right checksum', () => {
  const F32 = (...values: number[]) => Float32Array.from(values);

  type Case = readonly [what: string, change: (detector: Tree, header: Tree) => void, message: string, fix?: string];
  const metadata = (key: string, value: Json | undefined) => (_: Tree, header: Tree) => {
    if (value === undefined) delete header.__metadata__[key];
    else header.__metadata__[key] = value;
  };
  const sections = (change: (sections: Tree) => void) => (_: Tree, header: Tree) =>
    change(header.__metadata__.sections);
  const layer = 'student.conv2';
  const other = 'student.conv3';
  const cases: readonly Case[] = [
    ['another format', metadata('format', 'pt'), 'm is not a detector (format "pt").', 'raad fit'],
    ['no format', metadata('format', undefined), 'm is not a detector (format none).'],
    ['no version', metadata('version', undefined), 'm has format version undefined.', 'a whole number'],
    ['a version that is no number', metadata('version', '2x'), 'm has format version "2x".'],
    ['version 0', metadata('version', '0'), 'm has format version "0".'],
    [
      'version 4',
      metadata('version', '4'),
      'm has format version 4, newer than the 3 that this program reads.',
      'Update',
    ],
    ['no sections', metadata('sections', undefined), 'm is not usable: its list of sections is not JSON.'],
    ['an array', metadata('sections', []), 'm gives its sections as [].'],
    [
      'depth',
      metadata('sections', '['.repeat(9)),
      'm is not usable: its list of sections is nested deeper than 8 levels.',
    ],
    [
      'a key twice',
      metadata('sections', '{"a":1,"a":2}'),
      'm is not usable: its list of sections has the key "a" twice.',
    ],
    ['NaN', (d) => (d.threshold.value = raw('NaN')), 'm is not usable: its list of sections is not JSON.'],
    ['no networks', sections((s) => delete s.networks), 'm lacks the section networks.'],
    ['no section of maps', sections((s) => delete s.maps), 'm lacks the section maps.'],
    ['a section in a list', sections((s) => (s.maps = [])), 'm gives the section "maps" as [].'],
    [
      'no version of a section',
      sections((s) => delete s.maps.version),
      'm has no version undefined of the section "maps".',
    ],
    [
      'a newer section',
      sections((s) => (s.maps.version = 2)),
      'm has the section maps in version 2, newer than the 1 that this program reads.',
      'Update',
    ],
    [
      'a section that may not be left out',
      sections((s) => (s.regions = { version: 1, required: true, value: {} })),
      'm has the section "regions", which this program does not know and may not leave out.',
      'Update',
    ],
    [
      'a section without a value',
      sections((s) => (s.x = { version: 1, required: false })),
      'm lacks the value of the section "x".',
    ],
    ['a name of a section', sections((s) => (s['a b'] = { version: 1 })), 'm has a section of the name "a b".'],
    [
      'a section that does not say whether it is required',
      sections((s) => (s.x = { version: 1, required: 1, value: 1 })),
      'm does not say whether a reader has to know all of the section "x".',
    ],
    [
      'tensors of no section',
      (_, h) => (h['x/y'] = { dtype: 'U8', shape: [0], data_offsets: [0, 0] }),
      'm holds the unknown tensor "x/y".',
    ],
    ['no size', (d) => delete d.size, 'm lacks size in the detector.'],
    ['an unknown field', (d) => (d.x = 1), 'm has the unknown field "x" in networks.'],
    ['a size', (d) => (d.size = 'xxl'), 'm gives size as "xxl".', 'It has to be "xs" or "s" or "m".'],
    ['a size that inherits', (d) => (d.size = 'constructor'), 'm gives size as "constructor".'],
    [
      'resolution 1e9',
      (d) => (d.resolution = 1e9),
      'm gives resolution as 1000000000.',
      'a multiple of 64 from 128 to 4096',
    ],
    ['resolution 4160', (d) => (d.resolution = 4160), 'm gives resolution as 4160.'],
    ['resolution 130', (d) => (d.resolution = 130), 'm gives resolution as 130.'],
    ['resolution 64', (d) => (d.resolution = 64), 'm gives resolution as 64.'],
    ['resolution as text', (d) => (d.resolution = '128'), 'm gives resolution as "128".'],
    [
      'another resize',
      (d) => (d.preprocessing.resize = 'nearest'),
      'm gives preprocessing.resize as "nearest".',
      'It has to be "bilinear-antialiased".',
    ],
    ['another mean', (d) => (d.preprocessing.mean = [0, 0, 0]), 'm gives preprocessing.mean as [0,0,0].'],
    ['no deviation', (d) => delete d.preprocessing.std, 'm lacks std in preprocessing.'],
    ['one quantile', (d) => (d.quantiles.autoencoder = [1]), 'm gives quantiles.autoencoder as [1].', 'two numbers'],
    ['an infinite quantile', (d) => (d.quantiles.autoencoder[1] = 1e300), 'm gives quantiles.autoencoder as 1e+300.'],
    [
      'quantiles in reverse',
      (d) => (d.quantiles.autoencoder = [2, 1]),
      'm gives quantiles.autoencoder as [2,1].',
      'order',
    ],
    [
      'a placement',
      (d) => (d.placement = 'center'),
      'm gives placement as "center".',
      '"exact" or "reference" or "anomalib"',
    ],
    ['no threshold', (d) => (d.threshold = null), 'm gives threshold as null.'],
    ['part of a threshold', (d) => delete d.threshold.images, 'm lacks images in threshold.'],
    ['an infinite threshold', (d) => (d.threshold.value = raw('1e999')), 'm gives threshold.value as null.'],
    ['a rate', (d) => (d.threshold.alpha = 2), 'm gives threshold.alpha as 2.', 'a number from 0 to 1'],
    ['a promise', (d) => (d.threshold.promised = -1), 'm gives threshold.promised as -1.'],
    ['half an image', (d) => (d.threshold.images = 1.5), 'm gives threshold.images as 1.5.', 'a whole number from 1'],
    ['no seed', (d) => delete d.provenance.seed, 'm lacks seed in provenance.'],
    ['a seed as text', (d) => (d.provenance.seed = '1'), 'm gives provenance.seed as "1".'],
    ['a data set as number', (d) => (d.provenance.dataset = 1), 'm gives provenance.dataset as 1.', 'text'],
    ['a learning rate as text', (d) => (d.provenance.learningRate = '1'), 'm gives provenance.learningRate as "1".'],
    [
      'a digest of images',
      (d) => (d.provenance.dataDigest = 'AB'),
      'm gives provenance.dataDigest as "AB".',
      '64 lower',
    ],
    ['notes that are lists', (d) => (d.provenance.notes = []), 'm gives provenance.notes as [].', 'text'],
    ['layers in a list', (d) => (d.layers = []), 'm gives layers as [].'],
    [
      'an unknown layer',
      (d) => (d.layers['student.conv9'] = {}),
      'm has the unknown layer "student.conv9".',
      'student.conv4',
    ],
    ['a layer without plan', (d) => delete d.layers[layer].plan, `m lacks plan in layers.${layer}.`],
    [
      'weights',
      (d) => (d.layers[layer].plan.weights = 9),
      `m gives ${layer} weights of 9.`,
      '2, 3, 4, 5, 6, 7, 8, 16, 32',
    ],
    ['activations', (d) => (d.layers[layer].plan.activations = 7), `m gives ${layer} activations of 7.`],
    ['a range', (d) => (d.layers[layer].plan.range = 'wide'), `m gives ${layer} the range "wide".`],
    [
      'a group',
      (d) => (d.layers[layer].plan.granularity = { groupSize: 1e9 }),
      `m gives ${layer} the granularity {"groupSize":1000000000}.`,
      'a multiple of 4 that divides 32',
    ],
    ['a field of a plan', (d) => (d.layers[layer].plan.x = 1), `m gives ${layer} the unknown field "x".`],
    [
      'no input',
      (d) =>
        Object.assign(d.layers, { [layer]: { plan: { ...d.layers[layer].plan, activations: 8, range: 'static' } } }),
      `m lacks input in layers.${layer}.`,
    ],
    ['no scale', (d) => (d.layers[layer].input = { zeroPoint: 1 }), `m lacks scale in layers.${layer}.input.`],
    [
      'scale 0',
      (d) => (d.layers[layer].input = { scale: 0, zeroPoint: 1 }),
      `m gives layers.${layer}.input.scale as 0.`,
    ],
    [
      'a scale that is 0 in float32',
      (d) => (d.layers[layer].input = { scale: 1e-60, zeroPoint: 1 }),
      `m gives layers.${layer}.input.scale as 1e-60.`,
    ],
    [
      'a zero point',
      (d) => (d.layers[layer].input = { scale: 1, zeroPoint: 256 }),
      `m gives layers.${layer}.input.zeroPoint as 256.`,
    ],
    [
      'a zero point beyond 4 bits',
      (d) => {
        d.layers[layer].plan.activations = 4;
        d.layers[layer].input = { scale: 1, zeroPoint: 16 };
      },
      `m gives layers.${layer}.input.zeroPoint as 16.`,
      '15',
    ],
    [
      'half a zero point',
      (d) => (d.layers[layer].input = { scale: 1, zeroPoint: 0.5 }),
      `m gives layers.${layer}.input.zeroPoint as 0.5.`,
      'a whole number from 0 to',
    ],
    [
      'exchanged tensors',
      (_, h) =>
        ([h['student.conv1.bias'], h['student.conv4.bias']] = [h['student.conv4.bias'], h['student.conv1.bias']]),
      'm holds student.conv1.bias as F32 [256].',
      'It has to be F32 [32]. Make the model again.',
    ],
    [
      'another shape of as many values',
      (_, h) => (h['teacher.conv1.weight'].shape = [3, 32, 4, 4]),
      'm holds teacher.conv1.weight as F32 [3,32,4,4].',
    ],
    [
      'another type of as many bytes',
      (_, h) => (h['teacher.conv1.bias'].dtype = 'U32'),
      'm holds teacher.conv1.bias as U32 [32].',
    ],
    [
      'a missing tensor',
      (_, h) => {
        h['x\ny'] = h['teacher.mean'];
        delete h['teacher.mean'];
      },
      'm lacks the tensor teacher.mean.',
    ],
    [
      'an unknown tensor',
      (_, h) => (h['x\ny'] = { dtype: 'U8', shape: [0], data_offsets: [0, 0] }),
      'm holds the unknown tensor "x\\ny".',
    ],
    [
      'codes of another width',
      (d) => (d.layers[other].plan.weights = 3),
      `m holds ${other}.weight.codes as U8 [32256].`,
      'It has to be U8 [13824].',
    ],
  ];
  for (const [what, change, message, fix] of cases) {
    test(what, async () => expectRefusal(await edited(mixed, change), message, fix));
  }

  test('a larger network over a small file takes no memory', async () => {
    const bytes = await edited(float, (d) => Object.assign(d, { size: 'm', resolution: 4096 }));
    const before = process.memoryUsage().arrayBuffers;
    await expectRefusal(bytes, 'm holds teacher.conv1.weight as F32 [32,3,4,4].', 'It has to be F32 [256, 3, 4, 4].');
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 20);
  });

  const ofWidth = (bits: number) => [...mixed.state.quantization!].find(([, { plan }]) => plan.weights === bits)![0];
  const eight = `${ofWidth(8)}.weight.codes`;
  const scales = `${ofWidth(4)}.weight.scales`;
  const half = `${ofWidth(16)}.weight`;
  for (const [what, tensor, at, values, message] of [
    ['NaN', 'student.conv1.bias', 4, F32(Number.NaN), 'm holds values in student.conv1.bias that are not finite.'],
    [
      'infinity',
      'teacher.mean',
      0,
      F32(Number.POSITIVE_INFINITY),
      'm holds values in teacher.mean that are not finite.',
    ],
    ['an infinite half', half, 2, Uint16Array.of(0x7c00), `m holds values in ${half} that are not finite.`],
    ['an infinite scale', scales, 0, F32(Number.NEGATIVE_INFINITY), `m holds values in ${scales} that are not finite.`],
    [
      'a scale whose weights overflow',
      `${ofWidth(8)}.weight.scales`,
      0,
      F32(3e38),
      `m holds values in ${ofWidth(8)}.weight that are not finite.`,
    ],
    ['deviation 0', 'teacher.std', 8, F32(0), 'm holds deviations in teacher.std that are not above 0.'],
    [
      'a code that 8 bits do not have',
      eight,
      9,
      Uint8Array.of(255),
      `m, tensor ${eight}: code 128 does not exist in 8 bits.`,
    ],
  ] as const) {
    test(what, async () => expectRefusal(await overwritten(mixed, tensor, at, values), message));
  }
});

describe('sections of newer programs', () => {
  test('that may be left out are kept with their tensors and written again', async () => {
    const tensors = { 'notes/a': [0, 8], 'notes/b': [8, 9] };
    const { header, body } = openHeader(mixed.bytes, 'sections');
    for (const [name, [from, to]] of Object.entries(tensors) as [string, [number, number]][]) {
      const dtype = name === 'notes/a' ? 'F64' : 'U8';
      const place = [body.length + from, body.length + to];
      header[name] = { dtype, shape: [1], data_offsets: place };
    }
    const { sections } = header['__metadata__'] as Tree;
    sections.notes = { version: 7, required: false, value: { by: ['a', 1, null] } };
    const bytes = withHeader(header, Buffer.concat([body, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9)]));
    await sealChecksum(bytes);
    const read = await readModel(bytes);
    expect(sameMeaning({ ...read, otherSections: new Map() }, { ...mixed.state, otherSections: new Map() })).toBe(true);
    const again = await readModel(await saveDetector({ state: read }));
    for (const { otherSections } of [read, again]) {
      const { version, value, tensors: own } = otherSections!.get('notes')!;
      expect([version, value]).toEqual([7, { by: ['a', 1, null] }]);
      expect([...own.get('notes/a')!.bytes, ...own.get('notes/b')!.bytes]).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
      expect(own.get('notes/a')!.dtype).toBe('F64');
    }
  });
});

describe('mutations', () => {
  for (const [what, subject, count] of [
    ['float', float, 400],
    ['quantized', mixed, 800],
  ] as const) {
    test(`${count} of a ${what} file`, async () => {
      const mutator = new Mutator(subject.bytes);
      const tally = new Tally();
      for (let seed = 0; seed < count; seed++) tally.add(await judge(subject, await mutator.make(seed, 0.1), true));
      expect([...tally.counts.values()].reduce((sum, n) => sum + n)).toBe(count);
      for (const what of ['same', 'other']) expect(tally.counts.get(what), what).toBeGreaterThan(0);
    });
  }
});

describe('checkpoints', () => {
  const parameters = () => [
    new Parameter('a', { shape: [2, 3], dtype: 'f32' }, Float32Array.of(1, 2, 3, 4, 5, 6)),
    new Parameter('b', { shape: [6], dtype: 'u32' }, Uint32Array.of(1, 2, 3, 4, 5, 6)),
  ];
  const fingerprint = { seed: 1, dataset: 'x' };
  const tuning = new Tuning('an adapter', [['key', 'variant']]);
  const written = writeCheckpoint({ parameters: parameters(), tuning }, fingerprint, 7);

  async function restored(bytes: Uint8Array) {
    const file = await readCheckpoint(bytes, 'c');
    const into = parameters();
    const step = restore(file, { parameters: into }, fingerprint);
    return { step, data: into.map(({ data }) => [...data]), tuning: checkpointTuning(file).toJSON() };
  }

  async function changed(change: (metadata: Tree, header: Tree) => void): Promise<Uint8Array> {
    const { header, body } = openHeader(await written, 'settings');
    change(header['__metadata__'], header);
    const bytes = withHeader(header, body);
    await sealChecksum(bytes);
    return bytes;
  }

  test('are read back', async () => {
    const six = [1, 2, 3, 4, 5, 6];
    expect(await restored(await written)).toEqual({ step: 7, data: [six, six], tuning: tuning.toJSON() });
  });

  for (const [what, change, message] of [
    ['no step', (m) => delete m.step, 'c was made after "" steps.'],
    ['steps', (m) => (m.step = '-1'), 'c was made after "-1" steps.'],
    ['no settings', (m) => delete m.settings, 'c is not usable: the text of its settings is not JSON.'],
    ['a list of settings', (m) => (m.settings = []), 'c has settings that are no texts and numbers.'],
    ['trees of settings', (m) => (m.settings.seed = {}), 'c has settings that are no texts and numbers.'],
    ['another setting', (m) => (m.settings.seed = 2), 'the checkpoint was made with seed 2, this run has 1.'],
    ['no tuning', (m) => delete m.tuning, 'the tuning table is not JSON.'],
    [
      'a version that has no text',
      (m) => (m.tuning = { ...tuning.toJSON(), version: { toString: 1, valueOf: 1 } }),
      'the tuning table has version {"toString":1,"valueOf":1}, expected 1.',
    ],
    ['exchanged tensors', (_, h) => ([h.a, h.b] = [h.b, h.a]), 'the checkpoint holds a in another type or shape.'],
    ['a shape', (_, h) => (h.a.shape = [6]), 'the checkpoint holds a in another type or shape.'],
    [
      'a missing tensor',
      (_, h) => {
        h.c = h.a;
        delete h.a;
      },
      'the checkpoint lacks a.',
    ],
  ] as readonly (readonly [string, (metadata: Tree, header: Tree) => void, string])[]) {
    test(`${what} is refused`, async () => {
      await expectUserError(restored(await changed(change)), message);
    });
  }

  test('1000 mutations', async () => {
    const mutator = new Mutator(await written, 'settings');
    let refused = 0;
    for (let seed = 0; seed < 1000; seed++) {
      const { bytes } = await mutator.make(seed, 0.2);
      await restored(bytes).catch((error: unknown) => {
        if (!(error instanceof UserError)) throw error;
        refused++;
      });
    }
    expect(refused).toBeGreaterThan(800);
  });
});

describe('types of tensors', () => {
  const file = (dtype: string, body: Uint8Array, count: number) => {
    const header = JSON.stringify({ a: { dtype, shape: [count], data_offsets: [0, body.length] } });
    return readSafetensors(withText(header, body), 'x').tensors.get('a')!.data;
  };

  test('floats of every width are read as float32', () => {
    const values = [0, 1, -2.5, 3.140625];
    const doubles = new Uint8Array(Float64Array.from(values).buffer);
    const brains = new Uint8Array(Uint16Array.of(0, 0x3f80, 0xc020, 0x4049).buffer);
    expect(file('F64', doubles, 4)).toEqual(Float32Array.from(values));
    expect(file('BF16', brains, 4)).toEqual(Float32Array.from(values));
  });

  test.each(['I64', 'BOOL', 'F8_E4M3'])('%s is refused by name', (dtype) => {
    expect(() => file(dtype, new Uint8Array(8), 1)).toThrow(
      `x holds the tensor "a" of type ${dtype}, which is not read.`,
    );
  });
});

describe('a writer refuses what the reader would', () => {
  const cases: readonly [what: string, spoil: (state: DetectorState) => DetectorState, message: RegExp][] = [
    [
      'weights of NaN',
      (state) => {
        state.networks.parameters[0]!.data[3] = Number.NaN;
        return state;
      },
      /holds values in teacher.conv1.weight that are not finite/,
    ],
    [
      'weights that half floats do not hold',
      (state) => {
        state.networks.parameters[0]!.data[3] = 7e4;
        const plan = { weights: 16, activations: 32, granularity: 'channel' } as const;
        return { ...state, quantization: new Map([['teacher.conv1', { plan }]]) };
      },
      /holds values in teacher.conv1.weight that are not finite/,
    ],
    [
      'no deviation',
      (state) => {
        state.networks.teacherStd.data.fill(0);
        return state;
      },
      /deviations in teacher.std that are not above 0/,
    ],
    [
      'quantiles of NaN',
      (state) => ({ ...state, quantiles: { ...state.quantiles, autoencoder: [Number.NaN, 1] } }),
      /gives quantiles.autoencoder as null/,
    ],
    [
      'an infinite threshold',
      (state) => ({ ...state, threshold: { value: Number.POSITIVE_INFINITY, alpha: 0.1, promised: 0.1, images: 9 } }),
      /gives threshold.value as null/,
    ],
    [
      'a seed beyond the safe integers',
      (state) => ({ ...state, provenance: { ...state.provenance, seed: 2 ** 60 } }),
      /gives provenance.seed/,
    ],
    [
      'a layer without its range',
      (state) => {
        const plan = { weights: 32, activations: 8, granularity: 'channel' } as const;
        return { ...state, quantization: new Map([['teacher.conv1', { plan }]]) };
      },
      /lacks input in layers.teacher.conv1/,
    ],
  ];
  for (const [what, spoil, message] of cases) {
    test(what, async () => {
      const state = spoil(await untrainedDetector());
      const error = await saveDetector({ state }).catch((reason) => reason);
      expect(error).toBeInstanceOf(UserError);
      expect(error.message).toMatch(message);
      expect(error.message).toMatch(/^the model cannot be saved: /);
    });
  }

  test('a plan of half floats for larger weights names the layer', async () => {
    const { networks } = await untrainedDetector();
    networks.parameters[0]!.data[3] = -7e4;
    const plan = uniformPlan(networks, { weights: 16, activations: 32 });
    expect(() => quantizeNetworks(networks, plan, new Map())).toThrow(
      'half floats do not hold the weight -70000 of teacher.conv1.',
    );
  });
});
