import { firstNotFinite } from '../checks/numbers.ts';
import type { ImageSource } from '../data/image.ts';
import type { Engine } from '../engine/engine.ts';
import { input, type Node, topologicalOrder } from '../engine/graph.ts';
import { UserError } from '../errors.ts';
import { Resizer } from '../imaging/pixels.ts';
import type { Conv2dAttrs } from '../kernels/conv2dShape.ts';
import { imageToTensor } from '../kernels/image.ts';
import { anomalyMaps } from '../networks/inference.ts';
import type { Networks } from '../networks/networks.ts';
import { type TapMeans, TapObserver } from './biases.ts';
import { type CodeBits, quantizableLayers } from './bitPlan.ts';
import { layerOf } from './integerGraph.ts';
import type { ActivationQuantizer } from './layers.ts';
import { type RangeMethod, RangeObserver } from './ranges.ts';

/** Float networks, and the normal images that are run through them. */
export interface CalibrationRun {
  readonly engine: Engine;
  /** Their parameters stay on the engine. */
  readonly networks: Networks;
  readonly train: ImageSource;
  /** What the autoencoder sees, where `train` shows tiles of it to teacher and student, which see both. */
  readonly wholes?: ImageSource | undefined;
  /** Images at most, evenly spread over `train`; 32. */
  readonly rangeImages?: number | undefined;
  readonly onProgress?: ((progress: CalibrationProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface CalibrationProgress {
  readonly phase: 'equalize' | 'ranges' | 'means' | 'statistics';
  /** Images. */
  readonly done: number;
  readonly total: number;
}

const RANGE_IMAGES = 32;

type Shape = readonly [batch: number, channels: number, height: number, width: number];

/** The float graph's convolutions, by layer. */
function convolutionNodes(networks: Networks, x: Node): Map<string, Node> {
  const quantiles = input('quantiles', [4]);
  const maps = anomalyMaps(networks, quantiles, x);
  const nodes = new Map<string, Node>();
  for (const node of topologicalOrder([maps.studentTeacher, maps.autoencoder])) {
    const use = layerOf(node);
    if (use) nodes.set(use.name, node);
  }
  return nodes;
}

/** The float graph's value that each layer reads, by layer. @param x normalized images [N, 3, side, side] */
export function layerInputs(networks: Networks, x: Node): Map<string, Node> {
  return new Map([...convolutionNodes(networks, x)].map(([name, node]) => [name, node.inputs[0]!]));
}

/** Largest magnitude of every channel of the inputs of some layers [CI], by layer. */
export async function channelMaxima(
  run: CalibrationRun,
  layers: readonly string[],
): Promise<Map<string, Float32Array>> {
  const maxima = new Map<string, Float32Array>();
  await readInputs(run, 'equalize', layers, (readers, values, [, channels]) => {
    const plane = values.length / channels;
    for (const layer of readers) {
      const largest = maxima.get(layer) ?? new Float32Array(channels);
      maxima.set(layer, largest);
      values.forEach((value, i) => {
        const c = Math.floor(i / plane);
        if (Math.abs(value) > largest[c]!) largest[c] = Math.abs(value);
      });
    }
  });
  return maxima;
}

/** Quantizers of layers' inputs, by width and layer. */
export type InputRanges = ReadonlyMap<CodeBits, ReadonlyMap<string, ActivationQuantizer>>;

/** Quantizers of the inputs of some layers. @param widths of their codes */
export async function inputRanges(
  run: CalibrationRun,
  layers: readonly string[],
  method?: RangeMethod,
  widths: readonly CodeBits[] = [8],
): Promise<InputRanges> {
  const observers = new Map<string, RangeObserver>();
  await readInputs(run, 'ranges', layers, (readers, values) => {
    // Layers that read the same values share an observer, also where some of them read further ones.
    const observer = readers.map((layer) => observers.get(layer)).find(Boolean) ?? new RangeObserver();
    for (const layer of readers) observers.set(layer, observer);
    observer.add(values);
  });
  // Layers of one observer share its search.
  return new Map(
    widths.map((bits) => {
      const known = new Map([...new Set(observers.values())].map((each) => [each, each.quantizer(bits, method)]));
      return [bits, new Map([...observers].map(([name, observer]) => [name, known.get(observer)!]))];
    }),
  );
}

/** What every tap of some layers reads on average, before and after the quantizers of their inputs; float ones have none. */
export async function inputMeans(
  run: CalibrationRun,
  layers: readonly string[],
  ranges: InputRanges,
): Promise<Map<string, TapMeans>> {
  const { networks } = run;
  const parameters = quantizableLayers(networks);
  const image = input('image', [1, networks.side, networks.side], 'u32');
  const observers = new Map<string, TapObserver>();
  for (const [name, { attrs }] of convolutionNodes(networks, imageToTensor(image))) {
    if (!layers.includes(name)) continue;
    const quantizers = new Map([...ranges].map(([bits, own]) => [bits, own.get(name)!]));
    const { stride, padding } = attrs as Conv2dAttrs;
    const window = { weights: parameters.get(name)!.weight.type.shape, stride, padding };
    observers.set(name, new TapObserver(window, quantizers));
  }
  await readInputs(run, 'means', [...observers.keys()], (readers, values, [, , height, width]) => {
    for (const layer of readers) observers.get(layer)!.add(values, height, width);
  });
  return new Map([...observers].map(([name, observer]) => [name, observer.means()]));
}

/** Runs images through the networks. @param visit gets what some layers read, [1, channels, height, width] */
async function readInputs(
  { engine, networks, train, wholes, rangeImages = RANGE_IMAGES, onProgress, signal }: CalibrationRun,
  phase: CalibrationProgress['phase'],
  wanted: readonly string[],
  visit: (layers: readonly string[], values: Float32Array, shape: Shape) => void,
): Promise<void> {
  if (wanted.length === 0) return;
  const { side } = networks;
  const image = input('image', [1, side, side], 'u32');
  const readers = new Map<Node, string[]>();
  for (const [name, node] of layerInputs(networks, imageToTensor(image))) {
    if (wanted.includes(name)) readers.set(node, [...(readers.get(node) ?? []), name]);
  }
  const nodes = [...readers];
  const keys = nodes.map((_, i) => `input${i}`);
  const plan = await engine.compile({ outputs: Object.fromEntries(nodes.map(([node], i) => [keys[i]!, node])) });
  const resizer = new Resizer(engine, side);
  const spread = (source: ImageSource, reads: (layer: string) => boolean) => {
    const count = Math.min(rangeImages, source.count);
    return Array.from({ length: count }, (_, i) => ({ source, reads, at: Math.floor((i * source.count) / count) }));
  };
  const looks = [
    ...spread(train, (layer) => !wholes || !layer.startsWith('autoencoder.')),
    ...(wholes ? spread(wholes, () => true) : []),
  ];
  try {
    for (const [i, { source, reads, at: index }] of looks.entries()) {
      signal?.throwIfAborted();
      const values = await plan.run({ image: await resizer.resize(await source.image(index)) }, keys);
      nodes.forEach(([node, all], k) => {
        const layers = all.filter(reads);
        if (layers.length === 0) return;
        const own = values[keys[k]!] as Float32Array;
        const at = firstNotFinite(own);
        if (at >= 0)
          throw new UserError(
            `the input of ${layers[0]} is ${own[at]} on a training image, so it has no range.`,
            "The networks' values overflow: train the model again.",
          );
        visit(layers, own, node.type.shape as Shape);
      });
      onProgress?.({ phase, done: i + 1, total: looks.length });
    }
  } finally {
    plan.destroy();
    resizer.destroy();
  }
}
