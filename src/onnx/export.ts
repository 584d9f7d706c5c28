import { ShapeError } from '../engine/errors.ts';
import {
  evaluateReference,
  inputName,
  isInput,
  type Node,
  parameterOf,
  size,
  topologicalOrder,
} from '../engine/graph.ts';
import type { QuantizedWeights } from '../formats/weightCodes.ts';
import type { Conv2dAttrs } from '../kernels/conv2dShape.ts';
import { codeStep, codeValue } from '../kernels/weightBlocks.ts';
import { type LayerUse, layerOf } from '../quantization/integerGraph.ts';
import { type Quantization, type QuantizedLayer, sliceWeights } from '../quantization/layers.ts';
import { encodeOnnx, type OnnxNode, type OnnxTensor } from './protobuf.ts';

/** What a rule writes into while it translates one node. */
interface Writer {
  /** Adds an ONNX node. @returns the name of its output */
  node(type: string, inputs: readonly string[], attributes?: OnnxNode['attributes']): string;
  /** Adds a constant. @returns its name */
  constant(shape: readonly number[], values: Iterable<number>): string;
  /** A constant of 64-bit integers. */
  integers(values: readonly number[]): string;
  /** A constant of bytes. */
  bytes(shape: readonly number[], values: Int8Array | Uint8Array): string;
}

type Rule = (node: Node, inputs: readonly string[], writer: Writer) => string;

function convolution(node: Node<Conv2dAttrs>, inputs: readonly string[], writer: Writer): string {
  const { stride, padding, relu, pool, groups, firstChannel } = node.attrs;
  if (firstChannel)
    throw new ShapeError(`onnx: ${node.label} reads some channels of its input only; export the plain graph.`);
  const kernel = node.inputs[1]!.type.shape.slice(2);
  let y = writer.node('Conv', inputs, {
    kernel_shape: kernel,
    strides: [stride, stride],
    pads: [padding, padding, padding, padding],
    group: groups,
  });
  if (relu) y = writer.node('Relu', [y]);
  return pool ? writer.node('AveragePool', [y], { kernel_shape: [2, 2], strides: [2, 2] }) : y;
}

/** ONNX's numbers of data types, for Cast. */
const TYPE = { float: 1, half: 10 } as const;

/**
 * A layer's input as its integers and back (QDQ), or through half floats. Operators store codes as bytes: those of fewer bits are
 * clipped behind them. @returns the names of the values and of the codes
 */
function quantizedInput(x: string, { plan, input: quantizer }: QuantizedLayer, writer: Writer) {
  if (plan.activations === 32) return { values: x };
  if (plan.activations === 16) {
    const halves = writer.node('Cast', [x], { to: TYPE.half });
    return { values: writer.node('Cast', [halves], { to: TYPE.float }) };
  }
  let scale: string;
  let zeroPoint: string;
  let codes: string;
  const most = 2 ** plan.activations - 1;
  if (plan.range === 'dynamic') {
    if (plan.activations !== 8)
      throw new ShapeError(
        `onnx: no operator takes ranges of ${plan.activations} bits from each input; use static ones.`,
      );
    codes = writer.node('DynamicQuantizeLinear', [x]);
    [scale, zeroPoint] = [`${codes}_scale`, `${codes}_zero_point`];
  } else {
    if (!quantizer) throw new ShapeError('onnx: the input of a layer has no quantizer; calibrate the detector.');
    scale = writer.constant([], [quantizer.scale]);
    zeroPoint = writer.bytes([], Uint8Array.of(quantizer.zeroPoint));
    codes = writer.node('QuantizeLinear', [x, scale, zeroPoint]);
    if (most < 255) codes = writer.node('Clip', [codes, '', writer.bytes([], Uint8Array.of(most))]);
  }
  return { codes, values: writer.node('DequantizeLinear', [codes, scale, zeroPoint]) };
}

/** Weights as 8-bit integers and their scales: per output channel, or per group of input channels by a reshape. */
function quantizedWeights({ shape, bits, groupSize, codes, scales }: QuantizedWeights, writer: Writer): string {
  const values = codes.map((code) => codeValue(code, bits));
  const steps = scales.map((scale) => scale * codeStep(bits));
  const rows = scales.length;
  const grouped = groupSize !== shape[1];
  const stored = writer.bytes(grouped ? [rows, codes.length / rows] : shape, values);
  const zeros = writer.bytes([rows], new Int8Array(rows));
  const weights = writer.node('DequantizeLinear', [stored, writer.constant([rows], steps), zeros], { axis: 0 });
  return grouped ? writer.node('Reshape', [weights, writer.integers(shape)]) : weights;
}

