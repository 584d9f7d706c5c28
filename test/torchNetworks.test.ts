import { beforeAll, describe, expect, test } from 'vitest';
import { renderSpecimen } from '../src/data/synthetic/generate.ts';
import { Detector } from '../src/detector/detector.ts';
import type { DetectorState } from '../src/detector/detectorState.ts';
import { readModel, saveDetector } from '../src/detector/modelFile.ts';
import { input, type Node } from '../src/engine/graph.ts';
import type { VariantChoice } from '../src/engine/lower.ts';
import { type StoredTensor, type TensorData, writeSafetensors } from '../src/formats/safetensors.ts';
import { calibrateImported } from '../src/interchange/calibrate.ts';
import { importDetector } from '../src/interchange/detector.ts';
import { exportTorchDetector, exportTorchTeacher } from '../src/interchange/export.ts';
import { importTeacher } from '../src/interchange/teacher.ts';
import { Networks } from '../src/networks/networks.ts';
import { PDN_CHANNELS, Pdn } from '../src/networks/pdn.ts';
import { readTeacher } from '../src/node/teachers.ts';
import { exportOnnx } from '../src/onnx/export.ts';
import { readTorch } from '../src/torch/file.ts';
import { type TorchTensor, writeTorch } from '../src/torch/write.ts';
import { loadTeacher } from '../src/train/teacher.ts';
import { engine } from './support/gpu.ts';
import { mixedDetector } from './support/modelFiles.ts';
import { expected, expectRefusal, golden, unpacked } from './support/torchFiles.ts';
import { untrainedDetector } from './support/untrained.ts';

const gpu = await engine();

const norm = (values: Float32Array) => Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0));
const largest = (values: Float32Array) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

/** How far values are from PyTorch's, as a share of these: by norm, or by the largest of them. */
function error(ours: Float32Array, { data }: StoredTensor, measure = norm): number {
  expect(ours).toHaveLength(data.length);
  return measure(ours.map((value, i) => value - data[i]!)) / measure(Float32Array.from(data));
}

async function evaluate(y: Node, x: Float32Array, variants: VariantChoice = {}): Promise<Float32Array> {
  const plan = await gpu.compile({ outputs: { y }, variants });
  const { y: values } = await plan.run({ x }, ['y']);
  plan.destroy();
  return values as Float32Array;
}

function expectSameBytes(ours: TensorData, theirs: TensorData, name: string): void {
  const [a, b] = [ours, theirs].map(({ buffer, byteOffset, byteLength }) =>
    Buffer.from(buffer, byteOffset, byteLength),
  );
  expect(Buffer.compare(a!, b!), name).toBe(0);
}

/** The image that PyTorch saw. */
const picture = (side: number) =>
  Float32Array.from({ length: 3 * side * side }, (_, i) => (((i * i + 31 * i) % 1013) / 1013) * 4 - 2);

/** Winograd's transforms take 9e-6 on lavapipe. */
const ROUNDED = 2e-5;

