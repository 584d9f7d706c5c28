import { describe, expect, test } from 'vitest';
import { input, Parameter } from '../src/engine/graph.ts';
import { UserError } from '../src/errors.ts';
import { decodeTensor } from '../src/formats/safetensors.ts';
import { openSources } from '../src/interchange/source.ts';
import { conv2d } from '../src/kernels/conv2d.ts';
import { Random } from '../src/math/random.ts';
import { exportOnnx } from '../src/onnx/export.ts';
import { readTorch } from '../src/torch/file.ts';
import { writeTorch } from '../src/torch/write.ts';
import { openZip, writeZip } from '../src/torch/zip.ts';
import { archive, expected, expectRefusal, golden, pickle, text, unpacked } from './support/torchFiles.ts';

const ONE = new Uint8Array(Float32Array.of(1, 2, 3, 4, 5, 6).buffer);
const global = (module: string, name: string) => `c${module}\n${name}\n`;
const REBUILD = global('torch._utils', '_rebuild_tensor_v2');
const DICTIONARY = [...new TextEncoder().encode(global('collections', 'OrderedDict')), 0x29, 0x52];

/** A pickled tensor over storage `0` of six floats. */
function tensor({ offset = 0, shape = [6], strides = [1], elements = 6, type = 'FloatStorage' } = {}) {
  const numbers = (values: readonly number[]) => [0x28, ...values.flatMap((value) => [0x4b, value]), 0x74];
  const storage = [0x28, ...text('storage'), ...bytesOf(global('torch', type)), ...text('0'), ...text('cpu')];
  const place = [...storage, 0x4b, elements, 0x74, 0x51, 0x4b, offset, ...numbers(shape), ...numbers(strides)];
  return [...bytesOf(REBUILD), 0x28, ...place, 0x89, ...DICTIONARY, 0x74, 0x52];
}

const bytesOf = (value: string) => [...new TextEncoder().encode(value)];
const dictionary = (key: string, value: readonly number[]) => pickle(0x7d, text(key), [...value], 0x73);
const ofTensor = (settings: Parameters<typeof tensor>[0], storage = ONE) =>
  archive(dictionary('x', tensor(settings)), { 0: storage });

async function readAll(bytes: Uint8Array, name = 'm'): Promise<void> {
  const file = await readTorch(bytes, name);
  for (const key of file.tensors.keys()) await file.read(key);
}

describe("PyTorch's files hold what PyTorch says", () => {
  for (const file of ['tiny.pth', 'tiny-protocol4.pth', 'tiny-legacy.pth']) {
    test(file, async () => {
      const torch = await readTorch(golden(file), file);
      const wanted = [...expected].filter(([key]) => key.startsWith('tiny.'));
      expect(wanted).toHaveLength(7);
      for (const [key, { shape, data }] of wanted) {
        const read = await torch.read(key.replace('tiny.', 'state_dict.'));
        expect(read.shape, key).toEqual(shape);
        expect(decodeTensor(read), key).toEqual(data);
      }
      expect((await torch.read('state_dict.empty')).shape).toEqual([0, 3]);
      expect(Object.fromEntries(torch.settings)).toMatchObject({
        'hyper_parameters.padding': true,
        'hyper_parameters.pad_maps': false,
        'hyper_parameters.text': 'grün',
        global_step: 70000,
        'loops.list.2.3': 'd',
      });
      for (const [key, maker] of [
        ['state_dict.made', 'foreign.rebuild'],
        ['state_dict.made.0', 'foreign.rebuild'],
        ['odd.weights', 'foreign.Odd'],
      ] as const)
        await expectRefusal(torch.read(key), `${file}: the tensor "${key}" is made by "${maker}", which is not run.`);
      await expectRefusal(torch.read('state_dict.count'), 'is of type "LongStorage", which is not read.');
      await expectRefusal(torch.read('x'), 'the tensor "x" is missing.');
    });
  }

  test('modules: parameters by their paths, attributes as settings', async () => {
    const bytes = (await unpacked(golden('modules.zip'))).get('student_final.pth')!;
    const { tensors, settings } = await readTorch(bytes, 'student_final.pth');
    expect(tensors.get('8.weight')).toMatchObject({ shape: [768, 256, 4, 4], strides: [4096, 16, 4, 1], offset: 0 });
    expect(settings.get('8.kernel_size.1')).toBe(4);
  });
});

