import { checkSeed } from '../checks/numbers.ts';
import type { ImageSource } from '../data/image.ts';
import { PLANTED_DEFECTS, PLANTINGS, type PlantingOptions, plantDefects } from '../data/plantedDefects.ts';
import type { Detector } from '../detector/detector.ts';
import { checkMap } from '../detector/score.ts';
import { type SeenImages, seenImages } from '../detector/seen.ts';
import type { Engine } from '../engine/engine.ts';
import { input, type Node, topologicalOrder } from '../engine/graph.ts';
import { UserError } from '../errors.ts';
import { packPixels, Resizer, unpackPixels } from '../imaging/pixels.ts';
import { channelDistance } from '../kernels/channelDistance.ts';
import { imageToTensor } from '../kernels/image.ts';
import { bootstrapInterval, meanAt } from '../metrics/bootstrap.ts';
import { auroc } from '../metrics/ranking.ts';
import { anomalyMaps } from '../networks/inference.ts';
import type { Networks } from '../networks/networks.ts';
import { type BitPlan, type LayerPlan, uniformPlan } from '../quantization/bitPlan.ts';
import { layerOf } from '../quantization/integerGraph.ts';
import { quantizeNetworks } from '../quantization/layers.ts';
import { type LayerMap, type LayerMapKind, LayerMapReader, layerPairs, placeLayerMap, sample } from './layerMaps.ts';
import { gramMatrix, linearCka } from './linear.ts';

/**
 * What a layer's map says about defects. `separability`: AUROC of the map inside against outside of planted defects.
 * `literal`: the map's mean over normal images.
 */
export type Contribution = 'separability' | 'literal';
export const CONTRIBUTIONS: readonly Contribution[] = ['separability', 'literal'];

/** A layer's score with its 95 % bootstrap interval over images. */
export interface LayerScore {
  /** `conv1` for the layer of teacher and student, or a full name such as `autoencoder.dec1`. */
  readonly layer: string;
  readonly score: number;
  readonly low: number;
  readonly high: number;
}

