import { convOutput } from '../kernels/conv2dShape.ts';
import { activationCode, rangeOf } from '../kernels/storage.ts';
import type { Networks } from '../networks/networks.ts';
import { type CodeBits, quantizableLayers } from './bitPlan.ts';
import type { ActivationQuantizer, Quantization } from './layers.ts';

/** Means over images and output positions of what every tap of a convolution reads, [CI, KH, KW]; padding reads zero. */
export interface TapMeans {
  readonly float: Float64Array;
  /** After a quantizer of the layer's input, by its width. */
  readonly quantized: ReadonlyMap<CodeBits, Float64Array>;
}

/** How a convolution walks over its input. */
export interface ConvWindow {
  /** [CO, CI, KH, KW]. */
  readonly weights: readonly number[];
  readonly stride: number;
  readonly padding: number;
}

/** Values as a quantizer leaves them. */
function rounded(values: Float32Array, { scale, zeroPoint }: ActivationQuantizer, bits: CodeBits): Float32Array {
  const range = rangeOf(scale, zeroPoint, 2 ** bits - 1);
  return values.map((value) => scale * (activationCode(value, range) - zeroPoint));
}

/** Gathers {@link TapMeans} of a layer's input over images. */
export class TapObserver {
  readonly #window: ConvWindow;
  readonly #quantizers: ReadonlyMap<CodeBits, ActivationQuantizer>;
  readonly #sums: TapMeans;
  #count = 0;

  /** @param quantizers of the layer's input by their widths; none for a float input */
  constructor(window: ConvWindow, quantizers: ReadonlyMap<CodeBits, ActivationQuantizer> = new Map()) {
    this.#window = window;
    this.#quantizers = quantizers;
    const taps = window.weights.slice(1).reduce((a, b) => a * b, 1);
    const sums = () => new Float64Array(taps);
    this.#sums = { float: sums(), quantized: new Map([...quantizers.keys()].map((bits) => [bits, sums()])) };
  }

  /** @param values one image's input [CI, height, width] */
  add(values: Float32Array, height: number, width: number): void {
    this.#addTo(this.#sums.float, values, height, width);
    for (const [bits, quantizer] of this.#quantizers) {
      this.#addTo(this.#sums.quantized.get(bits)!, rounded(values, quantizer, bits), height, width);
    }
    this.#count += this.#outputs(height, 2) * this.#outputs(width, 3);
  }

  means(): TapMeans {
    const mean = (sums: Float64Array) => sums.map((sum) => sum / Math.max(1, this.#count));
    const { float, quantized } = this.#sums;
    return { float: mean(float), quantized: new Map([...quantized].map(([bits, sums]) => [bits, mean(sums)])) };
  }

  #outputs(size: number, dimension: 2 | 3): number {
    const { weights, stride, padding } = this.#window;
    return convOutput(size, weights[dimension]!, stride, padding);
  }

  /** Sums along rows first: what a tap reads of a row does not depend on the tap's own row. */
  #addTo(sums: Float64Array, values: Float32Array, height: number, width: number): void {
    const { weights, stride, padding } = this.#window;
    const [, channels, kernelHeight, kernelWidth] = weights as [number, number, number, number];
    const [outHeight, outWidth] = [this.#outputs(height, 2), this.#outputs(width, 3)];
    const rows = new Float64Array(height);
    for (let c = 0; c < channels; c++) {
      for (let kx = 0; kx < kernelWidth; kx++) {
        for (let y = 0; y < height; y++) {
          const row = (c * height + y) * width;
          let sum = 0;
          for (let ox = 0; ox < outWidth; ox++) {
            const x = ox * stride + kx - padding;
            if (x >= 0 && x < width) sum += values[row + x]!;
          }
          rows[y] = sum;
        }
        for (let ky = 0; ky < kernelHeight; ky++) {
          let sum = 0;
          for (let oy = 0; oy < outHeight; oy++) {
            const y = oy * stride + ky - padding;
            if (y >= 0 && y < height) sum += rows[y]!;
          }
          const tap = (c * kernelHeight + ky) * kernelWidth + kx;
          sums[tap] = sums[tap]! + sum;
        }
      }
    }
  }
}

/**
 * Moves the biases of quantized layers so that every output channel keeps its mean over normal images: rounding of weights
 * and activations shifts it, on flat backgrounds all in one direction (bias correction, Nagel et al. 2019).
 * @param float the networks before quantizing
 * @param quantized the same with the values that the codes stand for; its biases are changed
 * @param taps by layer; layers without keep their biases
 */
export function correctBiases(
  float: Networks,
  quantized: Networks,
  quantization: Quantization,
  taps: ReadonlyMap<string, TapMeans>,
): void {
  const before = quantizableLayers(float);
  for (const [name, { weight, bias }] of quantizableLayers(quantized)) {
    const means = taps.get(name);
    const layer = quantization.get(name);
    if (!means || !layer) continue;
    const after = layer.input ? means.quantized.get(layer.plan.activations as CodeBits)! : means.float;
    const exact = before.get(name)!.weight.data;
    const rounded = weight.data;
    const row = means.float.length;
    bias.data = Float32Array.from(bias.data, (value, o) => {
      let shift = 0;
      for (let k = 0; k < row; k++) {
        shift += exact[o * row + k]! * means.float[k]! - rounded[o * row + k]! * after[k]!;
      }
      return value + shift;
    });
  }
}