/** Translations by op name. All ops of inference have one. */
const RULES: Readonly<Record<string, Rule>> = {
  conv2d: convolution,
  avgPool2d(node, inputs, writer) {
    const { padding } = node.attrs;
    return writer.node('AveragePool', inputs, {
      kernel_shape: [2, 2],
      strides: [2, 2],
      pads: [padding, padding, padding, padding],
      count_include_pad: 1,
    });
  },
  pad2d({ attrs: { top, bottom, left, right, dilation, mirrored } }, [x], writer) {
    if (dilation !== 1) throw new ShapeError('onnx: zeros between neighbors have no translation.');
    const amounts = writer.integers([0, 0, top, left, 0, 0, bottom, right]);
    return writer.node('Pad', [x!, amounts], { mode: mirrored ? 'reflect' : 'constant' });
  },
  resizeBilinear(node, [x], writer) {
    const sizes = writer.integers(node.type.shape);
    return writer.node('Resize', [x!, '', '', sizes], {
      mode: 'linear',
      coordinate_transformation_mode: 'half_pixel',
    });
  },
  standardize(node, [x, mean, std], writer) {
    const shape = writer.integers([1, node.type.shape[1]!, 1, 1]);
    const centered = writer.node('Sub', [x!, writer.node('Reshape', [mean!, shape])]);
    return writer.node('Div', [centered, writer.node('Reshape', [std!, shape])]);
  },
  channelDistance(_, [a, b], writer) {
    const difference = b ? writer.node('Sub', [a!, b]) : a!;
    const squared = writer.node('Mul', [difference, difference]);
    return writer.node('ReduceMean', [squared], { axes: [1], keepdims: 1 });
  },
  nearestDistance({ inputs: [features] }, [x, products], writer) {
    const squared = writer.node('ReduceSum', [writer.node('Mul', [x!, x!]), writer.integers([1])], { keepdims: 1 });
    const best = writer.node('ReduceMax', [products!], { axes: [1], keepdims: 1 });
    const twice = writer.node('Mul', [best, writer.constant([], [2])]);
    const distance = writer.node('Relu', [writer.node('Sub', [squared, twice])]);
    return writer.node('Div', [distance, writer.constant([], [features!.type.shape[1]!])]);
  },
  mapBlur({ inputs }, [x, taps], writer) {
    const length = size(inputs[1]!.type);
    const radius = (length - 1) / 2;
    const padded = writer.node('Pad', [x!, writer.integers([0, 0, radius, radius, 0, 0, radius, radius])], {
      mode: 'edge',
    });
    const filter = (y: string, shape: readonly [number, number]) =>
      writer.node('Conv', [y, writer.node('Reshape', [taps!, writer.integers([1, 1, ...shape])])], {
        kernel_shape: shape,
      });
    return filter(filter(padded, [1, length]), [length, 1]);
  },
  mapLocation({ inputs: [maps] }, [x, usual], writer) {
    const shape = writer.integers([1, 1, ...maps!.type.shape.slice(2)]);
    const part = (i: number) =>
      writer.node('Reshape', [writer.node('Gather', [usual!, writer.integers([i])], { axis: 0 }), shape]);
    return writer.node('Mul', [writer.node('Sub', [x!, part(0)]), part(1)]);
  },
  mapCombine({ attrs }, [st, ae, quantiles], writer) {
    const quantile = (i: number) => writer.node('Gather', [quantiles!, writer.integers([i])], { axis: 0 });
    const normalized = (x: string, at: number) => {
      const [a, b] = [quantile(at), quantile(at + 1)];
      return writer.node('Div', [writer.node('Sub', [x, a]), writer.node('Sub', [b, a])]);
    };
    const sum = writer.node('Add', [normalized(st!, 0), normalized(ae!, 2)]);
    return writer.node('Mul', [sum, writer.constant([], [(attrs as { weight: number }).weight])]);
  },
};

/** How a graph is written as an ONNX model. */
export interface ExportOptions {
  /** Layers that are written with quantized inputs and weights (QDQ). */
  readonly quantization?: Quantization | undefined;
  /** Adds an output `LAYER.codes` for the integers that each of these layers reads, as floats. */
  readonly inspect?: boolean | undefined;
}

