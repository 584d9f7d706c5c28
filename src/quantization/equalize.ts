import type { Networks } from '../networks/networks.ts';
import { type ConvParameters, layerOfWeight } from '../networks/pdn.ts';
import { copyNetworks } from './layers.ts';

/** How much of the imbalance of activations goes into the next layer's weights. */
const MIGRATION = 0.75;
/** Channels that normal images hardly excite may be excited by defects: their range counts as this share of the largest. */
const LEAST_SHARE = 1 / 1024;

/** Layers that feed each other, each channel through a rectifier, a mean or a resize at most: all of these keep a factor. */
function chains(networks: Networks): (readonly ConvParameters[])[] {
  // What a memory bank reads is standardized first.
  if (networks.bank) return [networks.teacher.convolutions];
  const { teacher, student, autoencoder } = networks;
  return [teacher.convolutions, student.convolutions, [...autoencoder.encoder, ...autoencoder.decoder]];
}

/** Names of the layers whose input can be scaled per channel: all but the first ones, which read the image. */
export function equalizableLayers(networks: Networks): string[] {
  return chains(networks).flatMap((chain) => chain.slice(1).map(({ weight }) => layerOfWeight(weight.name)));
}

/**
 * Networks of equal function whose channels have more equal ranges, so that one 8-bit quantizer suits all channels of a
 * layer's input (cross-layer equalization, Nagel et al. 2019; SmoothQuant, Xiao et al. 2023). Channel c of a layer is divided
 * by s_c, the weights that read it are multiplied: s_c = a^m / w^(1 - m) of its largest activation a and the largest weight w
 * that reads it, m = 3/4: 8-bit activations gain more from it than 8-bit weights lose. Factors are powers of two, so that
 * results in float stay the same bit for bit as long as nothing underflows.
 * @param maxima largest magnitude of each channel of a layer's input [CI], by the layer's name
 * @returns a copy
 */
export function equalizeNetworks(networks: Networks, maxima: ReadonlyMap<string, Float32Array>): Networks {
  const copy = copyNetworks(networks);
  for (const chain of chains(copy)) {
    for (let i = 1; i < chain.length; i++) {
      const reader = chain[i]!.weight;
      const largest = maxima.get(layerOfWeight(reader.name));
      if (largest) scaleChannels(chain[i - 1]!, chain[i]!, factors(largest, chain[i]!));
    }
  }
  return copy;
}

/** s_c by channel, powers of two around a geometric mean of 1. */
function factors(largest: Float32Array, { weight }: ConvParameters): Float64Array {
  const [, channels] = weight.type.shape as [number, number];
  const taps = weight.data.length / (weight.type.shape[0]! * channels);
  const weights = new Float64Array(channels);
  weight.data.forEach((value, i) => {
    const c = Math.floor(i / taps) % channels;
    weights[c] = Math.max(weights[c]!, Math.abs(value));
  });
  const least = LEAST_SHARE * largest.reduce((most, value) => Math.max(most, value), 0);
  const logarithms = Float64Array.from(largest, (value, c) =>
    least > 0 && weights[c]! > 0
      ? MIGRATION * Math.log2(Math.max(value, least)) - (1 - MIGRATION) * Math.log2(weights[c]!)
      : Number.NaN,
  );
  const known = logarithms.filter((value) => !Number.isNaN(value));
  const mean = known.length > 0 ? known.reduce((a, b) => a + b, 0) / known.length : 0;
  return logarithms.map((value) => (Number.isNaN(value) ? 1 : 2 ** Math.round(value - mean)));
}

function scaleChannels(writer: ConvParameters, reader: ConvParameters, scales: Float64Array): void {
  const row = writer.weight.data.length / scales.length;
  const taps = reader.weight.data.length / (reader.weight.type.shape[0]! * scales.length);
  writer.weight.data = Float32Array.from(writer.weight.data, (value, i) => value / scales[Math.floor(i / row)]!);
  writer.bias.data = Float32Array.from(writer.bias.data, (value, c) => value / scales[c]!);
  reader.weight.data = Float32Array.from(
    reader.weight.data,
    (value, i) => value * scales[Math.floor(i / taps) % scales.length]!,
  );
}