/** On which images layers are scored, 64 by default, and how. */
export interface ScoreOptions extends PlantingOptions {
  readonly detector: Detector;
  /** Normal images to score on, best ones that the detector was not trained on. */
  readonly normal: ImageSource;
  /** Normal images that `ridge` is fitted to; those of `normal` by default. */
  readonly reference?: ImageSource | undefined;
  readonly map?: LayerMapKind | 'cka' | undefined;
  readonly contribution?: Contribution | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

const IMAGES = 64;
/** Images, and defects of a kind on each, that no scoring needs more of. */
const MAX_SCORED = 100_000;

/**
 * Scores the layers that teacher and student share from normal images alone (RAAD, hierarchical quantization scoring).
 * Deterministic from the seed; images are read one after the other.
 * @returns first layer to last
 * @throws UserError for unusable options or no images
 */
export async function layerScores(options: ScoreOptions): Promise<LayerScore[]> {
  const { detector, normal, reference = normal, map = 'attention', contribution, seed = 0 } = options;
  const { engine, state } = detector;
  checkScoring(options);
  if (map === 'cka') return ckaScores(options);
  const read = async (source: ImageSource) => resized(detector, source, options);
  const images = await read(normal);
  const fitImages = map === 'ridge' && reference !== normal ? await read(reference) : images;
  const reader = await LayerMapReader.open(engine, state, map, fitImages);
  try {
    const values = await perImage(options, images, async (pixels, index) => {
      if (contribution === 'literal') {
        return (await reader.read(pixels)).map(({ values }) => meanAt(values, allOf(values)));
      }
      return planted(options, { side: state.networks.side, pixels, index }, async (changed, mask) =>
        (await reader.read(changed)).map((layer) => separability(layer, mask, state.networks.side)),
      );
    });
    return summarize(
      state.networks.teacher.convolutions.map((_, i) => `conv${i + 1}`),
      values,
      seed,
    );
  } finally {
    reader.destroy();
  }
}

/** @throws UserError for ways of scoring that do not go together, counts and seeds that are none */
export function checkScoring({
  map,
  contribution,
  seed = 0,
  images = IMAGES,
  plantings = PLANTINGS,
}: Pick<ScoreOptions, 'map' | 'contribution' | 'seed' | 'images' | 'plantings'>): void {
  checkSeed(seed);
  for (const [name, value] of Object.entries({ images, plantings }))
    if (!Number.isSafeInteger(value) || value < 1 || value > MAX_SCORED)
      throw new UserError(`${name} ${value} cannot be used.`, `It has to be a whole number from 1 to ${MAX_SCORED}.`);
  if (map === 'cka' && contribution === 'separability')
    throw new UserError('cka is a number without a map.', 'Use the contribution literal with it.');
}

/** AUROC of a layer's map inside a mask against outside, on the input's pixels. @throws UserError for a map that is not finite */
export function separability(map: Omit<LayerMap, 'layer'>, mask: Uint8Array, side: number): number {
  checkMap(map.values, "layer's");
  return auroc(placeLayerMap(map, side), mask) ?? 0.5;
}

const allOf = (values: ArrayLike<unknown>) => Array.from({ length: values.length }, (_, i) => i);

/** Calls `measure` for every image: values by layer. @returns by image, then by layer */
async function perImage(
  { onProgress, signal }: ScoreOptions,
  images: readonly Uint32Array[],
  measure: (pixels: Uint32Array, index: number) => Promise<number[]>,
): Promise<number[][]> {
  const all: number[][] = [];
  for (const [i, pixels] of images.entries()) {
    signal?.throwIfAborted();
    all.push(await measure(pixels, i));
    onProgress?.(i + 1, images.length);
  }
  return all;
}

/** Mean over planted defects of every kind of what `measure` gives by layer. */
async function planted(
  { plantings = PLANTINGS, seed }: ScoreOptions,
  { side, pixels, index }: { readonly side: number; readonly pixels: Uint32Array; readonly index: number },
  measure: (pixels: Uint32Array, mask: Uint8Array) => Promise<number[]>,
): Promise<number[]> {
  const count = plantings * PLANTED_DEFECTS.length;
  let sums: number[] = [];
  for (const { image, mask } of plantDefects(unpackPixels(pixels, side, side), index, { plantings, seed })) {
    const values = await measure(packPixels(image), mask);
    sums = values.map((value, layer) => (sums[layer] ?? 0) + value / count);
  }
  return sums;
}

function summarize(layers: readonly string[], values: readonly number[][], seed: number): LayerScore[] {
  return layers.map((layer, l) => {
    const column = values.map((row) => row[l]!);
    const score = meanAt(column, allOf(column));
    return { layer, score, ...bootstrapInterval(column.length, (indices) => meanAt(column, indices), { seed }) };
  });
}

/**
 * What a detector sees of images, at the network's side, evenly spread over a source; of one that looks at tiles a tile of each, or
 * for its autoencoder the whole.
 */
async function resized(
  { engine, state }: Detector,
  source: ImageSource,
  { images = IMAGES, signal }: Pick<ScoreOptions, 'images' | 'signal'>,
  part: keyof SeenImages = 'images',
): Promise<Uint32Array[]> {
  if (source.count === 0) throw new UserError('there are no normal images to score layers on.', 'Give the data set.');
  const parts = await seenImages(state, source, source.count);
  const seen = parts[part] ?? parts.images;
  const resizer = new Resizer(engine, state.networks.side);
  const count = Math.min(images, source.count);
  const all: Uint32Array[] = [];
  try {
    for (let i = 0; i < count; i++) {
      signal?.throwIfAborted();
      all.push(await resizer.resize(await seen.image(Math.floor((i * source.count) / count))));
    }
  } finally {
    resizer.destroy();
  }
  return all;
}

/** Features of nodes at evenly spread positions, by node and image. */
async function sampledFeatures(
  engine: Engine,
  nodes: readonly Node[],
  images: readonly Uint32Array[],
  { onProgress, signal }: Pick<ScoreOptions, 'onProgress' | 'signal'>,
): Promise<Float32Array[][]> {
  const names = nodes.map((_, i) => `node${i}`);
  const plan = await engine.compile({ outputs: Object.fromEntries(nodes.map((node, i) => [names[i]!, sample(node)])) });
  const features: Float32Array[][] = nodes.map(() => []);
  try {
    for (const [i, image] of images.entries()) {
      signal?.throwIfAborted();
      const values = (await plan.run({ image }, names)) as Record<string, Float32Array>;
      names.forEach((name, n) => {
        features[n]!.push(values[name]!);
      });
      onProgress?.(i + 1, images.length);
    }
  } finally {
    plan.destroy();
  }
  return features;
}

/** 1 - CKA of teacher and student. */
async function ckaScores(options: ScoreOptions): Promise<LayerScore[]> {
  const { detector, normal, seed = 0 } = options;
  const { engine, state } = detector;
  const { side } = state.networks;
  const images = await resized(detector, normal, options);
  if (images.length < 4)
    throw new UserError(`cka needs at least 4 images, there are ${images.length}.`, 'Use attention instead.');
  const pairs = layerPairs(state.networks, imageToTensor(input('image', [1, side, side], 'u32')));
  const nodes = pairs.flatMap(({ teacher, student }) => [teacher, student]);
  const grams = (await sampledFeatures(engine, nodes, images, options)).map(gramMatrix);
  return pairs.map(({ layer }, i) => {
    const [teacher, student] = [grams[2 * i]!, grams[2 * i + 1]!];
    const score = (indices?: Uint32Array) => 1 - linearCka(teacher, student, images.length, indices);
    return { layer, score: score(), ...bootstrapInterval(images.length, score, { seed, samples: 200 }) };
  });
}

/** How fast importance falls with a layer's likeness to others. */
const OMPQ_BETA = 1;

/**
 * Importance of every layer by orthogonality (OMPQ, Ma et al. 2023): exp(-beta * sum of linear CKA with all other layers of
 * the same network). A layer that others resemble counts less.
 */
export async function ompqScores(options: ScoreOptions): Promise<LayerScore[]> {
  const { detector, normal, seed = 0 } = options;
  const { engine, state } = detector;
  const images = await resized(detector, normal, options);
  if (images.length < 4)
    throw new UserError(`ompq needs at least 4 images, there are ${images.length}.`, 'Use more images.');
  const nodes = convolutionsOf(state.networks);
  const names = [...nodes.keys()];
  const grams = (await sampledFeatures(engine, [...nodes.values()], images, options)).map(gramMatrix);
  const network = (name: string) => name.split('.')[0];
  return names.map((layer, i) => {
    const score = (indices?: Uint32Array) => {
      let sum = 0;
      for (const [j, other] of names.entries()) {
        if (j !== i && network(other) === network(layer))
          sum += linearCka(grams[i]!, grams[j]!, images.length, indices);
      }
      return Math.exp(-OMPQ_BETA * sum);
    };
    return { layer, score: score(), ...bootstrapInterval(images.length, score, { seed, samples: 100 }) };
  });
}

/** Every convolution's output by its layer's name; of a layer that is computed in parts, the first part. */
function convolutionsOf(networks: Networks): Map<string, Node> {
  const { side } = networks;
  const maps = anomalyMaps(networks, input('quantiles', [4]), imageToTensor(input('image', [1, side, side], 'u32')));
  const nodes = new Map<string, Node>();
  for (const node of topologicalOrder([maps.studentTeacher, maps.autoencoder])) {
    const use = layerOf(node);
    if (use && !nodes.has(use.name)) nodes.set(use.name, node);
  }
  return nodes;
}

/** Width that a layer of the autoencoder is scored at. */
const PROBE_BITS = 3;

/**
 * Scores of the autoencoder's layers: how much separability its map loses when that layer alone is quantized to 3 bits.
 * @returns encoder first; scores can be negative
 */
export async function autoencoderScores(options: ScoreOptions): Promise<LayerScore[]> {
  const { detector, normal, seed = 0 } = options;
  const { engine, state } = detector;
  const { side, mapSide, student } = state.networks;
  const images = await resized(detector, normal, options, 'wholes');
  const geometry = student.geometry.at(-1)!;
  const whole = uniformPlan(state.networks, { weights: PROBE_BITS as LayerPlan['weights'], activations: 32 });
  const layers = Object.keys(whole.layers).filter((name) => name.startsWith('autoencoder.'));
  const values = async (plan: BitPlan) => {
    const { networks } = quantizeNetworks(state.networks, plan, new Map());
    const { autoencoder, channels } = networks;
    const x = imageToTensor(input('image', [1, side, side], 'u32'));
    const imitation = student.head(student.trunk(x), { channels: { start: channels, count: channels } });
    const map = channelDistance(autoencoder.forward(x), imitation);
    const compiled = await engine.compile({ outputs: { map } });
    try {
      const rows = await perImage(options, images, (pixels, index) =>
        planted(options, { side, pixels, index }, async (image, mask) => {
          const { map: read } = await compiled.run({ image }, ['map']);
          return [
            separability({ values: read as Float32Array, height: mapSide, width: mapSide, geometry }, mask, side),
          ];
        }),
      );
      return rows.map(([value]) => value!);
    } finally {
      compiled.destroy();
      engine.release(networks.parameters);
    }
  };
  const float = await values({ ...whole, layers: {} });
  const losses: number[][] = float.map(() => []);
  for (const layer of layers) {
    const quantized = await values({ ...whole, layers: { [layer]: whole.layers[layer]! } });
    quantized.forEach((value, i) => {
      losses[i]!.push(float[i]! - value);
    });
  }
  return summarize(layers, losses, seed);
}
