import { firstNotFinite } from '../checks/numbers.ts';
import { UserError } from '../errors.ts';
import { floatToHalf, halfToFloat } from '../formats/half.ts';
import { dequantizeWeights, type QuantizedWeights, quantizeWeights, type WeightBits } from '../formats/weightCodes.ts';
import { Networks } from '../networks/networks.ts';
import { type BitPlan, isCodeBits, type LayerPlan, quantizableLayers } from './bitPlan.ts';

/** An affine quantizer of activations: value = scale * (code - zeroPoint), codes from 0 on. */
export interface ActivationQuantizer {
  readonly scale: number;
  readonly zeroPoint: number;
}

/** One quantized convolution. */
export interface QuantizedLayer {
  readonly plan: LayerPlan;
  /** Codes and scales; absent where the weights are half or single floats. */
  readonly weights?: QuantizedWeights | undefined;
  /** Quantizer of the layer's input; absent where it is float, or found anew for every input. */
  readonly input?: ActivationQuantizer | undefined;
}

/** What makes a detector a quantized one, by layer. Layers that are not named are float. */
export type Quantization = ReadonlyMap<string, QuantizedLayer>;

/** Whether a layer's plan changes anything. */
export function isQuantized({ weights, activations }: LayerPlan): boolean {
  return weights !== 32 || activations !== 32;
}

/** Whether a layer's input needs a quantizer from calibration. */
export function needsRange({ activations, range }: LayerPlan): boolean {
  return isCodeBits(activations) && range !== 'dynamic';
}

/** Another set of networks with equal values. */
export function copyNetworks(networks: Networks): Networks {
  const { size, side, padding, bank } = networks;
  const copy = new Networks(size, side, padding, bank && (() => bank.empty()));
  copy.parameters.forEach((parameter, i) => {
    parameter.data = networks.parameters[i]!.data.slice();
  });
  return copy;
}

/**
 * Quantizes the weights of all layers that a plan names.
 * @param inputs quantizers of the layers' inputs; those that the plan does not need are not taken
 * @returns networks with the values that the codes stand for, and the codes
 * @throws UserError naming the layer whose weights half floats do not hold
 */
export function quantizeNetworks(
  networks: Networks,
  plan: BitPlan,
  inputs: ReadonlyMap<string, ActivationQuantizer>,
): { readonly networks: Networks; readonly quantization: Quantization } {
  const copy = copyNetworks(networks);
  const quantization = new Map<string, QuantizedLayer>();
  for (const [name, { weight }] of quantizableLayers(copy)) {
    const layer = plan.layers[name];
    if (!layer || !isQuantized(layer)) continue;
    const { weights: bits, granularity } = layer;
    const values = weight.data as Float32Array;
    let weights: QuantizedWeights | undefined;
    if (bits === 16) {
      weight.data = values.map((value) => halfToFloat(floatToHalf(value)));
      const at = firstNotFinite(weight.data);
      if (at >= 0)
        throw new UserError(
          `half floats do not hold the weight ${values[at]} of ${name}.`,
          'Plan 32 bits for this layer, or 8 or fewer.',
        );
    }
    if (bits !== 16 && bits !== 32) {
      const groupSize = granularity === 'channel' ? weight.type.shape[1]! : granularity.groupSize;
      weights = quantizeWeights(values, weight.type.shape, { bits: bits as WeightBits, groupSize });
      weight.data = dequantizeWeights(weights);
    }
    const input = needsRange(layer) ? inputs.get(name) : undefined;
    quantization.set(name, { plan: layer, weights, input });
  }
  return { networks: copy, quantization };
}

/** The output channels `start` to `start + count` of quantized weights. */
export function sliceWeights(weights: QuantizedWeights, start: number, count: number): QuantizedWeights {
  const { shape, groupSize, codes, scales } = weights;
  const row = codes.length / shape[0]!;
  const groups = shape[1]! / groupSize;
  return {
    ...weights,
    shape: [count, ...shape.slice(1)],
    codes: codes.subarray(start * row, (start + count) * row),
    scales: scales.subarray(start * groups, (start + count) * groups),
  };
}
