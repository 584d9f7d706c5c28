import { readFileSync } from 'node:fs';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { readOnnxWeights } from '../../src/onnx/read.ts';
import { subgraph } from '../../src/onnx/subgraph.ts';

/**
 * Multiply-adds of the convolutions that some layers of an ONNX network take for one square image, by the shapes that onnxruntime
 * computes.
 */
export async function convolutionWork(file: string, layers: readonly string[], side: number): Promise<number> {
  const model = subgraph(readFileSync(file), layers, file);
  const { convolutions, tensors } = readOnnxWeights(model, file);
  const session = await InferenceSession.create(
    subgraph(
      model,
      convolutions.map(({ output }) => output),
      file,
    ),
  );
  const [name] = session.inputNames as [string];
  const [metadata] = session.inputMetadata;
  const isPlanar = metadata && 'shape' in metadata && metadata.shape[1] === 3;
  const shape = isPlanar ? [1, 3, side, side] : [1, side, side, 3];
  const results = await session.run({ [name]: new Tensor('float32', new Float32Array(3 * side * side), shape) });
  const work = convolutions.reduce((sum, { weight, output }) => {
    const [, ...filter] = tensors.get(weight)!.shape;
    const positions = results[output]!.dims.reduce((product, size) => product * size, 1);
    return sum + filter.reduce((product, size) => product * size, positions);
  }, 0);
  await session.release();
  return work;
}
