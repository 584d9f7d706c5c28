/**
 * A backbone for `raad distill` without a network: the InceptionV3 of the npm package nsfwjs (MIT) as an ONNX file.
 *
 *   npm install --no-save nsfwjs@4.4.0 --ignore-scripts --legacy-peer-deps
 *   npm run backbone -- inception.onnx [SIDE, 512] [FOLDER, node_modules/nsfwjs]
 *
 * Its weights are 8-bit codes there, and were trained on drawings and photographs of people: features of its lower layers (mixed0 to
 * mixed3) serve for other things as well; those of its upper layers do not.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { encodeOnnx, type OnnxNode, type OnnxTensor } from '../src/onnx/protobuf.ts';

interface Layer {
  readonly name: string;
  readonly class_name: string;
  readonly config: {
    readonly strides?: readonly number[];
    readonly pool_size?: readonly number[];
    readonly padding?: 'same' | 'valid';
    readonly epsilon?: number;
  };
  readonly inbound_nodes: readonly (readonly (readonly [from: string, ...rest: unknown[]])[])[];
}

interface Weight {
  readonly name: string;
  readonly shape: readonly number[];
  readonly quantization: { readonly min: number; readonly scale: number; readonly dtype: 'uint8' };
}

interface KerasModel {
  readonly modelTopology: { readonly model_config: { readonly config: { readonly layers: readonly Layer[] } } };
  readonly weightsManifest: readonly [{ readonly weights: readonly Weight[]; readonly paths: readonly string[] }];
}

/** The last layer whose features are of use. */
const LAST = 'mixed10';

const [output = 'inception.onnx', side = '512', folder = 'node_modules/nsfwjs'] = process.argv.slice(2);
const models = resolve(folder, 'dist/models/inception_v3');
const load = createRequire(join(models, 'model.min.js'));
const { modelTopology, weightsManifest } = load('./model.min.js') as KerasModel;
const [{ weights, paths }] = weightsManifest;

const bytes = Buffer.concat(paths.map((path) => Buffer.from(load(`./${path}.min.js`) as string, 'base64')));
const values = new Map<string, { readonly shape: readonly number[]; readonly data: Float32Array }>();
let at = 0;
for (const { name, shape, quantization } of weights) {
  const { min, scale } = quantization;
  const length = shape.reduce((product, size) => product * size, 1);
  values.set(name, { shape, data: Float32Array.from(bytes.subarray(at, at + length), (code) => code * scale + min) });
  at += length;
}

/** Weights [KH, KW, CI, CO] as [CO, CI, KH, KW]. */
function planar(
  { shape, data }: { readonly shape: readonly number[]; readonly data: Float32Array },
  name: string,
): OnnxTensor {
  const [kh, kw, ci, co] = shape as [number, number, number, number];
  const turned = new Float32Array(data.length);
  for (let k = 0; k < kh * kw; k++)
    for (let i = 0; i < ci; i++)
      for (let o = 0; o < co; o++) turned[(o * ci + i) * kh * kw + k] = data[(k * ci + i) * co + o]!;
  return { name, shape: [co, ci, kh, kw], data: turned };
}

const nodes: OnnxNode[] = [];
const tensors: OnnxTensor[] = [];
for (const { name, class_name: kind, config, inbound_nodes: inbound } of modelTopology.model_config.config.layers) {
  const inputs = (inbound[0] ?? []).map(([from]) => (from === 'input_1' ? 'image' : from));
  const padding = { auto_pad: config.padding === 'same' ? 'SAME_UPPER' : 'VALID' };
  const strides = config.strides ?? [1, 1];
  if (kind === 'Conv2D') {
    const weight = planar(values.get(`${name}/kernel`)!, `${name}.weight`);
    tensors.push(weight);
    nodes.push({
      type: 'Conv',
      inputs: [...inputs, weight.name],
      output: name,
      attributes: { kernel_shape: weight.shape.slice(2), strides, ...padding },
    });
  } else if (kind === 'BatchNormalization') {
    // A product and a sum: what it does once it is trained. Scales were not trained.
    const [beta, mean, variance] = ['beta', 'moving_mean', 'moving_variance'].map(
      (of) => values.get(`${name}/${of}`)!.data,
    );
    const factor = variance!.map((v) => 1 / Math.sqrt(v + config.epsilon!));
    const shape = [1, factor.length, 1, 1];
    tensors.push({ name: `${name}.factor`, shape, data: factor });
    tensors.push({ name: `${name}.shift`, shape, data: beta!.map((b, i) => b - mean![i]! * factor[i]!) });
    nodes.push({ type: 'Mul', inputs: [...inputs, `${name}.factor`], output: `${name}.scaled` });
    nodes.push({ type: 'Add', inputs: [`${name}.scaled`, `${name}.shift`], output: name });
  } else if (kind === 'Activation') nodes.push({ type: 'Relu', inputs, output: name });
  else if (kind === 'Concatenate') nodes.push({ type: 'Concat', inputs, output: name, attributes: { axis: 1 } });
  else if (kind === 'MaxPooling2D' || kind === 'AveragePooling2D')
    nodes.push({
      type: kind === 'MaxPooling2D' ? 'MaxPool' : 'AveragePool',
      inputs,
      output: name,
      attributes: { kernel_shape: config.pool_size!, strides, ...padding },
    });
  if (name === LAST) break;
}

const pixels = Number(side);
const last = Math.floor((pixels - 75) / 32) + 1;
writeFileSync(
  output,
  encodeOnnx({
    nodes,
    tensors,
    inputs: [{ name: 'image', shape: [1, 3, pixels, pixels] }],
    outputs: [{ name: LAST, shape: [1, 2048, last, last] }],
  }),
);
const license = JSON.parse(readFileSync(resolve(folder, 'package.json'), 'utf8')) as { readonly license: string };
console.log(
  `${output}: ${nodes.length} nodes, input ${pixels} px, license ${license.license}; use --normalize symmetric`,
);