describe('teachers that PyTorch wrote', () => {
  for (const [size, padding, side] of [
    ['s', 'none', 45],
    ['s', 'zeros', 18],
    ['m', 'none', 45],
    ['m', 'zeros', 18],
  ] as const)
    test(`PDN-${size.toUpperCase()}, padding ${padding}: equal to torch below 1e-5`, async () => {
      const teacher = await importTeacher(golden('teachers.zip'), 'teachers.zip', size);
      expect(teacher.size).toBe(size);
      const pdn = new Pdn(size, 'teacher', PDN_CHANNELS[size], padding);
      for (const parameter of pdn.parameters)
        parameter.data = teacher.tensors.get(parameter.name.slice('teacher.'.length))!.data as Float32Array;
      const y = pdn.forward(input('x', [1, 3, side, side]));
      const torch = expected.get(`pdn-${size}${padding === 'none' ? '' : '-padded'}`)!;
      expect(error(await evaluate(y, picture(side), { conv2d: 'direct' }), torch, largest)).toBeLessThan(1e-5);
      // What is chosen here may transform, which rounds more.
      expect(error(await evaluate(y, picture(side)), torch)).toBeLessThan(ROUNDED);
      gpu.release(pdn.parameters);
    });

  test('a teacher among other networks is found, plain and in a Sequential, as a state dict, a checkpoint and a module', async () => {
    const [small, medium] = [...(await unpacked(golden('teachers.zip'))).values()] as [Uint8Array, Uint8Array];
    const wanted = await importTeacher(small, 'teacher_small.pth');
    for (const file of ['anomalib.zip', 'modules.zip']) {
      const { tensors } = await importTeacher(golden(file), file);
      for (const [key, { data }] of wanted.tensors) expectSameBytes(tensors.get(key)!.data, data, `${file} ${key}`);
    }
    expect((await importTeacher(medium, 'teacher_medium.pth')).size).toBe('m');
    await expectRefusal(
      importTeacher(golden('teachers.zip'), 'z'),
      /^z holds 2 teachers: PDN-S in z\/.*small.pth, PDN-M in/,
    );
    await expectRefusal(importTeacher(small, 'm.pth', 'm'), 'm.pth holds no teacher of size m: PDN-S in m.pth.');
  });
});

describe("anomalib's detector", () => {
  let state: DetectorState;
  beforeAll(async () => {
    const imported = await importDetector([{ name: 'anomalib.zip', bytes: golden('anomalib.zip') }], {
      placement: 'anomalib',
    });
    expect(imported).toMatchObject({ hasStatistics: true, hasQuantiles: true });
    expect(imported.state.networks).toMatchObject({ size: 's', side: 256, padding: 'none' });
    expect(imported.state.provenance.iterations).toBe(700);
    state = imported.state;
  });
  const data = Uint8Array.from({ length: 3 * 256 * 256 }, (_, i) => (i * 7 + Math.floor(i / 97) * 13) % 251);
  const image = { width: 256, height: 256, data };

  test("gives torch's maps", async () => {
    const detector = new Detector(gpu, state);
    const maps = await detector.rawMaps(image);
    expect(error(maps.studentTeacher, expected.get('st')!)).toBeLessThan(ROUNDED);
    expect(error(maps.autoencoder, expected.get('ae')!)).toBeLessThan(ROUNDED);
    const { map } = await detector.predict(image);
    const some = Float32Array.from(
      { length: 64 * 64 },
      (_, i) => map[(4 * Math.floor(i / 64) + 1) * 256 + 4 * (i % 64) + 2]!,
    );
    expect(error(some, expected.get('map')!)).toBeLessThan(1e-4);
    detector.destroy();
  });

  test('padded with zeros, too', async () => {
    const { networks } = state;
    const padded = new Networks(networks.size, networks.side, 'zeros');
    padded.parameters.forEach((parameter, i) => {
      parameter.data = networks.parameters[i]!.data;
    });
    const detector = new Detector(gpu, { ...state, networks: padded });
    const maps = await detector.rawMaps(image);
    detector.destroy();
    expect(error(maps.studentTeacher, expected.get('st-padded')!)).toBeLessThan(ROUNDED);
    expect(error(maps.autoencoder, expected.get('ae-padded')!)).toBeLessThan(ROUNDED);
  });

  test('three modules in files of their own are the same networks without statistics', async () => {
    const files = [...(await unpacked(golden('modules.zip')))].map(([name, bytes]) => ({ name, bytes }));
    const modules = await importDetector(files);
    expect(modules).toMatchObject({ hasStatistics: false, hasQuantiles: false });
    for (const [i, { name, data }] of modules.state.networks.parameters.entries())
      if (!/mean|std/.test(name)) expectSameBytes(data, state.networks.parameters[i]!.data, name);
    await expectRefusal(importDetector(files.slice(0, 2)), 'holds no autoencoder that goes with PDN-S.');
    await expectRefusal(
      importDetector(files.slice(1)),
      /^student_final.pth: the tensor "8.weight" has shape \[768, 256, 4, 4\]/,
    );
    await expectRefusal(importDetector([...files, files[1]!]), /holds 2 of a PDN-S student: .*student_final.pth/);
  });
});

