import { describe, expect, test } from 'vitest';
import { untrainedQuantized } from '../src/bench/untrained.ts';
import type { RgbImage } from '../src/data/image.ts';
import { renderSpecimen } from '../src/data/synthetic/generate.ts';
import { conformalThreshold } from '../src/detector/conformal.ts';
import { Detector, type RawMaps } from '../src/detector/detector.ts';
import { loadDetector, readModel, saveDetector } from '../src/detector/modelFile.ts';
import { placeMap } from '../src/detectorOps/maps.ts';
import { maskCaps } from '../src/engine/adapter.ts';
import { Engine } from '../src/engine/engine.ts';
import { evaluateReference, input, Parameter, type Values } from '../src/engine/graph.ts';
import { Tuning } from '../src/engine/tuning.ts';
import { UserError } from '../src/errors.ts';
import { readSafetensors, writeSafetensors } from '../src/formats/safetensors.ts';
import { packPixels } from '../src/imaging/pixels.ts';
import { fusedAnomalyMaps, inferenceGraph } from '../src/networks/inference.ts';
import { Networks } from '../src/networks/networks.ts';
import { openDevice } from '../src/node/device.ts';
import { toBeAllclose } from './support/close.ts';
import { crop } from './support/crop.ts';
import { engine } from './support/gpu.ts';
import { untrainedDetector } from './support/untrained.ts';

const full = process.env['RAAD_TEST'] === 'full';
const gpu = await engine();

const state = await untrainedDetector();
const picture = renderSpecimen('bracket', 'scratch', 5, 192).image;

