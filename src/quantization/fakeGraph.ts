import { isOf, makeNode, type Node, Parameter, parameterOf, rewriteGraph } from '../engine/graph.ts';
import { codeOffset, codeRange } from '../formats/weightCodes.ts';
import { conv2dOp } from '../kernels/conv2d.ts';
import { fakeQuantize } from '../kernels/fakeQuantize.ts';
import { sliceOuter, sliceOuterOp } from '../kernels/slice.ts';
import { layerOf, readLike } from './integerGraph.ts';
import type { Quantization, QuantizedLayer } from './layers.ts';

/** The scales that fake-quantized training learns, as logarithms. */
export interface LearnableScales {
  /** Of the weights, by layer: [CO * CI / groupSize]. */
  readonly weights: ReadonlyMap<string, Parameter>;
  /** Of the inputs, by layer: [1]. */
  readonly inputs: ReadonlyMap<string, Parameter>;
}

/** Parameters that start at a quantization's scales. */
export function learnableScales(quantization: Quantization): LearnableScales {
  const weights = new Map<string, Parameter>();
  const inputs = new Map<string, Parameter>();
  const logarithms = (name: string, values: readonly number[]) =>
    new Parameter(name, { shape: [values.length], dtype: 'f32' }, Float32Array.from(values, Math.log));
  for (const [name, layer] of quantization) {
    if (layer.weights) weights.set(name, logarithms(`${name}.weight.logScale`, [...layer.weights.scales]));
    if (layer.input) inputs.set(name, logarithms(`${name}.input.logScale`, [layer.input.scale]));
  }
  return { weights, inputs };
}

/** Codes of an activation quantizer relative to its zero point. */
function activationCodes({ plan, input }: QuantizedLayer) {
  const zeroPoint = input!.zeroPoint;
  return { least: -zeroPoint, most: 2 ** plan.activations - 1 - zeroPoint, offset: 0 };
}

/**
 * The graph for training and for evaluation in float: every convolution of a quantized layer reads its input and its weights
 * through `fakeQuantize`, at the places where the integer graph quantizes, so that both agree. Inputs without a static
 * quantizer (half floats, dynamic ranges) stay float.
 * @param roots a graph over float weights, such as that of a detector's maps
 */
export function fakeQuantizeGraph(roots: readonly Node[], quantization: Quantization, scales: LearnableScales): Node[] {
  const weights = new Map<string, Node>();
  const inputs = new Map<Node, Map<string, Node>>();
  return rewriteGraph(roots, (node, original) => {
    const use = layerOf(original) ?? readLike(original);
    const layer = use && quantization.get(use.name);
    if (!layer) return node;
    const { name, slice } = use;
    let x = node.inputs[0]!;
    const inputScale = scales.inputs.get(name);
    if (inputScale) {
      const known = inputs.get(x) ?? new Map<string, Node>();
      inputs.set(x, known);
      if (!known.has(name))
        known.set(name, fakeQuantize(x, inputScale.node, activationCodes(layer), `${name}.input.fake`));
      x = known.get(name)!;
    }
    if (!isOf(node, conv2dOp)) return makeNode(node.op, [x, ...node.inputs.slice(1)], node.attrs, node.label);
    let [, w, ...bias] = node.inputs;
    const weightScale = scales.weights.get(name);
    if (weightScale && layer.weights) {
      const { bits } = layer.weights;
      const whole = isOf(w, sliceOuterOp) ? w.inputs[0] : w;
      if (!parameterOf(whole)) return node;
      const [least, most] = codeRange(bits);
      if (!weights.has(name)) {
        const attrs = { least, most, offset: codeOffset(bits) };
        weights.set(name, fakeQuantize(whole, weightScale.node, attrs, `${name}.weight.fake`));
      }
      const fake = weights.get(name)!;
      w = slice ? sliceOuter(fake, slice.start, slice.count) : fake;
    }
    return makeNode(conv2dOp, [x, w, ...bias], node.attrs, node.label);
  });
}
