import type { Engine } from '../../src/engine/engine.ts';
import { input, type Node, Parameter, rewriteGraph, size, topologicalOrder } from '../../src/engine/graph.ts';
import { conv2dOp } from '../../src/kernels/conv2d.ts';
import { fakeQuantizeOp } from '../../src/kernels/fakeQuantize.ts';
import { imageToTensor } from '../../src/kernels/image.ts';
import { loadActivations, storeOp } from '../../src/kernels/storage.ts';
import { anomalyMaps } from '../../src/networks/inference.ts';
import type { Networks } from '../../src/networks/networks.ts';
import { type BitPlan, isCodeBits } from '../../src/quantization/bitPlan.ts';
import { fakeQuantizeGraph, learnableScales } from '../../src/quantization/fakeGraph.ts';
import { integerGraph } from '../../src/quantization/integerGraph.ts';
import { layerInputs } from '../../src/quantization/layerInputs.ts';
import { type ActivationQuantizer, quantizeNetworks } from '../../src/quantization/layers.ts';
import { RangeObserver } from '../../src/quantization/ranges.ts';

/** All of them read the image. */
const FIRST_LAYERS: ReadonlySet<string> = new Set(['student.conv1', 'autoencoder.enc1']);

/** Quantizers of all layers' inputs from some images' pixels, of the widths of a plan or of 8 bits. */
export async function rangesOf(engine: Engine, networks: Networks, images: readonly Uint32Array[], plan?: BitPlan) {
  const image = input('image', [1, networks.side, networks.side], 'u32');
  const inputs = layerInputs(networks, imageToTensor(image));
  const run = await engine.compile({ outputs: Object.fromEntries(inputs) });
  const observers = new Map([...inputs.keys()].map((name) => [name, new RangeObserver()]));
  for (const pixels of images) {
    const values = await run.run({ image: pixels }, [...inputs.keys()]);
    for (const [name, observer] of observers) observer.add(values[name] as Float32Array);
  }
  run.destroy();
  const quantizers = new Map<string, ActivationQuantizer>();
  for (const [name, observer] of observers) {
    const bits = plan?.layers[name]?.activations ?? 8;
    quantizers.set(name, observer.quantizer(isCodeBits(bits) ? bits : 8));
  }
  return quantizers;
}

/** How the integer network's codes compare with the fake-quantized one's, by layer. */
export interface LayerAgreement {
  readonly layer: string;
  readonly positions: number;
  readonly different: number;
  readonly worst: number;
  /** Positions that differ when the fake-quantized network runs on its own values from the image on. */
  readonly accumulated: number;
}

/** Runs both networks on some images. @returns codes per layer over all images, and both maps of the last one */
export async function compareNetworks(
  engine: Engine,
  networks: Networks,
  plan: BitPlan,
  ranges: ReadonlyMap<string, ActivationQuantizer>,
  images: readonly Uint32Array[],
) {
  const { networks: quantized, quantization } = quantizeNetworks(networks, plan, ranges);
  const image = input('image', [1, networks.side, networks.side], 'u32');
  const quantiles = new Parameter('map.quantiles', { shape: [4], dtype: 'f32' }, Float32Array.of(0, 1, 0, 1));
  const roots = (of: Networks) => {
    const maps = anomalyMaps(of, quantiles.node, imageToTensor(image));
    return [maps.studentTeacher, maps.autoencoder];
  };
  const integer = integerGraph(roots(quantized), quantization);
  const fake = fakeQuantizeGraph(roots(quantized), quantization, learnableScales(quantization));

  const fakes = new Map<string, Node>();
  for (const node of topologicalOrder(fake)) {
    if (node.op === fakeQuantizeOp && node.label.endsWith('.input.fake'))
      fakes.set(node.label.slice(0, -'.input.fake'.length), node);
  }
  const stores = topologicalOrder(integer).filter((node) => node.op === storeOp);
  const stored = new Map<string, Node>();
  for (const [layer, node] of fakes) {
    // Layers that read the same values by the same codes share what is stored for the first of them.
    const of = (name: string) => stores.find((each) => each.label === `${name}.input`);
    const store = of(layer) ?? (FIRST_LAYERS.has(layer) ? of('teacher.conv1') : undefined);
    if (store)
      stored.set(
        layer,
        loadActivations(store, node.type.shape[1]!, store.attrs.storage, store.inputs[1], `${layer}.codes`),
      );
  }
  // Each layer by itself: it gets the integer network's codes. Otherwise one value that two orders of summation round to
  // different sides would go on to change its successors, layer after layer.
  const forced = new Map<string, Node>();
  rewriteGraph(fake, (node) => {
    const [x] = node.inputs;
    if (node.op !== conv2dOp || x?.op !== fakeQuantizeOp) return node;
    const layer = x.label.slice(0, -'.input.fake'.length);
    forced.set(layer, x);
    return { ...node, inputs: [stored.get(layer)!, ...node.inputs.slice(1)] };
  });
  const outputs = {
    ...Object.fromEntries([...fakes].map(([layer, node]) => [`free ${layer}`, node])),
    ...Object.fromEntries([...forced].map(([layer, node]) => [`fake ${layer}`, node])),
    ...Object.fromEntries([...stored].map(([layer, node]) => [`integer ${layer}`, node])),
    fakeMap: fake[0]!,
    fakeAutoencoder: fake[1]!,
  };
  const separate = await engine.compile({ outputs });
  // By itself the integer graph is fused as in a detector.
  const fused = await engine.compile({ outputs: { studentTeacher: integer[0]!, autoencoder: integer[1]! } });
  const layers = new Map<string, LayerAgreement>();
  let values: Record<string, Float32Array> = {};
  let maps: Record<string, Float32Array> = {};
  for (const pixels of images) {
    values = (await separate.run({ image: pixels }, Object.keys(outputs))) as typeof values;
    maps = (await fused.run({ image: pixels }, ['studentTeacher', 'autoencoder'])) as typeof maps;
    for (const layer of stored.keys()) {
      const { scale } = quantization.get(layer)!.input!;
      const integers = values[`integer ${layer}`]!;
      const steps = (floats: Float32Array) =>
        floats.map((value, i) => Math.abs(Math.round((value - integers[i]!) / scale)));
      const alone = steps(values[`fake ${layer}`]!);
      const free = steps(values[`free ${layer}`]!);
      const before = layers.get(layer) ?? { positions: 0, different: 0, worst: 0, accumulated: 0 };
      layers.set(layer, {
        layer,
        positions: before.positions + size(fakes.get(layer)!.type),
        different: before.different + alone.filter((n) => n > 0).length,
        worst: alone.reduce((most, n) => Math.max(most, n), before.worst),
        accumulated: before.accumulated + free.filter((n) => n > 0).length,
      });
    }
  }
  separate.destroy();
  fused.destroy();
  return {
    layers: [...layers.values()],
    maps: {
      integer: [maps['studentTeacher']!, maps['autoencoder']!],
      fake: [values['fakeMap']!, values['fakeAutoencoder']!],
    },
  };
}

/** Pearson's correlation. */
export function correlation(a: Float32Array, b: Float32Array): number {
  const mean = (values: Float32Array) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [ma, mb] = [mean(a), mean(b)];
  let [ab, aa, bb] = [0, 0, 0];
  a.forEach((value, i) => {
    ab += (value - ma) * (b[i]! - mb);
    aa += (value - ma) ** 2;
    bb += (b[i]! - mb) ** 2;
  });
  return ab / Math.sqrt(aa * bb);
}