describe('prediction', () => {
  test('images of any size, the map at the size of the image', async () => {
    const detector = new Detector(gpu, state);
    for (const [width, height] of [
      [192, 192],
      [128, 128],
      [77, 130],
      [1, 1],
    ] as const) {
      const { map, score, isAnomalous, ...size } = await detector.predict(crop(picture, width, height));
      expect([size.width, size.height, map.length]).toEqual([width, height, width * height]);
      expect(score).toBe(Math.max(...map));
      expect(isAnomalous).toBe(score > 0.1);
    }
    detector.destroy();
  });

  test('raw maps of the whole network equal the float64 reference', async () => {
    const detector = new Detector(gpu, state);
    const square = crop(picture, 128, 128);
    const { studentTeacher, autoencoder } = await detector.rawMaps(square);
    const graph = detector.graph(1);
    const values = new Map([[graph.image, packPixels(square) as Values]]);
    const [st, ae] = evaluateReference([graph.studentTeacher, graph.autoencoder], values);
    toBeAllclose(studentTeacher, st!, { relative: 1e-5 });
    toBeAllclose(autoencoder, ae!, { relative: 1e-5 });
    detector.destroy();
  });

  // A CPU adapter takes minutes to compile them.
  describe.runIf(full)('by the kernels that GPUs run', () => {
    const caps = maskCaps(gpu.caps, { kind: 'gpu', isCpu: false });
    const asGpu = new Engine({ device: gpu.device, caps, tuning: new Tuning('none') });

    test('raw maps equal the float64 reference', async () => {
      const detector = new Detector(asGpu, state);
      const square = crop(picture, 128, 128);
      const { studentTeacher, autoencoder } = await detector.rawMaps(square);
      const { dispatches } = await detector.compile(1);
      const graph = detector.graph(1);
      const values = new Map([[graph.image, packPixels(square) as Values]]);
      const [st, ae] = evaluateReference([graph.studentTeacher, graph.autoencoder], values);
      toBeAllclose(studentTeacher, st!, { relative: 1e-5 });
      toBeAllclose(autoencoder, ae!, { relative: 1e-5 });
      const labels = dispatches.map(({ label }) => label);
      expect(labels.filter((label) => /resize[1-6]|dec8|map.all/.test(label))).toEqual([]);
      expect(labels.at(-1)).toBe('map.autoencoder.distance');
      detector.destroy();
    });

    test('quantized, the maps are those of other adapters', async () => {
      const square = crop(picture, 128, 128);
      const maps = [];
      for (const on of [gpu, asGpu]) {
        const detector = untrainedQuantized(on, new Networks('xs', 128), { weights: 8, activations: 8 });
        maps.push(await detector.rawMaps(square));
        const { dispatches } = await detector.compile(1);
        const resizes = dispatches.filter(({ label }) => label.includes('.resize'));
        expect(resizes).toHaveLength(on === asGpu ? 0 : 7);
        detector.destroy();
      }
      const [other, own] = maps as [RawMaps, RawMaps];
      // A resized value may be rounded to the neighboring code.
      for (const name of ['studentTeacher', 'autoencoder'] as const)
        toBeAllclose(own[name], Float64Array.from(other[name]), { relative: 1e-3 });
    });
  });

  test('a batch that cannot be bound at once runs in parts, with the same maps', async () => {
    const quantiles = new Parameter('map.quantiles', { shape: [4], dtype: 'f32' }, Float32Array.of(0.5, 2, 0.01, 0.5));
    const square = packPixels(crop(picture, 128, 128));
    const other = packPixels(crop(renderSpecimen('biscuit', undefined, 1, 192).image, 128, 128));
    const pixels = new Uint32Array(3 * square.length);
    [square, other, square].forEach((one, i) => {
      pixels.set(one, i * square.length);
    });
    const results = [];
    for (const bindable of [2 ** 30, 10 * 2 ** 20]) {
      const options = { maps: fusedAnomalyMaps, bindable };
      const { combined } = inferenceGraph(state.networks, quantiles.node, 3, options);
      const plan = await gpu.compile({ outputs: { combined } });
      const { combined: map } = await plan.run({ image: pixels }, ['combined']);
      results.push({ dispatches: plan.dispatches.length, map: map as Float32Array });
      plan.destroy();
    }
    const [whole, parts] = results;
    expect(parts!.dispatches).toBeGreaterThan(whole!.dispatches);
    toBeAllclose(parts!.map, Float64Array.from(whole!.map), { relative: 1e-5 });
  });

  test('a batch of images of different sizes gives what they give one by one', async () => {
    const detector = new Detector(gpu, state);
    const images = [crop(picture, 128, 128), crop(picture, 150, 60), picture];
    const together = await detector.predictBatch(images);
    for (const [i, image] of images.entries()) {
      const alone = await detector.predict(image);
      toBeAllclose(together[i]!.map, alone.map, { relative: 1e-4 });
      toBeAllclose(Float32Array.of(together[i]!.score), Float32Array.of(alone.score), { relative: 1e-4 });
      expect(together[i]!.width).toBe(image.width);
    }
    detector.destroy();
  });

  test('malformed pixels', async () => {
    const detector = new Detector(gpu, state);
    const square = { width: 4, height: 4 };
    const wrong = [
      [{ ...square, data: new Uint8Array(16) }, 'an image of 4x4 has 16 bytes, expected 48.'],
      [
        { ...square, data: new Float32Array(48) },
        'the data of an image of 4x4 is of the kind Float32Array, not bytes.',
      ],
      [{ ...square, data: new Blob([new Uint8Array(48)]) }, 'of the kind Blob, not bytes'],
      [{ ...square, data: undefined }, 'of the kind undefined, not bytes'],
      [{ width: 0, height: 4, data: new Uint8Array(0) }, 'an image of 0x4 cannot be used'],
      [{ width: 1.5, height: 2, data: new Uint8Array(9) }, 'an image of 1.5x2 cannot be used'],
    ] as const;
    for (const [image, message] of wrong) {
      const prediction = detector.predict(image as unknown as RgbImage);
      await expect(prediction).rejects.toThrow(message);
      await expect(prediction).rejects.toThrow(UserError);
    }
    detector.destroy();
  });

  test('bytes in an ArrayBuffer, clamped, or with alpha', async () => {
    const detector = new Detector(gpu, state);
    const image = crop(picture, 61, 67);
    const { width, height, data } = image;
    const { map } = await detector.predict(image);
    const rgba = new Uint8ClampedArray(packPixels(image).buffer);
    const odd = new Uint8Array(data.length + 3).subarray(3);
    odd.set(data);
    for (const bytes of [Uint8ClampedArray.from(data), Uint8Array.from(data).buffer, rgba, odd, Buffer.from(data)]) {
      const same = await detector.predict({ width, height, data: bytes as Uint8Array });
      expect(same.map).toEqual(map);
    }
    detector.destroy();
  });

  test('a map that overflows is an error, whatever its size', async () => {
    const quantiles = { studentTeacher: [0, 1e-40], autoencoder: [0, 1e-40] } as const;
    const detector = new Detector(gpu, { ...state, quantiles });
    await expect(detector.predict(picture)).rejects.toThrow(/the anomaly map has the value/);
    detector.destroy();
  });

  test('no images', async () => {
    const detector = new Detector(gpu, state);
    expect(await detector.predictBatch([])).toEqual([]);
    detector.destroy();
  });

  test('one after the other with several under way', async () => {
    const detector = new Detector(gpu, state);
    const images = [picture, crop(picture, 100, 160), crop(picture, 128, 128), picture, crop(picture, 40, 50)];
    const alone = [];
    for (const image of images) alone.push((await detector.predict(image)).score);
    async function* arriving() {
      for (const image of images) yield image;
    }
    for (const source of [images, arriving()]) {
      const scores = [];
      for await (const { score } of detector.stream(source, { inFlight: 2 })) scores.push(score);
      expect(scores).toEqual(alone);
    }
    const wrong = { width: 4, height: 4, data: new Uint8Array(16) };
    const seen: number[] = [];
    const failing = async () => {
      for await (const { score } of detector.stream([picture, wrong, picture])) seen.push(score);
    };
    await expect(failing()).rejects.toThrow('an image of 4x4');
    expect(seen).toHaveLength(1);
    const none = detector.stream([], { inFlight: 0 });
    await expect(none.next()).rejects.toThrow('stream: inFlight 0 cannot be');
    detector.destroy();
  });

  test('many at once do not mix', async () => {
    const detector = new Detector(gpu, state);
    // Some sizes come again, so that plans are shared.
    const images = Array.from({ length: 20 }, (_, i) => crop(picture, 150 - 10 * (i % 4), 160 - 7 * (i % 5)));
    const alone = [];
    for (const image of images) alone.push((await detector.predict(image)).score);
    const together = await Promise.all(images.map((image) => detector.predict(image)));
    expect(together.map(({ score }) => score)).toEqual(alone);
    detector.destroy();
  });
});

