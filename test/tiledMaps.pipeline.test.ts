import { describe, expect, onTestFinished, test } from 'vitest';
import { untrainedQuantized } from '../src/bench/untrained.ts';
import type { ImageSource, RgbImage } from '../src/data/image.ts';
import { Detector } from '../src/detector/detector.ts';
import { GaussianFilter } from '../src/detector/mapFilters.ts';
import { gridOf } from '../src/detector/seen.ts';
import { tilingOf } from '../src/detector/tiledChain.ts';
import { Engine } from '../src/engine/engine.ts';
import { input } from '../src/engine/graph.ts';
import { resizeImageOnHost } from '../src/imaging/hostResize.ts';
import { packPixels, unpackPixels } from '../src/imaging/pixels.ts';
import { drawnTiles, packTile, tilesPerImage } from '../src/imaging/tiles.ts';
import { channelDistance } from '../src/kernels/channelDistance.ts';
import { imageResize, imageToTensor } from '../src/kernels/image.ts';
import { bankDistance, standardFeatures } from '../src/networks/inference.ts';
import type { Networks } from '../src/networks/networks.ts';
import { openDevice } from '../src/node/device.ts';
import { detectorOf, error, gpu, networksOf, picture, SIZE, stateOf } from './support/tiled.ts';

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
