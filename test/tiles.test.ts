import { describe, expect, onTestFinished, test } from 'vitest';
import { untrainedQuantized } from '../src/bench/untrained.ts';
import type { ImageSource, RgbImage } from '../src/data/image.ts';
import { renderSpecimen } from '../src/data/synthetic/generate.ts';
import { withFilter } from '../src/detector/calibrate.ts';
import { Detector } from '../src/detector/detector.ts';
import type { DetectorState } from '../src/detector/detectorState.ts';
import { GaussianFilter, LocationFilter } from '../src/detector/mapFilters.ts';
import { readModel, saveDetector } from '../src/detector/modelFile.ts';
import { gridOf, seenImages } from '../src/detector/seen.ts';
import { tilingOf } from '../src/detector/tiledChain.ts';
import { Engine } from '../src/engine/engine.ts';
import { input } from '../src/engine/graph.ts';
import { UserError } from '../src/errors.ts';
import { chooseFilter } from '../src/evaluation/chooseFilter.ts';
import { evaluate } from '../src/evaluation/evaluate.ts';
import { resizeImageOnHost } from '../src/imaging/hostResize.ts';
import { packPixels, unpackPixels } from '../src/imaging/pixels.ts';
import { drawnTiles, packTile, tilesPerImage } from '../src/imaging/tiles.ts';
import { channelDistance } from '../src/kernels/channelDistance.ts';
import { imageResize, imageToTensor } from '../src/kernels/image.ts';
import { componentRegions } from '../src/metrics/overlap.ts';
import { bankDistance, standardFeatures } from '../src/networks/inference.ts';
import { MemoryBank } from '../src/networks/memoryBank.ts';
import { Networks } from '../src/networks/networks.ts';
import type { Padding } from '../src/networks/pdn.ts';
import { openDevice } from '../src/node/device.ts';
import { readTeacher } from '../src/node/teachers.ts';
import { exportDetector } from '../src/onnx/detector.ts';
import { uniformPlan } from '../src/quantization/bitPlan.ts';
import { type FitOptions, fit, PRESETS } from '../src/train/fit.ts';
import { fitNearest } from '../src/train/nearest.ts';
import { generatedPenalty } from '../src/train/penalty.ts';
import { recalibrate } from '../src/train/recalibrate.ts';
import { engine } from './support/gpu.ts';
import { untrainedDetector } from './support/untrained.ts';

const gpu = await engine();
const untrained = await untrainedDetector();
const SIZE = { width: 307, height: 213 };

/** A picture of nothing in particular, whose neighbors differ. */
function picture(width: number, height: number, seed = 1): RgbImage {
  const byte = (i: number) => {
    const [x, y, c] = [Math.floor(i / 3) % width, Math.floor(i / 3 / width), i % 3];
    return 128 + 70 * Math.sin((x * seed) / (7 + c)) + 40 * Math.cos(y / (5 + 2 * c)) + 15 * Math.sin((x * y) / 97);
  };
  return { width, height, data: Uint8Array.from({ length: 3 * width * height }, (_, i) => byte(i)) };
}

/** The untrained detector, with another border, or a memory bank of some of the teacher's filters. */
function networksOf(padding: Padding, hasBank = false): Networks {
  const made = new Networks('xs', 128, padding, hasBank ? (channels) => new MemoryBank(64, channels) : undefined);
  made.teacher.parameters.forEach((parameter, i) => {
    parameter.data = untrained.networks.teacher.parameters[i]!.data;
  });
  if (!hasBank) made.initialize(3);
  else {
    const { weight } = made.bank!.convolution;
    weight.data = Float32Array.from({ length: 64 * 128 }, (_, i) => Math.sin(i * i));
    made.bank!.settle();
  }
  return made;
}

function stateOf(networks: Networks, size = SIZE): DetectorState {
  return { ...untrained, networks, tiling: tilingOf(size, networks) };
}

function detectorOf(state: DetectorState): Detector {
  const detector = new Detector(gpu, state);
  onTestFinished(() => detector.destroy());
  return detector;
}

/** Largest difference as a share of the largest value. */
function error(ours: Float32Array, theirs: Float32Array): number {
  expect(ours).toHaveLength(theirs.length);
  const largest = (values: Float32Array) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return largest(ours.map((value, i) => value - theirs[i]!)) / largest(theirs);
}

