import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { InferenceSession } from 'onnxruntime-node';
import type { RgbImage } from '../data/image.ts';
import type { Backbone, FeatureStore } from '../distill/examples.ts';
import type { FeatureMaps } from '../distill/targets.ts';
import { quote, UserError } from '../errors.ts';
import { floatToHalf, halfToFloat } from '../formats/half.ts';
import { subgraph } from '../onnx/subgraph.ts';
import { readBytes } from './files.ts';
import { writeAtomically } from './output.ts';
import { ownPackage } from './version.ts';

/** What a backbone expects of pixels from 0 to 255: (x - mean) / deviation, by channel. */
const NORMALIZATIONS = {
  imagenet: { mean: [123.675, 116.28, 103.53], deviation: [58.395, 57.12, 57.375] },
  unit: { mean: [0, 0, 0], deviation: [255, 255, 255] },
  symmetric: { mean: [127.5, 127.5, 127.5], deviation: [127.5, 127.5, 127.5] },
} as const;
export type Normalization = keyof typeof NORMALIZATIONS;
export const NORMALIZATION_NAMES = Object.keys(NORMALIZATIONS) as readonly Normalization[];

export interface BackboneOptions {
  /** Names of the values whose maps are taken. */
  readonly layers: readonly string[];
  /** Side of its input in pixels. */
  readonly side: number;
  readonly normalization: Normalization;
}

async function loadRuntime(): Promise<typeof import('onnxruntime-node')> {
  try {
    return await import('onnxruntime-node');
  } catch {
    const version = ownPackage()?.peerDependencies?.['onnxruntime-node'] ?? '';
    throw new UserError(
      'a backbone runs in onnxruntime, which is not installed.',
      `Run: npm install "onnxruntime-node@${version}"`,
    );
  }
}

/**
 * An ONNX network whose inner values are features. Its input is one image, [1, 3, H, W] or [1, H, W, 3].
 * @throws UserError for a file that is no such network, or layers that it does not have
 */
export async function openBackbone(file: string, options: BackboneOptions): Promise<Backbone> {
  const { layers, side, normalization } = options;
  const model = await readBytes(file);
  const { InferenceSession, Tensor } = await loadRuntime();
  const session = await InferenceSession.create(subgraph(model, layers, file), { logSeverityLevel: 4 }).catch(
    (error: Error) => {
      throw new UserError(
        `${file} cannot be opened with the layers ${layers.join(', ')}: ${firstLine(error)}`,
        'Name values of its graph; a viewer for ONNX files shows them.',
      );
    },
  );
  const { name, isPlanar } = inputOf(session, file);
  const { mean, deviation } = NORMALIZATIONS[normalization];
  const digest = createHash('sha256').update(model).update(JSON.stringify(options)).digest('hex');
  return {
    digest,
    name: basename(file, '.onnx'),
    side,
    async features({ width, height, data }: RgbImage) {
      const plane = width * height;
      const values = new Float32Array(3 * plane);
      for (let i = 0; i < plane; i++) {
        for (let c = 0; c < 3; c++)
          values[isPlanar ? c * plane + i : 3 * i + c] = (data[3 * i + c]! - mean[c]!) / deviation[c]!;
      }
      const shape = isPlanar ? [1, 3, height, width] : [1, height, width, 3];
      const results = await session
        .run({ [name]: new Tensor('float32', values, shape) }, layers)
        .catch((error: Error) => {
          throw new UserError(
            `${file} does not take an image of ${width}x${height}: ${firstLine(error)}`,
            'Choose the side that it was made for with --backbone-side.',
          );
        });
      return layers.map((layer) => mapsOf(results[layer]!, layer, isPlanar, file));
    },
  };
}

const firstLine = ({ message }: Error) => message.split('\n')[0]!;

function inputOf(session: InferenceSession, file: string) {
  const [name, ...others] = session.inputNames;
  const [input] = session.inputMetadata;
  const shape = input && 'shape' in input ? input.shape : [];
  const fix = 'Use a network of one image, [1, 3, H, W] or [1, H, W, 3].';
  if (name === undefined || others.length > 0 || shape.length !== 4 || (shape[1] !== 3 && shape[3] !== 3))
    throw new UserError(`${file} takes ${session.inputNames.join(', ')} of shape [${shape.join(', ')}].`, fix);
  return { name, isPlanar: shape[1] === 3 };
}

function mapsOf(
  value: InferenceSession.OnnxValueMapType[string],
  layer: string,
  isPlanar: boolean,
  file: string,
): FeatureMaps {
  const { dims, data } = value as { dims: readonly number[]; data: unknown };
  if (dims.length !== 4 || !(data instanceof Float32Array))
    throw new UserError(`${file}: ${quote(layer)} has shape [${dims.join(', ')}].`, 'Name layers with maps of floats.');
  const [, a, b, c] = dims as [number, number, number, number];
  if (isPlanar) return { data, channels: a, height: b, width: c };
  const plane = a * b;
  const planar = new Float32Array(data.length);
  for (let i = 0; i < plane; i++) for (let k = 0; k < c; k++) planar[k * plane + i] = data[i * c + k]!;
  return { data: planar, channels: c, height: a, width: b };
}

/** Features as halves in a folder, a file for each. */
export async function featureFolder(folder: string): Promise<FeatureStore> {
  await mkdir(folder, { recursive: true });
  const file = (key: string) => join(folder, `${key}.f16`);
  return {
    async get(key) {
      const bytes = await readBytes(file(key)).catch(() => undefined);
      if (!bytes) return undefined;
      const halves = new Uint16Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
      return Float32Array.from(halves, halfToFloat);
    },
    async set(key, values) {
      await writeAtomically(file(key), new Uint8Array(Uint16Array.from(values, floatToHalf).buffer));
    },
  };
}