describe('out and back', () => {
  const sameWeights = (a: Networks, b: Networks) =>
    a.parameters.forEach(({ name, data }, i) => {
      expectSameBytes(data, b.parameters[i]!.data, name);
    });

  test('a detector, bit by bit: float and quantized', async () => {
    for (const state of [await untrainedDetector(), await mixedDetector()]) {
      const bytes = exportTorchDetector(state);
      const { state: back, ...held } = await importDetector([{ name: 'd.pth', bytes }]);
      expect(held).toEqual({ hasStatistics: true, hasQuantiles: true });
      sameWeights(back.networks, state.networks);
      expect(back.quantiles).toEqual(state.quantiles);
    }
  });

  test('a teacher, bit by bit: plain and Sequential names, PyTorch, safetensors, ONNX', async () => {
    const shipped = await readTeacher('xs');
    const networks = new Networks('xs', 128);
    loadTeacher(networks, shipped, 'xs');
    const onnx = exportOnnx({ y: networks.teacher.forward(input('x', [1, 3, 64, 64])) });
    const files = {
      'plain.pth': exportTorchTeacher(shipped, 'xs'),
      'sequential.pth': exportTorchTeacher(shipped, 'xs', 'sequential'),
      'teacher.safetensors': writeSafetensors(shipped.tensors, {}),
      'teacher.onnx': onnx,
      // As exporters name constants that they have made themselves.
      'generated.onnx': withGeneratedNames(onnx),
    };
    for (const [name, bytes] of Object.entries(files)) {
      const { tensors, size } = await importTeacher(bytes, name);
      expect(size).toBe('xs');
      for (const [key, { shape, data }] of shipped.tensors) {
        expect(tensors.get(key)!.shape, name).toEqual(shape);
        expectSameBytes(tensors.get(key)!.data, data, `${name} ${key}`);
      }
    }
    expect([...(await readTorch(files['sequential.pth'], 's')).tensors.keys()].join()).toMatch(
      /^0.weight,0.bias,3.weight.*8.bias$/,
    );
    expect(() => exportTorchTeacher({ tensors: new Map(), metadata: {} }, 'x')).toThrow(
      'neither a detector nor a teacher',
    );
  });

  test('without statistics: images of good parts supply them and a threshold', async () => {
    const state = await untrainedDetector();
    const whole = await readTorch(exportTorchDetector(state), 'd');
    const without = async (part: RegExp) => {
      const kept = new Map<string, TorchTensor>();
      for (const key of whole.tensors.keys()) {
        const { shape, bytes, dtype } = await whole.read(key);
        const copy = new Uint8Array(bytes).buffer;
        if (!part.test(key))
          kept.set(key, { shape, data: dtype === 'F64' ? new Float64Array(copy) : new Float32Array(copy) });
      }
      return importDetector([{ name: 'd.pth', bytes: writeTorch(kept) }], { padding: 'zeros' });
    };
    const source = (count: number, seed: number) => ({
      count,
      image: async (index: number) => renderSpecimen('bracket', undefined, seed + index, 140).image,
    });
    const given = { engine: gpu, dataset: 'brackets', train: source(3, 0), heldOut: source(2, 9) };
    const bare = await without(/mean_std|quantiles/);
    expect(bare.state.networks.padding).toBe('zeros');
    const completed = await calibrateImported({ ...given, imported: bare });
    expect(completed.networks.teacherStd.data.every((value) => value > 0 && value !== 1)).toBe(true);
    expect(completed.quantiles.studentTeacher[1]).toBeGreaterThan(completed.quantiles.studentTeacher[0]);
    expect(completed.threshold).toMatchObject({ images: 2, promised: 1 / 3 });
    const known = await without(/^$/);
    const thresholded = await calibrateImported({ ...given, imported: known });
    expect(thresholded.quantiles).toEqual(state.quantiles);
    sameWeights(thresholded.networks, known.state.networks);
    const saved = await readModel(await saveDetector({ state: completed }));
    expect(saved.networks.padding).toBe('zeros');
    await expect(calibrateImported({ ...given, heldOut: source(0, 0), imported: known })).rejects.toThrow(
      'no good images',
    );
  });
});