describe('placement', () => {
  const side = 128;
  const { mapSide } = state.networks;

  async function place(values: Float32Array, placement: 'exact' | 'reference', size = side) {
    const x = input('map', [1, 1, mapSide, mapSide]);
    const plan = await gpu.compile({
      outputs: { map: placeMap(x, { width: size, height: size, side, placement, ...state.networks.mapGeometry }) },
    });
    const { map } = await plan.run({ map: values }, ['map']);
    plan.destroy();
    return map as Float32Array;
  }

  test('exact: position i lies at pixel 4i + 16, the margin repeats the nearest one', async () => {
    const ramp = Float32Array.from({ length: mapSide * mapSide }, (_, i) => 4 * (i % mapSide) + 16);
    const map = await place(ramp, 'exact');
    for (let x = 0; x < side; x++) {
      // Pixel centers are half a pixel off the corner that positions count from.
      const expected = Math.min(Math.max(x, 16), 4 * (mapSide - 1) + 16);
      expect(Math.abs(map[64 * side + x]! - expected)).toBeLessThan(0.51);
    }
  });

  test('reference: four positions of zeros around, then a resize', async () => {
    const map = await place(new Float32Array(mapSide * mapSide).fill(1), 'reference');
    expect(map[0]).toBe(0);
    expect(map[64 * side + 64]).toBe(1);
  });
});

describe('in the application of somebody else', () => {
  test('its device, its encoder, its buffers, its texture', async () => {
    const own = await openDevice();
    const { device } = own;
    const theirs = new Engine({ device });
    const detector = new Detector(theirs, await untrainedDetector());
    const expected = await detector.predict(picture);
    const { width, height } = picture;
    const sizes = { width, height };
    using prepared = await detector.prepare(sizes);

    const rgba = Uint8Array.from(new Uint8Array(packPixels(picture).buffer));
    const texture = device.createTexture({
      size: [width, height],
      format: 'rgba8unorm',
      usage: GPUTextureUsage.COPY_SRC | GPUTextureUsage.COPY_DST,
    });
    device.queue.writeTexture({ texture }, rgba, { bytesPerRow: width * 4 }, [width, height]);
    const buffer = device.createBuffer({
      size: rgba.byteLength,
      usage: GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
    });
    device.queue.writeBuffer(buffer, 0, rgba);

    for (const image of [texture, buffer]) {
      const map = device.createBuffer({
        size: width * height * 4,
        usage: GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
      });
      const result = device.createBuffer({
        size: map.size + 4,
        usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
      });
      const encoder = device.createCommandEncoder();
      const score = device.createBuffer({ size: 4, usage: GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST });
      prepared.encode(encoder, { image, map, score });
      encoder.copyBufferToBuffer(score, 0, result, map.size, 4);
      encoder.copyBufferToBuffer(map, 0, result, 0, map.size);
      device.queue.submit([encoder.finish()]);
      await result.mapAsync(GPUMapMode.READ);
      const values = new Float32Array(result.getMappedRange().slice(0));
      expect(values.subarray(0, -1)).toEqual(expected.map);
      expect(values.at(-1)).toBe(expected.score);
    }

    const encoder = device.createCommandEncoder();
    const small = device.createBuffer({ size: 8, usage: GPUBufferUsage.COPY_DST });
    expect(() => prepared.encode(encoder, { image: texture, map: small })).toThrow(
      /the buffer 'map' has 8 bytes, 147456 are needed/,
    );
    const other = device.createTexture({ size: [4, 4], format: 'rgba8unorm', usage: GPUTextureUsage.COPY_SRC });
    expect(() => prepared.encode(encoder, { image: other, map: buffer })).toThrow(
      /the texture 'image' is rgba8unorm 4x4/,
    );
    await expect(detector.prepare({ width: 0, height: 5 })).rejects.toThrow('prepare: width 0 cannot be used.');
    detector.destroy();
    theirs.destroy();
    // The device is theirs: it still works.
    device.createBuffer({ size: 4, usage: GPUBufferUsage.COPY_DST }).destroy();
    const lost = await Promise.race([device.lost.then(() => true), new Promise((done) => setTimeout(done, 50, false))]);
    expect(lost).toBe(false);
    own.close();
  });
});