/** The first raw map of the whole image, by one run of the networks over all of it. */
async function wholeMap(networks: Networks, image: RgbImage): Promise<Float32Array> {
  const { teacher, channels } = networks;
  const x = imageToTensor(input('image', [1, image.height, image.width], 'u32'));
  const features = standardFeatures(networks, teacher, x);
  const first = { channels: { start: 0, count: channels } };
  const map = bankDistance(networks, features) ?? channelDistance(features, networks.student.forward(x, first));
  const plan = await gpu.compile({ outputs: { map } });
  const result = await plan.run({ image: packPixels(image) }, ['map']);
  plan.destroy();
  return result['map'] as Float32Array;
}

describe('maps of tiles', () => {
  test.each([
    ['none', false, SIZE],
    ['reflect', false, SIZE],
    ['none', true, SIZE],
    ['reflect', true, SIZE],
    ['none', false, { width: 128, height: 640 }],
    ['reflect', false, { width: 256, height: 130 }],
  ] as const)('are those of the whole image: border %s, bank %s, %o', async (padding, hasBank, size) => {
    const networks = networksOf(padding, hasBank);
    const image = picture(size.width, size.height);
    const detector = detectorOf(stateOf(networks, size));
    const { studentTeacher, autoencoder } = await detector.rawMaps(image);
    expect(error(studentTeacher, await wholeMap(networks, image))).toBeLessThan(1e-5);
    const { rows, columns } = gridOf(detector.state);
    expect(studentTeacher).toHaveLength(rows * columns);
    expect(autoencoder === studentTeacher || !hasBank).toBe(true);
  });

  test('of an image as large as the input are those of a detector without', async () => {
    const networks = networksOf('reflect');
    const { tiling: _, ...plain } = stateOf(networks, { width: 128, height: 128 });
    const filter = new GaussianFilter();
    const image = picture(128, 128);
    const [tiled, whole] = [
      { ...stateOf(networks, { width: 128, height: 128 }), filter },
      { ...plain, filter },
    ].map(detectorOf);
    const [ours, theirs] = [await tiled!.predict(image), await whole!.predict(image)];
    expect(error(ours.gridMap, theirs.gridMap)).toBeLessThan(1e-4);
    expect(error(ours.map, theirs.map)).toBeLessThan(1e-4);
    expect(ours.score).toBeCloseTo(theirs.score, 3);
    // Without a round trip to pixels of another size, too.
    const small = picture(60, 77);
    expect(error((await tiled!.predict(small)).map, (await whole!.predict(small)).map)).toBeLessThan(1e-4);
  });

  test('the autoencoder sees the whole image, and is said where it lies', async () => {
    const networks = networksOf('none');
    const { tiling: _, ...plain } = stateOf(networks);
    const image = picture(SIZE.width, SIZE.height, 0.3);
    const [tiled, whole] = [stateOf(networks), plain].map(detectorOf);
    const ours = await tiled!.rawMaps(image);
    const { autoencoder } = await whole!.rawMaps(image);
    const onImage = await whole!.place(autoencoder, SIZE.width, SIZE.height);
    const { rows, columns } = gridOf(tiled!.state);
    const atCells = Float32Array.from({ length: rows * columns }, (_, i) => {
      const [x, y] = [16 + 4 * (i % columns), 16 + 4 * Math.floor(i / columns)];
      return onImage[y * SIZE.width + x]!;
    });
    expect(error(ours.autoencoder, atCells)).toBeLessThan(1e-4);
  });

  test('in parts are the same, and an image of another size is brought to that of the tiles', async () => {
    const detector = detectorOf(stateOf(networksOf('none')));
    const image = picture(SIZE.width, SIZE.height);
    const [plain, sliced] = [await detector.predict(image), await detector.predict(image, { maxMilliseconds: 5 })];
    expect(sliced.map).toEqual(plain.map);
    const larger = picture(2 * SIZE.width, 2 * SIZE.height, 0.5);
    const [ours, theirs] = await detector.predictBatch([larger, resizeImageOnHost(larger, SIZE.width, SIZE.height)]);
    expect(ours!.branches.studentTeacher).toBe(theirs!.branches.studentTeacher);
    expect([ours!.width, ours!.map.length]).toEqual([larger.width, larger.width * larger.height]);
  });

  test('quantized: integers agree with rounded floats', async () => {
    const networks = networksOf('reflect');
    const { state } = untrainedQuantized(gpu, networks, { weights: 8, activations: 8 });
    const quantized = detectorOf({ ...state, tiling: tilingOf(SIZE, networks) });
    const simulated = new Detector(gpu, quantized.state, { simulate: true });
    onTestFinished(() => simulated.destroy());
    const image = picture(SIZE.width, SIZE.height);
    const [ours, theirs] = [await quantized.rawMaps(image), await simulated.rawMaps(image)];
    expect(error(ours.studentTeacher, theirs.studentTeacher)).toBeLessThan(1e-2);
    expect(error(ours.autoencoder, theirs.autoencoder)).toBeLessThan(1e-2);
  });
});

