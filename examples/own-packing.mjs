// @ts-check
// A packing of one's own, in one file: weights of three values, twenty to a word (1.6 bits each), times 8-bit activations.
import {
  Engine,
  evaluateReference,
  input,
  makeNode,
  Parameter,
  rangeOf,
  ShapeError,
  storeActivations,
} from 'raad-webgpu/engine';
import { openDevice } from 'raad-webgpu/node';

/** @typedef {import('raad-webgpu/engine').Node} Node */
/** @typedef {{ readonly channels: number }} Attrs Input channels of the weights. */

/** 3^20 is the largest power of three below 2^32; five words of four activations meet one of weights. */
const DIGITS = 20;
const WORKGROUP = 64;

/**
 * -1, 0 and 1 times a scale of each output channel, such that the squared error is small (Li et al., ternary weight networks).
 * @param {Float32Array} weights [CO, CI]
 * @param {number} channels CI
 */
function ternary(weights, channels) {
  const rows = weights.length / channels;
  const codes = new Int8Array(weights.length);
  const scales = new Float32Array(rows);
  for (let m = 0; m < rows; m++) {
    const row = weights.subarray(m * channels, (m + 1) * channels);
    const threshold = (0.7 * row.reduce((sum, w) => sum + Math.abs(w), 0)) / channels;
    const kept = row.filter((w) => Math.abs(w) > threshold);
    scales[m] = kept.reduce((sum, w) => sum + Math.abs(w), 0) / Math.max(1, kept.length);
    row.forEach((w, c) => {
      codes[m * channels + c] = Math.abs(w) > threshold ? Math.sign(w) : 0;
    });
  }
  return { codes, scales };
}

/**
 * Digits of base three, the first channel's the lowest. Channels that only fill a word are 0, digit 1.
 * @param {Int8Array} codes [CO, CI]
 * @param {number} channels CI
 * @returns {Uint32Array<ArrayBuffer>} [CO, ceil(CI / 20)]
 */
function pack(codes, channels) {
  const words = Math.ceil(channels / DIGITS);
  return Uint32Array.from({ length: (codes.length / channels) * words }, (_, i) => {
    const row = Math.floor(i / words) * channels;
    let word = 0;
    for (let k = DIGITS - 1; k >= 0; k--) {
      const c = (i % words) * DIGITS + k;
      word = 3 * word + 1 + (c < channels ? Number(codes[row + c]) : 0);
    }
    return word;
  });
}

/** One output a lane: the plain statement. A digit is a remainder and a quotient, decoded in the load. */
const source = `
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> w: array<u32>;
@group(0) @binding(2) var<storage, read> scales: array<f32>;
@group(0) @binding(3) var<storage, read> range: vec4f;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
#params

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.count) {
    return;
  }
  let place = id.x % params.plane;
  let m = id.x / params.plane % params.outChannels;
  let image = id.x / params.plane / params.outChannels * params.xWords;
  let zero = i32(range.y);
  var sum = 0;
  for (var block = 0u; block < params.words; block++) {
    var digits = w[m * params.words + block];
#for j in 0..${DIGITS / 4}
    {
      let at = min(block * ${DIGITS / 4}u + \${j}u, params.xWords - 1u);
      let codes = x[(image + at) * params.plane + place];
#for u in 0..4
      sum += (i32(digits % 3u) - 1) * (i32((codes >> \${8 * u}u) & 255u) - zero);
      digits /= 3u;
#end
    }
#end
  }
  y[id.x] = f32(sum) * (scales[m] * range.x);
}
`;

/** @param {Node | import('raad-webgpu/engine').TensorType} of */
const shapeOf = (of) => ('type' in of ? of.type : of).shape;

