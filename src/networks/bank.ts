import type { Node, Parameter } from '../engine/graph.ts';
import type { ConvParameters } from './pdn.ts';

/** Features of normal images in place of a student and an autoencoder. Detectors without one fetch no code for it. */
export interface Bank {
  /** Vectors in it. */
  readonly size: number;
  /** The vectors as weights [size, channels, 1, 1], half their squared lengths, negative, as bias. */
  readonly convolution: ConvParameters;
  readonly parameters: readonly Parameter[];
  /** Another one of the same size, without values. */
  empty(): Bank;
  /** Takes the bias from the weights as they are: after they were rounded. */
  settle(): void;
  /**
   * Mean squared distance to the nearest vector.
   * @param features [N, channels, mapSide, mapSide], standardized @param products [N, size, mapSide, mapSide], the convolution of them
   * @returns [N, 1, mapSide, mapSide]
   */
  distance(features: Node, products: Node): Node;
}