test('memory on the device does not depend on the size of images', async () => {
  const opened = await openDevice();
  onTestFinished(() => opened.close());
  const { device } = opened;
  let [bytes, most] = [0, 0];
  const createBuffer = device.createBuffer.bind(device);
  device.createBuffer = (descriptor) => {
    const buffer = createBuffer(descriptor);
    const destroy = buffer.destroy.bind(buffer);
    bytes += descriptor.size;
    most = Math.max(most, bytes);
    buffer.destroy = () => {
      bytes -= descriptor.size;
      return destroy();
    };
    return buffer;
  };
  const own = new Engine({ device });
  const peaks: number[] = [];
  for (const [width, height] of [
    [256, 192],
    [1024, 768],
  ] as const) {
    most = bytes;
    const detector = new Detector(own, stateOf(networksOf('none'), { width, height }));
    await detector.predict(picture(width, height));
    detector.destroy();
    peaks.push(most);
  }
  expect(peaks[1]).toBe(peaks[0]);
});

describe('pixels', () => {
  test.each([
    [203, 151, 90, 140],
    [64, 33, 200, 40],
  ])('the resize on the host equals that of the device: %i x %i', async (width, height, toWidth, toHeight) => {
    const image = picture(width, height);
    const pixels = imageResize(input('image', [1, height, width], 'u32'), toHeight, toWidth);
    const plan = await gpu.compile({ outputs: { pixels } });
    const theirs = (await plan.run({ image: packPixels(image) }, ['pixels']))['pixels'] as Uint32Array;
    gpu.release(plan.parameters);
    plan.destroy();
    expect(packPixels(resizeImageOnHost(image, toWidth, toHeight))).toEqual(theirs);
  });

  test('a tile over the border has the image mirrored there', () => {
    const image = picture(40, 30);
    const words = new Uint32Array(16 * 16);
    packTile(image, { left: -3, top: 20, side: 16 }, words);
    const tile = unpackPixels(words, 16, 16);
    for (let y = 0; y < 16; y++)
      for (let x = 0; x < 16; x++) {
        const [row, column] = [20 + y > 29 ? 58 - 20 - y : 20 + y, Math.abs(x - 3)];
        const at = 3 * (40 * row + column);
        expect(tile.data.subarray(3 * (16 * y + x), 3 * (16 * y + x) + 3)).toEqual(image.data.subarray(at, at + 3));
      }
  });

  test('drawn tiles: equal for equal seeds, each image read once, named by it', async () => {
    const reads = [0, 0, 0];
    const source: ImageSource = {
      count: 3,
      digest: 'd',
      paths: ['a', 'b', 'c'],
      async image(i) {
        reads[i]!++;
        return picture(90 + i, 70, 1 + i);
      },
    };
    const options = { size: { width: 90, height: 70 }, side: 32, perImage: 5, seed: 7 };
    const tiles = drawnTiles(source, options);
    expect(tiles.count).toBe(15);
    expect(tiles.paths!.slice(4, 6)).toEqual(['a', 'b']);
    const all = await Promise.all(Array.from({ length: 15 }, (_, i) => tiles.image(i)));
    expect(reads).toEqual([1, 1, 1]);
    expect(await drawnTiles(source, options).image(7)).toEqual(all[7]);
    expect(drawnTiles(source, { ...options, seed: 8 }).digest).not.toBe(tiles.digest);
    expect(new Set(all.map(({ data }) => data.join())).size).toBe(15);
    for (const { width, height, data } of all) expect([width, height, data.length]).toEqual([32, 32, 3 * 32 * 32]);
  });

  test.each([
    [10, 512, 128, 52],
    [1000, 512, 128, 1],
    [1, 10 ** 6, 128, 10922],
    [0, 512, 128, 512],
  ])('of %i images %i tiles of %i px: %i each', (images, wanted, side, each) => {
    expect(tilesPerImage(images, wanted, side)).toBe(each);
  });
});