test('a state dict comes back as it was written, and is an archive of aligned entries', async () => {
  const tensors = new Map([
    ['a.weight', { shape: [2, 3], data: Float32Array.of(1, -2, Number.MIN_VALUE, 3.5, 0, -0) }],
    ['b', { shape: [], data: Float64Array.of(1 / 3) }],
    ['half', { shape: [2], data: Uint16Array.of(0x3c00, 0x8001) }],
    ['bytes', { shape: [3], data: Uint8Array.of(1, 2, 255) }],
  ]);
  const bytes = writeTorch(tensors);
  const file = await readTorch(bytes, 'm');
  expect([...file.tensors.keys()]).toEqual([...tensors.keys()]);
  for (const [key, { shape, data }] of tensors) {
    const read = await file.read(key);
    expect(read.shape).toEqual(shape);
    expect([...read.bytes], key).toEqual([...new Uint8Array(data.buffer)]);
    expect(read.bytes.byteOffset % 64).toBe(0);
  }
  expect(await unpacked(bytes)).toHaveProperty('size', 3 + tensors.size);
});

describe('refused with one sentence', () => {
  const CODES = { POP: 0x30, DUP: 0x32, INT: 0x49, STRING: 0x53, PERSID: 0x50, INST: 0x69, OBJ: 0x6f, EXT1: 0x82 };
  test.each(Object.entries({ ...CODES, LONG4: 0x8b, NEWOBJ_EX: 0x92, NEXT_BUFFER: 0x97 }))(
    'opcode %s',
    async (_, code) => {
      const hex = code.toString(16);
      await expectRefusal(readAll(archive(pickle(0x29, code))), `the opcode 0x${hex} at byte 3, which is not read.`);
    },
  );

  test('what a pickle would call is neither called nor taken for a tensor', async () => {
    const call = [...bytesOf(global('posix', 'system')), ...text('touch /tmp/x'), 0x85, 0x52];
    const file = await readTorch(archive(dictionary('x', call)), 'm');
    await expectRefusal(file.read('x'), 'm: the tensor "x" is made by "posix.system", which is not run.');
    const [made] = [[...bytesOf(global('foreign', 'wrap')), ...tensor(), 0x85, 0x52]];
    const wrapped = await readTorch(archive(dictionary('x', made), { 0: ONE }), 'm');
    await expectRefusal(wrapped.read('x'), 'm: the tensor "x" is made by "foreign.wrap", which is not run.');
  });

  test('a name in a message is on one line', async () => {
    const file = await readTorch(archive(dictionary('x\u001b[2J\nx', [...bytesOf(global('a', 'b')), 0x29, 0x52])), 'm');
    await expectRefusal(file.read('x\u001b[2J\nx'), /"x\\u001b\[2J\\nx"/);
  });

  const PICKLES: readonly [string, Uint8Array, string | RegExp][] = [
    ['no protocol', Uint8Array.of(0x29, 0x2e), 'does not begin with its protocol'],
    ['protocol 0', Uint8Array.of(0x80, 0, 0x2e), 'protocol 0 is not read'],
    ['no end', Uint8Array.of(0x80, 2, 0x29), 'it is cut off'],
    ['a text longer than the file', pickle(0x58, [255, 255, 255, 127]), 'it is cut off'],
    ['text of another encoding', pickle(0x58, [1, 0, 0, 0, 0xff]), 'not UTF-8'],
    ['an empty stack', pickle(), 'a step lacks its value'],
    ['a value below the mark', pickle(0x29, 0x28, 0x85), 'a step lacks its value'],
    ['no mark', pickle(0x74), 'a step lacks its mark'],
    ['nothing kept', pickle(0x68, 7), 'nothing was kept under 7'],
    ['a list that is none', pickle(0x4e, 0x4e, 0x61), 'appended to what is no list'],
    ['a dictionary that is none', pickle(0x29, 0x4e, 0x4e, 0x73), 'set in what is no dictionary'],
    ['a key without a value', pickle(0x7d, 0x28, 0x4e, 0x75), 'set in what is no dictionary'],
    ['an object that is none', pickle(0x29, 0x4e, 0x62), 'attributes are set on what is no object'],
    ['parameters that are none', pickle(global('a', 'b'), 0x4e, 0x52), 'without a tuple of parameters'],
    ['a name without an end', pickle('c', new Array(2000).fill(0x61)), 'a name in it does not end'],
    ['endless steps', pickle(new Array(2 ** 18).fill(0x28)), 'takes more than 262144 steps'],
    ['depth', pickle(0x29, new Array(200_000).fill(0x85)), 'nests or repeats more values'],
    ['doubling', pickle(0x29, new Array(60).fill([0x71, 0, 0x68, 0, 0x86]).flat()), 'nests or repeats more values'],
    [
      'parameters of parameters',
      pickle(
        global('torch._utils', '_rebuild_parameter').repeat(50_000),
        0x29,
        new Array(50_000).fill([0x85, 0x52]).flat(),
      ),
      'nests or repeats more values',
    ],
  ];
  test.each(PICKLES)('a pickle with %s', (_, bytes, message) => expectRefusal(readAll(archive(bytes)), message));

  const TENSORS: readonly [string, Uint8Array, string | RegExp][] = [
    [
      'a storage that is cut off',
      ofTensor({}, ONE.subarray(0, 20)),
      'lies in a storage of 20 bytes where 6 elements belong',
    ],
    ['a storage that is longer', ofTensor({ elements: 5, shape: [5] }), 'of 24 bytes where 5 elements belong'],
    ['no storage', archive(dictionary('x', tensor())), 'lies in the storage "0", which is missing'],
    ['an offset beyond the end', ofTensor({ offset: 1 }), 'reaches beyond its storage'],
    ['strides beyond the end', ofTensor({ shape: [2, 3], strides: [4, 1] }), 'reaches beyond its storage'],
    ['repeated elements', ofTensor({ shape: [200, 200], strides: [0, 0] }), 'repeats elements of its storage'],
    [
      'fewer strides than sizes',
      ofTensor({ shape: [2, 3] }),
      'made by "torch._utils._rebuild_tensor_v2 of unusable parameters"',
    ],
    ['a quantized type', ofTensor({ type: 'QInt8Storage' }), 'is of type "QInt8Storage", which is not read'],
  ];
  test.each(TENSORS)('a tensor with %s', (_, bytes, message) => expectRefusal(readAll(bytes), message));

  test('archives', async () => {
    const bytes = writeZip(new Map([['a/data.pkl', pickle(0x29)]]));
    const end = bytes.length - 22;
    const directory = new DataView(bytes.buffer).getUint32(end + 16, true);
    const changed = (...changes: readonly [at: number, value: number][]) => {
      const copy = bytes.slice();
      for (const [at, value] of changes) copy[at] = value;
      return copy;
    };
    for (const [what, given, message] of [
      ['none', Uint8Array.from(bytesOf('PK\u0003\u0004 and no more')), 'it has no directory'],
      ['no end', bytes.subarray(0, -1), 'it has no directory'],
      ['a longer directory', changed([end + 12, 255]), 'its directory is cut off'],
      ['more entries', changed([end + 10, 9]), 'its directory is cut off'],
      ['another place', changed([end + 16, 1]), 'its directory is cut off'],
      ['encrypted', changed([directory + 8, 1]), 'its entry "a/data.pkl" is encrypted'],
      ['another method', changed([directory + 10, 12]), 'is packed by method 12, which is not read'],
      ['not deflated', changed([directory + 10, 8]), 'does not unpack to its 4 bytes'],
      [
        'another checksum',
        changed([directory + 16, bytes[directory + 16]! ^ 1]),
        'is damaged: its checksum does not match',
      ],
      ['another size', changed([directory + 24, 9]), 'does not unpack to its 9 bytes'],
      ['beyond the end', changed([directory + 42, 255]), 'is not where it should be'],
      ['no pickle', writeZip(new Map([['x', ONE]])), 'without data.pkl, so it is none of PyTorch'],
      [
        'big-endian',
        writeZip(
          new Map([
            ['data.pkl', pickle(0x29)],
            ['byteorder', Uint8Array.from(bytesOf('big'))],
          ]),
        ),
        'big-endian',
      ],
    ] as const)
      await expectRefusal(readAll(given), message).catch((error) => expect.fail(`${what}: ${error}`));
    expect(() => openZip(twice(bytes), 'm')).toThrow(UserError);
  });

  test('an archive that unpacks to more than deflate makes of it', async () => {
    const bytes = golden('teachers.zip');
    const view = new DataView(bytes.buffer);
    const directory = view.getUint32(bytes.length - 22 + 16, true);
    view.setUint32(directory + 24, 2 ** 30 - 1, true);
    await expectRefusal(openSources(bytes, 'm.zip'), /unpacks? to/);
    view.setUint32(directory + 24, 2 ** 32 - 2, true);
    await expectRefusal(openSources(bytes, 'm.zip'), 'unpacks to 4');
  });

  test('what no reader knows', async () => {
    for (const given of [[], [1], [0x80, 2], [0x80, 2, 0x4b, 1, 0x2e], bytesOf('GIF89a'), bytesOf('torch')])
      await expectRefusal(openSources(Uint8Array.from(given), 'm'), /^(m |the pickle in m )/);
    await expectRefusal(openSources(writeZip(new Map([['a.txt', ONE]])), 'm'), 'an archive without weights in it');
  });
});

