import { firstNotFinite } from '../checks/numbers.ts';
import { UserError } from '../errors.ts';
import { floatToHalf, halfToFloat } from '../formats/half.ts';
import { dequantiseWeights, type QuantisedWeights, quantiseWeights, type WeightBits } from '../formats/weightCodes.ts';
import { Networks } from '../networks/networks.ts';
import { type BitPlan, type LayerPlan, quantisableLayers } from './bitPlan.ts';

/** An affine quantiser of activations: value = scale * (code - zeroPoint), codes from 0 on. */
export interface ActivationQuantiser {
  readonly scale: number;
  readonly zeroPoint: number;
}

/** One quantised convolution. */
export interface QuantisedLayer {
  readonly plan: LayerPlan;
  /** Codes and scales; absent where the weights are half or single floats. */
  readonly weights?: QuantisedWeights;
  /** Quantiser of the layer's input; absent where it is float, or found anew for every input. */
  readonly input?: ActivationQuantiser;
}

/** What makes a detector a quantised one, by layer. Layers that are not named are float. */
export type Quantisation = ReadonlyMap<string, QuantisedLayer>;

/** Whether a layer's plan changes anything. */
export function isQuantised({ weights, activations }: LayerPlan): boolean {
  return weights !== 32 || activations !== 32;
}

/** Whether a layer's input needs a quantiser from calibration. */
export function needsRange({ activations, range }: LayerPlan): boolean {
  return activations <= 8 && range !== 'dynamic';
}

/** Another set of networks with equal values. */
export function copyNetworks(networks: Networks): Networks {
  const copy = new Networks(networks.size, networks.side, networks.padding);
  copy.parameters.forEach((parameter, i) => {
    parameter.data = networks.parameters[i]!.data.slice();
  });
  return copy;
}

/**
 * Quantises the weights of all layers that a plan names.
 * @param inputs quantisers of the layers' inputs; those that the plan does not need are not taken
 * @returns networks with the values that the codes stand for, and the codes
 * @throws UserError naming the layer whose weights half floats do not hold
 */
export function quantiseNetworks(
  networks: Networks,
  plan: BitPlan,
  inputs: ReadonlyMap<string, ActivationQuantiser>,
): { readonly networks: Networks; readonly quantisation: Quantisation } {
  const copy = copyNetworks(networks);
  const quantisation = new Map<string, QuantisedLayer>();
  for (const [name, { weight }] of quantisableLayers(copy)) {
    const layer = plan.layers[name];
    if (!layer || !isQuantised(layer)) continue;
    const { weights: bits, granularity } = layer;
    const values = weight.data as Float32Array;
    let weights: QuantisedWeights | undefined;
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
      weights = quantiseWeights(values, weight.type.shape, { bits: bits as WeightBits, groupSize });
      weight.data = dequantiseWeights(weights);
    }
    const input = needsRange(layer) ? inputs.get(name) : undefined;
    quantisation.set(name, { plan: layer, ...(weights && { weights }), ...(input && { input }) });
  }
  return { networks: copy, quantisation };
}

/** The output channels `start` to `start + count` of quantised weights. */
export function sliceWeights(weights: QuantisedWeights, start: number, count: number): QuantisedWeights {
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