const drawn = new Map<number, Uint8Array>();

/** Six specimens side by side, [256, 384, 3]. */
function specimens(index: number): Uint8Array {
  const known = drawn.get(index);
  if (known) return known;
  const data = new Uint8Array(3 * 384 * 256);
  for (let k = 0; k < 6; k++) {
    const { image } = renderSpecimen('denim', undefined, 10 * index + k, 128);
    const [left, top] = [128 * (k % 3), 128 * Math.floor(k / 3)];
    for (let y = 0; y < 128; y++) data.set(image.data.subarray(384 * y, 384 * (y + 1)), 3 * ((top + y) * 384 + left));
  }
  drawn.set(index, data);
  return data;
}

/** Large parts, and such with a checkered spot of 4 px that is lost when they shrink. */
function parts(first: number, count: number, isDefective = false): ImageSource {
  return {
    count,
    async image(i) {
      const [width, height] = [384, 256];
      const data = specimens(first + i).slice();
      if (isDefective)
        for (let k = 0; k < 16; k++) {
          const at = 3 * ((150 + (k >> 2)) * width + 300 + (k & 3));
          data.fill(255 * ((k ^ (k >> 2)) & 1), at, at + 3);
        }
      return { width, height, data };
    },
  };
}

describe('a detector that looks at tiles', () => {
  const size = { width: 384, height: 256 };
  const bank = { size: 'xs', resolution: 128, vectors: 256, seed: 3 } as const;
  const few = async (tiles?: typeof size) =>
    fitNearest({
      engine: gpu,
      settings: bank,
      dataset: 'parts',
      ...(tiles && { tiles }),
      train: parts(0, 4),
      heldOut: parts(4, 2),
      teacher: await readTeacher('xs'),
      alpha: 0.2,
    });

  test('finds what is lost when images shrink, by one threshold for all tiles', async () => {
    const [tiled, shrunk] = [await few(size), await few()];
    const bad = await parts(20, 1, true).image(0);
    expect((await shrunk.predict(bad)).isAnomalous).toBe(false);
    const { isAnomalous, map, score } = await tiled.predict(bad);
    expect(isAnomalous).toBe(true);
    const at = map.indexOf(score);
    expect(Math.hypot((at % 384) - 302, Math.floor(at / 384) - 152)).toBeLessThan(12);
    expect(tiled.state.threshold).toMatchObject({ images: 6 });

    const bytes = await saveDetector(tiled);
    const read = detectorOf(await readModel(bytes, 'tiled'));
    expect(read.state.tiling!.value).toEqual(size);
    expect((await read.predict(bad)).score).toBe(score);
    expect(Buffer.compare(await saveDetector(read), bytes)).toBe(0);

    const mask = new Uint8Array(384 * 256);
    for (let k = 0; k < 16; k++) mask[(150 + (k >> 2)) * 384 + 300 + (k & 3)] = 1;
    const truth = { mask, regions: componentRegions(mask, 384, 256) };
    const { metrics } = await evaluate({
      detector: tiled,
      source: {
        count: 2,
        overlap: 'perRegion',
        averageKinds: false,
        sample: (i) => ({ name: String(i), defect: i === 0 ? 'good' : 'spot' }),
        load: async (i) => (i === 0 ? { image: await parts(21, 1).image(0) } : { image: bad, truth }),
      },
    });
    expect(metrics.auroc).toBe(1);
    expect(metrics.overlap!.areas[0]).toBeGreaterThan(0.9);
    for (const each of [tiled, shrunk]) each.destroy();
  });

  const [train, heldOut, penalty] = [parts(0, 3), parts(4, 2), generatedPenalty(0)];

  const trained = async (change: Partial<FitOptions> = {}) =>
    fit({
      engine: gpu,
      settings: { ...PRESETS.quick, iterations: 3, batch: 2 },
      dataset: 'parts',
      tiles: size,
      train,
      heldOut,
      penalty,
      teacher: await readTeacher('xs'),
      ...change,
    });

  test('is trained on tiles and wholes; stopping and going on changes nothing', async () => {
    const saved: Uint8Array[] = [];
    const checkpoint = { every: 2, save: async (bytes: Uint8Array) => void saved.push(bytes) };
    const detector = await trained({ checkpoint });
    const resumed = await trained({ checkpoint, resume: saved[0]! });
    expect(await saveDetector(resumed)).toEqual(await saveDetector(detector));
    for (const each of [detector, resumed]) each.destroy();
  });

  // Ranges and biases take hundreds of tiles.
  test.runIf(process.env['RAAD_TEST'] === 'full')('is quantized and trained on', async () => {
    const detector = await trained();
    const plan = uniformPlan(detector.state.networks, { weights: 8, activations: 8 });
    const settings = { iterations: 1, learningRate: 1e-9 };
    const quantized = await recalibrate({ detector, plan, train, heldOut, penalty, settings });
    expect(quantized.state.tiling!.value).toEqual(size);
    const image = await heldOut.image(0);
    const [ours, theirs] = [await quantized.rawMaps(image), await detector.rawMaps(image)];
    expect(error(ours.studentTeacher, theirs.studentTeacher)).toBeLessThan(0.2);
    expect(error(ours.autoencoder, theirs.autoencoder)).toBeLessThan(0.2);
    for (const each of [detector, quantized]) each.destroy();
  });

  test('learns of its own tiles, and for the autoencoder of whole images', async () => {
    const state = stateOf(networksOf('none'), size);
    const { images, wholes } = await seenImages(state, parts(0, 2), 6);
    expect([images.count, wholes!.count]).toEqual([6, 2]);
    const { width, height } = await images.image(3);
    expect([width, height]).toEqual([128, 128]);
  });

  test('blurs the map of the whole, and refuses what it cannot do', async () => {
    const detector = detectorOf(stateOf(networksOf('none'), size));
    const blurred = await withFilter(detector, new GaussianFilter(), parts(0, 2));
    const image = await parts(7, 1).image(0);
    const plain = new Detector(gpu, { ...detector.state, quantiles: blurred.state.quantiles });
    const { columns } = gridOf(detector.state);
    const expected = new GaussianFilter().apply((await plain.predict(image)).gridMap, columns);
    expect(error((await blurred.predict(image)).gridMap, expected)).toBeLessThan(1e-6);
    for (const each of [blurred, plain]) each.destroy();

    const location = new LocationFilter(new Float32Array(2 * 24 * 24).fill(1), 4);
    await expect(withFilter(detector, location, parts(0, 4))).rejects.toThrow(/not normalized per location/);
    await expect(saveDetector({ state: { ...detector.state, filter: location } })).rejects.toThrow(/per location/);
    await expect(chooseFilter({ detector, heldOut: parts(0, 2) })).rejects.toThrow(/no map filter is chosen/);
    await expect(detector.prepare({ width: 384, height: 256 })).rejects.toThrow(/not recorded/);
    expect(() => exportDetector(detector.state)).toThrow(/looks at tiles/);
    const region = {
      ...size,
      corners: [
        [0, 0],
        [99, 0],
        [99, 99],
        [0, 99],
      ] as const,
    };
    await expect(saveDetector({ state: { ...detector.state, region } })).rejects.toThrow(/together with a region/);
  });

  test.each([
    [{ width: 127, height: 300 }, /is \{"width":127,"height":300\}. It has/],
    [{ width: 300 }, /a width and a height of at least 128 px/],
    [{ width: 300.5, height: 300 }, /is \{"width":300.5/],
    [{ width: 2 ** 16, height: 2 ** 16 }, /at most 134217728 pixels/],
    [[300, 300], /is \[300,300\]/],
  ])('of no size: %j', (given, message) => {
    const refusal = () => tilingOf(given, networksOf('none'));
    expect(refusal).toThrow(UserError);
    try {
      refusal();
    } catch (error) {
      expect(`${(error as UserError).message} ${(error as UserError).fix}`).toMatch(message);
    }
  });
});
