import { resolve } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, test } from 'vitest';
import { splitHeldOut } from '../src/data/dataset.ts';
import { input } from '../src/engine/graph.ts';
import { Resizer } from '../src/imaging/pixels.ts';
import { imageToTensor } from '../src/kernels/image.ts';
import { loadImages } from '../src/node/datasets.ts';
import { readImage } from '../src/node/images.ts';
import { readTeacher } from '../src/node/teachers.ts';
import { exportOnnx } from '../src/onnx/export.ts';
import { type CodeBits, quantizableLayers, uniformPlan } from '../src/quantization/bitPlan.ts';
import { inputRanges } from '../src/quantization/layerInputs.ts';
import { quantizeNetworks } from '../src/quantization/layers.ts';
import { fit, PRESETS } from '../src/train/fit.ts';
import { generatedPenalty } from '../src/train/penalty.ts';
import { compareNetworks } from './support/agreement.ts';
import { engine } from './support/gpu.ts';
import { compareWithOnnx } from './support/onnxAgreement.ts';
import { realDataset } from './support/realImages.ts';

const gpu = await engine();
const opened = await realDataset('dobot_cubes/cubes');
const IMAGES = 20;

/** Of weights and activations. */
type Widths = readonly [8 | 4, CodeBits];
const WIDTHS: readonly Widths[] = [
  [8, 8],
  [4, 8],
  [8, 6],
  [4, 4],
];

/** A detector that has been trained for a moment, so that its activations are like a real one's. */
const STEPS = { xs: 100, s: 30 } as const;

describe.skipIf(!opened)('on 20 real images', () => {
  for (const size of ['xs', 's'] as const) {
    describe(size, async () => {
      const { root, datasets } = opened!;
      const [dataset] = datasets as [(typeof datasets)[number]];
      const split = splitHeldOut(dataset, 0);
      const load = (paths: readonly string[]) =>
        loadImages(
          paths.map((path) => resolve(root, path)),
          (reason) => console.warn(reason),
        );
      const [train, heldOut] = [await load(split.train), await load(split.heldOut)];
      const detector = await fit({
        engine: gpu,
        settings: { ...PRESETS.quick, size, iterations: STEPS[size], batch: size === 'xs' ? 4 : 1 },
        dataset: dataset.name,
        train,
        heldOut,
        penalty: generatedPenalty(0),
        teacher: await readTeacher(size),
      });
      const { networks } = detector.state;
      const resizer = new Resizer(gpu, networks.side);
      const pictures = await Promise.all(
        dataset.test.slice(0, IMAGES).map(async ({ image }) => resizer.resize(await readImage(resolve(root, image)))),
      );
      resizer.destroy();
      const plane = networks.side ** 2;
      const unit = (pixels: Uint32Array) =>
        Float32Array.from(
          { length: 3 * plane },
          (_, i) => ((pixels[i % plane]! >>> (8 * Math.floor(i / plane))) & 255) / 255,
        );
      const plan = ([weights, activations]: Widths) => uniformPlan(networks, { weights, activations });
      const layers = [...quantizableLayers(networks).keys()];
      const ranges = await inputRanges({ engine: gpu, networks, train }, layers, undefined, [8, 6, 4]);

      test('float features agree with onnxruntime', async () => {
        const shape = [1, 3, networks.side, networks.side];
        const x = input('x', shape);
        const outputs = {
          teacher: networks.teacher.forward(x),
          student: networks.student.forward(x),
          autoencoder: networks.autoencoder.forward(x),
        };
        const image = input('image', [1, networks.side, networks.side], 'u32');
        const normalize = await gpu.compile({ outputs: { x: imageToTensor(image) } });
        const compiled = await gpu.compile({ outputs });
        const session = await InferenceSession.create(exportOnnx(outputs), { executionProviders: ['cpu'] });
        let worst = 0;
        for (const pixels of pictures) {
          const data = (await normalize.run({ image: pixels }, ['x']))['x'] as Float32Array;
          const theirs = await session.run({ x: new Tensor('float32', data, shape) });
          const ours = await compiled.run({ x: data }, Object.keys(outputs));
          for (const key of Object.keys(outputs)) {
            const expected = theirs[key]!.data as Float32Array;
            const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
            const error = expected.reduce((most, value, i) => Math.max(most, Math.abs(value - ours[key]![i]!)), 0);
            worst = Math.max(worst, error / largest);
          }
        }
        for (const each of [normalize, compiled]) each.destroy();
        await session.release();
        console.log(`${size} float: max|err|/max|ref| ${worst.toExponential(1)} over ${pictures.length} images`);
        expect(worst).toBeLessThan(1e-4);
      });

      for (const widths of WIDTHS) {
        const name = `w${widths[0]}a${widths[1]}`;
        test(`QDQ ${name} agrees with onnxruntime`, async () => {
          const state = { ...detector.state, ...quantizeNetworks(networks, plan(widths), ranges.get(widths[1])!) };
          const { layers, correlation } = await compareWithOnnx(gpu, state, pictures.map(unit));
          const shares = [...layers.values()].map(({ different, positions }) => different / positions);
          console.log(
            `${size} ${name} in onnxruntime: at most ${(100 * Math.max(...shares)).toFixed(4)} % of a layer's codes differ, map correlation ${correlation.toFixed(7)}`,
          );
          for (const [layer, { worst }] of layers) expect(worst, layer).toBeLessThanOrEqual(1);
          for (const share of shares) expect(share).toBeLessThan(1e-3);
          expect(correlation).toBeGreaterThan(0.999);
        });

        test(`integers agree with the fake-quantized network, ${name}`, async () => {
          const { layers } = await compareNetworks(gpu, networks, plan(widths), ranges.get(widths[1])!, pictures);
          const sum = (key: 'different' | 'accumulated' | 'positions') =>
            layers.reduce((all, layer) => all + layer[key], 0);
          const most = Math.max(...layers.map(({ different, positions }) => different / positions));
          console.log(
            `${size} ${name} against fake-quantized: ${sum('different')} of ${sum('positions')} codes differ layer by layer (at most ${(100 * most).toFixed(4)} % of a layer's), ${sum('accumulated')} when differences go on`,
          );
          for (const { layer, positions, different, worst } of layers) {
            expect(worst, layer).toBeLessThanOrEqual(1);
            expect(different / positions, layer).toBeLessThan(1e-3);
          }
        });
      }
    });
  }
});
