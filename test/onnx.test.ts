import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, test } from 'vitest';
import { renderSpecimen } from '../src/data/synthetic/generate.ts';
import { GaussianFilter, LocationFilter } from '../src/detector/mapFilters.ts';
import { input, Parameter } from '../src/engine/graph.ts';
import { packPixels } from '../src/imaging/pixels.ts';
import { imageToTensor } from '../src/kernels/image.ts';
import { quantile } from '../src/kernels/quantile.ts';
import { anomalyMaps, fusedAnomalyMaps } from '../src/networks/inference.ts';
import { exportOnnx } from '../src/onnx/export.ts';
import { engine } from './support/gpu.ts';
import { untrainedDetector } from './support/untrained.ts';

const gpu = await engine();
const { networks } = await untrainedDetector();
const shape = [1, 3, networks.side, networks.side];
const quantiles = new Parameter('map.quantiles', { shape: [4], dtype: 'f32' }, Float32Array.of(0.5, 2, 0.01, 0.5)).node;

const usual = Float32Array.from({ length: 2 * networks.mapSide ** 2 }, (_, i) => 1 + 0.5 * Math.sin(i));

/** A normalized image [1, 3, side, side], as the networks see it. */
async function image(): Promise<Float32Array> {
  const pixels = input('image', [1, networks.side, networks.side], 'u32');
  const plan = await gpu.compile({ outputs: { x: imageToTensor(pixels) } });
  const { image: picture } = renderSpecimen('bracket', 'scratch', 3, networks.side);
  const { x } = await plan.run({ image: packPixels(picture) }, ['x']);
  plan.destroy();
  return x as Float32Array;
}

describe('onnxruntime runs the exported networks and agrees', () => {
  const x = input('x', shape);
  const maps = anomalyMaps(networks, quantiles, x);
  const cases = {
    teacher: { teacher: networks.teacher.forward(x) },
    student: { student: networks.student.forward(x) },
    autoencoder: { autoencoder: networks.autoencoder.forward(x) },
    blurred: { map: new GaussianFilter().graph().apply(maps.combined, 1) },
    'relative to what is usual': { map: new LocationFilter(usual, 4).graph().apply(maps.combined, 1) },
    detector: { studentTeacher: maps.studentTeacher, autoencoderMap: maps.autoencoder, combined: maps.combined },
  };
  for (const [name, outputs] of Object.entries(cases)) {
    test(name, async () => {
      const data = await image();
      const session = await InferenceSession.create(exportOnnx(outputs), { executionProviders: ['cpu'] });
      const theirs = await session.run({ x: new Tensor('float32', data, shape) });
      const plan = await gpu.compile({ outputs });
      const ours = await plan.run({ x: data }, Object.keys(outputs));
      plan.destroy();
      await session.release();
      for (const key of Object.keys(outputs)) {
        const expected = theirs[key]!.data as Float32Array;
        const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
        const worst = expected.reduce((most, value, i) => Math.max(most, Math.abs(value - ours[key]![i]!)), 0);
        expect(worst / largest, key).toBeLessThan(1e-4);
      }
    });
  }
});

describe('what cannot be exported', () => {
  test('an op without a translation', () => {
    expect(() => exportOnnx({ y: quantile(input('x', [1, 10]), 0.5) })).toThrow(
      'is a quantile, which has no translation',
    );
  });

  test('the fused graph, whose operations ONNX does not have', () => {
    expect(() => exportOnnx({ y: fusedAnomalyMaps(networks, quantiles, input('x', shape)).combined })).toThrow(
      'is a convDistance, which has no translation',
    );
  });
});