/**
 * Translates a graph of inference ops into ONNX (opset 17). What depends on parameters alone becomes constants.
 * @param outputs by name
 * @returns the bytes of a `.onnx` file
 * @throws ShapeError for an op that has no translation
 */
export function exportOnnx(
  outputs: Readonly<Record<string, Node>>,
  metadata: Readonly<Record<string, string>> = {},
  { quantization = new Map(), inspect = false }: ExportOptions = {},
): Uint8Array {
  const nodes: OnnxNode[] = [];
  const tensors: OnnxTensor[] = [];
  const names = new Map<Node, string>();
  const constants = new Set<Node>();
  const inputs: { name: string; shape: readonly number[] }[] = [];
  const writer: Writer = {
    node(type, from, attributes) {
      const output = `t${nodes.length}_${type}`;
      const more = type === 'DynamicQuantizeLinear' ? [`${output}_scale`, `${output}_zero_point`] : [];
      nodes.push({ type, inputs: from, output, more, attributes });
      return output;
    },
    bytes(shape, values) {
      const name = `c${tensors.length}`;
      tensors.push({ name, shape, data: values });
      return name;
    },
    constant(shape, values) {
      const name = `c${tensors.length}`;
      tensors.push({ name, shape, data: Float32Array.from(values) });
      return name;
    },
    integers(values) {
      const name = `c${tensors.length}`;
      tensors.push({ name, shape: [values.length], data: BigInt64Array.from(values.map(BigInt)) });
      return name;
    },
  };

  const order = topologicalOrder(Object.values(outputs));
  for (const node of order) {
    if (!isInput(node) && node.inputs.every((from) => constants.has(from))) constants.add(node);
  }
  const nameOf = (node: Node): string => {
    const known = names.get(node);
    if (known !== undefined) return known;
    const parameter = parameterOf(node);
    const values = parameter ? (parameter.data as Float32Array) : evaluateReference([node], new Map())[0]!;
    const name = parameter?.name ?? `${node.label}_${tensors.length}`;
    tensors.push({ name, shape: node.type.shape, data: Float32Array.from(values) });
    names.set(node, name);
    return name;
  };
  const inputsOf = new Map<string, ReturnType<typeof quantizedInput>>();
  const inspected = new Map<string, { name: string; shape: readonly number[] }>();
  const quantizedLayer = (node: Node, layer: QuantizedLayer, { name, slice }: LayerUse): string => {
    const [x, w, bias] = node.inputs as [Node, Node, Node];
    const { plan, input: quantizer, weights } = layer;
    const from = nameOf(x);
    // Layers that read the same values in the same way share them.
    const key = JSON.stringify([from, plan.activations, plan.range, quantizer]);
    const read = inputsOf.get(key) ?? quantizedInput(from, layer, writer);
    inputsOf.set(key, read);
    if (inspect && read.codes && !inspected.has(name)) {
      const output = `${name}.codes`;
      nodes.push({ type: 'Cast', inputs: [read.codes], output, attributes: { to: TYPE.float } });
      inspected.set(name, { name: output, shape: x.type.shape });
    }
    const part = weights && slice ? sliceWeights(weights, slice.start, slice.count) : weights;
    return convolution(node, [read.values, part ? quantizedWeights(part, writer) : nameOf(w), nameOf(bias)], writer);
  };
  for (const node of order) {
    if (constants.has(node)) continue;
    if (isInput(node)) {
      inputs.push({ name: inputName(node), shape: node.type.shape });
      names.set(node, inputName(node));
      continue;
    }
    const use = layerOf(node);
    const layer = use && quantization.get(use.name);
    if (layer) {
      names.set(node, quantizedLayer(node, layer, use));
      continue;
    }
    const rule = RULES[node.op.name];
    if (!rule) throw new ShapeError(`onnx: ${node.label} is a ${node.op.name}, which has no translation.`);
    names.set(node, rule(node, node.inputs.map(nameOf), writer));
  }
  const named = Object.entries(outputs).map(([name, node]) => {
    nodes.push({ type: 'Identity', inputs: [names.get(node)!], output: name });
    return { name, shape: node.type.shape };
  });
  return encodeOnnx({ nodes, tensors, inputs, outputs: [...named, ...inspected.values()], metadata });
}