/** @type {import('raad-webgpu/engine').Op<Attrs, readonly ['u32', 'u32', 'f32', 'f32']>} */
const ternaryProductOp = {
  name: 'ternaryProduct',
  infer([x, w, scales], { channels }) {
    const [n, xWords, height, width] = /** @type {[number, number, number, number]} */ (shapeOf(x));
    const [rows, words] = /** @type {[number, number]} */ (shapeOf(w));
    if (xWords !== Math.ceil(channels / 4) || words !== Math.ceil(channels / DIGITS) || shapeOf(scales)[0] !== rows)
      throw new ShapeError(
        `ternaryProduct: expected u8 activations, packed weights and scales of ${channels} channels.`,
      );
    return { shape: [n, rows, height, width], dtype: 'f32' };
  },
  // The definition, in float64, channel by channel: what the kernel is held against.
  reference([x, w, scales, range], node) {
    const [n, rows, height, width] = /** @type {[number, number, number, number]} */ (shapeOf(node));
    const { channels } = node.attrs;
    const [plane, words, xWords] = [height * width, Math.ceil(channels / DIGITS), Math.ceil(channels / 4)];
    return Float64Array.from({ length: n * rows * plane }, (_, i) => {
      const m = Math.floor(i / plane) % rows;
      let sum = 0;
      for (let c = 0; c < channels; c++) {
        const digit = Math.floor(Number(w[m * words + Math.floor(c / DIGITS)]) / 3 ** (c % DIGITS)) % 3;
        const at = (Math.floor(i / plane / rows) * xWords + Math.floor(c / 4)) * plane + (i % plane);
        sum += (digit - 1) * (((Number(x[at]) >>> (8 * (c % 4))) & 255) - Number(range[1]));
      }
      return sum * Number(scales[m]) * Number(range[0]);
    });
  },
  cost: (node) => {
    const outputs = shapeOf(node).reduce((a, b) => a * b);
    const words = node.inputs.reduce((sum, from) => sum + shapeOf(from).reduce((a, b) => a * b), outputs);
    return { flops: 2 * outputs * node.attrs.channels, bytes: 4 * words };
  },
  variants: [
    {
      name: 'lane',
      kernel(node) {
        const [, rows, height, width] = /** @type {[number, number, number, number]} */ (shapeOf(node));
        const count = shapeOf(node).reduce((a, b) => a * b);
        /** @param {number} value @returns {import('raad-webgpu/engine').ParamValue} */
        const u32 = (value) => ({ type: 'u32', value });
        return {
          shader: { name: 'ternary_product.wgsl', source },
          params: {
            count: u32(count),
            plane: u32(height * width),
            outChannels: u32(rows),
            xWords: u32(Number(shapeOf(node.inputs[0])[1])),
            words: u32(Number(shapeOf(node.inputs[1])[1])),
          },
          grid: [Math.ceil(count / WORKGROUP)],
        };
      },
    },
  ],
};

const [CO, CI, SIDE] = [24, 50, 7];
const weights = Float32Array.from({ length: CO * CI }, (_, i) => Math.sin(i * i));
const values = Float32Array.from({ length: CI * SIDE * SIDE }, (_, i) => Math.abs(Math.cos(3 * i)));
const { codes, scales } = ternary(weights, CI);
const words = pack(codes, CI);

/** @param {string} name @param {readonly number[]} shape @param {Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>} data */
const constant = (name, shape, data) =>
  new Parameter(name, { shape, dtype: data instanceof Uint32Array ? 'u32' : 'f32' }, data).node;
const image = input('x', [1, CI, SIDE, SIDE]);
const range = constant('range', [4], rangeOf(1 / 255, 0));
const y = makeNode(
  ternaryProductOp,
  [
    storeActivations(image, 'u8', range),
    constant('words', [CO, Math.ceil(CI / DIGITS)], words),
    constant('scales', [CO], scales),
    range,
  ],
  { channels: CI },
);

const { device, close } = await openDevice();
const engine = new Engine({ device });
const plan = await engine.compile({ outputs: { y } });
const { y: got } = await plan.run({ x: values }, ['y']);
const [expected] = evaluateReference([y], new Map([[image, Float64Array.from(values)]]));
const largest = Math.max(...Array.from(expected ?? [], Math.abs));
const error = Math.max(...Array.from(got ?? [], (value, i) => Math.abs(value - Number(expected?.[i])))) / largest;
console.log(`kernel: differs from the definition by ${error.toExponential(1)} of the largest value`);
console.log(`bits of a weight: ${((32 * words.length) / weights.length).toFixed(2)}`);

const power = weights.reduce((sum, w) => sum + w * w, 0);
const lost = weights.reduce((sum, w, i) => sum + (w - Number(codes[i]) * Number(scales[Math.floor(i / CI)])) ** 2, 0);
console.log(`weights: ${((100 * lost) / power).toFixed(1)} % of their squares are lost`);
plan.destroy();
engine.destroy();
close();
