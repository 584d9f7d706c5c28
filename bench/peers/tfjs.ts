import type * as Tf from '@tensorflow/tfjs-core';
import type { Parameter } from '../../src/engine/graph.ts';
import type { Autoencoder } from '../../src/networks/autoencoder.ts';
import type { Networks } from '../../src/networks/networks.ts';
import { pdnOutputSide } from '../../src/networks/pdn.ts';
import type { OpenDevice } from '../../src/node/device.ts';
import type { Peer } from './peer.ts';
import { LEARNING_RATE } from './training.ts';

/** Of each of the two maps in the combined one. */
const MAP_WEIGHT = 0.05;

/** Loaded when a peer is opened: where the packages are absent that peer alone fails. */
let tf: typeof Tf;

/** tfjs on the device that is already open, so that both run on the same adapter. */
async function startBackend({ device }: OpenDevice): Promise<void> {
  tf = await import('@tensorflow/tfjs-core');
  await import('@tensorflow/tfjs-core/dist/register_all_gradients.js');
  const { WebGPUBackend } = await import('@tensorflow/tfjs-backend-webgpu');
  // It asks whether this is a browser with WebGPU before it takes a device.
  Object.defineProperty(globalThis, 'navigator', { value: { gpu: {} }, configurable: true });
  tf.registerBackend('webgpu-peer', () => new WebGPUBackend(device, device.adapterInfo));
  tf.copyRegisteredKernels('webgpu', 'webgpu-peer');
  await tf.setBackend('webgpu-peer');
  await tf.ready();
}

/** Weights [CO, CI, K, K] as tfjs wants them: [K, K, CI, CO]. */
function weightTensor(parameter: Parameter): Tf.Tensor4D {
  const { data, type } = parameter;
  const [co, ci, kh, kw] = type.shape as [number, number, number, number];
  const y = new Float32Array(data.length);
  for (let o = 0; o < co; o++) {
    for (let c = 0; c < ci; c++) {
      for (let t = 0; t < kh * kw; t++) y[(t * ci + c) * co + o] = data[(o * ci + c) * kh * kw + t]!;
    }
  }
  return tf.tensor4d(y, [kh, kw, ci, co]);
}

/** Images [N, 3, H, W] as tfjs wants them, [N, H, W, 3], still on the host. */
function toNhwc(images: Float32Array, side: number): Float32Array {
  const pixels = side * side;
  const y = new Float32Array(images.length);
  for (let n = 0; n < images.length; n += 3 * pixels) {
    for (let c = 0; c < 3; c++) for (let i = 0; i < pixels; i++) y[n + i * 3 + c] = images[n + c * pixels + i]!;
  }
  return y;
}

interface Layer {
  readonly w: Tf.Variable<Tf.Rank.R4> | Tf.Tensor4D;
  readonly b: Tf.Variable<Tf.Rank.R1> | Tf.Tensor1D;
}

function layers(convolutions: readonly { weight: Parameter; bias: Parameter }[], trainable: boolean): Layer[] {
  return convolutions.map(({ weight, bias }) => {
    const w = weightTensor(weight);
    const b = tf.tensor1d(bias.data as Float32Array);
    return trainable ? { w: tf.variable(w), b: tf.variable(b) } : { w, b };
  });
}

/** PDN-XS and PDN-S: convolutions of 4, 4, 3 and 4, pools behind the first two, no rectifier at the end. NHWC as all here. */
function pdn(all: readonly Layer[], x: Tf.Tensor4D, head: Layer = all[all.length - 1]!): Tf.Tensor4D {
  let y = x;
  all.slice(0, -1).forEach(({ w, b }, i) => {
    y = tf.relu(tf.add(tf.conv2d(y, w as Tf.Tensor4D, 1, 'valid'), b)) as Tf.Tensor4D;
    if (i < 2) y = tf.avgPool(y, 2, 2, 'valid');
  });
  return tf.add(tf.conv2d(y, head.w as Tf.Tensor4D, 1, 'valid'), head.b);
}

export async function tfjsTeacher(opened: OpenDevice, networks: Networks, images: Float32Array): Promise<Peer> {
  await startBackend(opened);
  const teacher = layers(networks.teacher.convolutions, false);
  const { side } = networks;
  const nhwc = toNhwc(images, side);
  const batch = images.length / (3 * side * side);
  return {
    name: 'tfjs webgpu',
    versions: { '@tensorflow/tfjs-backend-webgpu': tf.version_core },
    async run() {
      const y = tf.tidy(() => tf.transpose(pdn(teacher, tf.tensor4d(nhwc, [batch, side, side, 3])), [0, 3, 1, 2]));
      const data = (await y.data()) as Float32Array;
      y.dispose();
      return data;
    },
  };
}