/** An archive whose directory names its entry a second time. */
function twice(bytes: Uint8Array): Uint8Array {
  const end = bytes.length - 22;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const from = view.getUint32(end + 16, true);
  const central = bytes.subarray(from, end);
  const copy = Uint8Array.from([...bytes.subarray(0, end), ...central, ...bytes.subarray(end)]);
  const changed = new DataView(copy.buffer);
  const place = end + central.length;
  changed.setUint16(place + 10, 2, true);
  changed.setUint32(place + 12, 2 * central.length, true);
  return copy;
}

describe('mutations', () => {
  const MUTATIONS = 400;
  const HANGS_MS = 3000;

  /** Changes bytes, cuts, repeats, or moves parts. */
  function mutate(bytes: Uint8Array, random: Random): Uint8Array {
    const copy = bytes.slice();
    const at = () => random.integer(copy.length);
    const kind = random.integer(6);
    if (kind === 0) return copy.subarray(0, at());
    if (kind === 1) {
      const [a, b] = [at(), at()].sort((x, y) => x - y) as [number, number];
      return Uint8Array.from([...copy.subarray(0, b), ...copy.subarray(a)]);
    }
    if (kind === 2) copy.copyWithin(at(), at(), at());
    else
      for (let i = 0; i <= random.integer(8); i++)
        copy[at()] = kind === 3 ? [0, 255, 0x28, 0x52][random.integer(4)]! : random.integer(256);
    return copy;
  }

  const judge = async (bytes: Uint8Array, seed: number) => {
    const began = performance.now();
    let accepted = true;
    try {
      const [file] = await openSources(bytes, 'm');
      for (const key of file!.shapes.keys()) await file!.read(key).catch(assertUserError);
    } catch (error) {
      assertUserError(error);
      accepted = false;
    }
    if (performance.now() - began > HANGS_MS) expect.fail(`seed ${seed} hangs`);
    return accepted;
  };

  function assertUserError(error: unknown): void {
    if (!(error instanceof UserError)) throw error;
    expect(error.message).toMatch(/^[^\n\r]{1,600}\.$/);
  }

  for (const file of ['tiny.pth', 'tiny-protocol4.pth', 'tiny-legacy.pth'])
    test(`of ${file}: a sentence, or other values`, async () => {
      let accepted = 0;
      for (let seed = 0; seed < MUTATIONS; seed++)
        accepted += Number(await judge(mutate(golden(file), new Random(seed)), seed));
      expect(accepted).toBeLessThan(MUTATIONS);
    });

  for (const file of ['tiny.pth', 'tiny-protocol4.pth'])
    test(`of the pickle in ${file}, with right checksums around it`, async () => {
      const files = await unpacked(golden(file));
      const [name, original] = [...files].find(([name]) => name.endsWith('data.pkl'))!;
      let accepted = 0;
      for (let seed = 0; seed < MUTATIONS; seed++) {
        const bytes = writeZip(new Map([...files, [name, mutate(original, new Random(seed))]]));
        accepted += Number(await judge(bytes, seed));
      }
      expect(accepted).toBeGreaterThan(0);
      expect(accepted).toBeLessThan(MUTATIONS);
    });

  test('of an ONNX file', async () => {
    const weights = { shape: [2, 3, 4, 4], dtype: 'f32' } as const;
    const w = new Parameter(
      'conv1.weight',
      weights,
      Float32Array.from({ length: 96 }, (_, i) => i / 7),
    );
    const b = new Parameter('conv1.bias', { shape: [2], dtype: 'f32' }, Float32Array.of(1, 2));
    const y = conv2d(input('x', [1, 3, 9, 9]), w.node, b.node, { padding: 3 });
    const onnx = exportOnnx({ y });
    const [source] = await openSources(onnx, 'm');
    expect(source!.settings.get('conv1.padding.0')).toBe(3);
    expect(decodeTensor(await source!.read('conv1.weight'))).toEqual(w.data);
    let accepted = 0;
    for (let seed = 0; seed < MUTATIONS; seed++) accepted += Number(await judge(mutate(onnx, new Random(seed)), seed));
    expect(accepted).toBeGreaterThan(0);
    expect(accepted).toBeLessThan(MUTATIONS);
  });
});
