import { ShapeError } from '../engine/errors.ts';
import { isOf, makeNode, type Node, Parameter, parameterOf, rewriteGraph } from '../engine/graph.ts';
import { conv2dOp } from '../kernels/conv2d.ts';
import { qconv2d } from '../kernels/qconv2d.ts';
import { sliceOuterOp } from '../kernels/slice.ts';
import {
  type ActivationStorage,
  activationRange,
  loadActivations,
  RANGE_LENGTH,
  rangeOf,
  storeActivations,
} from '../kernels/storage.ts';
import { packBlocks, scaleTable } from '../kernels/weightBlocks.ts';
import { layerOfWeight } from '../networks/pdn.ts';
import { type ActivationBits, isCodeBits } from './bitPlan.ts';
import { type Quantization, type QuantizedLayer, sliceWeights } from './layers.ts';

/** A layer's constants on the device, by its name; kept so that graphs of other batch sizes share them. */
export type LayerCache = Map<string, Parameter>;

/** The layer that a convolution belongs to, and which of its output channels it computes. */
export interface LayerUse {
  readonly name: string;
  readonly slice?: { readonly start: number; readonly count: number } | undefined;
}

/** Which layer a node computes, if it is a convolution over a parameter or a slice of one. */
export function layerOf(node: Node): LayerUse | undefined {
  if (!isOf(node, conv2dOp)) return undefined;
  const [, w] = node.inputs;
  const [weights, slice] = isOf(w, sliceOuterOp) ? [w.inputs[0], w.attrs] : [w];
  const parameter = parameterOf(weights);
  return parameter && { name: layerOfWeight(parameter.name), slice };
}

/** The layer whose input an op reads, too, and as that layer does: as it is stored. */
export function readLike({ attrs }: Node): LayerUse | undefined {
  const { readsLike } = attrs as { readonly readsLike?: string };
  return readsLike === undefined ? undefined : { name: readsLike };
}

/** The layer whose packed weights a node of {@link integerGraph} reads. */
export function packedLayerOf(node: Node): string | undefined {
  const weights = node.inputs[1] && parameterOf(node.inputs[1]);
  return weights?.name.endsWith('.packed') ? weights.name.replace(/(\[\d+:\d+\])?\.packed$/, '') : undefined;
}

const STORAGE: Readonly<Record<ActivationBits, ActivationStorage>> = {
  4: 'u4',
  6: 'u8',
  8: 'u8',
  16: 'f16',
  32: 'f32',
};

/**
 * The graph that runs on packed weights: every convolution of a quantized layer becomes a {@link qconv2d}, its input is
 * stored at the planned width, and compiling fuses rectifier, pooling and storing into it, so that activations between
 * quantized layers stay codes (RAAD, section on decomposition).
 * @param cache keeps the constants; free its parameters with `engine.release`
 * @throws ShapeError for a layer whose input has no quantizer
 */
export function integerGraph(
  roots: readonly Node[],
  quantization: Quantization,
  cache: LayerCache = new Map(),
): Node[] {
  const stored = new Map<Node, Map<string, Node>>();
  const constant = (name: string, make: () => Parameter): Node => {
    if (!cache.has(name)) cache.set(name, make());
    return cache.get(name)!.node;
  };

  const rangeNode = (x: Node, name: string, { plan, input }: QuantizedLayer): Node | undefined => {
    if (!isCodeBits(plan.activations)) return undefined;
    const most = 2 ** plan.activations - 1;
    if (plan.range === 'dynamic') return activationRange(x, most, `${name}.range`);
    if (!input) throw new ShapeError(`${name}: its input has no quantizer; calibrate the detector.`);
    const { scale, zeroPoint } = input;
    return constant(`range ${scale} ${zeroPoint} ${most}`, () => {
      return new Parameter(`${name}.range`, { shape: [RANGE_LENGTH], dtype: 'f32' }, rangeOf(scale, zeroPoint, most));
    });
  };

  /** One stored copy for all layers that read the same values in the same way. */
  const storeOnce = (x: Node, storage: ActivationStorage, range: Node | undefined, label: string): Node => {
    if (storage === 'f32') return x;
    const key = range === undefined ? storage : (parameterOf(range)?.name ?? `dynamic ${storage} ${range.attrs.most}`);
    const copies = stored.get(x) ?? new Map<string, Node>();
    stored.set(x, copies);
    if (!copies.has(key)) copies.set(key, storeActivations(x, storage, range, label));
    return copies.get(key)!;
  };

  return rewriteGraph(roots, (node, original) => {
    const use = layerOf(original) ?? readLike(original);
    const layer = use && quantization.get(use.name);
    if (!layer) return node;
    const { plan, weights } = layer;
    const { name, slice } = use;
    const storage = STORAGE[plan.activations];
    const x = node.inputs[0]!;
    const range = rangeNode(x, name, layer);
    const input = storeOnce(x, storage, range, `${name}.input`);
    if (!weights || !isOf(node, conv2dOp)) {
      const floats = storage === 'f32' ? x : loadActivations(input, x.type.shape[1]!, storage, range, `${name}.values`);
      return makeNode(node.op, [floats, ...node.inputs.slice(1)], node.attrs, node.label);
    }
    const bias = node.inputs[2]!;
    const { stride, padding, relu, pool } = node.attrs;
    const part = slice ? sliceWeights(weights, slice.start, slice.count) : weights;
    const key = slice ? `${name}[${slice.start}:${slice.start + slice.count}]` : name;
    const words = constant(`${key}.packed`, () => {
      const data = packBlocks(part);
      return new Parameter(`${key}.packed`, { shape: [data.length], dtype: 'u32' }, data);
    });
    const table = constant(`${key}.table`, () => {
      const data = scaleTable(part);
      const [co] = part.shape as [number];
      return new Parameter(`${key}.table`, { shape: [co, data.length / (2 * co), 2], dtype: 'f32' }, data);
    });
    return qconv2d(
      { x: input, weights: words, table, bias, inRange: range },
      {
        weights: part.shape,
        bits: part.bits,
        groupSize: part.groupSize,
        input: storage,
        output: 'f32',
        stride,
        padding,
        relu,
        pool,
      },
      node.label,
    );
  });
}