/** The same file with names of constants as exporters make them up, of equal length. */
function withGeneratedNames(bytes: Uint8Array): Uint8Array {
  const text = Buffer.from(bytes).toString('latin1');
  const other = text.replace(/teacher\.conv(\d)\.(weight|bias)/g, 'onnx::Conv__$2_$1');
  expect(other).toHaveLength(text.length);
  return new Uint8Array(Buffer.from(other, 'latin1'));
}

describe('refused', () => {
  const shipped = readTeacher('xs');

  /** The shipped teacher with something else in it. */
  async function changed(change: (tensors: Map<string, TorchTensor>) => void): Promise<Uint8Array> {
    const tensors = new Map<string, TorchTensor>((await shipped).tensors);
    change(tensors);
    return writeTorch(tensors);
  }

  test('wrong shapes, missing tensors, values that teach nothing', async () => {
    const bias = (values: ArrayLike<number>) => ({ shape: [values.length], data: Float32Array.from(values) });
    await expectRefusal(
      importTeacher(await changed((t) => t.set('conv3.bias', bias(new Float32Array(9)))), 't.pth'),
      't.pth: the tensor "conv3.bias" has shape [9], a PDN-XS teacher has [64].',
    );
    await expectRefusal(
      importTeacher(await changed((t) => t.delete('conv2.bias')), 't.pth'),
      't.pth holds no PDN teacher',
    );
    await expectRefusal(
      importTeacher(await changed((t) => t.set('conv2.bias', bias(new Float32Array(64).fill(Number.NaN)))), 't.pth'),
      't.pth: the tensor "conv2.bias" holds values that are not finite.',
    );
    await expectRefusal(
      importTeacher(
        await changed((t) => t.set('conv1.weight', { shape: [32, 3, 4, 4], data: new Float32Array(1536) })),
        't.pth',
      ),
      'conv1.weight is all zero',
    );
    const bytes = await changed((t) => t.set('conv1.bias', { shape: [32], data: new Uint8Array(32) }));
    await expectRefusal(importTeacher(bytes, 't.pth'), 'the tensor "conv1.bias" holds no floats.');
  });

  test('statistics and quantiles that do not belong to the networks', async () => {
    const state = await untrainedDetector();
    const detector = await readTorch(exportTorchDetector(state), 'd');
    const edited = async (key: string, tensor: TorchTensor) => {
      const tensors = new Map<string, TorchTensor>();
      for (const name of detector.tensors.keys()) {
        const { shape, bytes, dtype } = await detector.read(name);
        const copy = new Uint8Array(bytes).buffer;
        tensors.set(name, { shape, data: dtype === 'F64' ? new Float64Array(copy) : new Float32Array(copy) });
      }
      return importDetector([{ name: 'd.pth', bytes: writeTorch(tensors.set(key, tensor)) }]);
    };
    await expectRefusal(
      edited('mean_std.mean', { shape: [3], data: Float32Array.of(1, 2, 3) }),
      'the statistics have 3 and 128 channels, the teacher has 128.',
    );
    await expectRefusal(
      edited('quantiles.qa_st', { shape: [], data: Float32Array.of(9) }),
      'the quantiles 9 and 2 are not in order.',
    );
  });
});
