import { mapQuantilesParameter } from '../detector/detector.ts';
import type { DetectorState } from '../detector/detectorState.ts';
import { assertWhole } from '../detector/seen.ts';
import { input, Parameter } from '../engine/graph.ts';
import { IMAGE_MEAN, IMAGE_STD } from '../kernels/image.ts';
import { standardize } from '../kernels/standardize.ts';
import { anomalyMaps } from '../networks/inference.ts';
import { exportOnnx } from './export.ts';

function perChannel(name: string, values: readonly number[]): Parameter {
  return new Parameter(name, { shape: [values.length], dtype: 'f32' }, Float32Array.from(values));
}

/**
 * A detector as ONNX (opset 17); a quantized one in the standard QDQ form: every quantized layer reads its input through
 * QuantizeLinear and DequantizeLinear, and its weights, 8-bit integers whatever their width, through DequantizeLinear.
 *
 * The input `image`, `[batch, 3, side, side]`, is RGB in 0..1, resized; its normalization is part of the graph. The outputs `map`,
 * `student_teacher` and `autoencoder`, `[batch, 1, mapSide, mapSide]`, are the combined map and the two raw ones. Size, threshold and
 * placement stand in the metadata; the score of an image is the largest value of the map. A region is no part of the file: `image` is
 * then the region upright.
 * @param inspect adds the integers that each quantized layer reads as outputs `LAYER.codes`
 * @returns the bytes of a `.onnx` file
 * @throws UserError for a detector that looks at tiles
 */
export function exportDetector(state: DetectorState, batch = 1, inspect = false): Uint8Array {
  const { networks, quantiles, threshold, placement, filter, quantization } = state;
  assertWhole(state, 'an ONNX file');
  const image = input('image', [batch, 3, networks.side, networks.side]);
  const mean = perChannel('image.mean', IMAGE_MEAN);
  const std = perChannel('image.std', IMAGE_STD);
  const maps = anomalyMaps(networks, mapQuantilesParameter(quantiles).node, standardize(image, mean.node, std.node));
  return exportOnnx(
    {
      map: filter ? filter.graph().apply(maps.combined, batch) : maps.combined,
      student_teacher: maps.studentTeacher,
      autoencoder: maps.autoencoder,
    },
    {
      format: 'raad-detector',
      size: networks.size,
      resolution: String(networks.side),
      placement,
      ...(threshold && { threshold: String(threshold.value) }),
    },
    { inspect, quantization },
  );
}