describe('model file', () => {
  test('holds everything that inference needs', async () => {
    const detector = new Detector(gpu, state);
    const bytes = await saveDetector(detector);
    const again = await loadDetector(gpu, bytes);
    const { networks, ...rest } = again.state;
    const { networks: before, ...expected } = state;
    expect(rest).toEqual(expected);
    expect([networks.size, networks.side]).toEqual([before.size, before.side]);
    const first = await detector.predict(picture);
    const second = await again.predict(picture);
    expect(second).toEqual(first);
    detector.destroy();
    again.destroy();
  });

  test('is refused when any byte has changed or is missing', async () => {
    const bytes = await saveDetector(new Detector(gpu, state));
    const header = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
    const places = [0, 1, 7, 8, 9, 8 + Math.floor(header / 2), 7 + header, 8 + header, bytes.length - 1];
    for (let i = 0; i < 40; i++) places.push(Math.floor((bytes.length * (i + 0.5)) / 40));
    for (const at of places) {
      const changed = bytes.slice();
      changed[at]! ^= 1 << (at % 8);
      await expect(readModel(changed, 'm.safetensors'), `byte ${at}`).rejects.toThrow(UserError);
    }
    for (const length of [0, 7, 8, 100, 8 + header, bytes.length - 1]) {
      await expect(readModel(bytes.slice(0, length), 'm.safetensors'), `${length} bytes`).rejects.toThrow(UserError);
    }
    await expect(readModel(new Uint8Array([...bytes, 0]), 'm.safetensors')).rejects.toThrow(UserError);
  });

  test('of a newer version, of another kind', async () => {
    const bytes = await saveDetector(new Detector(gpu, state));
    const { tensors, metadata } = readSafetensors(bytes, 'm');
    const foreign = writeSafetensors(tensors, {});
    await expect(readModel(foreign, 'm.safetensors')).rejects.toThrow(/m.safetensors has no checksum/);
    const { writeChecked } = await import('../src/formats/checksum.ts');
    const { checksum: _, ...rest } = metadata;
    const newer = await writeChecked(tensors, { ...rest, version: '99' });
    await expect(readModel(newer, 'm.safetensors')).rejects.toThrow(/version 99, newer than/);
    const other = await writeChecked(tensors, { ...rest, format: 'something' });
    await expect(readModel(other, 'm.safetensors')).rejects.toThrow(/is not a detector/);
  });
});

describe('conformal threshold', () => {
  const scores = Array.from({ length: 99 }, (_, i) => (i * 37) % 99);

  test('is the score that alpha of normal images exceeds', () => {
    expect(conformalThreshold(scores, 0.1)).toEqual({ value: 89, alpha: 0.1, promised: 0.1, images: 99 });
    expect(conformalThreshold(scores, 0.01)).toEqual({ value: 98, alpha: 0.01, promised: 0.01, images: 99 });
  });

  test('says which rate it can promise when images are few', () => {
    expect(conformalThreshold(scores.slice(0, 9), 0.01)).toMatchObject({ promised: 0.1 });
    expect(() => conformalThreshold([])).toThrow(UserError);
    expect(() => conformalThreshold(scores, 2)).toThrow('a false-alarm rate of 2 cannot be used');
  });
});