/** The combined map by the definition, quantiles 0 and 1, as the detector of `bench/peers.ts` has them. */
export async function tfjsDetector(opened: OpenDevice, networks: Networks, images: Float32Array): Promise<Peer> {
  await startBackend(opened);
  const { side, channels } = networks;
  const teacher = layers(networks.teacher.convolutions, false);
  const student = layers(networks.student.convolutions, false);
  const coder = layers([...networks.autoencoder.encoder, ...networks.autoencoder.decoder], false);
  const mean = tf.tensor1d(networks.teacherMean.data as Float32Array);
  const std = tf.tensor1d(networks.teacherStd.data as Float32Array);
  const nhwc = toNhwc(images, side);
  const batch = images.length / (3 * side * side);
  const distance = (a: Tf.Tensor, b: Tf.Tensor) => tf.mean(tf.square(tf.sub(a, b)), 3);
  return {
    name: 'tfjs webgpu',
    versions: { '@tensorflow/tfjs-backend-webgpu': tf.version_core },
    async run() {
      const map = tf.tidy(() => {
        const x = tf.tensor4d(nhwc, [batch, side, side, 3]);
        const features = tf.div(tf.sub(pdn(teacher, x), mean), std);
        const [first, second] = tf.split(pdn(student, x), [channels, channels], 3) as [Tf.Tensor, Tf.Tensor];
        const studentTeacher = distance(features, first);
        const autoencoding = distance(autoencoder(networks.autoencoder, coder, x), second);
        return tf.mul(tf.add(studentTeacher, autoencoding), MAP_WEIGHT);
      });
      const data = (await map.data()) as Float32Array;
      map.dispose();
      return data;
    },
  };
}

function autoencoder(source: Autoencoder, all: readonly Layer[], x: Tf.Tensor4D): Tf.Tensor4D {
  const encoder = all.slice(0, source.encoder.length);
  const decoder = all.slice(source.encoder.length);
  const { side } = source;
  let y = x;
  const conv = ({ w, b }: Layer, stride: number, pad: number) => {
    const padding: [[number, number], [number, number], [number, number], [number, number]] = [
      [0, 0],
      [pad, pad],
      [pad, pad],
      [0, 0],
    ];
    y = tf.add(tf.conv2d(y, w as Tf.Tensor4D, stride, padding as never), b);
  };
  const relu = () => {
    y = tf.relu(y);
  };
  const resize = (n: number) => {
    y = tf.image.resizeBilinear(y, [n, n], false, true);
  };
  encoder.slice(0, -1).forEach((layer) => {
    conv(layer, 2, 1);
    relu();
  });
  conv(encoder[encoder.length - 1]!, 1, 0);
  const sides = [side / 64 - 1, side / 32, side / 16 - 1, side / 8, side / 4 - 1, side / 2 - 1];
  decoder.slice(0, 6).forEach((layer, i) => {
    resize(sides[i]!);
    conv(layer, 1, 2);
    relu();
  });
  resize(pdnOutputSide(side));
  conv(decoder[6]!, 1, 1);
  relu();
  conv(decoder[7]!, 1, 1);
  return y;
}

/** One training step with tf.train.adam: the same losses as `trainingStep`, in the same order. */
export async function tfjsTraining(opened: OpenDevice, networks: Networks, images: Float32Array): Promise<Peer> {
  await startBackend(opened);
  const { side, channels, mapSide } = networks;
  const teacher = layers(networks.teacher.convolutions, false);
  const student = layers(networks.student.convolutions, true);
  const coder = layers([...networks.autoencoder.encoder, ...networks.autoencoder.decoder], true);
  const mean = tf.tensor1d(networks.teacherMean.data as Float32Array);
  const std = tf.tensor1d(networks.teacherStd.data as Float32Array);
  const last = student[student.length - 1]!;
  const half = (start: number): Layer => ({
    w: tf.slice(last.w, [0, 0, 0, start], [-1, -1, -1, channels]) as Tf.Tensor4D,
    b: tf.slice(last.b, [start], [channels]) as Tf.Tensor1D,
  });
  const optimizer = tf.train.adam(LEARNING_RATE);
  const batch = images.length / (3 * side * side);
  const cached = tf.zeros([batch, mapSide, mapSide, channels]);
  const nhwc = toNhwc(images, side);
  return {
    name: 'tfjs webgpu',
    versions: { '@tensorflow/tfjs-backend-webgpu': tf.version_core },
    tolerance: 1e-3,
    async run() {
      const x = tf.tensor4d(nhwc, [batch, side, side, 3]);
      let parts: Tf.Scalar[] = [];
      const total = optimizer.minimize(() => {
        const meanSquare = (a: Tf.Tensor, b: Tf.Tensor) => tf.mean(tf.square(tf.sub(a, b))) as Tf.Scalar;
        const hard = meanSquare(cached, pdn(student, x, half(0)));
        const penalty = tf.mean(tf.square(pdn(student, tf.add(x, 0), half(0)))) as Tf.Scalar;
        const target = tf.div(tf.sub(pdn(teacher, x), mean), std);
        const reconstruction = autoencoder(networks.autoencoder, coder, x);
        const imitation = pdn(student, x, half(channels));
        parts = [hard, penalty, meanSquare(target, reconstruction), meanSquare(reconstruction, imitation)];
        for (const part of parts) tf.keep(part);
        return parts.reduce((sum, part) => tf.add(sum, part));
      }, true);
      const values = Float32Array.from((await Promise.all(parts.map((part) => part.data()))).map((data) => data[0]!));
      tf.dispose([...parts, total!, x]);
      return values;
    },
  };
}
